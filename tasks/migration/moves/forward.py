"""The stages of a move, forward: each looks at the world first, and does nothing where it is so already."""

from __future__ import annotations

from collections.abc import Callable

from blocks.errors import Conflict, NotFound, Unreachable
from tasks.migration.moves import objects
from tasks.migration.moves.closure import EARLY, LATE, replicas_of
from tasks.migration.moves.hook import TurnedRound, take_data_along
from tasks.migration.moves.leftovers import clear_source
from tasks.migration.moves.plan import SILENT, digest_of
from tasks.migration.moves.stages import DRAINED, HEALTHY, PLANNED, REMOVED, RESERVED, SHIFTING, STARTED, next_weight
from tasks.migration.moves.step import SilentYet, Step, give_back_lease


def _reserve(step: Step) -> str:
    plan, world = step.plan, step.world
    step.source_as_planned()
    if not world.still_wanted(plan):
        raise TurnedRound("its cause has passed", where=plan.subject)
    there = step.of(step.target)
    if there is not None and not objects.is_ours(there, step.intent_id):
        raise TurnedRound("the target has another workload of that name", where=step.place)
    objects.put(step.target, "deployments", objects.placeholder(plan, step.intent_id), plan.namespace, step.intent_id)
    ready = 0
    for _ in world.looks(world.pace.patience_s):
        ready = objects.ready(objects.found(step.target, "deployments", objects.hold_name(plan), plan.namespace))
        if ready >= plan.replicas:
            return RESERVED
    raise TurnedRound(f"the target has room for {ready} of {plan.replicas} pods", where=step.place, fix="name another")


def _start(step: Step) -> str:
    plan = step.plan
    step.source_as_planned()
    for resource, each in plan.closure:
        if resource in EARLY:
            objects.put(step.target, resource, each, plan.namespace, step.intent_id)
    workload = take_data_along(step.world.ask, plan, step.target, step.intent_id, plan.workload(step.want))
    objects.put(step.target, plan.resource, workload, plan.namespace, step.intent_id)
    step.copy()
    objects.remove_ours(step.target, "deployments", objects.hold_name(plan), plan.namespace, step.intent_id)
    return STARTED


def _prove(step: Step) -> str:
    """Ready, and Ready still after every look of the soak."""
    step.source_as_planned()
    step.holds()
    for _ in step.world.looks(step.world.pace.soak_s):
        if objects.ready(step.copy()) < step.want:
            raise TurnedRound("its pods do not stay Ready", where=step.place, fix="see their events")
    step.holds()
    if not step.world.still_wanted(step.plan):
        raise TurnedRound("its cause has passed", where=step.plan.subject)
    return HEALTHY


def _shift(step: Step) -> str:
    """The next share of the requests; without a route they follow the pods, and all is shifted at once."""
    step.source_as_planned()
    step.holds()
    weight = next_weight(step.about["weight"]) if step.plan.route and step.world.route else 100
    if weight is not None and step.plan.route and step.world.route:
        step.world.route(step.plan.route, weight)
    step.about["weight"] = weight or 100
    step.world.sleep(step.world.pace.check_s)
    step.holds()
    return SHIFTING


def _shift_or_drain(step: Step) -> str:
    if step.about["weight"] < 100:
        return _shift(step)
    if step.plan.cause == SILENT:
        try:
            if step.of(step.source) is None:
                return REMOVED
        except NotFound:  # of the cluster: somebody took it out of the inventory
            step.about["kept"] = [f"whatever {step.plan.source} has"]
            return "done"
        except Unreachable as error:
            step.holds()
            raise SilentYet(f"serves in {step.plan.target}; it is removed in {step.plan.source} when that answers "
                            f"({error.what})", where=step.plan.subject) from None  # fmt: skip
    return _drain(step)


def _drain(step: Step) -> str:
    """The source's pods go, now that the copy has the requests; its budget is kept by the copy's pods."""
    there = step.source_as_planned()
    _closure_as_planned(step)
    for resource, each in step.plan.closure:
        if resource in LATE:
            objects.put(step.target, resource, each, step.plan.namespace, step.intent_id)
    step.holds()
    objects.set_origin(step.target, step.copy(), {"cluster": step.plan.source, "intent": step.intent_id})
    if replicas_of(there) > 0:
        objects.scale(step.source, there, 0)
    for _ in step.world.looks(step.world.pace.patience_s):
        there = step.of(step.source) or {}
        if not int((there.get("status") or {}).get("replicas") or 0):
            return DRAINED
    raise TurnedRound("the source's pods do not end", where=step.plan.subject, fix="see their grace periods")


def _closure_as_planned(step: Step) -> None:
    """See that what moved along is still what the source has: the target's pods would have the old.

    Raises
    ------
    TurnedRound: somebody edited or removed a part of it.
    """
    for resource, each in step.plan.closure:
        there = objects.found(step.source, resource, each["metadata"]["name"], step.plan.namespace)
        if there is None or not objects.says(there, each):
            what = f"{each['kind']} {each['metadata']['name']} was {'removed' if there is None else 'edited'}"
            raise TurnedRound(f"{what} by somebody else", where=step.plan.subject, fix="plan it anew")


def _remove(step: Step) -> str:
    step.holds()
    there = step.of(step.source)
    if there is not None:
        if digest_of(there) != step.plan.digest or replicas_of(there) > 0:
            raise TurnedRound("the workload was edited by somebody else", where=step.plan.subject, fix="plan it anew")
        objects.delete(step.source, there)
    return REMOVED


def _conclude(step: Step) -> str:
    """What stands alone now has to last as long as it had to before; then what only the source needed goes."""
    step.lasts()
    try:
        kept = clear_source(step.source, step.target, step.plan)
        step.about["kept"] = kept + [f"PersistentVolumeClaim {name} (data)" for name in step.plan.claims]
    except Conflict as error:  # no reason to go back: the next look settles it
        raise Unreachable(f"what moved along is being written: {error.what}", where=step.plan.subject) from None
    give_back_lease(step)
    return "done"


FORWARD: dict[str, Callable[[Step], str]] = {
    PLANNED: _reserve, RESERVED: _start, STARTED: _prove, HEALTHY: _shift, SHIFTING: _shift_or_drain, DRAINED: _remove,
    REMOVED: _conclude,
}  # fmt: skip
