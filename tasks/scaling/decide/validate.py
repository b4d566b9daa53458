"""Does a stored decision still fit the world? Asked before acting; nothing is decided anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from tasks.reasons import Reason, ReasonLog
from tasks.scaling.decide.decisions import Action, Promised, ScalingDecisions
from tasks.scaling.decide.inputs import Bool, Float, Int, Observed, Pools, node_sizes
from tasks.scaling.decide.needs import believed_usage, whole_nodes
from tasks.scaling.decide.policies import Policy
from tasks.scaling.decide.reasons import ReasonCode


def revalidate(
    decisions: ScalingDecisions, pools: Pools, observed: Observed, policy: Policy, as_of: datetime
) -> ScalingDecisions:
    """The decisions, with every change whose world is another one now turned into a refusal that says why.

    A change is dropped when it is older than `policy.proposal_ttl_s`; when its pool is gone, unreachable, busy, fixed,
    hands-off or sized by somebody else now; when its desired size or bounds are no longer those it was decided on;
    when too much of the fleet is unreachable; and, for a scale-down, when usage is not known or has risen beyond what
    the target holds. A scale-up survives lost usage data: it was decided on good data, and nodes more break nothing.
    Holds and refusals pass unchanged. `pools` and `observed` may be in another order than the decisions.
    """
    problems = _problems(decisions, pools, observed, policy, (as_of - decisions.as_of).total_seconds())
    dropped = [
        action in (Action.UP, Action.DOWN) and len(found) > 0
        for action, found in zip(decisions.action, problems, strict=True)
    ]
    rows = range(len(dropped))
    gone = np.array(dropped, dtype=np.bool_)
    return replace(
        decisions,
        action=tuple(Action.REFUSE if dropped[row] else decisions.action[row] for row in rows),
        target=np.where(gone, decisions.current, decisions.target),
        reasons=tuple(decisions.reasons[row] + (problems[row] if dropped[row] else ()) for row in rows),
        promise=lambda: _withdrawn(decisions.promised, gone),
    )


def _problems(
    decisions: ScalingDecisions, pools: Pools, observed: Observed, policy: Policy, age_s: float
) -> list[tuple[Reason, ...]]:
    """For each decision, what differs from the world that it was decided in."""
    count = len(decisions.unique_id)
    row_of = {name: row for row, name in enumerate(pools.unique_id)}
    rows = np.array([row_of.get(name, -1) for name in decisions.unique_id], dtype=np.int64)
    log = ReasonLog(count)
    limit_s = policy.proposal_ttl_s
    log.add(ReasonCode.EXPIRED, np.full(count, not abs(age_s) <= limit_s), age_s=age_s, limit_s=limit_s)
    log.add(ReasonCode.GONE, rows < 0)
    doubts = ReasonLog(len(pools.unique_id))
    if (rows >= 0).any():
        _compare_pools(decisions, pools, observed, rows, log)
        _compare_fleet(observed, policy, rows, log)
        doubts = _compare_usage(decisions, pools, observed, policy, rows=rows, log=log)
    shrinks = (rows >= 0) & (decisions.target < decisions.current)
    return [
        found + (doubts[row] if less else ())
        for found, row, less in zip(log, rows.tolist(), shrinks.tolist(), strict=True)
    ]


def _compare_pools(decisions: ScalingDecisions, pools: Pools, observed: Observed, rows: Int, log: ReasonLog) -> None:
    here, current = rows >= 0, decisions.current
    seen = here & observed.reachable[rows]
    actuators, steered = pools.known_actuators, pools.steered[rows]
    desired, low, high = (
        np.where(steered, actuators.setting_nodes[rows], observed.desired[rows]),
        pools.min_nodes[rows],
        pools.max_nodes[rows],
    )
    moved = (low != decisions.min_nodes) | (high != decisions.max_nodes)
    owned = pools.theirs[rows] & ~pools.hands_off[rows]
    another = np.array([actuators.kind[row] for row in rows.tolist()]) != np.array(decisions.actuator)
    same_seen = np.array([actuators.seen[row] for row in rows.tolist()]) == np.array(decisions.seen)
    # What headroom adds up to moves with the pods of the pool; that nobody has set it anew is what counts.
    moved_on = np.where(steered, ~same_seen, desired != current)
    log.add(ReasonCode.UNREACHABLE, here & ~observed.reachable[rows])
    log.add(ReasonCode.BUSY, seen & observed.busy[rows])
    log.add(ReasonCode.FIXED, here & pools.fixed[rows])
    log.add(ReasonCode.HANDS_OFF, here & pools.hands_off[rows], patch_nodes=decisions.target)
    log.add(ReasonCode.FOREIGN_OWNER, here & owned, patch_nodes=decisions.target)
    log.add(ReasonCode.DESIRED_CHANGED, seen & ~another & moved_on, decided_on_nodes=current, found_nodes=desired)
    log.add(ReasonCode.ACTUATOR_CHANGED, seen & another & ~owned & ~pools.hands_off[rows])
    log.add(ReasonCode.BOUNDS_CHANGED, here & moved, min_nodes=low, max_nodes=high)


def _compare_fleet(observed: Observed, policy: Policy, rows: Int, log: ReasonLog) -> None:
    share, limit = float((~observed.reachable).mean()), policy.unreachable_limit_ratio
    blackout = (rows >= 0) & (share > limit)
    log.add(ReasonCode.FLEET_UNREACHABLE, blackout, unreachable_ratio=share, limit_ratio=limit)


def _compare_usage(
    decisions: ScalingDecisions, pools: Pools, observed: Observed, policy: Policy, *, rows: Int, log: ReasonLog
) -> ReasonLog:
    """Log scale-downs that usage has overtaken; returns, for each row of `pools`, why its usage is not known."""
    doubts = ReasonLog(len(pools.unique_id))
    used_nodes: Float = np.nan_to_num(believed_usage(pools, observed, policy, doubts) / node_sizes(pools), nan=0.0)
    needed = whole_nodes(used_nodes.max(axis=1) / policy.reactive_target_ratio)[rows]
    seen: Bool = (rows >= 0) & observed.reachable[rows]
    rose = seen & (decisions.target < decisions.current) & (needed > decisions.target)
    log.add(ReasonCode.DEMAND_ROSE, rose, needed_nodes=needed, decided_nodes=decisions.target)
    return doubts


def _withdrawn(promised: Promised, dropped: Bool) -> Promised:
    """A dropped change promises what no change promises."""
    without, changed = promised.violation_minutes_if_not, promised.violation_minutes_if_changed
    return replace(
        promised,
        violation_minutes_if_changed=np.where(dropped, without, changed),
        node_hours_delta=np.where(dropped, 0.0, promised.node_hours_delta),
        usd_delta=np.where(dropped, promised.usd_delta * 0.0, promised.usd_delta),
    )
