"""The same windows forecast by the engines and by libraries that fit one model per series.

The libraries live in an environment of their own, made from `envs/bench-forecast/requirements.lock` on first use under
the user's cache folder. Windows: a few series of each panel, evenly spaced, four of the backtest's origins; a library
sees up to 30 days with holes filled by the engines' own rule. Negative forecasts of series that are never negative are
raised to 0, as the engines' are. A library's seconds are those of fit and forecast of one window with its intervals;
an engine's are those of a forecast with stored calibration of a fleet of 1,000 series made of the same windows.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forecast_panels import Matrix, chosen
from forecast_scores import LEVELS, judged
from forecast_speed import CALIBRATED_ORIGINS, cpu_s

from blocks.series import Float, Series, utc
from tasks.forecasting.decide import GLOBAL_ENGINES, Model, calibrate, forecast
from tasks.forecasting.decide.backtest import rolling_origins
from tasks.forecasting.decide.engines import fit_panels
from tasks.forecasting.decide.history import last_column, past, recent
from tasks.forecasting.decide.scores import usual_change

PLACE = Path(__file__).parent / "envs" / "bench-forecast"
DAYS, FLEET, ORIGINS_OF_PEERS = 30, 1_000, 4
GRACE_S = 60  # of wall clock beyond the budget before a library is stopped in the middle of a window
ENGINES = ("linear", "trees", "seasonal-naive")
FASTER = {"linear": 10_000, "trees": 1_000}  # than AutoETS, as promised


@dataclass(frozen=True)
class Peer:
    """A library's model: its name in `peers.py`, what it is, windows asked for and the CPU seconds it may take."""

    name: str
    about: str
    windows: int
    budget_s: int


PEERS = {
    "2 h, 5 min": (
        Peer("autoets-plain", "statsforecast AutoETS, no season", 96, 40),
        Peer("holt-winters", "statsmodels Holt-Winters, m = 288", 96, 15),
        Peer("stl-ets", "statsmodels STL(288) + damped ETS", 96, 15),
        Peer("theta", "statsforecast DynamicOptimizedTheta, m = 288", 96, 15),
    ),
    "24 h, 15 min": (
        Peer("autoets", "statsforecast AutoETS, m = 96", 96, 40),
        Peer("holt-winters", "statsmodels Holt-Winters, m = 96", 96, 15),
        Peer("stl-ets", "statsmodels STL(96) + damped ETS", 96, 15),
        Peer("theta", "statsforecast DynamicOptimizedTheta, m = 96", 96, 15),
    ),
}


@dataclass(frozen=True)
class Windows:
    """N windows of some series, the first origin of all, then the second, ...

    Attributes
    ----------
    series: (N,) number of each window's series. before: (N, T) values up to the origin, as measured.
    actual: (N, H) what came. change: (N,) as of `usual_change`. said: (N, H, Q) quantiles of each engine.
    """

    series: np.ndarray
    before: Float
    actual: Float
    change: np.ndarray
    said: dict[str, Float]

    def take(self, rows: np.ndarray) -> Windows:
        """Some of the windows."""
        said = {engine: values[rows] for engine, values in self.said.items()}
        return Windows(self.series[rows], self.before[rows], self.actual[rows], self.change[rows], said)


def models(found: Sequence[Matrix], horizon: int, origins: int) -> dict[str, Model]:
    """The global engines, fitted as the backtest fits them: each matrix up to its own first origin."""
    first = [(matrix.history, rolling_origins(matrix.history, horizon, origins)[0]) for matrix in found]
    made = {engine: fit_panels(first, horizon, LEVELS, engine=engine) for engine in GLOBAL_ENGINES}
    return {engine: model for engine, model in made.items() if model is not None}


def picked(found: Sequence[Matrix], each: int) -> list[tuple[Matrix, int]]:
    """Rows of series that vary, `each` of a panel, evenly spaced."""
    answer = []
    for panel in dict.fromkeys(matrix.panel for matrix in found):
        rows = [(matrix, row) for matrix in found if matrix.panel == panel
                for row, values in enumerate(matrix.history.values) if np.nanstd(values) > 0]  # fmt: skip
        places = np.unique(np.linspace(0, len(rows) - 1, each + 2).astype(int)[1:-1])
        answer += [rows[place] for place in places]
    return answer


def windows(found: Sequence[Matrix], horizon: int, origins: int, each: int, fitted: dict[str, Model]) -> Windows:
    """The windows and what the engines say of them, calibrated at each origin on the whole matrix."""
    series = picked(found, each)
    parts: list[dict[str, Any]] = []
    for matrix in {id(matrix): matrix for matrix, _ in series}.values():
        mine = [(number, row) for number, (owner, row) in enumerate(series) if owner is matrix]
        rows = np.array([row for _, row in mine])
        part, day = chosen(matrix.history, rows), 86_400 // matrix.history.step_s
        moments = rolling_origins(matrix.history, horizon, origins)
        at = np.unique(np.linspace(0, len(moments) - 1, ORIGINS_OF_PEERS).astype(int))
        for turn, moment in enumerate(moments[place] for place in at):
            last = last_column(part, moment)
            known = {engine: calibrate(matrix.history, model, moment) for engine, model in fitted.items()}
            said = {engine: forecast(part, horizon, LEVELS, moment, engine=engine, model=fitted.get(engine),
                                     calibration=known.get(engine)).values for engine in ENGINES}  # fmt: skip
            parts.append({
                "turn": np.full(len(rows), turn), "series": np.array([number for number, _ in mine]),
                "before": recent(part, last, DAYS * day), "actual": recent(part, last + horizon, horizon),
                "change": usual_change(part.values[:, : last + 1], day), **said,
            })  # fmt: skip
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    usable = np.isfinite(whole["actual"]).any(axis=1) & (whole["change"] > 0) & (np.nanstd(whole["before"], axis=1) > 0)
    order = np.lexsort((whole["series"], whole["turn"]))
    made = Windows(whole["series"], whole["before"], whole["actual"], whole["change"],
                   {engine: whole[engine] for engine in ENGINES})  # fmt: skip
    return made.take(order[usable[order]])


