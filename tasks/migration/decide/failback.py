"""When a workload that fled from a failure goes home: after its home has been well for a while, longer each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Causes after which there is a home; a cause of policy `pays` is none.
FLED_FROM = ("maintenance", "site-silent", "site-failing", "pods-failing", "requests-failing", "node-pressure")
LONGEST_GAP_S = 3600.0  # between two looks; what was not looked at for longer is not known to have been well
MOST_DOUBLINGS = 6


@dataclass(frozen=True)
class Homes:
    """(W,) where each workload fled from.

    Attributes
    ----------
    site: column, -1 where it fled from nowhere. settled: the home has been well for long enough.
    preferred: it goes home though it does not pay.
    """

    site: NDArray[np.int64]
    settled: Bools
    preferred: Bools


def well_for_s(before_s: float, gap_s: float, well: bool) -> float:
    """For how long a home has been well, seconds, after one more look at it.

    before_s: at the look before, `gap_s` seconds ago; negative where it was not well then, or there was none.

    >>> well_for_s(900, 900, True), well_for_s(900, 900, False), well_for_s(900, 7200, True), well_for_s(-1, 900, True)
    (1800, -1, 0, 0)
    """
    if not well:
        return -1
    return before_s + gap_s if before_s >= 0 and 0 <= gap_s <= LONGEST_GAP_S else 0


def settled(well_s: Floats, flights: NDArray[np.int64], window_s: float) -> Bools:
    """(W,) whether each home has been well for the window, twice as long for each flight from it before the last.

    A home that fails again soon after everybody is back, whatever the reason, is gone back to ever more rarely.

    >>> settled(np.array([7200, 7200, 14400]), np.array([1, 2, 2]), 7200).tolist()
    [True, False, True]
    """
    doublings = np.clip(flights - 1, 0, MOST_DOUBLINGS)
    return np.asarray(well_s >= window_s * 2.0**doublings)
