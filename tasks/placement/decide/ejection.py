"""Local search: a unit moves to a cheaper site, if need be one that stands there makes room and goes to a third.

All (unit, site, ejected unit) are rated at once in arrays; the best of them are then carried out one after another,
each only if it is still valid and still gains. Swaps are the case in which the third site is the first.
"""

from __future__ import annotations

import numpy as np

from tasks.placement.decide.compiled import Bool, Compiled, Float, Int
from tasks.placement.decide.construct import NOWHERE
from tasks.placement.decide.state import State

SWEEPS = 60
AT_ONCE = 200_000  # cells of the array that is rated in one go


def improve(problem: Compiled, picks: Int, sweeps: int = SWEEPS, deep: bool = True) -> Int:
    """(W,) picks that cost no more; nothing that stood is left without a place."""
    state = State(problem, picks)
    for _ in range(sweeps):
        if not _shift(problem, state) + _eject(problem, state) and not (deep and _chain(problem, state)):
            break
    return state.array()


def loads(problem: Compiled, picks: Int) -> Float:
    """(J, R) what stands at each site."""
    placed = picks != NOWHERE
    at = problem.site[placed, picks[placed]]
    columns = [np.bincount(at, weights=problem.requests[placed, r], minlength=len(problem.sites))
               for r in range(len(problem.resources))]  # fmt: skip
    return np.stack(columns, axis=1) if columns else np.zeros((len(problem.sites), 0))


def current_cost(problem: Compiled, picks: Int) -> Float:
    """(W,) what each unit costs where it stands; 0 where it does not."""
    rows = np.arange(len(picks))
    return np.where(picks == NOWHERE, 0.0, problem.cost[rows, np.maximum(picks, 0)])


def _room(free: Float, asked: Float, site: Int) -> Bool:
    """Whether each site of (N, K) has room for the requests of its row, (N, R)."""
    fits = np.ones(site.shape, np.bool_)
    for r in range(free.shape[1]):
        fits &= free[:, r][site] >= asked[:, r, None]
    return fits


def _shift(problem: Compiled, state: State) -> int:
    """Move units to cheaper sites that have room; returns how many moved."""
    picks = state.array()
    now = current_cost(problem, picks)
    gain = now[:, None] - problem.cost
    free = np.array(state.free)
    good = (gain > 1e-9) & (picks != NOWHERE)[:, None]
    good &= _room(free, problem.requests, problem.site)
    unit, k = np.nonzero(good)
    moved = 0
    for at in np.argsort(-gain[unit, k], kind="stable").tolist():
        u, pick = int(unit[at]), int(k[at])
        site = state.sites[u][pick]
        if state.cost[u][pick] < state.cost_of(u) and state.fits(u, site) and state.at_peace(u, site):
            state.put(u, pick)
            moved += 1
    return moved


def _eject(problem: Compiled, state: State) -> int:
    """One round of ejections; returns how many were carried out."""
    picks = state.array()
    now, free = current_cost(problem, picks), np.array(state.free)
    out = problem.cost - now[:, None]  # what it costs to move a unit, by candidate
    rows = np.arange(len(picks))
    fits = _room(free, problem.requests, problem.site) & np.isfinite(problem.cost)
    placed = picks != NOWHERE
    fits[rows[placed], picks[placed]] = False
    exit_cost = np.where(fits, out, np.inf).min(axis=1)  # the cheapest way out for each unit
    unit, k = np.nonzero((out < -1e-9) & placed[:, None])
    moves = [_rate(problem, unit[cut], k[cut], picks, out, exit_cost, free)
             for cut in _cuts(state, len(unit))]  # fmt: skip
    if not moves:
        return 0
    gain, u, pick, ejected = (np.concatenate([part[column] for part in moves]) for column in range(4))
    done = 0
    for at in np.argsort(-gain, kind="stable").tolist():
        done += _carry_out(state, int(u[at]), int(pick[at]), int(ejected[at]))
    return done


