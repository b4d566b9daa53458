"""Sizes over a day from the nodes needed in each step: early enough, not down for a short while, with few changes."""

from __future__ import annotations

import numpy as np

from tasks.resource_plan.decide.inputs import Bool, Float, Int


def led(needed: Int, lead: Int) -> Int:
    """(P, H) most nodes needed from each step until `lead` (P,) steps later: what must be asked for in it.

    >>> led(np.array([[1, 1, 4, 1]]), np.array([1])).tolist()
    [[1, 4, 4, 1]]
    """
    answer = needed.copy()
    for ahead in range(1, min(int(lead.max(initial=0)), needed.shape[1] - 1) + 1):
        later = np.where((lead >= ahead)[:, None], needed[:, ahead:], 0)
        np.maximum(answer[:, :-ahead], later, out=answer[:, :-ahead])
    return answer


def filled(needed: Int, hold: int) -> Int:
    """(P, H) the least sizes that suffice and never go below what was there for less than `hold` steps.

    The morphological closing by a flat element of `hold` steps (Serra 1982): the least, over the windows of that many
    steps which hold a step, of the most that is needed in the window. Windows lie inside the day: what comes after it
    is not known, so a low need at its end that is shorter than `hold` is not gone down to.

    >>> filled(np.array([[5, 2, 5, 2, 2, 2, 3]]), 3).tolist()
    [[5, 5, 5, 2, 2, 2, 3]]
    """
    steps = needed.shape[1]
    hold = min(max(hold, 1), steps)
    windows = steps - hold + 1
    most = needed[:, :windows].copy()
    for ahead in range(1, hold):
        np.maximum(most, needed[:, ahead : ahead + windows], out=most)
    answer = np.full(needed.shape, np.iinfo(np.int64).max)
    for back in range(hold):
        part = answer[:, back : back + windows]
        np.minimum(part, most, out=part)
    return answer


def fewest_changes(needed: Int, current: Int, change_cost: float) -> Int:
    """(P, H) sizes that suffice in every step and have the least cost: node-steps + change_cost x number of changes.

    Exact, by dynamic programming over the last change: cost(j) = min over i < j of cost(i) + change_cost
    + (j - i) x max(needed[i:j]); the first stretch may moreover stay at `current` (P,) where that suffices, without a
    change. Of equal costs the longest last stretch is taken.
    """
    steps, count = needed.shape[1], len(needed)
    need = np.ascontiguousarray(needed.T).astype(np.float64)
    most = np.empty_like(need)  # row i: the most that is needed from step i until the present one
    cost = np.zeros((steps + 1, count))
    begins = np.zeros((steps + 1, count), np.int64)
    work = np.empty_like(need)
    for end in range(1, steps + 1):
        most[end - 1] = need[end - 1]
        np.maximum(most[: end - 1], need[end - 1], out=most[: end - 1])
        total = np.multiply(most[:end], np.arange(end, 0, -1.0)[:, None], out=work[:end])
        total += cost[:end]
        total += change_cost
        total[0] = np.minimum(total[0] - np.where(most[0] == current, change_cost, 0.0),
                              np.where(most[0] <= current, current * float(end), np.inf))  # fmt: skip
        begins[end] = total.argmin(axis=0)
        cost[end] = np.take_along_axis(total, begins[end][None], axis=0)[0]
    return _stretches(needed, _first_steps(begins), current, change_cost)


def _first_steps(begins: Int) -> Bool:
    """(P, H) whether a stretch begins in a step, by (H + 1, P) where the last stretch of the first so many begins."""
    steps, count = begins.shape[0] - 1, begins.shape[1]
    starts, pools = np.zeros((count, steps), np.bool_), np.arange(count)
    end = np.full(count, steps)
    while count and end.any():
        end = begins[end, pools]
        starts[pools, end] = True
    return starts


def _stretches(needed: Int, starts: Bool, current: Int, change_cost: float) -> Int:
    """(P, H) each stretch at the most that is needed in it, the first one at `current` where that costs less."""
    places = np.flatnonzero(starts)
    if not places.size:
        return needed.copy()
    lengths = np.diff(places, append=starts.size)
    most = np.maximum.reduceat(needed.reshape(-1), places)
    first = places % needed.shape[1] == 0
    now = np.where(first, np.repeat(current, starts.sum(axis=1)), 0)
    stays = first & (now >= most) & ((now - most) * lengths <= change_cost)
    return np.repeat(np.where(stays, now, most), lengths).reshape(needed.shape)


def ready_nodes(sizes: Int, current: Int, ready: Int, lead: Int) -> Int:
    """(P, H) nodes Ready in each step: the fewest asked for during the `lead` (P,) steps before, and in it.

    Nodes that are asked for now and not Ready yet come after `lead` steps too.
    """
    steps = sizes.shape[1]
    longest = min(int(lead.max(initial=0)), steps)
    before = np.broadcast_to(np.minimum(ready, current)[:, None], (len(sizes), longest))
    asked = np.concatenate([before, sizes], axis=1)
    answer = sizes.copy()
    for back in range(1, longest + 1):
        earlier = asked[:, longest - back : longest - back + steps]
        answer = np.where((lead >= back)[:, None], np.minimum(answer, earlier), answer)
    return answer


def saved_node_hours(sizes: Int, current: Int, step_s: int) -> Float:
    """(P,) node-hours fewer than at the current size; below zero is more."""
    return np.asarray((current[:, None] - sizes).sum(axis=1) * step_s / 3600.0, np.float64)
