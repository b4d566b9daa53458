"""When a site may be warmed: in its window of the local day, and, if asked, in the cleanest hour of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.requests import Bools, Floats


@dataclass(frozen=True)
class Opening:
    """Hours until a site may be warmed, 0 for now; `code` says what it waits for, "" where it does not."""

    wait_h: int
    code: str = ""


NOW = Opening(0)


def decide_opening(is_open: Bools, g_per_kwh: Floats | None) -> Opening:
    """The first hour of the window, or the cleanest of those that are left of it; of equal ones the first.

    Whoever looks every hour meets that hour; who missed it meets the cleanest of those left, at last the window's last.

    Parameters
    ----------
    is_open: (H,) whether now, and each hour after it, lies in the window; one at least does.
    g_per_kwh: (H,) carbon intensity from then on; None where it does not matter, or nobody knows it.

    >>> decide_opening(np.array([False, True, True, False, True]), np.array([1.0, 9.0, 5.0, 1.0, 1.0]))
    Opening(wait_h=2, code='outside-window')
    """
    first = int(np.argmax(is_open))
    closed = np.flatnonzero(~is_open[first:])
    end = first + int(closed[0]) if len(closed) else len(is_open)
    best = first if g_per_kwh is None else first + int(np.argmin(g_per_kwh[first:end]))
    return Opening(best, "outside-window" if first else "cleaner-hour-later" if best else "")
