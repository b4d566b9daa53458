"""Policies played over a trace slot by slot, beside the best that anybody could have done who knew all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.migration.decide.moves import Costs, Floats, Ints, decide_moves, smoothed
from tasks.migration.decide.policies import Policy
from tasks.migration.decide.world import Trace

LATENCY_WEIGHT, MONEY_WEIGHT, ERROR_WEIGHT = 0.5, 0.5, 4.0
TRANSFER_USD_PER_GB = 0.05
DISRUPTION, COORDINATION = 0.65, 0.2  # slots of usual cost: requests that fail or wait in a move, and the work of it
BACK_S = 6 * 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True)
class Score:
    """What a policy came to.

    Attributes
    ----------
    cost_ratio: of what it cost, moves and all, to the offline optimum.
    backflip_ratio: share of the moves that go back, within 6 h, to where the workload had come from.
    peak_pass_ratio: largest share of all workloads that moved in one pass.
    """

    cost_ratio: float
    moves_per_workload_day: float
    backflip_ratio: float
    peak_pass_ratio: float


@dataclass(frozen=True)
class Course:
    """(T, W, S) costs in slots of each workload's usual cost (its median over sites and time), and a move's."""

    truth: Floats
    seen_latency: Floats
    seen_money: Floats
    errors: Floats
    move_cost: Floats
    slot_s: float

    def seen(self, slot: int) -> Costs:
        """What is measured in a slot."""
        latency, money, errors = self.seen_latency[slot], self.seen_money[slot], self.errors[slot]
        return Costs(total_of(latency, money, errors), latency, money, errors)


def total_of(latency: Floats, money: Floats, errors: Floats) -> Floats:
    """The objective of a slot: weighted latency and money, and what failing requests are worth."""
    weighed = np.float32(LATENCY_WEIGHT) * latency + np.float32(MONEY_WEIGHT) * money
    return np.asarray(weighed + np.float32(ERROR_WEIGHT) * np.nan_to_num(errors), np.float32)


def course_of(trace: Trace) -> Course:
    """Costs in units that make workloads comparable: each one's own median latency and cost."""
    usual_ms = np.nanmedian(trace.measured_latency_ms, axis=(0, 2))[None, :, None]
    usual_usd = np.nanmedian(trace.measured_cost_usd, axis=(0, 2))[None, :, None]
    usual_ms, usual_usd = (np.where(each > 0, each, 1).astype(np.float32) for each in (usual_ms, usual_usd))
    truth = total_of(trace.latency_ms / usual_ms, trace.cost_usd / usual_usd, trace.errors)
    data = trace.moved_gb * TRANSFER_USD_PER_GB / usual_usd[0, :, 0] * MONEY_WEIGHT
    return Course(truth, trace.measured_latency_ms / usual_ms, trace.measured_cost_usd / usual_usd, trace.errors,
                  (data + DISRUPTION + COORDINATION).astype(np.float32), trace.slot_s)  # fmt: skip


def _first_slots(course: Course) -> Ints:
    """(W,) when each workload is first measured anywhere; it costs nobody anything before."""
    known = (~np.isnan(course.truth)).any(axis=2)
    return np.asarray(np.where(known.any(axis=0), known.argmax(axis=0), len(course.truth)), np.int64)


def first_places(course: Course) -> Ints:
    """Where each begins: where it cost least in its first slot, as a scheduler would have placed it then."""
    slot = np.minimum(_first_slots(course), len(course.truth) - 1)
    truth = course.truth[slot, np.arange(len(slot))]
    return np.asarray(np.where(np.isnan(truth), np.inf, truth).argmin(axis=1), np.int64)


def optimum(course: Course, begin: Ints) -> float:
    """The least that the whole course can cost, in slots: per workload, by dynamic programming over slots and sites.

    V_t(j) = c_t(j) + min(V_t-1(j), min_i V_t-1(i) + move). Capacity is in no policy's way either, and neither it nor a
    cap could make the optimum cheaper: the ratio to it flatters nobody.
    """
    rows, first = np.arange(len(begin)), _first_slots(course)
    value = np.full(course.truth.shape[1:], np.inf)
    value[rows, begin] = 0.0
    for number, slot in enumerate(course.truth):
        cost = np.where(np.isnan(slot), np.inf, slot).astype(np.float64)
        after = cost + np.minimum(value, value.min(axis=1, keepdims=True) + course.move_cost[:, None])
        value = np.where((first <= number)[:, None], after, value)
    return float(value.min(axis=1).sum())


