"""Jobs that may pause, where each restart costs energy: exact, by a table over (slots done, running or not)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from blocks.errors import InvalidInput
from tasks.carbon.decide.grid import HOUR_S, Bools, Floats, Intensity, Ints, Jobs, covered
from tasks.carbon.decide.interruptible import runs_of

CELLS = 8_000_000


def cheapest_with_restarts(intensity: Intensity, jobs: Jobs, restart_h: float) -> Floats:
    """(N,) g CO2e of one kW, of the cheapest slots where every start after the first costs `restart_h` hours of power.

    With c_s the cost of slot s, run_s(r) and idle_s(r) the least cost of r slots done by the end of s:
    run_s(r) = c_s + min(run_{s-1}(r-1), idle_{s-1}(r-1) + [r > 1] restart_h x g_s),
    idle_s(r) = min(idle_{s-1}(r), run_{s-1}(r)). The energy of a restart is drawn in the slot that it begins.

    Raises
    ------
    InvalidInput: a job is not in whole steps of the grid.
    """
    first, width, count = _in_slots(intensity, jobs)
    cost = np.full(len(jobs), np.nan)
    for rows in _alike(width, count, covered(intensity, jobs)):
        window = intensity.g_per_kwh[first[rows, None] + np.arange(width[rows[0]])]
        cost[rows] = _table(window, int(count[rows[0]]), restart_h, intensity.step_s / HOUR_S).cost
    return cost


def slots_with_restarts(intensity: Intensity, jobs: Jobs, row: int, restart_h: float) -> list[tuple[int, int]]:
    """Where one covered job runs: (begin, end) in epoch seconds."""
    first, width, left = (int(each[0]) for each in _in_slots(intensity, jobs.take(np.array([row]))))
    window = intensity.g_per_kwh[None, first : first + width]
    table = _table(window, left, restart_h, intensity.step_s / HOUR_S)
    taken, running = np.zeros(width, np.bool_), bool(table.running[0])
    for slot in range(width - 1, -1, -1):
        taken[slot] = running
        if running:
            running = not table.begun[slot, 0, left]
            left -= 1
        else:
            running = bool(table.stopped[slot, 0, left])
        if not left:
            break
    return runs_of(taken, intensity.start_s + first * intensity.step_s, intensity.step_s)


class _Table(NamedTuple):
    """(J,) least cost, (J,) whether the last slot is run, and how (W, J, d + 1) each state was reached."""

    cost: Floats
    running: Bools
    begun: Bools
    stopped: Bools


def _table(window: Floats, count: int, restart_h: float, step_h: float) -> _Table:
    """All windows (J, W) of one width and one number of slots."""
    jobs, width = window.shape
    run = np.full((jobs, count + 1), np.inf)
    idle = run.copy()
    idle[:, 0] = 0.0
    again = restart_h * (np.arange(count) > 0)  # the first start is free
    begun, stopped = np.zeros((2, width, jobs, count + 1), np.bool_)
    for slot in range(width):
        value = window[:, slot, None]
        fresh = idle[:, :-1] + again * value
        begun[slot, :, 1:] = fresh < run[:, :-1]
        stopped[slot] = run < idle
        idle = np.minimum(idle, run)
        run[:, 1:] = value * step_h + np.minimum(run[:, :-1], fresh)
        run[:, 0] = np.inf
    return _Table(np.minimum(run, idle)[:, count], run[:, count] <= idle[:, count], begun, stopped)


def _in_slots(intensity: Intensity, jobs: Jobs) -> tuple[Ints, Ints, Ints]:
    step = intensity.step_s
    begin = jobs.arrival_s - intensity.start_s
    odd = np.flatnonzero((begin % step != 0) | (jobs.duration_s % step != 0))
    if len(odd):
        raise InvalidInput(f"job {odd[0] + 1} does not begin and last in whole steps of {step // 60} min",
                           where="--restart-h", fix="round arrivals and durations, or leave restarts free")  # fmt: skip
    last = np.minimum(begin + jobs.slack_s + jobs.duration_s, intensity.end_s - intensity.start_s)
    return begin // step, (last - begin) // step, jobs.duration_s // step


def _alike(width: Ints, count: Ints, inside: Bools) -> Iterator[Ints]:
    rows = np.flatnonzero(inside)
    if not len(rows):
        return
    kind = width[rows] * (int(width[rows].max()) + 1) + count[rows]
    order = np.argsort(kind, kind="stable")
    for group in np.split(rows[order], np.flatnonzero(np.diff(kind[order])) + 1):
        each = max(1, CELLS // int(width[group[0]] * (count[group[0]] + 1)))
        yield from (group[at : at + each] for at in range(0, len(group), each))
