"""Guards that come from around the pool: its schedule, its pods, other flows, change freezes, the cloud's quota."""

from __future__ import annotations

import numpy as np

from tasks.scaling.decide.draft import Draft
from tasks.scaling.decide.inputs import Bool, Int, group_nodes
from tasks.scaling.decide.needs import whole_nodes
from tasks.scaling.decide.reasons import ReasonCode


def other_demands(draft: Draft) -> None:
    """The pool's own schedule is the least it gets; spot nodes that are about to go are wanted once more."""
    pools, observed, log = draft.pools, draft.observed, draft.log
    if pools.scheduled_nodes is not None:
        fewest = pools.scheduled_nodes
        log.add(ReasonCode.SCHEDULED, fewest > draft.want, scheduled_nodes=fewest)
        draft.want = np.maximum(draft.want, fewest)
    if observed.interrupted_nodes is not None:
        going = observed.interrupted_nodes
        log.add(ReasonCode.SPOT_INTERRUPTION, going > 0, interrupted_nodes=going)
        draft.want = draft.want + going


def pods_fit(draft: Draft) -> None:
    """Shrink only to nodes that hold what is requested, beside what other flows have reserved, as far as budgets of
    the pods allow nodes to leave.
    """
    observed, log = draft.observed, draft.log
    asked = whole_nodes(np.where(np.isnan(draft.needs.requested_nodes), 0.0, draft.needs.requested_nodes).max(axis=1))
    log.add(ReasonCode.REQUESTS_FIT, _keep(draft, asked), requested_nodes=asked)
    if (reserved := observed.reserved_nodes) is not None:
        short = _keep(draft, np.maximum(asked, draft.want) + reserved)
        log.add(ReasonCode.RESERVED, short & (reserved > 0), reserved_nodes=reserved)
    if (removable := observed.removable_nodes) is not None:
        log.add(ReasonCode.POD_DISRUPTION_BUDGET, _keep(draft, draft.current - removable), removable_nodes=removable)


def _keep(draft: Draft, fewest: Int) -> Bool:
    """Let no pool shrink below `fewest` (P,); which ones would have."""
    short = (draft.target < draft.current) & (draft.target < fewest)
    draft.target = np.where(short, np.minimum(fewest, draft.current), draft.target)
    draft.refuse(short & (fewest >= draft.current))
    return short


def change_freeze(draft: Draft) -> None:
    """A freeze of the calendar or of the store: no change at all, or no shrinking."""
    observed = draft.observed
    nothing = np.zeros(draft.want.shape, np.bool_)
    frozen = nothing if observed.frozen is None else observed.frozen
    held = (draft.target < draft.current) & (nothing if observed.growth_only is None else observed.growth_only)
    held = held | (frozen & (draft.target != draft.current))
    draft.stay(held)
    draft.refuse(held)
    draft.log.add(ReasonCode.CHANGE_FREEZE, held)


def quota(draft: Draft) -> None:
    """Growth as far as the cloud's quota allows, in whole groups of nodes."""
    left = draft.observed.quota_nodes
    if left is None:
        return
    group, current = group_nodes(draft.pools), draft.current
    most = current + np.maximum(left, 0)
    short = draft.target > most
    fitting = np.maximum(most // group * group, current)
    draft.log.add(ReasonCode.QUOTA, short, quota_nodes=left, unmet_nodes=draft.target - fitting)
    draft.target = np.where(short, fitting, draft.target)
    draft.refuse(short & (fitting == current))
