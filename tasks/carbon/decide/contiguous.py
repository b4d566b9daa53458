"""The cheapest start of jobs that run without a pause: prefix sums, then range minima over sparse tables.

The cost of a start t is F(t + duration) - F(t) (`grid.emitted`). Jobs of one duration and one offset to the grid share
their costs, so each such group is a range-minimum question: level k of its sparse table holds the first cheapest start
of every 2^k, and a window is the better of two blocks that overlap. Groups too small to pay for a table are looked
through start by start.
"""

from __future__ import annotations

import numpy as np

from tasks.carbon.decide.grid import HOUR_S, Floats, Intensity, Ints, Jobs, covered, emitted

CELLS = 500_000  # starts looked at in one go: 4 MB an array
DEARER = 2  # looking at one start costs about as much as this many cells of a table


def cheapest_starts(intensity: Intensity, jobs: Jobs) -> tuple[Ints, Floats]:
    """The earliest of the cheapest starts among arrival, arrival + step, ... up to arrival + slack.

    Returns
    -------
    (N,) starts, epoch seconds, and (N,) g CO2e of one kW. Jobs that the data do not cover keep their arrival, and NaN.
    """
    step = intensity.step_s
    starts, cost = jobs.arrival_s.copy(), np.full(len(jobs), np.nan)
    rows = np.flatnonzero(covered(intensity, jobs))
    first, offset = np.divmod(jobs.arrival_s[rows] - intensity.start_s, step)
    last_begin = intensity.end_s - intensity.start_s - jobs.duration_s[rows]
    last = np.minimum(first + jobs.slack_s[rows] // step, (last_begin - offset) // step)
    kinds, kind = np.unique(jobs.duration_s[rows] * step + offset, return_inverse=True)
    width = last - first + 1
    widest = np.zeros(len(kinds), np.int64)
    np.maximum.at(widest, kind, width)
    levels = np.frexp(widest.astype(np.float64))[1]
    tabled = np.bincount(kind, width, minlength=len(kinds)) * DEARER >= len(intensity.g_per_kwh) * levels
    for number in np.flatnonzero(tabled).tolist():
        group, (duration, start) = np.flatnonzero(kind == number), divmod(int(kinds[number]), step)
        begins = np.arange(start, intensity.end_s - intensity.start_s - duration + 1, step)
        table = emitted(intensity, begins, duration)
        best = _range_argmin(table, first[group], last[group], int(levels[number]))
        starts[rows[group]] = best * step + start + intensity.start_s
        cost[rows[group]] = table[best]
    some = np.flatnonzero(~tabled[kind]) if len(rows) else rows
    if len(some):
        found = _look_through(intensity, first[some], last[some], offset[some], jobs.duration_s[rows[some]])
        starts[rows[some]], cost[rows[some]] = found[0] * step + offset[some] + intensity.start_s, found[1]
    return starts, cost


def _range_argmin(cost: Floats, first: Ints, last: Ints, levels: int) -> Ints:
    """(N,) index of the first smallest of cost[first] ... cost[last], both ends counted."""
    best = np.empty(len(first), np.int64)
    level_of = np.frexp((last - first + 1).astype(np.float64))[1] - 1  # the largest k with 2^k <= width
    table = np.arange(len(cost))
    for level in range(levels):
        here = np.flatnonzero(level_of == level)
        if len(here):
            left, right = table[first[here]], table[last[here] - (1 << level) + 1]
            best[here] = np.where(cost[right] < cost[left], right, left)
        half = 1 << level
        if len(table) <= half:
            break
        left, right = table[:-half], table[half:]
        table = np.where(cost[right] < cost[left], right, left)
    return best


def _look_through(intensity: Intensity, first: Ints, last: Ints, offset: Ints, duration_s: Ints) -> tuple[Ints, Floats]:
    """(N,) first cheapest start, as a step of the grid, and its cost; every start of every window is looked at.

    Windows of one width are rows of a table: how far a start and an end lie inside their slots is the same all along.
    """
    best, cost = np.empty(len(first), np.int64), np.empty(len(first))
    until, values = intensity.until(), np.append(intensity.g_per_kwh, 0.0)
    end, rest = np.divmod(offset + duration_s, intensity.step_s)
    width = last - first + 1
    order = np.argsort(width, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(width[order])) + 1):
        wide = int(width[group[0]])
        sums, each = (np.lib.stride_tricks.sliding_window_view(table, wide) for table in (until, values))
        for at in range(0, len(group), max(1, CELLS // wide)):
            some = group[at : at + max(1, CELLS // wide)]
            begun, ended = first[some], (first + end)[some]
            every = sums[ended] + each[ended] * (rest[some, None] / HOUR_S)
            every -= sums[begun] + each[begun] * (offset[some, None] / HOUR_S)
            place = every.argmin(axis=1)
            best[some], cost[some] = begun + place, every[np.arange(len(some)), place]
    return best, cost
