"""LinQ: one global linear quantile model over all series, with coefficients for each step ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blocks.series import Float
from tasks.forecasting.decide.features import Design
from tasks.forecasting.decide.history import Index
from tasks.forecasting.decide.known_features import Known
from tasks.forecasting.decide.products import in_blocks
from tasks.forecasting.decide.quantile_regression import fit_quantiles
from tasks.forecasting.decide.quantiles import ascending, windows_first
from tasks.forecasting.decide.windows import Examples

TRAINING_WINDOWS = 24_000
FEWEST_WINDOWS = 200  # with fewer there is no model, and seasonal naive serves
# A regime is how far today is from yesterday (`Design.shift`): what to make of yesterday's slot depends on it. Windows
# of series younger than two days are a regime of their own, number 0.
BORDERS = (0.5, 1.0, 2.0, 4.0)
WINDOWS_OF_A_REGIME = 3_000  # more change little
FEWEST_OF_A_REGIME = 300  # with fewer its windows are served by the regime of all the others
# The coefficients are held to those of the last value by the weight of 10 windows; one series alone says little about
# level shifts to come, so those of n series by 100 / n. On 16 single CloudWatch series: MASE 0.83 -> 0.67 of seasonal
# naive's.
LEAST_PULL, PULL = 10.0, 100.0


@dataclass(frozen=True)
class LinearModel:
    """A fitted model of G regimes, F + K features, H steps and Q quantile levels.

    Attributes
    ----------
    step_s: seconds between steps. levels: Q quantile levels, ascending. served: (6,) which of G regimes' coefficients
    serve the windows of the young and of each range of shift.
    common: (G, F, H x Q) coefficients of `Design.common`. target: (G, K, H, Q) coefficients of `Design.target`.
    known: the known-future features that are the last of K.
    """

    step_s: int
    levels: tuple[float, ...]
    served: Index
    common: Float
    target: Float
    known: Known

    @property
    def horizon(self) -> int:
        """Steps ahead it was fitted for."""
        return int(self.target.shape[2])

    def shares(self, windows: Design) -> Float:
        """(N, H, Q) quantiles as shares of each window's scale above its centre, ascending along Q."""
        regime = self.served[_regime(windows)]
        answer = np.empty((self.horizon, len(self.levels), len(regime)), np.float32)
        for g in np.unique(regime):
            rows = np.flatnonzero(regime == g)
            guess = in_blocks(self.common[g].T, windows.common.take(rows, axis=1)).reshape(*answer.shape[:2], -1)
            guess += self.target[g].transpose(1, 2, 0) @ windows.target.take(rows, axis=2).transpose(1, 0, 2)
            answer[:, :, rows] = guess
        return ascending(windows_first(answer))


def _regime(windows: Design) -> Index:
    """(N,) 0 for the young, else 1 + the range of the shift."""
    return np.where(windows.young, 0, 1 + np.searchsorted(BORDERS, windows.shift))


def fit_linear(learned: Examples, step_s: int, levels: tuple[float, ...]) -> LinearModel | None:
    """Fit each regime that has enough windows; None where all together have fewer than 200."""
    if len(learned) < FEWEST_WINDOWS:
        return None
    regime = _regime(learned.design)
    counts = np.bincount(regime, minlength=len(BORDERS) + 2)
    own = np.flatnonzero((counts >= FEWEST_OF_A_REGIME) & (counts < len(learned) - FEWEST_OF_A_REGIME))
    groups = [np.flatnonzero(regime == g) for g in own]
    rest = np.flatnonzero(~np.isin(regime, own))
    groups.append(rest if len(rest) >= FEWEST_OF_A_REGIME else np.arange(len(regime)))
    served = np.full(len(counts), len(own))
    served[own] = np.arange(len(own))
    fitted = np.stack([_fit_regime(learned, rows, levels, max(PULL / learned.series, LEAST_PULL)) for rows in groups])
    width, horizon = len(learned.design.common), len(learned.answers)
    common = np.ascontiguousarray(fitted[:, :width].reshape(len(groups), width, horizon * len(levels)))
    return LinearModel(step_s, levels, served, common, np.ascontiguousarray(fitted[:, width:]), learned.known)


def _fit_regime(learned: Examples, rows: Index, levels: tuple[float, ...], pull: float) -> Float:
    """(F + K, H, Q) coefficients, pulled towards the last value; each horizon starts from the one before."""
    if len(rows) > WINDOWS_OF_A_REGIME:
        rows = rows[np.linspace(0, len(rows) - 1, WINDOWS_OF_A_REGIME).astype(np.int64)]
    windows, answers = learned.design.take(rows), learned.answers[:, rows]
    common, target = windows.common, windows.target
    towards = np.zeros(len(common) + len(target))
    towards[0] = 1
    wanted = np.array(levels, np.float32)
    coefficients = np.tile(towards, (len(levels), 1))
    answer = np.empty((coefficients.shape[1], len(answers), len(levels)), np.float32)
    for step, came in enumerate(answers):
        known = np.isfinite(came)
        features = np.concatenate([common, target[:, step]])
        coefficients = fit_quantiles(features[:, known], came[known], wanted, coefficients, towards, pull)
        answer[:, step] = coefficients.T
    return answer
