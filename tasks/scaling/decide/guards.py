"""Guards on one pool's change, in order. Each narrows the target and says why; none ever widens it beyond the need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.scaling.decide.draft import Draft
from tasks.scaling.decide.inputs import group_nodes
from tasks.scaling.decide.reasons import ReasonCode
from tasks.scaling.decide.surroundings import change_freeze, other_demands, pods_fit, quota

Guard = Callable[[Draft], None]


def _unseen_usage(draft: Draft) -> None:
    """A pool whose usage is not known never gets fewer nodes. Why it is not known was logged when it was read."""
    blind = draft.needs.unseen.any(axis=1) & (draft.want < draft.current)
    draft.want = np.where(blind, draft.current, draft.want)
    draft.refuse(blind)


def bounds(draft: Draft) -> None:
    """Into min .. max. A pool below its minimum is brought in at once.

    A pool above its maximum is reported, not cut: somebody made it that large, and demand may need it. It shrinks by
    an ordinary scale-down only, once demand fits into the maximum.
    """
    low, high, current, want = draft.pools.min_nodes, draft.pools.max_nodes, draft.current, draft.want
    draft.target = np.clip(want, low, high)
    draft.stay((current > high) & (want > high))
    unmet = want - np.maximum(high, current)
    draft.refuse(unmet > 0)
    draft.shrinking = draft.target < current
    log = draft.log
    log.add(ReasonCode.AT_MAX, (unmet > 0) & ~draft.pools.fixed, max_nodes=high, unmet_nodes=unmet)
    log.add(ReasonCode.BELOW_MIN, current < low, min_nodes=low, current_nodes=current)
    log.add(ReasonCode.AT_MIN, (want < low) & (current >= low), min_nodes=low)
    log.add(ReasonCode.ABOVE_MAX, current > high, max_nodes=high, over_nodes=current - high)


def _fixed_size(draft: Draft) -> None:
    """Edge hardware keeps its number of nodes; demand beyond it is reported as unmet."""
    fixed, unmet = draft.pools.fixed, draft.want - draft.current
    draft.settle(fixed)
    draft.refused = np.where(fixed, unmet > 0, draft.refused)
    draft.log.add(ReasonCode.FIXED, fixed & (unmet < 0))
    draft.log.add(ReasonCode.FIXED_AT_CAPACITY, fixed & (unmet > 0), unmet_nodes=unmet)


def _undisturbed(draft: Draft) -> None:
    """Pools that do not answer or are being changed rest; when too much of the fleet does not answer, all rest."""
    lost, limit = ~draft.observed.reachable, draft.policy.unreachable_limit_ratio
    share = float(lost.mean()) if lost.size else 0.0
    blackout = np.full(lost.shape, share > limit)
    busy = draft.observed.busy & ~lost
    draft.resting = lost | blackout | busy
    draft.want = np.where(lost, draft.current, draft.want)
    draft.settle(draft.resting)
    draft.log.only(ReasonCode.UNREACHABLE, lost)
    draft.log.add(ReasonCode.FLEET_UNREACHABLE, blackout, unreachable_ratio=share, limit_ratio=limit)
    draft.log.add(ReasonCode.BUSY, busy)


def _forecast_needed(draft: Draft) -> None:
    """No shrinking on a forecast that is missing, stale or has gaps."""
    blind = draft.shrinking & draft.needs.unforeseen.any(axis=1)
    if np.isnan(draft.needs.forecast_age_s) and draft.policy.lowers_without_forecast:
        return
    draft.stay(blind)
    draft.refuse(blind)
    draft.log.add(ReasonCode.FORECAST_NEEDED, blind)


def nodes_ready(draft: Draft) -> None:
    """No shrinking while asked-for nodes are not Ready: the cloud chooses which ones go."""
    missing = np.where(draft.observed.reachable, draft.observed.desired - draft.observed.ready, 0)
    patience_s = draft.policy.not_ready_after_ratio * draft.pools.boot_s
    stuck = (missing > 0) & (draft.observed.last_change_s > patience_s)
    draft.stay(draft.shrinking & (missing > 0))
    draft.refuse(draft.shrinking & stuck)
    draft.log.add(ReasonCode.BOOTING, (missing > 0) & ~stuck, missing_nodes=missing, boot_s=draft.pools.boot_s)
    draft.log.add(ReasonCode.NODES_NOT_READY, stuck, missing_nodes=missing, limit_s=patience_s)


def scale_out_only(draft: Draft) -> None:
    """A policy that only grows."""
    if draft.policy.scale_out_only:
        draft.stay(draft.shrinking)
        draft.refuse(draft.shrinking)
        draft.log.add(ReasonCode.SCALE_OUT_ONLY, draft.shrinking)


def cooldown(draft: Draft) -> None:
    """No shrinking soon after a scale-up; an unknown time of the last scale-up counts as now."""
    since_s = np.nan_to_num(draft.observed.last_up_s, nan=0.0, posinf=np.inf)
    early = draft.shrinking & (since_s < draft.policy.no_down_after_up_s)
    draft.stay(early)
    draft.refuse(early)
    draft.log.add(ReasonCode.COOLDOWN, early, since_up_s=since_s, limit_s=draft.policy.no_down_after_up_s)


def _down_stabilisation(draft: Draft) -> None:
    """Shrink only to the most that was wanted lately: demand that dips for minutes comes back."""
    window_s = draft.policy.down_stabilisation_s
    recent = np.clip(np.nan_to_num(draft.observed.recent_want, nan=0.0), 0, draft.current).astype(np.int64)
    lifted = draft.shrinking & (recent > draft.target) & (np.asarray(window_s) > 0)
    draft.target = np.where(lifted, recent, draft.target)
    draft.log.add(ReasonCode.DOWN_STABILISATION, lifted, recent_want_nodes=recent, window_s=window_s)


def _step_limit(draft: Draft) -> None:
    """At most one step a pass, except up to the minimum and down to the maximum; a whole group is never too much."""
    policy, current, high = draft.policy, draft.current, draft.pools.max_nodes
    group = group_nodes(draft.pools)
    up, down = (
        np.maximum(np.maximum(nodes, group), np.floor(current * ratio).astype(np.int64))
        for nodes, ratio in (
            (policy.max_step_up_nodes, policy.max_step_up_ratio),
            (policy.max_step_down_nodes, policy.max_step_down_ratio),
        )
    )
    ceiling, floor = np.maximum(current + up, draft.pools.min_nodes), current - down
    floor = np.where(current > high, np.minimum(floor, high), floor)  # no size above it is ever asked for
    wished = draft.target
    limited = (wished > ceiling) | (wished < floor)
    draft.target = np.clip(wished, floor, ceiling)
    draft.refuse(limited & (draft.target == current))
    step = np.where(wished > current, up, down)
    draft.log.add(ReasonCode.STEP_LIMIT, limited, wanted_change_nodes=np.abs(wished - current), limit_nodes=step)


def _in_multiples(draft: Draft) -> None:
    """Whole groups of nodes, rounded up; growth that would pass the maximum is rounded down."""
    group, current, wished = group_nodes(draft.pools), draft.current, draft.target
    more = -(-wished // group) * group
    rounded = np.where((more > draft.pools.max_nodes) & (wished > current), wished // group * group, more)
    passed = (np.sign(rounded - current) != np.sign(wished - current)) | (rounded < draft.pools.min_nodes)
    changed = (wished != current) & (rounded != wished)
    draft.target = np.where(changed, np.where(passed, current, rounded), wished)
    draft.refuse(changed & passed)
    draft.log.add(ReasonCode.MULTIPLE, changed, wished_nodes=wished, multiple_nodes=group)


def _within_max(draft: Draft) -> None:
    """A scale-down that a guard stopped above the maximum is left: a size out of bounds is never asked for."""
    still_above = (draft.target < draft.current) & (draft.target > draft.pools.max_nodes)
    draft.stay(still_above)
    draft.refuse(still_above)


def ownership(draft: Draft) -> None:
    """Pools that are hands-off or sized by somebody else keep their target, as a patch for the owner to apply."""
    changed = draft.target != draft.current
    foreign = draft.pools.theirs & ~draft.pools.hands_off
    draft.patch_only = changed & draft.pools.theirs
    draft.log.add(ReasonCode.HANDS_OFF, changed & draft.pools.hands_off, patch_nodes=draft.target)
    draft.log.add(ReasonCode.FOREIGN_OWNER, changed & foreign, patch_nodes=draft.target)


def disruption_budget(draft: Draft) -> None:
    """Fleet-wide: one pass removes at most a share of the Ready nodes; the largest surplus first, then by name.

    Nodes that are already on their way out count against the budget. A pool that the rest of the budget would leave
    above its maximum, or with part of a group of nodes, takes what it can use and leaves the rest to the next one.
    """
    observed, ratio, current = draft.observed, draft.policy.disruption_ratio, draft.current
    movable = observed.reachable & ~draft.pools.fixed
    leaving = int(np.maximum(observed.ready - observed.desired, 0)[movable].sum())
    total = int(observed.ready[observed.reachable].sum())
    budget = max(1, int(total * ratio)) if ratio > 0 else 0
    # Nodes of pools that an autoscaler sizes go by its own budgets: lowering what we hold up there removes none.
    surplus = np.where(draft.patch_only | draft.pools.steered, 0, np.maximum(current - draft.target, 0))
    if surplus.sum() <= budget - leaving:
        return
    rows = np.flatnonzero(surplus)
    order = rows[np.lexsort((np.array(draft.pools.unique_id)[rows], -surplus[rows]))]
    columns = (order, current[order], surplus[order], draft.pools.max_nodes[order], group_nodes(draft.pools)[order])
    left, granted = max(budget - leaving, 0), np.zeros_like(surplus)
    for row, size, wish, high, group in zip(*(column.tolist() for column in columns), strict=True):
        kept = -(-(size - min(wish, left)) // group) * group
        if kept <= high and kept < size:
            granted[row] = size - kept
            left -= size - kept
    short = granted < surplus
    draft.target = np.where(short, current - granted, draft.target)
    draft.refuse(short & (granted == 0))
    draft.log.add(
        ReasonCode.DISRUPTION_BUDGET,
        short,
        wanted_change_nodes=surplus,
        granted_nodes=granted,
        budget_nodes=budget,
        fleet_nodes=total,
    )


# in order: what is not known, what else is wanted, what is allowed, what rests, when and how fast to shrink, whose it
# is, the whole fleet
GUARDS: tuple[Guard, ...] = (
    _unseen_usage,
    other_demands,
    bounds,
    _fixed_size,
    _undisturbed,
    _forecast_needed,
    nodes_ready,
    scale_out_only,
    cooldown,
    _down_stabilisation,
    pods_fit,
    change_freeze,
    _step_limit,
    _in_multiples,
    quota,
    _within_max,
    ownership,
    disruption_budget,
)
