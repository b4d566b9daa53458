"""A series taken apart into trend, rhythm of the day and of the week, and the rest: for a person who looks at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.forecasting.decide.history import DAY_S, past, steps_in_a_day

STEP_S = 1800  # series are averaged to half hours: MSTL of 28 days takes 0.3 s so, 7 s at 5 min, and looks the same
WEEKS_FOR_A_WEEK = 3  # a weekly rhythm is told from a trend only with this many
FEWEST_DAYS = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decomposition:
    """Observed = trend + daily + weekly + rest, over T steps.

    Attributes
    ----------
    start_s, step_s: time of the first step, seconds since 1970 UTC, and their distance.
    observed: (T,) NaN where nothing was measured. trend, daily, weekly, rest: (T,); weekly is None below three weeks.
    strength: of trend, daily and weekly, 0-1: 1 - var(rest) / var(rest + part), Wang, Smith and Hyndman 2006,
    "Characteristic-based clustering for time series data". missing_ratio: share of the steps that were filled.
    """

    start_s: int
    step_s: int
    observed: Floats
    trend: Floats
    daily: Floats
    weekly: Floats | None
    rest: Floats
    strength: dict[str, float]
    missing_ratio: float

    def times(self) -> NDArray[np.int64]:
        """(T,) seconds since 1970 UTC."""
        return self.start_s + self.step_s * np.arange(len(self.observed), dtype=np.int64)


def decompose(history: Series) -> Decomposition:
    """STL (Cleveland et al. 1990) of a single series, or MSTL (Bandara et al. 2021) where it spans three weeks.

    Holes are filled as for a forecast (`history.fill`), robust weights keep single outliers out of trend and rhythm.

    Parameters
    ----------
    history:
        (1, T) matrix.

    Raises
    ------
    InvalidInput: it spans less than three days from its first value to its last.
    """
    from statsmodels.tsa.seasonal import MSTL, STL

    known = np.flatnonzero(np.isfinite(history.values[0]))
    span = (known[-1] - known[0] + 1) * history.step_s if len(known) else 0
    if span < FEWEST_DAYS * DAY_S:
        raise InvalidInput(f"{span / DAY_S:.1f} days of values cannot be taken apart", where=history.unique_id[0],
                           fix=f"give at least {FEWEST_DAYS} days")  # fmt: skip
    part = history.values[:, known[0] : known[-1] + 1]
    start_s, step_s, observed = _averaged(part, history.start_s + int(known[0]) * history.step_s, history.step_s)
    day = steps_in_a_day(step_s)
    filled = past(observed.astype(np.float32), day).values[0].astype(np.float64)
    weekly = len(filled) >= WEEKS_FOR_A_WEEK * 7 * day
    if weekly:
        fitted = MSTL(filled, periods=(day, 7 * day), stl_kwargs={"robust": True}).fit()
        daily, week = (np.asarray(fitted.seasonal)[:, place] for place in (0, 1))
    else:
        fitted = STL(filled, period=day, robust=True).fit()
        daily, week = np.asarray(fitted.seasonal), np.zeros(0)
    trend, rest = np.asarray(fitted.trend), np.asarray(fitted.resid)
    parts = {"trend": trend, "daily": daily} | ({"weekly": week} if weekly else {})
    strength = {name: _strength(values, rest) for name, values in parts.items()}
    return Decomposition(start_s, step_s, observed[0], trend, daily, week if weekly else None, rest, strength,
                         float(np.isnan(observed).mean()))  # fmt: skip


def _averaged(values: NDArray[np.float32], start_s: int, step_s: int) -> tuple[int, int, Floats]:
    """Start, step and (1, T') means over half hours; as they are where a step is longer or does not divide one."""
    each = STEP_S // step_s
    if each < 2 or STEP_S % step_s:
        return start_s, step_s, values.astype(np.float64)
    whole = values.shape[1] // each * each
    cut = values[:, values.shape[1] - whole :].reshape(1, -1, each).astype(np.float64)
    known = np.isfinite(cut)
    total, count = np.where(known, cut, 0).sum(axis=2), known.sum(axis=2)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return start_s + (values.shape[1] - whole) * step_s, STEP_S, mean


def _strength(part: Floats, rest: Floats) -> float:
    both = float(np.var(part + rest))
    return max(0.0, 1 - float(np.var(rest)) / both) if both > 0 else 0.0
