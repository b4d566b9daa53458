"""LinQ: one global linear quantile model over all series, fitted for each horizon and calibrated on recent origins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float, Series
from tasks.forecasting.decide.conformal import offsets
from tasks.forecasting.decide.features import Design, design
from tasks.forecasting.decide.history import Index, Past
from tasks.forecasting.decide.products import in_blocks
from tasks.forecasting.decide.quantile_regression import fit_quantiles
from tasks.forecasting.decide.windows import Windows, eligible, sample

FEWEST_WINDOWS = 200  # with fewer there is no model, and seasonal naive serves
REGIMES = 3  # smooth, mixed and rough windows have coefficients of their own: WQL 0.61 -> 0.57 of seasonal naive's
FEWEST_WINDOWS_OF_A_REGIME = 1_000
# One series says little about level shifts to come: its coefficients are held to those of the last value by the weight
# of 100 windows, those of n series by 100 / n. On 16 single CloudWatch series: MASE 0.83 -> 0.67 of seasonal naive's.
PULL = 100.0


@dataclass(frozen=True)
class LinearModel:
    """A fitted model of G regimes, F + K features, H steps and Q quantile levels.

    Attributes
    ----------
    step_s: seconds between steps. levels: Q quantile levels, ascending.
    borders: (G - 1,) roughness between neighbouring regimes.
    common: (G, F, H x Q) coefficients of `Design.common`. target: (G, K, H, Q) coefficients of `Design.target`.
    offset: (G, H, Q) conformal offsets. Coefficients and offsets are in shares of a window's own scale.
    """

    step_s: int
    levels: tuple[float, ...]
    borders: Float
    common: Float
    target: Float
    offset: Float

    @property
    def horizon(self) -> int:
        """Steps ahead it was fitted for."""
        return int(self.target.shape[2])

    def regime(self, windows: Design) -> Index:
        """(N,) regime of each window by its roughness."""
        return np.searchsorted(self.borders, windows.roughness)


def fit_linear(series: Series, last: int, horizon: int, levels: tuple[float, ...], day: int) -> LinearModel | None:
    """Fit on columns up to `last`, then calibrate; None where fewer than 200 windows can be cut from the past."""
    cut = sample(series, last, horizon, day)
    if cut is None:
        return None
    windows, answers = _examples(cut[0])
    count = answers.shape[1]
    if count < FEWEST_WINDOWS:
        return None
    regimes = REGIMES if count >= REGIMES * FEWEST_WINDOWS_OF_A_REGIME else 1
    borders = np.quantile(windows.roughness, np.arange(1, regimes) / regimes).astype(np.float32)
    regime = np.searchsorted(borders, windows.roughness)
    fitted = np.stack([_fit_regime(windows, answers, regime == g, np.array(levels, np.float32), PULL / cut[0].series())
                       for g in range(regimes)])  # fmt: skip
    width = len(windows.common)
    raw = LinearModel(
        series.step_s, levels, borders,
        np.ascontiguousarray(fitted[:, :width].reshape(regimes, width, -1)),
        np.ascontiguousarray(fitted[:, width:]),
        np.zeros((regimes, horizon, len(levels)), np.float32),
    )  # fmt: skip
    return _calibrate(raw, cut[1])


def _examples(windows: Windows) -> tuple[Design, Float]:
    """Features of the eligible, non-constant windows and their scaled targets (H, N), NaN where none was measured."""
    parts: list[Design] = []
    answers: list[Float] = []
    for view, target in windows.cut():
        fit = eligible(view)
        found = design(view.rows(fit), windows.horizon)
        alive = found.scale > 0
        parts.append(Design(found.centre[alive], found.scale[alive], found.roughness[alive],
                            found.common[:, alive], found.target[:, :, alive]))  # fmt: skip
        answers.append(((target[fit] - found.centre[:, None])[alive] / found.scale[alive, None]).T)
    joined = Design(
        np.concatenate([part.centre for part in parts]),
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.roughness for part in parts]),
        np.concatenate([part.common for part in parts], axis=1),
        np.concatenate([part.target for part in parts], axis=2),
    )
    return joined, np.concatenate(answers, axis=1)


def _fit_regime(windows: Design, answers: Float, chosen: NDArray[np.bool_], levels: Float, pull: float) -> Float:
    """(F + K, H, Q) coefficients, pulled towards the last value; each horizon starts from the one before."""
    common, target, answers = windows.common[:, chosen], windows.target[:, :, chosen], answers[:, chosen]
    towards = np.zeros(len(common) + len(target))
    towards[0] = 1
    coefficients = np.tile(towards, (len(levels), 1))
    answer = np.empty((coefficients.shape[1], len(answers), len(levels)), np.float32)
    for step, wanted in enumerate(answers):
        known = np.isfinite(wanted)
        features = np.concatenate([common, target[:, step]])
        coefficients = fit_quantiles(features[:, known], wanted[known], levels, coefficients, towards, pull)
        answer[:, step] = coefficients.T
    return answer


def _calibrate(model: LinearModel, windows: Windows) -> LinearModel:
    """The same model with the conformal offsets that windows it was not fitted to ask for."""
    examples, answers = _examples(windows)
    scores = answers.T[:, :, None] - _shares(model, examples)
    regime = model.regime(examples)
    offset = np.stack([offsets(scores[regime == g], model.levels) for g in range(len(model.offset))])
    return LinearModel(model.step_s, model.levels, model.borders, model.common, model.target, offset)


def _shares(model: LinearModel, windows: Design) -> Float:
    """(N, H, Q) calibrated quantiles as shares of each window's scale above its centre, sorted along Q."""
    regime = model.regime(windows)
    answer = np.empty((len(regime), model.horizon, len(model.levels)), np.float32)
    for g in range(len(model.offset)):
        chosen = np.flatnonzero(regime == g)
        guess = in_blocks(windows.common[:, chosen].T, model.common[g]).reshape(-1, model.horizon, len(model.levels))
        for feature, weights in zip(windows.target[:, :, chosen], model.target[g], strict=True):
            guess += feature.T[:, :, None] * weights
        answer[chosen] = guess + model.offset[g]
    answer.sort(axis=2)
    return answer


def predict_linear(model: LinearModel, view: Past) -> Float:
    """(N, H, Q) quantiles of eligible windows in the series' own units; a constant week goes on as it is."""
    windows = design(view, model.horizon)
    return np.asarray(_shares(model, windows) * windows.scale[:, None, None] + windows.centre[:, None, None])
