"""Change node pools, each by its actuator."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.store.tables import Decision, State
from tasks.acting import Planned, Result, SubjectActuator, carry_out_all, settle_left_over, undo_with
from tasks.run import Run
from tasks.scaling.actuator_words import actuator_of
from tasks.scaling.actuators import BY_ACTUATOR, BY_KIND, open_actuator
from tasks.scaling.fallback import take_missing_nodes
from tasks.scaling.holds import expiry_after, hold_of

APPLIERS = dict.fromkeys(BY_KIND, undo_with(open_actuator))


@task(name="act on node pools", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], *, disruption_ratio: float, fleet_nodes: int) -> list[Result]:
    """Carry out changes; see `carry_out_all`.

    Parameters
    ----------
    disruption_ratio: share of the fleet's nodes that may be out of service at once, 0-1.
    fleet_nodes: Ready nodes of the whole fleet.

    Returns
    -------
    One result a change, in the order given, then one for each pool that took what a cloud had refused to another.
    """

    def change_of(decision: Decision) -> tuple[SubjectActuator, Planned]:
        kind = BY_ACTUATOR[actuator_of(decision.content)].kind
        actuator = open_actuator(run.fleet, decision.subject, kind)
        hold = hold_of(run.journal, run.fleet_name, decision.subject, kind)
        return actuator, actuator.plan(decision.content, hold, expiry_after(decision.as_of))

    def fall_back(decision: Decision, result: Result) -> list[Result]:
        ended = result.state != State.STARTED  # else the nodes may still come, and would be bought twice
        return take_missing_nodes(run, decision, result) if result.refusal and ended else []

    limit = {"limit_ratio": disruption_ratio, "fleet_nodes": fleet_nodes}
    return carry_out_all(run, approved, change_of, limit=limit, then=fall_back)


@task(name="finish what was left over", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """See `settle_left_over`."""
    return settle_left_over(run, BY_KIND, open_actuator)
