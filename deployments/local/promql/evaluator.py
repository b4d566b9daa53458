"""An expression tree to values at a row of times, as Prometheus 2.x computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput, Refused
from deployments.local.promql.tree import Aggregation, Arithmetic, Expression, Matcher, Number, RangeCall, Selector

LOOKBACK_S = 300.0  # a sample older than this is stale
STALE = np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0]  # the NaN that marks a series' end

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Stored samples of one series: times (M,) ascending, values (M,); the name is the label `__name__`."""

    labels: Mapping[str, str]
    times_s: Floats
    values: Floats


@dataclass(frozen=True)
class Row:
    """One series of a result: (T,) values, and where there is one; NaN is a value, absence is not."""

    labels: Mapping[str, str]
    values: Floats
    present: Bools


class Storage(Protocol):
    """Whatever holds samples."""

    def __call__(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> list[Samples]:
        """Samples with start_s <= time <= end_s of every series that fits all matchers."""
        ...


def evaluate(expression: Expression, storage: Storage, steps_s: Floats) -> Floats | list[Row]:
    """Value at each of the (T,) ascending times: (T,) for a scalar, rows sorted by labels for a vector.

    Windows are closed at both ends, as in Prometheus 2 (Prometheus 3 leaves the older end open).

    Raises
    ------
    InvalidInput: the expression is a range vector, which has no value at a time.
    Refused: two series of the result would carry the same labels.
    """
    if expression.type == "range vector":
        raise InvalidInput(
            'invalid expression type "range vector", must be Scalar or instant Vector',
            where="PromQL",
            fix="wrap it in a function such as rate()",
        )
    with np.errstate(all="ignore"):  # division by zero and overflow give Inf and NaN, as in Go
        if expression.type == "scalar":
            return _scalar(expression, steps_s)
        rows = [row for row in _vector(expression, storage, steps_s) if row.present.any()]
    return sorted(rows, key=lambda row: sorted(row.labels.items()))


def _scalar(expression: Expression, steps_s: Floats) -> Floats:
    match expression:
        case Number(value=None):
            return steps_s
        case Number(value=float(value)):
            return np.full(steps_s.size, value)
        case Arithmetic(operator=operator, left=left, right=right):
            return _ARITHMETIC[operator](_scalar(left, steps_s), _scalar(right, steps_s))
    raise TypeError(f"no scalar: {expression}")


def _vector(expression: Expression, storage: Storage, steps_s: Floats) -> list[Row]:
    match expression:
        case Selector():
            return [_latest(samples, steps_s) for samples in _select(expression, storage, steps_s, LOOKBACK_S)]
        case RangeCall(function=function, selector=selector):
            range_s = selector.range_s or 0.0
            found = _select(selector, storage, steps_s, range_s)
            return _distinct([_over_range(_RANGE_FUNCTIONS[function], samples, steps_s, range_s) for samples in found])
        case Aggregation():
            return _aggregate(expression, _vector(expression.operand, storage, steps_s))
        case Arithmetic(operator=operator, left=left, right=right):
            apply = _ARITHMETIC[operator]
            if left.type == "scalar":
                scalar, rows = _scalar(left, steps_s), _vector(right, storage, steps_s)
                return _distinct([Row(_unnamed(r.labels), apply(scalar, r.values), r.present) for r in rows])
            scalar, rows = _scalar(right, steps_s), _vector(left, storage, steps_s)
            return _distinct([Row(_unnamed(r.labels), apply(r.values, scalar), r.present) for r in rows])
    raise TypeError(f"no vector: {expression}")


def _select(selector: Selector, storage: Storage, steps_s: Floats, window_s: float) -> list[Samples]:
    return storage(selector.matchers, float(steps_s[0]) - window_s, float(steps_s[-1]))


def stale(values: Floats) -> Bools:
    """Which values mark a series' end: `STALE` to the bit, as in Prometheus; any other NaN is a value."""
    return np.asarray(np.ascontiguousarray(values).view(np.uint64) == STALE.view(np.uint64))


def _latest(samples: Samples, steps_s: Floats) -> Row:
    """The newest sample at each step, unless it is stale."""
    at = np.searchsorted(samples.times_s, steps_s, side="right") - 1
    if samples.times_s.size == 0:
        return Row(samples.labels, np.full(steps_s.size, np.nan), np.zeros(steps_s.size, dtype=bool))
    present = (at >= 0) & (samples.times_s[at] >= steps_s - LOOKBACK_S) & ~stale(samples.values)[at]
    return Row(samples.labels, samples.values[at], present)


@dataclass(frozen=True)
class _Windows:
    """(W,) windows of one series: samples first..last (inclusive, at least one) in [start_s, end_s]."""

    times_s: Floats
    values: Floats
    first: Indices
    last: Indices
    start_s: Floats
    end_s: Floats

    def reduce(self, function: np.ufunc) -> Floats:
        """(W,) reduction over each window's samples."""
        edges = np.stack([self.first, self.last + 1], axis=1).ravel()
        padded = np.append(self.values, np.nan)  # so that an edge just past the last sample exists
        return np.asarray(function.reduceat(padded, edges)[::2])


RangeFunction = Callable[[_Windows], tuple[Floats, Bools]]


def _over_range(function: RangeFunction, samples: Samples, steps_s: Floats, range_s: float) -> Row:
    real = ~stale(samples.values)
    times_s, stored = samples.times_s[real], samples.values[real]
    first = np.searchsorted(times_s, steps_s - range_s, side="left")
    last = np.searchsorted(times_s, steps_s, side="right") - 1
    filled = np.flatnonzero(last >= first)
    values, present = np.full(steps_s.size, np.nan), np.zeros(steps_s.size, dtype=bool)
    if filled.size:
        end_s = steps_s[filled]
        windows = _Windows(times_s, stored, first[filled], last[filled], end_s - range_s, end_s)
        values[filled], present[filled] = function(windows)
    return Row(_unnamed(samples.labels), values, present)


def _increase(windows: _Windows) -> tuple[Floats, Bools]:
    """Growth of a counter over each window: resets added back, extrapolated to the window's ends.

    Towards an end that the samples nearly reach (within 1.1 of their mean spacing) it is extrapolated in full, else by
    half a spacing, and never back beyond the time the counter was zero (Prometheus 2.42, promql/functions.go).
    """
    drops = np.where(np.diff(windows.values) < 0, windows.values[:-1], 0.0)
    corrected = windows.values + np.concatenate([[0.0], np.cumsum(drops)])
    first, last = windows.first, windows.last
    present = last > first
    growth = corrected[last] - corrected[first]
    sampled_s = windows.times_s[last] - windows.times_s[first]
    spacing_s = sampled_s / (last - first)
    to_start_s, to_end_s = windows.times_s[first] - windows.start_s, windows.end_s - windows.times_s[last]
    from_zero_s = sampled_s * windows.values[first] / growth
    grown = (growth > 0) & (windows.values[first] >= 0)
    to_start_s = np.where(grown, np.minimum(to_start_s, from_zero_s), to_start_s)
    covered_s = sampled_s + _reached(to_start_s, spacing_s) + _reached(to_end_s, spacing_s)
    return growth * covered_s / sampled_s, present


def _reached(gap_s: Floats, spacing_s: Floats) -> Floats:
    return np.where(gap_s < 1.1 * spacing_s, gap_s, spacing_s / 2)


def _rate(windows: _Windows) -> tuple[Floats, Bools]:
    growth, present = _increase(windows)
    return growth / (windows.end_s - windows.start_s), present


def _max_over_time(windows: _Windows) -> tuple[Floats, Bools]:
    return windows.reduce(np.fmax), np.ones(windows.first.size, dtype=bool)


def _avg_over_time(windows: _Windows) -> tuple[Floats, Bools]:
    return windows.reduce(np.add) / (windows.last - windows.first + 1), np.ones(windows.first.size, dtype=bool)


_RANGE_FUNCTIONS: dict[str, RangeFunction] = {
    "rate": _rate,
    "increase": _increase,
    "max_over_time": _max_over_time,
    "avg_over_time": _avg_over_time,
}


def _aggregate(expression: Aggregation, rows: list[Row]) -> list[Row]:
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        key = tuple((label, row.labels[label]) for label in sorted(set(expression.by)) if row.labels.get(label))
        groups.setdefault(key, []).append(row)
    reduced = []
    for key, members in groups.items():
        values = np.stack([row.values for row in members])
        present = np.stack([row.present for row in members])
        values = _AGGREGATIONS[expression.operator](values, present)
        reduced.append(Row(dict(key), values, np.asarray(present.any(axis=0))))
    return reduced


def _sum(values: Floats, present: Bools) -> Floats:
    return np.asarray(np.where(present, values, 0.0).sum(axis=0))


def _mean(values: Floats, present: Bools) -> Floats:
    return np.asarray(_sum(values, present) / np.maximum(present.sum(axis=0), 1))


# Each reduces (S, T) values, where present, to (T,). In max and min NaN gives way to any number; elsewhere it spreads.
_AGGREGATIONS: dict[str, Callable[[Floats, Bools], Floats]] = {
    "sum": _sum,
    "avg": _mean,
    "max": lambda values, present: np.fmax.reduce(np.where(present, values, np.nan), axis=0),
    "min": lambda values, present: np.fmin.reduce(np.where(present, values, np.nan), axis=0),
    "count": lambda _, present: present.sum(axis=0).astype(np.float64),
}


_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
}


def _unnamed(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels without the metric's name, which a computed value no longer deserves."""
    return {label: value for label, value in labels.items() if label != "__name__"}


def _distinct(rows: list[Row]) -> list[Row]:
    if len({frozenset(row.labels.items()) for row in rows}) < len(rows):
        raise Refused(
            "vector cannot contain metrics with the same labelset", where="PromQL", fix="select one metric name"
        )
    return rows
