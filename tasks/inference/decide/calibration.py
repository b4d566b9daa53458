"""Confidence turned into the probability of being right: temperature, Platt or isotonic, by held-back log loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EDGE = 1e-6  # confidences are kept this far from 0 and 1, where a logit has no number
FOLDS = 5
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """A rising map from confidence to probability: straight lines between (knots, values), flat outside.

    Plain numbers, so that it can travel in a manifest and be applied without this code.
    """

    method: str
    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, confidence: Floats | float) -> Floats:
        """(N,) probabilities of (N,) confidences."""
        return np.asarray(np.interp(confidence, self.knots, self.values))


def decide_calibration(confidence: Floats, correct: Bools) -> Calibration:
    """The method with the least log loss on rows that it was not fitted to, fitted to all of them.

    Parameters
    ----------
    confidence: (N,) 0-1, largest class probability or another score. correct: (N,) whether the class was right.

    Notes
    -----
    Guo et al. 2017 (temperature), Platt 1999, Zadrozny and Elkan 2002 (isotonic). Of equal losses the plainest wins.
    """
    fold = np.arange(len(confidence)) % FOLDS
    order = np.argsort(confidence, kind="stable")  # folds that each span the confidences, whatever the file's order
    place = np.empty(len(order), np.int64)
    place[order] = fold
    losses = {name: _held_back_loss(fit, confidence, correct, place) for name, fit in METHODS.items()}
    best = min(losses, key=lambda name: losses[name])
    return METHODS[best](confidence, correct)


def log_loss(probability: Floats, correct: Bools) -> float:
    """Mean of -log of the probability given to what happened."""
    kept = np.clip(probability, EDGE, 1 - EDGE)
    return float(-np.where(correct, np.log(kept), np.log1p(-kept)).mean())


def calibration_error(probability: Floats, correct: Bools) -> float:
    """ECE: |share right - mean probability| over `BINS` equal bins, weighted by their rows."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(place, weights=correct - probability, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probability))


def _held_back_loss(
    fit: Callable[[Floats, Bools], Calibration], confidence: Floats, correct: Bools, fold: NDArray[np.int64]
) -> float:
    told = np.empty(len(confidence))
    for each in range(FOLDS):
        out = fold == each
        if out.any() and not out.all():
            told[out] = fit(confidence[~out], correct[~out])(confidence[out])
        elif out.any():
            told[out] = confidence[out]
    return log_loss(told, correct)


def logit(confidence: Floats) -> Floats:
    """log(p / (1 - p)), finite at both ends."""
    kept = np.clip(confidence, EDGE, 1 - EDGE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _curve(method: str, slope: float, shift: float) -> Calibration:
    """sigmoid(slope * logit + shift) as lines between knots that are even in the logit."""
    at = np.linspace(logit(np.array([0.0]))[0], logit(np.array([1.0]))[0], 201)
    knots, values = 1 / (1 + np.exp(-at)), 1 / (1 + np.exp(-(slope * at + shift)))
    return Calibration(method, tuple(knots.tolist()), tuple(values.tolist()))


def _identity(_: Floats, __: Bools) -> Calibration:
    return Calibration("none", (0.0, 1.0), (0.0, 1.0))


def _temperature(confidence: Floats, correct: Bools) -> Calibration:
    return _sigmoid("temperature", confidence, correct, shifts=False)


def _platt(confidence: Floats, correct: Bools) -> Calibration:
    return _sigmoid("platt", confidence, correct, shifts=True)


def _sigmoid(method: str, confidence: Floats, correct: Bools, *, shifts: bool) -> Calibration:
    """Least log loss with a slope that never falls; one wrong and one right answer are added, as Platt's prior."""
    at = np.concatenate([logit(confidence), [0.0, 0.0]])
    right = np.concatenate([correct, [True, False]])

    def loss(asked: Floats) -> float:
        score = np.exp(asked[0]) * at + (asked[1] if shifts else 0.0)
        return float(np.logaddexp(0.0, np.where(right, -score, score)).mean())

    found = minimize(loss, np.zeros(2 if shifts else 1), method="L-BFGS-B", bounds=[(-5, 5), (-20, 20)][: 1 + shifts])
    return _curve(method, float(np.exp(found.x[0])), float(found.x[1]) if shifts else 0.0)


def _isotonic(confidence: Floats, correct: Bools) -> Calibration:
    knots, first, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    share = np.bincount(first, weights=correct) / counts
    fitted = isotonic_regression(share, weights=counts).x
    return Calibration("isotonic", tuple(knots.tolist()), tuple(fitted.tolist()))


# From the plainest on: of equal losses the first is taken.
METHODS: dict[str, Callable[[Floats, Bools], Calibration]] = {
    "none": _identity,
    "temperature": _temperature,  # one number: too sure or too timid all along
    "platt": _platt,  # two numbers
    "isotonic": _isotonic,  # any rising shape; wants rows
}