def ask(python: Path, peer: Peer, asked: Windows, season: int, say: Callable[[str], None]) -> tuple[Float, np.ndarray]:
    """(N, H, Q) quantiles and (N,) CPU seconds of a library; NaN for windows it did not come to."""
    filled = past(asked.before, season).values.astype(np.float64)
    begun = np.isfinite(asked.before).argmax(axis=1)[:, None]
    horizon = asked.actual.shape[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "past.npy", np.where(np.arange(filled.shape[1]) >= begun, filled, np.nan))
        np.save(folder / "answers.npy", np.full((len(filled), horizon, len(LEVELS)), np.nan))
        np.save(folder / "seconds.npy", np.full(len(filled), np.nan))
        command = [python, PLACE / "peers.py", peer.name, folder, horizon, season, peer.budget_s]
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                                  timeout=2 * peer.budget_s + GRACE_S)  # fmt: skip
            failed = [line for line in done.stderr.splitlines() if line.startswith("window ")]
            if done.returncode or failed:
                say(f"peers: {peer.name}: {len(failed)} windows failed: {(failed or done.stderr.splitlines())[-1:]}")
        except subprocess.TimeoutExpired:
            say(f"peers: {peer.name}: stopped in the middle of a window")
        answers, seconds = np.load(folder / "answers.npy"), np.load(folder / "seconds.npy")
    floor = np.where(np.nanmin(asked.before, axis=1) < 0, -np.inf, 0.0)
    return np.maximum(answers, floor[:, None, None]).astype(np.float32), seconds


def engine_seconds(asked: Windows, step_s: int, fitted: dict[str, Model]) -> dict[str, dict[str, float]]:
    """CPU seconds a series: forecasting a fleet made of the windows, and calibrating it from 24 past origins."""
    rows = np.arange(FLEET) % len(asked.before)
    fleet = Series(tuple(f"{row}" for row in range(FLEET)), 0, step_s, asked.before[rows])
    as_of, horizon = utc(fleet.end_s - step_s), asked.actual.shape[1]
    answer = {}
    for engine, model in fitted.items():
        calibrating, known = cpu_s(lambda m=model: calibrate(fleet, m, as_of, origins=CALIBRATED_ORIGINS), 1)
        predicting, _ = cpu_s(lambda m=model, k=known, e=engine: forecast(
            fleet, horizon, LEVELS, as_of, engine=e, model=m, calibration=k))  # fmt: skip
        answer[engine] = {"predict": predicting / FLEET, "calibrate": calibrating / FLEET}
    return answer


def compare(
    python: Path, found: Sequence[Matrix], horizon: str, steps: int, origins: int, quick: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Every library against the engines on the windows that it answered."""
    say(f"peers {horizon}: the engines on the same windows")
    fitted = models(found, steps, origins)
    asked = windows(found, steps, origins, 1 if quick else 4, fitted)
    step_s = found[0].history.step_s
    cost = engine_seconds(asked, step_s, fitted)
    report: dict[str, Any] = {"engines_cpu_s_per_series": cost, "peers": {}}
    for peer in PEERS[horizon][: 1 if quick else None]:
        say(f"peers {horizon}: {peer.about}")
        few = Peer(peer.name, peer.about, 6, 8) if quick else peer
        mine = asked.take(np.arange(min(few.windows, len(asked.series))))
        values, seconds = ask(python, few, mine, 86_400 // step_s, say)
        row = against(mine, values, seconds, cost)
        if peer.name.startswith("autoets"):
            row["verdicts"] = {engine: verdict(row, engine) for engine in FASTER}
        report["peers"][peer.about] = row
    return report


def against(asked: Windows, values: Float, seconds: np.ndarray, cost: dict[str, dict[str, float]]) -> dict[str, Any]:
    """One library's scores and the engines' on the windows that it answered, and how many times slower it is."""
    tried = np.isfinite(seconds)
    done = np.flatnonzero(tried & np.isfinite(values).all(axis=(1, 2)))
    row: dict[str, Any] = {"windows_asked": len(seconds), "windows_tried": int(tried.sum()), "windows": len(done)}
    if not len(done):
        return row
    mine, each = asked.take(done), float(np.mean(seconds[tried]))
    row |= {
        "series": len(np.unique(mine.series)), "cpu_s_per_series": each,
        "steps_of_past": round(float(np.isfinite(mine.before).sum(axis=1).mean())),
        "scores": judged(mine.series, mine.actual, mine.change, values[done]),
        "engines": {engine: judged(mine.series, mine.actual, mine.change, said) for engine, said in mine.said.items()},
        "times_slower": {engine: {"than_a_forecast": each / took["predict"],
                                  "than_with_calibration": each / (took["predict"] + took["calibrate"])}
                         for engine, took in cost.items()},
    }  # fmt: skip
    return row


def verdict(row: dict[str, Any], engine: str) -> str:
    """Whether an engine is as much faster than AutoETS as was promised, and more accurate by MASE and WQL."""
    if "scores" not in row:
        return "not measured"
    faster = row["times_slower"][engine]["than_a_forecast"] >= FASTER[engine]
    better = all(row["engines"][engine][score] < row["scores"][score] for score in ("mase", "wql"))
    return f"faster {'ok' if faster else 'MISSED'}, more accurate {'ok' if better else 'MISSED'}"