def _cuts(state: State, count: int) -> list[slice]:
    widest = max((len(each) for each in state.members), default=1) or 1
    step = max(1, AT_ONCE // widest)
    return [slice(begin, begin + step) for begin in range(0, count, step)]


def _rate(
    problem: Compiled, unit: Int, k: Int, picks: Int, out: Float, exit_cost: Float, free: Float
) -> tuple[Float, Int, Int, Int]:
    """Gain, unit, its new candidate and the unit that it ejects; the best ejection of each (unit, candidate)."""
    table = _members(problem, picks)
    target = problem.site[unit, k]
    who = table[target]  # (N, M) units at the target, -1 where there are fewer
    real = who >= 0
    for r in range(free.shape[1]):
        asked = np.append(problem.requests[:, r], 0.0)
        real &= free[target, r][:, None] + asked[who] >= problem.requests[unit, r][:, None]
    gain = -out[unit, k][:, None] - np.where(real, np.append(exit_cost, np.inf)[who], np.inf)
    gain = np.maximum(gain, _swap_gain(problem, picks, unit, k, who, real, out, free))
    best = gain.argmax(axis=1) if gain.shape[1] else np.zeros(len(unit), np.int64)
    rows = np.arange(len(unit))
    value = gain[rows, best]
    good = value > 1e-9
    return value[good], unit[good], k[good], who[rows, best][good]


def _swap_gain(
    problem: Compiled, picks: Int, unit: Int, k: Int, who: Int, real: Bool, out: Float, free: Float
) -> Float:
    """(N, M) gain if the ejected unit takes the place that the first one leaves."""
    left = problem.site[unit, picks[unit]]
    n, m = np.nonzero(real)
    other, home = who[n, m], left[n]
    match = problem.site[other] == home[:, None]
    match &= np.isfinite(problem.cost[other])
    gain = np.full(who.shape, -np.inf)
    there = match.any(axis=1)
    n, m, other, home, match = n[there], m[there], other[there], home[there], match[there]
    fits = np.ones(len(n), np.bool_)
    for r in range(free.shape[1]):
        fits &= free[home, r] + problem.requests[unit[n], r] >= problem.requests[other, r]
    n, m, other, match = n[fits], m[fits], other[fits], match[fits]
    gain[n, m] = -out[unit[n], k[n]] - out[other, match.argmax(axis=1)]
    return gain


def _members(problem: Compiled, picks: Int) -> Int:
    """(J, M) units at each site, -1 where there are fewer."""
    placed = np.flatnonzero(picks != NOWHERE)
    at = problem.site[placed, picks[placed]]
    order = np.argsort(at, kind="stable")
    at, placed = at[order], placed[order]
    count = np.bincount(at, minlength=len(problem.sites))
    begin = np.cumsum(count) - count
    table = np.full((len(problem.sites), int(count.max(initial=0))), -1, np.int64)
    table[at, np.arange(len(at)) - begin[at]] = placed
    return table


def _carry_out(state: State, unit: int, pick: int, gone: int) -> bool:
    """Move `unit` to its candidate, and what it ejects to the cheapest place then; undone if that does not gain."""
    site = state.sites[unit][pick]
    gain = state.cost_of(unit) - state.cost[unit][pick]
    if gain <= 1e-9 or state.site_of(gone) != site or not state.fits_without(unit, site, gone):
        return False
    if not state.at_peace(unit, site, ignoring=gone):
        return False
    old, back = state.picks[unit], state.picks[gone]
    limit = state.cost_of(gone) + gain - 1e-9
    state.put(gone, NOWHERE)
    state.put(unit, pick)
    for k, where, cost in state.candidates(gone):
        if cost >= limit:
            break
        if where != site and state.fits(gone, where) and state.at_peace(gone, where):
            state.put(gone, k)
            return True
    state.put(unit, old)
    state.put(gone, back)
    return False


def _chain(problem: Compiled, state: State) -> int:
    """One round of chains of two ejections: i goes to j, k from j to l, m from l wherever it fits."""
    picks = state.array()
    now, free = current_cost(problem, picks), np.array(state.free)
    out = problem.cost - now[:, None]
    rows, placed = np.arange(len(picks)), picks != NOWHERE
    fits = _room(free, problem.requests, problem.site) & np.isfinite(problem.cost)
    fits[rows[placed], picks[placed]] = False
    first = np.where(fits, out, np.inf).min(axis=1)
    most = float(-out[placed].min(initial=0.0))  # no chain may cost more than the largest gain
    others = np.isfinite(problem.cost) & placed[:, None] & (out < most)
    others[rows[placed], picks[placed]] = False
    table = _members(problem, picks)
    mover, place = np.nonzero(others)
    second, via, ejected = _second_exit(problem, mover, place, table, out, first, free)
    unit, k = np.nonzero((out < -1e-9) & placed[:, None])
    who = table[problem.site[unit, k]]
    real = (who >= 0) & _makes_room(problem, free, unit, problem.site[unit, k], who)
    gain = -out[unit, k][:, None] - np.where(real, np.append(second, np.inf)[who], np.inf)
    if not gain.size:
        return 0
    best = gain.argmax(axis=1)
    value, done = gain[np.arange(len(unit)), best], 0
    order = np.argsort(-value, kind="stable")
    for at in order[value[order] > 1e-9].tolist():
        gone = int(who[at, best[at]])
        done += _carry_out_chain(state, int(unit[at]), int(k[at]), gone, int(via[gone]), int(ejected[gone]))
    return done


def _makes_room(problem: Compiled, free: Float, unit: Int, target: Int, who: Int) -> Bool:
    """(N, M) whether the target has room for the unit once one of its own has left."""
    fits = np.ones(who.shape, np.bool_)
    for r in range(free.shape[1]):
        asked = np.append(problem.requests[:, r], 0.0)
        fits &= (free[target, r] - problem.requests[unit, r])[:, None] + asked[who] >= 0
    return fits


def _second_exit(
    problem: Compiled, unit: Int, k: Int, table: Int, out: Float, first: Float, free: Float
) -> tuple[Float, Int, Int]:
    """(W,) least cost of leaving for a place where one more unit has to leave, that candidate, and that unit."""
    count = len(problem.members)
    cost, via, ejected = np.full(count, np.inf), np.full(count, NOWHERE), np.full(count, NOWHERE)
    if not len(unit) or not table.shape[1]:
        return cost, via, ejected
    target = problem.site[unit, k]
    who = table[target]
    real = (who >= 0) & _makes_room(problem, free, unit, target, who)
    total = np.where(real, np.append(first, np.inf)[who], np.inf)
    best = total.argmin(axis=1)
    value = out[unit, k] + total[np.arange(len(unit)), best]
    order = np.lexsort((value, unit))
    leads = order[np.r_[True, unit[order][1:] != unit[order][:-1]]]
    cost[unit[leads]], via[unit[leads]] = value[leads], k[leads]
    ejected[unit[leads]] = who[leads, best[leads]]
    return cost, via, ejected


def _carry_out_chain(state: State, unit: int, pick: int, gone: int, via: int, last: int) -> bool:
    """Carry out a chain if it still gains; undone if not."""
    site, third = state.sites[unit][pick], state.sites[gone][via]
    if len({unit, gone, last}) < 3 or state.site_of(gone) != site or state.site_of(last) != third or third == site:
        return False
    if not state.fits_without(unit, site, gone) or not state.at_peace(unit, site, ignoring=gone):
        return False
    before = [(each, state.picks[each]) for each in (unit, gone, last)]
    limit = state.cost_of(unit) - state.cost[unit][pick] + state.cost_of(gone) - state.cost[gone][via]
    limit += state.cost_of(last) - 1e-9
    state.put(last, NOWHERE)
    state.put(gone, NOWHERE)
    state.put(unit, pick)
    if state.fits(gone, third) and state.at_peace(gone, third):
        state.put(gone, via)
        for k, where, cost in state.candidates(last):
            if cost >= limit:
                break
            if state.fits(last, where) and state.at_peace(last, where):
                state.put(last, k)
                return True
    for each, back in before:
        state.put(each, NOWHERE)
        state.put(each, back)
    return False
