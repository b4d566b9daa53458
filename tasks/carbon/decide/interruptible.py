"""The cheapest seconds of jobs that may pause: the smallest values of each window (order statistics).

Without a cost of restarting, the best d slots of a window are its d cheapest, wherever they lie. Jobs on the grid with
the same window width and length are partitioned together; lengths and widths that few jobs share are sorted in padded
rows; jobs off the grid fill up the cheapest slots by how much of each lies in their window.
"""

from __future__ import annotations

import numpy as np

from tasks.carbon.decide.grid import HOUR_S, Bools, Floats, Intensity, Ints, Jobs, covered

CELLS = 200_000  # values of windows held at once: 1.6 MB an array, so that they stay in the cache
TOGETHER = 24  # fewer jobs of one shape than this are sorted with others: a partition of their own costs more
PADDING = 8  # widths are rounded up to this many slots where jobs are sorted together


def cheapest_seconds(intensity: Intensity, jobs: Jobs) -> Floats:
    """(N,) g CO2e of one kW that runs in the cheapest seconds of arrival ... arrival + slack + duration.

    NaN where the data do not cover the job; windows past the end of the data are cut there.
    """
    step, inside = intensity.step_s, covered(intensity, jobs)
    cost = np.full(len(jobs), np.nan)
    begin = jobs.arrival_s - intensity.start_s
    end = np.minimum(begin + jobs.slack_s + jobs.duration_s, intensity.end_s - intensity.start_s)
    whole = (begin % step == 0) & (end % step == 0) & (jobs.duration_s % step == 0)
    on, off = np.flatnonzero(inside & whole), np.flatnonzero(inside & ~whole)
    sums = _smallest(intensity.g_per_kwh, begin[on] // step, (end[on] - begin[on]) // step, jobs.duration_s[on] // step)
    cost[on] = sums * (step / HOUR_S)
    off = off[np.argsort((end - begin)[off], kind="stable")]  # rows are padded to the widest beside them
    for some in _chunks(off, (end[off] - begin[off]) // step + 2):
        slots, seconds = available(intensity, begin[some], end[some])
        cost[some] = _filled(intensity.g_per_kwh[slots], seconds, jobs.duration_s[some])[0]
    return cost


def cheapest_slots(intensity: Intensity, begin_s: int, end_s: int, duration_s: int) -> list[tuple[int, int]]:
    """Where one job runs: (begin, end) in epoch seconds, in order of time; runs that touch are one.

    Of slots that cost the same the earlier are taken; of a slot that is used in part, its first seconds in the window.

    >>> cheapest_slots(Intensity(0, 3600, np.array([3.0, 1.0, 2.0, 1.0])), 0, 14400, 7200)
    [(3600, 7200), (10800, 14400)]
    """
    begin = np.array([begin_s - intensity.start_s])
    end = np.array([min(end_s, intensity.end_s) - intensity.start_s])
    slots, seconds = available(intensity, begin, end)
    used = _filled(intensity.g_per_kwh[slots], seconds, np.array([duration_s]))[1][0]
    runs: list[tuple[int, int]] = []
    for slot, length in zip(slots[0].tolist(), used.tolist(), strict=True):
        if not length:
            continue
        start = max(intensity.start_s + slot * intensity.step_s, begin_s)
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + length)
        else:
            runs.append((start, start + length))
    return runs


def _smallest(values: Floats, first: Ints, width: Ints, count: Ints) -> Floats:
    """(N,) sum of the `count` smallest of the `width` values from `first` on."""
    sums = np.empty(len(first))
    _, kind, many = np.unique(width * (len(values) + 1) + count, return_inverse=True, return_counts=True)
    alone = many[kind] < TOGETHER if len(first) else np.zeros(0, np.bool_)
    rows = np.flatnonzero(~alone)
    for group in _by(kind[rows], rows):
        wide, kept = int(width[group[0]]), int(count[group[0]])
        for some in _chunks(group, width[group]):
            window = values[first[some, None] + np.arange(wide)]
            window.partition(min(kept, wide - 1), axis=1)
            sums[some] = window[:, :kept].sum(axis=1)
    rest = np.flatnonzero(alone)
    for group in _by(-(-width[rest] // PADDING), rest):
        wide = int(width[group].max())
        for some in _chunks(group, np.full(len(group), wide)):
            sums[some] = _sorted_sums(values, first[some], width[some], count[some], wide)
    return sums


def _sorted_sums(values: Floats, first: Ints, width: Ints, count: Ints, wide: int) -> Floats:
    slot = np.arange(wide)
    window = values[np.minimum(first[:, None] + slot, len(values) - 1)]
    window[slot >= width[:, None]] = np.inf
    window.sort(axis=1)
    window[slot >= count[:, None]] = 0.0
    return np.asarray(window.sum(axis=1))


def available(intensity: Intensity, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """(N, W) slots that the windows touch, and the seconds of each that lie inside; 0 where a window is shorter."""
    step = intensity.step_s
    first = begin // step
    wide = int((-(-end // step) - first).max())
    slots = first[:, None] + np.arange(wide)
    seconds = np.minimum((slots + 1) * step, end[:, None]) - np.maximum(slots * step, begin[:, None])
    return np.minimum(slots, len(intensity.g_per_kwh) - 1), np.maximum(seconds, 0)


def _filled(values: Floats, seconds: Ints, duration_s: Ints) -> tuple[Floats, Ints]:
    """(N,) g CO2e of one kW that fills the cheapest slots first, and (N, W) seconds used of each slot."""
    order = np.argsort(values, axis=1, kind="stable")
    room = np.take_along_axis(seconds, order, axis=1)
    before = np.cumsum(room, axis=1) - room
    filled = np.clip(duration_s[:, None] - before, 0, room)
    used = np.empty_like(filled)
    np.put_along_axis(used, order, filled, axis=1)
    return (values * used).sum(axis=1) / HOUR_S, used


def _by(kind: Ints, rows: Ints) -> list[Ints]:
    """`rows` apart by their kind, in the order of kinds."""
    order = np.argsort(kind, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(kind[order])) + 1) if len(rows) else []


def _chunks(rows: Ints, width: Ints) -> list[Ints]:
    """`rows` in pieces whose windows, padded to the widest, hold about `CELLS` values."""
    if not len(rows):
        return []
    pieces, at = [], 0
    while at < len(rows):
        each = max(1, CELLS // int(width[at : at + CELLS // int(width[at]) + 1].max()))
        pieces.append(rows[at : at + each])
        at += each
    return pieces


def runs_of(taken: Bools, start_s: int, step_s: int) -> list[tuple[int, int]]:
    """(begin, end) of each run of True, in epoch seconds.

    >>> runs_of(np.array([True, True, False, True]), 0, 10)
    [(0, 20), (30, 40)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], taken, [False]))))
    return [(start_s + int(a) * step_s, start_s + int(b) * step_s) for a, b in edges.reshape(-1, 2)]
