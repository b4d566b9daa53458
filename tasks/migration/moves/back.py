"""The way back from any stage: the source whole again, the requests back, nothing left of the move in the target."""

from __future__ import annotations

from blocks.errors import TimedOut
from blocks.kubernetes import KubernetesApi
from tasks.migration.moves import objects
from tasks.migration.moves.closure import LATE, replicas_of
from tasks.migration.moves.hook import tell_of_return
from tasks.migration.moves.leftovers import unneeded
from tasks.migration.moves.plan import MovePlan
from tasks.migration.moves.stages import DRAINED, HEALTHY, RESERVED, SHIFTING, STAGES
from tasks.migration.moves.step import Step, give_back_lease


def go_back(step: Step) -> None:
    """Make the source whole, send the requests back, then remove what the move made.

    A source that somebody else removed is not made again: that was their wish. One that we removed is.

    Raises
    ------
    TimedOut: the source does not get its pods back; the copy stays, and serves, until it does.
    """
    plan = step.plan
    if step.needs_no_source:  # nothing in it was touched
        if plan.route and step.world.route and _reached(step, HEALTHY):
            step.world.route(plan.route, 0)
        remove_made(step.target, plan, step.maker)
        return
    there = step.of(step.source)
    if there is None and _reached(step, DRAINED):
        for resource, each in plan.closure:
            objects.put(step.source, resource, each, plan.namespace)
        objects.put(step.source, plan.resource, plan.workload(step.want), plan.namespace)
        there = step.of(step.source)
    if there is not None and _reached(step, SHIFTING):
        make_whole(step)
    if plan.route and step.world.route and _reached(step, HEALTHY):
        step.world.route(plan.route, 0)
    if plan.hook and _reached(step, RESERVED):
        tell_of_return(step.world.ask, plan, step.intent_id)
    remove_made(step.target, plan, step.maker)
    there = step.of(step.source)
    if there is not None and objects.fence_of(there).get("intent") == step.intent_id:
        objects.set_fence(step.source, there, None)
    give_back_lease(step)


def _reached(step: Step, stage: str) -> bool:
    return STAGES.index(step.about["stage"]) >= STAGES.index(stage)


def make_whole(step: Step) -> None:
    """Give the source the pods that are wanted, and wait until they are Ready; nothing where it was removed.

    Raises
    ------
    TimedOut: they are not.
    """
    there, ready = step.of(step.source), 0
    if there is not None and replicas_of(there) < step.want:
        objects.scale(step.source, there, step.want)
    for _ in step.world.looks(step.world.pace.patience_s):
        there = step.of(step.source)
        ready = objects.ready(there)
        if there is None or ready >= step.want:
            return
    raise TimedOut(f"{ready} of {step.want} pods of the source are Ready again", where=step.plan.subject,
                   fix="see their events; the copy stays until they are")  # fmt: skip


def remove_made(api: KubernetesApi, plan: MovePlan, intent_id: str) -> None:
    """Remove all that a move made in the target; nothing that was there before it, or that others there need by now."""
    for resource, each in reversed(plan.closure):
        if resource in LATE:
            objects.remove_ours(api, resource, each["metadata"]["name"], plan.namespace, intent_id)
    objects.remove_ours(api, plan.resource, plan.name, plan.namespace, intent_id)
    objects.remove_ours(api, "deployments", objects.hold_name(plan), plan.namespace, intent_id)
    made = [
        (resource, each["metadata"]["name"]) for resource, each in reversed(plan.closure)
        if objects.made_by(api, resource, each["metadata"]["name"], plan.namespace, intent_id)
    ]  # fmt: skip
    free = unneeded(api, plan) if made else set()
    for resource, name in made:
        if (resource, name) in free:
            objects.remove_ours(api, resource, name, plan.namespace, intent_id)
