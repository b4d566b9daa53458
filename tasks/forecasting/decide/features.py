"""What the engines look at: numbers of a window, relative to the window's own recent centre and scale."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float
from tasks.forecasting.decide.ahead import Ahead, by_clock, by_local_day
from tasks.forecasting.decide.history import Bool, Past

READ_DAYS = 7  # a window spans this many days and one step
YOUNG_DAYS = 2  # a younger series has no day to compare its day with: it has coefficients of its own
BOUND = np.float32(20.0)  # a feature beyond this is cut: one wild window must not tilt the model of all the others
FLAT = np.float32(1e-6)  # a week that varies by less than this share of its level is float32 rounding, not variation
DAY_LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)  # quantiles of the last day that the engines see

# Rows of `Design.common`, in order.
COMMON = (
    "last", "lag 2", "lag 3", "lag 6", "lag 12",
    "mean of a quarter hour", "mean of an hour", "mean of 3 hours", "mean of half a day", "mean of a day",
    "std of an hour", "std of a day", "max of 3 hours", "min of 3 hours", "max of a day",
    "change by step, an hour", "change by day, a day", "change since yesterday", "slope of an hour",
    "median of an hour", "min of an hour", "max of an hour", "same hour yesterday",
    *(f"p{100 * level:g} of a day" for level in DAY_LEVELS),
    "change by day, a week", "change by step, two days", "one",
)  # fmt: skip
# Rows of `Design.target`: the target step's slot of the day, this many days before; and its mean over the week.
SLOT_DAYS = (1, 2, 3, 7)
SLOT_FEATURES = len(SLOT_DAYS) + 1  # of a target step; the known-future features follow


@dataclass(frozen=True)
class Design:
    """Features of N windows for H steps, in shares of each window's scale above its centre.

    Attributes
    ----------
    centre, scale: (N,) location and size that windows are measured by; the scale of a constant week is 0.
    shift: (N,) |last hour - same hour yesterday| over the week's mean change from day to day: above 1 today is unlike
        yesterday. young: (N,) whether the series has lived less than two days.
    common: (F, N) features shared by all steps, named in COMMON. target: (K, H, N) features of each target step: of its
        slot, then of each known-future feature.
    today: (N, day) values of the last day, ascending.
    """

    centre: Float
    scale: Float
    shift: Float
    young: Bool
    common: Float
    target: Float
    today: Float

    def feature(self, name: str) -> Float:
        """(N,) one of the features in COMMON."""
        return np.asarray(self.common[COMMON.index(name)])

    def take(self, rows: NDArray[np.int64] | Bool) -> Design:
        """Some of the windows."""
        return Design(self.centre[rows], self.scale[rows], self.shift[rows], self.young[rows], self.common[:, rows],
                      self.target[:, :, rows], self.today[rows])  # fmt: skip

    def news(self) -> NDArray[np.int64]:
        """Rows of the windows for which a known-future feature is other than usual."""
        return np.flatnonzero(self.target[SLOT_FEATURES:].any(axis=(0, 1)))

    def as_usual(self) -> Design:
        """The same windows with every known-future feature as usual."""
        slot = SLOT_FEATURES
        return replace(self, target=np.concatenate([self.target[:slot], np.zeros_like(self.target[slot:])]))


def joined(parts: list[Design]) -> Design:
    """The windows of several designs, one after the other."""
    axes = {"common": 1, "target": 2}
    return Design(**{
        field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=axes.get(field.name, 0))
        for field in fields(Design)
    })  # fmt: skip


def window_width(day: int) -> int:
    """Steps that one window spans."""
    return READ_DAYS * day + 1


def slots(horizon: int, day: int) -> NDArray[np.int64]:
    """(H,) index from a window's end of the latest known step in the same slot of the day as each target step.

    >>> slots(3, 2)
    array([-2, -1, -2])
    """
    return np.arange(horizon) % day - day


def design(view: Past, horizon: int) -> Design:
    """Features of windows that span `window_width` steps and hold no NaN.

    centre = 0.5 x mean of the last day + 0.3 x of the week + 0.2 x of the last hour: it follows a level shift within
    hours and still remembers the week. scale = 0.5 x std of the last day + 0.3 x std of the week + 0.2 x mean
    |change from day to day| + 0.1 x |centre|. Both follow any change of unit, so forecasts do too.
    """
    day, hour = view.day, view.hour
    raw = view.values
    centre = 0.5 * raw[:, -day:].mean(axis=1) + 0.3 * raw.mean(axis=1) + 0.2 * raw[:, -hour:].mean(axis=1)
    moved = raw - centre[:, None]
    local = by_local_day(moved, view.ahead, day)
    daily = _mean_size(local[:, day:] - local[:, :-day])
    week, day_std = _std(moved), _std(moved[:, -day:])
    scale = 0.5 * day_std + 0.3 * week + 0.2 * daily + 0.1 * np.abs(centre)
    flat = week <= FLAT * np.abs(centre)
    centre, scale = np.where(flat, raw[:, -1], centre), np.where(flat, 0, scale).astype(np.float32)
    divisor = np.where(flat, 1, scale).astype(np.float32)
    stepwise = _mean_size(np.diff(moved[:, -2 * day :], axis=1)) if day > 1 else daily
    today = np.sort(moved[:, -day:], axis=1)
    common = (
        np.stack([*_common(moved, local, day_std, day, hour), *order_statistics(today, DAY_LEVELS).T, daily, stepwise])
        / divisor
    )
    shared = np.clip(np.concatenate([common, np.ones((1, len(raw)), np.float32)]), -BOUND, BOUND)
    slot = by_clock(moved, view.ahead, day, lambda columns: _target(columns, horizon, day)) / divisor
    coming = _coming(view.ahead, slot[-1] + centre / divisor) if view.ahead else []
    target = np.clip(np.stack([*slot, *coming]) if coming else slot, -BOUND, BOUND)
    away = np.abs(shared[COMMON.index("mean of an hour")] - shared[COMMON.index("same hour yesterday")])
    usual = shared[COMMON.index("change by day, a week")]
    shift = np.divide(away, usual, out=np.zeros_like(away), where=usual > 0)
    return Design(centre, scale, shift, view.age() < YOUNG_DAYS * day, shared, target,
                  np.asarray(today / divisor[:, None]))  # fmt: skip


def order_statistics(ordered: Float, levels: tuple[float, ...]) -> Float:
    """(N, Q) quantiles of rows that are sorted already, linear between order statistics.

    >>> order_statistics(np.array([[1, 2, 4]], np.float32), (0.25, 0.5))
    array([[1.5, 2. ]], dtype=float32)
    """
    place = np.array(levels) * (ordered.shape[1] - 1)
    low = np.floor(place).astype(np.int64)
    below, above = ordered[:, low], ordered[:, np.minimum(low + 1, ordered.shape[1] - 1)]
    return np.asarray(below + (above - below) * (place - low).astype(np.float32), dtype=np.float32)


def _std(moved: Float) -> Float:
    """(N,) standard deviation; the rows are centred already, so that float32 loses nothing by mean(x^2) - mean(x)^2."""
    square = np.einsum("ij,ij->i", moved, moved) / moved.shape[1]
    return np.asarray(np.sqrt(np.maximum(square - moved.mean(axis=1) ** 2, 0)), dtype=np.float32)


def _mean_size(change: Float, axis: int = 1) -> Float:
    """Mean of |change|, which is overwritten."""
    return np.asarray(np.abs(change, out=change).mean(axis=axis), dtype=np.float32)


def _common(moved: Float, local: Float, day_std: Float, day: int, hour: int) -> list[Float]:
    """Features that do not depend on the step ahead: recent values, means, spreads, extremes, slope.

    `local` is `moved` in columns of which a day before is the same local time, `day_std` its deviation of the last day.
    """
    width, today = moved.shape[1], moved[:, -day:]
    evening = np.ascontiguousarray(moved[:, -3 * hour :].T)  # windows side by side: short rows cost a loop each
    last_hour, since = evening[-hour:], evening[-hour - 1 :]
    ramp = np.linspace(-1, 1, len(since), dtype=np.float32)
    found = [moved[:, -min(lag, width)] for lag in (1, 2, 3, 6, 12)]
    found += [evening[-span:].mean(axis=0) for span in (max(1, hour // 4), hour, 3 * hour)]
    found += [moved[:, -span:].mean(axis=1) for span in (max(1, day // 2), day)]
    found += [last_hour.std(axis=0), day_std, evening.max(axis=0), evening.min(axis=0), today.max(axis=1)]
    found.append(_mean_size(np.diff(since, axis=0), axis=0))
    found.append(_mean_size(local[:, -day:] - local[:, -2 * day : -day]))
    found.append(moved[:, -1] - local[:, -1 - day])
    found.append((ramp / np.abs(ramp).sum()) @ since)
    found += [np.median(moved[:, -hour:], axis=1), last_hour.min(axis=0), last_hour.max(axis=0)]
    found.append(local[:, -day - hour : -day].mean(axis=1))
    return found


def _coming(ahead: Ahead, level: Float) -> list[Float]:
    """(H, N) of each known-future feature: what it adds whatever the demand, and what in proportion to its level.

    Parameters
    ----------
    level:
        (H, N) usual demand of the target step, in shares of the scale above 0.
    """
    return [part for feature in ahead.known for part in (feature.T, feature.T * level)]


def _target(moved: Float, horizon: int, day: int) -> Float:
    """(K, H, N) of the target step's slot: 1, 2, 3, 7 days before, and the mean of it and its neighbours over the week.

    Where the target lies more than a day ahead, days are counted back from the latest known one.
    """
    width, begin = min(horizon, day), moved.shape[1] - day  # of the target slots, a day before
    end = min(begin + width + 1, moved.shape[1])
    week = np.mean([moved[:, begin - 1 - back : end - back] for back in range(0, READ_DAYS * day, day)], axis=0)
    after = np.minimum(np.arange(2, width + 2), week.shape[1] - 1)  # a target of a day ahead has no neighbour after it
    profile = (week[:, :width] + week[:, 1 : width + 1] + week[:, after]) / 3
    columns = [moved[:, begin - back : begin - back + width] for back in ((days - 1) * day for days in SLOT_DAYS)]
    found = np.empty((len(SLOT_DAYS) + 1, width, len(moved)), np.float32)
    for place, part in enumerate((*columns, profile)):
        found[place] = part.T
    return found if horizon <= day else found.take(np.arange(horizon) % day, axis=1)
