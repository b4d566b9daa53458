"""The cheapest start of jobs that run without a pause: prefix sums, then range minima over sparse tables.

The cost of a start t is F(t + duration) - F(t) (`grid.emitted`). Jobs of one duration and one offset to the grid share
their costs, so each such group is a range-minimum question: level k of its sparse table holds the first cheapest start
of every 2^k, and a window is the better of two blocks that overlap. Groups too small to pay for a table are looked
through start by start.
"""

from __future__ import annotations

import numpy as np

from tasks.carbon.decide.grid import Floats, Intensity, Ints, Jobs, covered, emitted

CELLS = 4_000_000  # starts looked at in one go: 32 MB an array
DEARER = 4  # looking at one start costs about as much as this many cells of a table


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
    order = np.argsort(kind, kind="stable")
    borders = np.concatenate(([0], np.cumsum(np.bincount(kind, minlength=len(kinds))))) if len(rows) else np.zeros(1)
    small = []
    for number, key in enumerate(kinds.tolist()):
        group = order[borders[number] : borders[number + 1]]
        width = last[group] - first[group] + 1
        levels = int(width.max()).bit_length()
        if width.sum() * DEARER < len(intensity.g_per_kwh) * levels:
            small.append(group)
            continue
        begins = np.arange(key % step, intensity.end_s - intensity.start_s - key // step + 1, step)
        table = emitted(intensity, begins, key // step)
        best = _range_argmin(table, first[group], last[group], levels)
        starts[rows[group]] = best * step + key % step + intensity.start_s
        cost[rows[group]] = table[best]
    if small:
        some = np.concatenate(small)
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
    """(N,) first cheapest start, as a step of the grid, and its cost; every start of every window is looked at."""
    best, cost = np.empty(len(first), np.int64), np.empty(len(first))
    width = last - first + 1
    ends = np.cumsum(width)
    begin = 0
    while begin < len(first):
        base = ends[begin] - width[begin]
        stop = max(begin + 1, int(np.searchsorted(ends, base + CELLS, side="right")))
        some = slice(begin, stop)
        heads = ends[some] - width[some] - base
        start = np.arange(ends[stop - 1] - base) - np.repeat(heads - first[some], width[some])
        seconds = start * intensity.step_s + np.repeat(offset[some], width[some])
        every = emitted(intensity, seconds, np.repeat(duration_s[some], width[some]))
        cost[some] = np.minimum.reduceat(every, heads)
        hits = np.flatnonzero(every == np.repeat(cost[some], width[some]))
        best[some] = start[hits[np.searchsorted(hits, heads)]]
        begin = stop
    return best, cost
