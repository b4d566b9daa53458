"""Carry out the moves of one wave side by side, take a wave back, undo a move, finish what a killed run has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, NotFound, OperationFailed, Unreachable
from blocks.fleet import Fleet
from blocks.inventory import load_stored_fleet, resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, State, Verdict, now
from blocks.traffic import open_route
from tasks.acting import REFUSED, Result
from tasks.clusters import side_by_side
from tasks.migration.check import Objective, broken_level
from tasks.migration.moves import KIND, SILENT, MovePlan, Mover, Pace, Route, World, look_at, plan_from_afar, plan_move
from tasks.migration.moves import settle_left_over as settle
from tasks.migration.moves.plan import workload_in
from tasks.migration.observe import CORES, MEMORY, Forgotten, not_ready
from tasks.migration.silent import spare_of
from tasks.run import Run


class RunCancelled(BaseException):
    """The run of these moves is cancelled: each goes back. No `Exception`, as nothing but a mover may catch it."""


def mover_of(
    fleet: Fleet, journal: Journal, pace: Pace = Pace(), cancelled: threading.Event | None = None,
    objectives: Sequence[Objective] = (),
) -> Mover:  # fmt: skip
    """A mover over the clusters and routes of a fleet; each cluster is connected to once.

    cancelled: once it is set, a move that waits for something is turned round. objectives: looked at between stages.
    """
    open_clusters: dict[str, KubernetesApi] = {}

    def clusters(name: str) -> KubernetesApi:
        if name not in open_clusters:
            cluster = next((each for each in fleet.clusters if each.name == name), None)
            if cluster is None:
                raise NotFound("the inventory has no such cluster", where=f"cluster {name}",
                               fix="see `continuum fleet show`")  # fmt: skip
            open_clusters[name] = KubernetesApi.connect(resolve_secrets(cluster))
        return open_clusters[name]

    def set_weight(route: Route, percent: int) -> None:
        there = open_route(fleet, route.subject)
        state = there.read()
        rest = {name: 0 for name in state.weights if name not in (route.source, route.target)}
        there.write({**rest, route.source: 100 - percent, route.target: percent}, state.session, state.version)

    def sleep(seconds: float) -> None:
        if cancelled is None:
            time.sleep(seconds)
        elif cancelled.wait(seconds):
            raise RunCancelled

    def still_wanted(plan: MovePlan) -> bool:
        """Pods that are Ready again where they are need not flee."""
        if plan.cause not in ("pods-failing", SILENT):
            return True
        if plan.cause == SILENT:
            try:
                return not_ready(workload_in(clusters(plan.source), plan.namespace, plan.name)) > 0
            except (Unreachable, NotFound):
                return True
        return not_ready(clusters(plan.source).get("deployments", plan.name, plan.namespace)) > 0

    def check(plan: MovePlan) -> str:
        return broken_level(fleet, objectives, [(f"{plan.namespace}/{plan.name}", plan.target)], must_be_measured=False)

    world = World(clusters, time.monotonic, sleep, pace, check=check, route=set_weight, still_wanted=still_wanted)
    return Mover(journal, world)


@task(name="move a wave", cache_policy=NO_CACHE, persist_result=False)
def move_wave(run: Run, wave: Sequence[Decision], pace: Pace, objectives: Sequence[Objective]) -> list[Result]:
    """Move the workloads of one wave side by side, with the room that they need at their target reserved.

    Nothing is moved in shadow, whatever the flow asks for. When the run is cancelled, moves that are not done go back
    at once; a process that is killed before they are there leaves the rest of the way to the next run.
    """
    if run.mode is Mode.SHADOW:
        return []
    cancelled = threading.Event()
    mover = mover_of(run.fleet, run.journal, pace, cancelled, objectives)
    held = _reserve(run, wave, pace)
    try:
        with run.journal.holding():
            try:
                return side_by_side(partial(_move, run, mover), wave, cancelled.set)
            except BaseException:
                _turn_round(run, wave, pace)
                raise
    finally:
        for each in held:
            run.journal.release_reservation(each)


def _reserve(run: Run, wave: Sequence[Decision], pace: Pace) -> list[str]:
    """Keep other runs off the room that a wave will take, until its pods are there for everybody to see."""
    until = now() + timedelta(seconds=4 * pace.patience_s + pace.soak_s)
    sums = [sum(amounts) for amounts in zip(*(row.content["size"] for row in wave), strict=True)]
    return [run.journal.reserve(wave[0].content["target"], amount, unit, flow=run.flow, until=until).id
            for unit, amount in zip((CORES, MEMORY), sums, strict=True)]  # fmt: skip


def _move(run: Run, mover: Mover, row: Decision) -> Result:
    content = row.content
    namespace, name = content["workload"].split("/")
    route = content.get("route")
    try:
        backends = route["backends"] if route else {}
        there = Route(route["subject"], backends[content["source"]], backends[content["target"]]) if route else None
        target, cause = mover.world.clusters(content["target"]), content["reasons"][0]["code"]
        if cause == SILENT:
            plan = replace(plan_from_afar(spare_of(run, content["workload"]), target), route=there)
        else:
            plan = plan_move(mover.world.clusters(content["source"]), target, namespace, name, cause=cause, route=there)
        intent = mover.begin(plan, key=f"{row.id}/{row.subject}/{KIND}", decision_id=row.id, fleet=run.fleet_name)
        ended = mover.carry_out(intent)
    except (ContinuumError, KeyError) as error:
        said = f"the route has no backend of {error}" if isinstance(error, KeyError) else str(error)
        run.store.settle([row], Verdict.EXPIRED, detail=said)
        return Result(row.id, row.subject, REFUSED, said)
    if ended.state == State.STARTED and cause == SILENT and ended.operation.get("weight") == 100:
        run.store.settle([row], Verdict.ACTED, detail=ended.detail)
        return Result(row.id, row.subject, State.DONE, ended.detail)  # what is left to do waits for its source
    return Result(row.id, row.subject, str(ended.state), ended.detail)


def _turn_round(run: Run, wave: Sequence[Decision], pace: Pace) -> None:
    """Bring back the moves of a cancelled run that have been told to go back."""
    mover = mover_of(run.fleet, run.journal, pace)
    started = [each for row in wave for each in run.journal.intents(decision_id=row.id, state=State.STARTED)]
    side_by_side(mover.carry_out, [each for each in started if each.kind == KIND and each.operation.get("back")])


@task(name="take a wave back", cache_policy=NO_CACHE, persist_result=False)
def take_back(run: Run, wave: Sequence[Decision], ended: Sequence[Result], pace: Pace, why: str) -> list[Result]:
    """Move the workloads of a failed wave back to where they came from; those that did not move have gone back already.

    why: what failed.
    """
    mover = mover_of(run.fleet, run.journal, pace)
    with run.journal.holding():
        return side_by_side(lambda both: _taken_back(run, mover, *both, why), list(zip(wave, ended, strict=True)))


def _taken_back(run: Run, mover: Mover, row: Decision, result: Result, why: str) -> Result:
    if result.state != State.DONE:
        return result
    try:
        plan = MovePlan.of(run.journal.intents(decision_id=row.id)[0].do)
        ended = _back(mover, plan, f"{row.id}/wave", run.fleet_name)
        state, said = str(ended.state), ended.detail
    except ContinuumError as error:
        state, said = REFUSED, str(error)
    if state != State.DONE:
        return Result(row.id, row.subject, result.state,
                      f"{result.detail}; its wave failed ({why}), and it did not go back: {said}")  # fmt: skip
    told = f"taken back, as its wave failed ({why}): {said}"
    run.store.settle([row], Verdict.UNDONE, detail=told)
    return Result(row.id, row.subject, State.UNDONE, told)


def _back(mover: Mover, plan: MovePlan, key: str, fleet: str = "default") -> Intent:
    """The move of a workload back along the way that it came."""
    route = plan.route and Route(plan.route.subject, plan.route.target, plan.route.source)
    back = plan_move(mover.world.clusters(plan.target), mover.world.clusters(plan.source), plan.namespace, plan.name,
                     cause="taken back", route=route)  # fmt: skip
    return mover.carry_out(mover.begin(back, key=key, fleet=fleet))


def _undo(journal: Journal, intent: Intent) -> str:
    """How `continuum undo` takes a move back: by a move of its own the other way."""
    plan = MovePlan.of(intent.do)  # the other way round already
    fleet = str(intent.do["fleet"])
    there = MovePlan(**(vars(plan) | {"source": plan.target, "target": plan.source}))
    pace = Pace(**intent.do.get("pace", {}))
    with journal.holding():
        ended = _back(mover_of(load_stored_fleet(fleet), journal, pace), there, f"{intent.id}/back", fleet)
    if ended.state != State.DONE:
        raise OperationFailed(ended.detail, where=plan.subject, fix="see `continuum journal list`")
    return ended.detail


APPLIERS: dict[str, Callable[[Journal, Intent], Any]] = {KIND: _undo}


@task(name="finish forgotten moves", cache_policy=NO_CACHE, persist_result=False)
def finish_forgotten(run: Run, forgotten: Sequence[Forgotten], pace: Pace) -> list[Result]:
    """End moves that have drained their source and are not in the store, which was put back to an older day."""
    if run.mode is Mode.SHADOW:
        said = "its move is not in the store, which was put back; the next run in act mode finishes it"
        return [Result("", each.subject, str(State.STARTED), said) for each in forgotten]
    cancelled = threading.Event()
    mover = mover_of(run.fleet, run.journal, pace, cancelled)
    with run.journal.holding():
        return side_by_side(partial(_finish, run, mover), forgotten, cancelled.set)


def _finish(run: Run, mover: Mover, each: Forgotten) -> Result:
    try:
        plan = look_at(mover.world.clusters(each.source), each.namespace, each.name, target=each.target,
                       cause="forgotten", replicas=each.replicas)  # fmt: skip
        key = f"{run.id}/{each.subject}/forgotten"
        ended = mover.carry_out(mover.begin(plan, key=key, fleet=run.fleet_name))
    except ContinuumError as error:
        return Result("", each.subject, REFUSED, str(error))
    return Result("", each.subject, str(ended.state), ended.detail)


@task(name="finish left-over moves", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run, pace: Pace) -> list[Result]:
    """Carry moves that a killed run has left to their end; in shadow they are only told."""
    if run.mode is Mode.SHADOW:
        left = [each for each in run.journal.expired() if each.kind == KIND]
        said = "left by a run that ended; the next run in act mode finishes it"
        return [Result(each.decision_id or "", each.subject, str(each.state), said) for each in left]
    cancelled = threading.Event()
    with run.journal.holding():
        ended = settle(mover_of(run.fleet, run.journal, pace, cancelled), run.fleet_name,
                       partial(side_by_side, stop=cancelled.set))  # fmt: skip
    return [Result(each.decision_id or "", each.subject, str(each.state), each.detail) for each in ended]