def play(course: Course, policy: Policy, begin: Ints, told: Callable[[int], None] | None = None) -> Score:
    """Play a policy: it decides at the start of each slot on what was measured in the slots before."""
    slots, workloads, _ = course.truth.shape
    rows, place = np.arange(workloads), begin.copy()
    since = np.full(workloads, 1e6, np.float32)
    came_from, left_at = np.full(workloads, -1), np.full(workloads, -(10**9))
    total, moved, flips, peak = 0.0, 0, 0, 0.0
    smooth = _Smoothed(policy.alpha)
    past = _Yesterday(course) if policy.ahead else None
    for slot in range(slots):
        if slot and policy.moves:
            costs = smooth.after(course.seen(slot - 1))
            ahead = past.change(slot - 1, policy.horizon_s) if past else None
            chosen = decide_moves(place, costs, course.move_cost, since, policy, course.slot_s, ahead, came_from)
            goes = chosen.target != place
            back = goes & (chosen.target == came_from) & ((slot - left_at) * course.slot_s <= BACK_S)
            total += float(course.move_cost[goes].sum())
            moved, flips, peak = moved + int(goes.sum()), flips + int(back.sum()), max(peak, float(goes.mean()))
            came_from[goes], left_at[goes] = place[goes], slot
            place, since = np.where(goes, chosen.target, place), np.where(goes, 0, since + 1).astype(np.float32)
        total += float(np.nan_to_num(course.truth[slot, rows, place], nan=0.0).sum())
        if told:
            told(slot)
    days = float((slots - _first_slots(course)).sum()) * course.slot_s / DAY_S
    return Score(total / optimum(course, begin), moved / days, flips / moved if moved else 0.0, peak)


class _Smoothed:
    """Measurements, each smoothed over time."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._latency: Floats | None = None
        self._money: Floats | None = None

    def after(self, seen: Costs) -> Costs:
        """The smoothed costs once the newest are in, unknown where there is no newest; errors as they are."""
        self._latency = smoothed(self._latency, seen.latency, self._alpha)
        self._money = smoothed(self._money, seen.money, self._alpha)
        stale = np.isnan(seen.total)
        latency, money = (np.where(stale, np.float32(np.nan), each) for each in (self._latency, self._money))
        return Costs(total_of(latency, money, seen.errors), latency, money, seen.errors)


class _Yesterday:
    """How costs went on from this time of the day, a day ago."""

    WIDTH = 8  # slots either side over which yesterday's measurements are averaged

    def __init__(self, course: Course) -> None:
        self._day = int(DAY_S / course.slot_s)
        self._slot_s = course.slot_s
        seen = np.float32(LATENCY_WEIGHT) * course.seen_latency + np.float32(MONEY_WEIGHT) * course.seen_money
        seen = np.where(np.isnan(seen), course.truth, seen)
        shape = (1, *seen.shape[1:])
        self._sums = np.concatenate([np.zeros(shape), np.cumsum(np.nan_to_num(seen), axis=0, dtype=np.float64)])

    def change(self, slot: int, horizon_s: float) -> Floats | None:
        """(W, S) mean over the coming horizon less the level now, as it was yesterday; None before a day has passed."""
        then, ahead = slot - self._day, int(horizon_s / self._slot_s)
        if then < self.WIDTH:
            return None
        level = self._mean(then - self.WIDTH, min(then + self.WIDTH, slot))
        return np.asarray(self._mean(then, min(then + ahead, slot)) - level, np.float32)

    def _mean(self, first: int, last: int) -> Floats:
        return np.asarray((self._sums[last + 1] - self._sums[first]) / (last + 1 - first), np.float32)
