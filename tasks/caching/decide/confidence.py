"""How likely a request within the horizon is: 1 - exp(-expected), corrected by what came of such forecasts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from tasks.caching.decide.requests import Floats, Ints

BINS = np.geomspace(1e-5, 1e2, 71)  # of expected requests, ten a decade
LEAST = 20  # forecasts in a bin, below which its neighbours speak for it


class Confidence:
    """A rising curve from expected requests to the share of such forecasts that came true.

    Fitted by isotonic regression over bins of the expectation (Zadrozny and Elkan, 2002); until anything is known, the
    probability of a Poisson process.
    """

    def __init__(self) -> None:
        self._many: Floats = np.zeros(len(BINS) + 1)
        self._true: Floats = np.zeros(len(BINS) + 1)
        self._expected: Floats = np.zeros(len(BINS) + 1)

    def learn(self, expected: Floats, came_true: Floats) -> None:
        """Forecasts (I,) and the share of the following horizons in which they came true (I,)."""
        which: Ints = np.digitize(expected, BINS)
        for sums, values in ((self._many, None), (self._true, came_true), (self._expected, expected)):
            sums += np.bincount(which, values, len(sums))

    def of(self, expected: Floats) -> Floats:
        """(I,) probability of at least one request."""
        known = self._many >= LEAST
        poisson = -np.expm1(-expected)
        if known.sum() < 2:
            return np.asarray(poisson)
        many = self._many[known]
        curve = isotonic_regression(self._true[known] / many, weights=many).x
        at = np.log(self._expected[known] / many + 1e-12)
        return np.asarray(np.clip(np.interp(np.log(expected + 1e-12), at, curve), 0, 1))
