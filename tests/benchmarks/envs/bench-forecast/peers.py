"""Run inside the peers' environment: one library's forecasts of a folder of windows, each in turn, timed.

`python peers.py PEER FOLDER HORIZON SEASON SECONDS`. FOLDER holds `past.npy`, (N, T) float64 ending at the origin, NaN
before a series begins; `answers.npy` (N, H, 5) quantiles and `seconds.npy` (N,) CPU seconds, both NaN, are filled in
place, so that what was done until the time is over counts. No new window is begun after SECONDS of CPU.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

LEVEL = (95, 80)
PATHS = 200  # simulated for the intervals of Holt-Winters
ROUNDS = 30  # of statsmodels' optimiser


def statsforecast_of(model: str, **settings: object) -> Callable[..., np.ndarray]:
    """A model of statsforecast that gives its own intervals."""

    def ask(past: np.ndarray, horizon: int, season: int) -> np.ndarray:
        from statsforecast import models

        made = getattr(models, model)(**({"season_length": season} | settings))
        said = made.forecast(y=past, h=horizon, level=list(LEVEL))
        low = [said[f"lo-{level}"] for level in LEVEL]
        high = [said[f"hi-{level}"] for level in reversed(LEVEL)]
        return np.stack([*low, said["mean"], *high], axis=1)

    return ask


def holt_winters(past: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """Damped trend and additive season; intervals from simulated paths."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    seasonal = {"seasonal": "add", "seasonal_periods": season} if len(past) >= 2 * season else {}
    model = ExponentialSmoothing(past, trend="add", damped_trend=True, initialization_method="heuristic", **seasonal)
    fitted = model.fit(minimize_kwargs={"options": {"maxiter": ROUNDS}})
    paths = fitted.simulate(horizon, repetitions=PATHS, error="add", random_state=0)
    answer = np.quantile(np.asarray(paths), (0.025, 0.1, 0.5, 0.9, 0.975), axis=1).T
    answer[:, 2] = fitted.forecast(horizon)
    return np.sort(answer, axis=1)


def stl_ets(past: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """ETS with a damped trend on what STL leaves, and the last season again."""
    import pandas as pd
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel
    from statsmodels.tsa.seasonal import STL

    again = np.zeros(horizon)
    if len(past) >= 2 * season:
        found = STL(past, period=season).fit()
        past = past - found.seasonal
        again = np.asarray(found.seasonal)[len(past) - season + np.arange(horizon) % season]
    model = ETSModel(pd.Series(past), error="add", trend="add", damped_trend=True)
    fitted = model.fit(disp=False, maxiter=ROUNDS)
    said = fitted.get_prediction(start=len(past), end=len(past) + horizon - 1)
    wide, narrow = (said.summary_frame(alpha=1 - level / 100) for level in LEVEL)
    columns = [wide["pi_lower"], narrow["pi_lower"], wide["mean"], narrow["pi_upper"], wide["pi_upper"]]
    return np.stack([np.asarray(column) for column in columns], axis=1) + again[:, None]


PEERS = {
    "autoets": statsforecast_of("AutoETS"),
    "autoets-plain": statsforecast_of("AutoETS", season_length=1),
    "theta": statsforecast_of("DynamicOptimizedTheta"),
    "holt-winters": holt_winters,
    "stl-ets": stl_ets,
}


def main() -> None:
    """Fill the answers of one peer."""
    peer, folder, horizon, season, budget = PEERS[sys.argv[1]], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    past = np.load(folder / "past.npy")
    answers = np.load(folder / "answers.npy", mmap_mode="r+")
    seconds = np.load(folder / "seconds.npy", mmap_mode="r+")
    rng = np.random.default_rng(0)
    peer(10 + rng.random(3 * season), horizon, season)  # imports and compilation are not counted
    warnings.simplefilter("ignore")  # after the imports, which ask for warnings
    spent = 0.0
    for row, values in enumerate(past):
        if spent > budget:
            break
        begun = time.process_time()
        try:
            answers[row] = peer(values[np.isfinite(values)], horizon, season)
        except Exception as error:  # noqa: BLE001  # whatever a library raises, its window is not answered
            print(f"window {row}: {type(error).__name__}: {error}", file=sys.stderr)
        took = time.process_time() - begun
        seconds[row] = took
        spent += took
        answers.flush()
        seconds.flush()


if __name__ == "__main__":
    main()
