"""Where and when jobs run under one shared capacity: a linear program; whole starts where a job may not pause.

Every choice is a column: an hour of a pausing job in one slot of one zone, or one start of a job that may not pause.
Columns of a job sum to its hours, columns of a slot stay below its capacity; what finds no room is a column of its own
that costs far more than any other, so that the program always has a solution and says what lacks. HiGHS solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix, vstack

from blocks.errors import InvalidInput, Refused
from tasks.carbon.decide.grid import HOUR_S, Bools, Floats, Intensity, Ints, Jobs, at_arrival, covered, emitted
from tasks.carbon.decide.interruptible import available

MAX_ENTRIES = 3_000_000
DEAR = 1000.0  # an hour without room costs as much as this many of the dirtiest hours


@dataclass(frozen=True)
class CapacityPlan:
    """The cleanest plan that fits.

    Attributes
    ----------
    baseline_g, planned_g :
        (N,) g CO2e at arrival in the first allowed zone, whatever the capacity, and as planned; NaN: not covered.
    used_kw :
        (Z, T) the hourly capacity curve: what these jobs draw, all that a queue, a scaler or a pool has to admit.
    lacking_h :
        (N,) hours of each job that find no room.
    gap :
        how far from the best the plan can be at most, 0-1; 0 where every job may pause.
    """

    baseline_g: Floats
    planned_g: Floats
    used_kw: Floats
    lacking_h: Floats
    gap: float


@dataclass(frozen=True)
class _Columns:
    """One a choice: its job, its cost in g, hours of the job that it does, the most of it; and what it draws."""

    job: Ints
    cost: Floats
    does_h: Floats
    upper: Floats
    whole: Bools
    column: Ints  # of each entry below
    slot: Ints  # zone x T + slot
    kw: Floats


def decide_capacity(
    zones: Sequence[Intensity],
    capacity_kw: Floats,
    jobs: Jobs,
    allowed: Bools | None = None,
    time_limit_s: float = 30.0,
) -> CapacityPlan:
    """Choose zones and times that emit least and fit.

    Parameters
    ----------
    zones :
        one grid a zone, all with the same start, step and length.
    capacity_kw :
        (Z, T) kW free for these jobs in each step.
    allowed :
        (N, Z) where each job may run: latency, residency, price; default: everywhere. Pausing jobs may change zone.
    time_limit_s :
        of the search for whole starts.

    Raises
    ------
    InvalidInput: grids or shapes differ. Refused: too many choices, or no plan in time.
    """
    grid = zones[0]
    shape = len(zones), len(grid.g_per_kwh)
    if capacity_kw.shape != shape or any(
        (each.start_s, each.step_s, len(each.g_per_kwh)) != (grid.start_s, grid.step_s, shape[1]) for each in zones
    ):
        raise InvalidInput("zones and capacity are not on one grid", where="capacity", fix="give the same hours")
    free = np.ones((len(jobs), len(zones)), np.bool_) if allowed is None else allowed
    known = covered(grid, jobs) & free.any(axis=1)
    parts = [
        columns
        for number, zone in enumerate(zones)
        for columns in (_pausing(zone, number, jobs, np.flatnonzero(known & free[:, number] & jobs.interruptible)),
                        _starting(zone, number, jobs, np.flatnonzero(known & free[:, number] & ~jobs.interruptible)))
    ]  # fmt: skip
    columns = _together(parts)
    amounts, lacking, gap = _solved(columns, capacity_kw, jobs, known, time_limit_s)
    planned = np.bincount(columns.job, columns.cost * amounts, minlength=len(jobs))
    drawn = columns.kw * amounts[columns.column]
    used = np.bincount(columns.slot, drawn, minlength=capacity_kw.size).astype(np.float64)
    home = np.stack([at_arrival(zone, jobs) for zone in zones])[free.argmax(axis=1), np.arange(len(jobs))]
    return CapacityPlan(np.where(known, home * jobs.kw, np.nan), np.where(known, planned, np.nan),
                        used.reshape(shape), lacking, gap)  # fmt: skip


def _pausing(grid: Intensity, zone: int, jobs: Jobs, rows: Ints) -> _Columns:
    """An hour in one slot is one column."""
    begin = jobs.arrival_s[rows] - grid.start_s
    end = np.minimum(begin + jobs.slack_s[rows] + jobs.duration_s[rows], grid.end_s - grid.start_s)
    slots, seconds = available(grid, begin, end) if len(rows) else (np.zeros((0, 0), np.int64),) * 2
    _limit(slots.size)
    at, place = np.nonzero(seconds)
    job, slot, hours = rows[at], slots[at, place], seconds[at, place] / HOUR_S
    each = np.arange(len(job))
    return _Columns(job, jobs.kw[job] * grid.g_per_kwh[slot], np.ones(len(job)), hours, np.zeros(len(job), np.bool_),
                    each, slot + zone * len(grid.g_per_kwh), jobs.kw[job] * HOUR_S / grid.step_s)  # fmt: skip


def _starting(grid: Intensity, zone: int, jobs: Jobs, rows: Ints) -> _Columns:
    """One start is one column that draws in every slot that its run touches."""
    step, span = grid.step_s, grid.end_s - grid.start_s
    latest = np.minimum(jobs.arrival_s[rows] - grid.start_s + jobs.slack_s[rows], span - jobs.duration_s[rows])
    many = (latest - (jobs.arrival_s[rows] - grid.start_s)) // step + 1
    _limit(int((many * (jobs.duration_s[rows] // step + 2)).sum()))
    job = np.repeat(rows, many)
    nth = np.arange(len(job)) - np.repeat(np.cumsum(many) - many, many)
    begin = jobs.arrival_s[job] - grid.start_s + nth * step
    end = begin + jobs.duration_s[job]
    touched = -(-end // step) - begin // step
    column = np.repeat(np.arange(len(job)), touched)
    slot = np.arange(len(column)) - np.repeat(np.cumsum(touched) - touched, touched) + (begin // step)[column]
    share = (np.minimum((slot + 1) * step, end[column]) - np.maximum(slot * step, begin[column])) / step
    return _Columns(job, jobs.kw[job] * emitted(grid, begin, jobs.duration_s[job]), jobs.duration_s[job] / HOUR_S,
                    np.ones(len(job)), np.ones(len(job), np.bool_), column, slot + zone * len(grid.g_per_kwh),
                    jobs.kw[job[column]] * share)  # fmt: skip


def _limit(entries: int) -> None:
    if entries > MAX_ENTRIES:
        raise Refused(f"{entries:,} choices are too many for one program", where="capacity",
                      fix="plan fewer jobs at once, or give them less slack")  # fmt: skip


def _together(parts: Sequence[_Columns]) -> _Columns:
    """All columns, numbered anew."""
    before = np.cumsum([0, *(len(part.job) for part in parts)])
    column = np.concatenate([part.column + before[number] for number, part in enumerate(parts)])
    rest = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("job", "cost", "does_h", "upper", "whole", "slot", "kw")
    }
    return _Columns(column=column, **rest)


def _solved(
    columns: _Columns, capacity_kw: Floats, jobs: Jobs, known: Bools, time_limit_s: float
) -> tuple[Floats, Floats, float]:
    """(C,) how much of each column, (N,) hours that find no room, and the gap."""
    count, last = len(columns.job), len(jobs)
    dear = DEAR * (jobs.kw + 1) * (columns.cost / np.maximum(columns.does_h, 1e-9)).max(initial=1.0)
    does = coo_matrix(
        (np.append(columns.does_h, np.ones(last)), (np.append(columns.job, np.arange(last)),
                                                    np.arange(count + last))), shape=(last, count + last)
    )  # fmt: skip
    draws = coo_matrix((columns.kw, (columns.slot, columns.column)), shape=(capacity_kw.size, count + last))
    wanted = np.where(known, jobs.duration_s / HOUR_S, 0.0)
    low = np.append(wanted, np.full(capacity_kw.size, -np.inf))
    found = milp(
        np.append(columns.cost, dear),
        integrality=np.append(columns.whole, np.zeros(last)).astype(int),
        bounds=Bounds(0, np.append(columns.upper, np.full(last, np.inf))),
        constraints=LinearConstraint(vstack([does, draws]).tocsr(), low, np.append(wanted, capacity_kw.ravel())),
        options={"time_limit": time_limit_s, "mip_rel_gap": 1e-6},
    )
    if found.x is None:
        raise Refused(f"no plan within {time_limit_s:g} s", where="capacity", fix="plan fewer jobs, or allow more time")
    lacking = np.where(found.x[count:] > 1e-6, found.x[count:], 0.0)
    return found.x[:count], lacking, float(found.mip_gap or 0.0) if columns.whole.any() else 0.0
