"""Carry out approved moves, wave by wave: cluster by cluster; a wave that fails is taken back, and is the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, OperationFailed
from blocks.fleet import Fleet
from blocks.inventory import load_stored_fleet, resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from blocks.traffic import open_route
from tasks.acting import REFUSED, Result
from tasks.clusters import side_by_side
from tasks.migration.moves import KIND, MovePlan, Mover, Pace, Route, World, plan_move
from tasks.migration.moves import settle_left_over as settle
from tasks.run import Run


def mover_of(fleet: Fleet, journal: Journal, pace: Pace = Pace()) -> Mover:
    """A mover over the clusters and routes of a fleet; each cluster is connected to once."""
    import time

    open_clusters: dict[str, KubernetesApi] = {}

    def clusters(name: str) -> KubernetesApi:
        if name not in open_clusters:
            cluster = next(each for each in fleet.clusters if each.name == name)
            open_clusters[name] = KubernetesApi.connect(resolve_secrets(cluster))
        return open_clusters[name]

    def set_weight(route: Route, percent: int) -> None:
        there = open_route(fleet, route.subject)
        state = there.read()
        rest = {name: 0 for name in state.weights if name not in (route.source, route.target)}
        there.write({**rest, route.source: 100 - percent, route.target: percent}, state.session, state.version)

    return Mover(journal, World(clusters, time.monotonic, time.sleep, pace, route=set_weight))


@task(name="move workloads", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], pace: Pace) -> list[Result]:
    """Move: a wave a target cluster, the moves of a wave side by side.

    Nothing is moved in shadow, whatever the flow asks for.
    """
    if run.mode is Mode.SHADOW or not approved:
        return []
    mover = mover_of(run.fleet, run.journal, pace)
    waves = [list(rows) for _, rows in groupby(sorted(approved, key=_target), key=_target)]
    results: list[Result] = []
    stopped = ""
    with run.journal.holding():
        for wave in waves:
            if stopped:
                run.store.settle(wave, Verdict.EXPIRED, detail=stopped)
                results += [Result(row.id, row.subject, REFUSED, stopped) for row in wave]
                continue
            ended = side_by_side(lambda row: _move(run, mover, row), wave)
            if any(result.state != State.DONE for result in ended):
                ended = [_taken_back(mover, row, result) for row, result in zip(wave, ended, strict=True)]
                stopped = f"the wave to {_target(wave[0])} failed, so later ones were not begun"
            results += ended
    return results


def _target(row: Decision) -> str:
    return str(row.content["target"])


def _move(run: Run, mover: Mover, row: Decision) -> Result:
    content = row.content
    namespace, name = content["workload"].split("/")
    route = content.get("route")
    try:
        backends = route["backends"] if route else {}
        plan = plan_move(
            mover.world.clusters(content["source"]), mover.world.clusters(content["target"]), namespace, name,
            cause=content["reasons"][0]["code"],
            route=Route(route["subject"], backends[content["source"]], backends[content["target"]]) if route else None,
        )  # fmt: skip
        intent = mover.begin(plan, key=f"{row.id}/{row.subject}/{KIND}", decision_id=row.id, fleet=run.fleet_name)
        ended = mover.carry_out(intent)
    except (ContinuumError, KeyError) as error:
        said = f"the route has no backend of {error}" if isinstance(error, KeyError) else str(error)
        run.store.settle([row], Verdict.EXPIRED, detail=said)
        return Result(row.id, row.subject, REFUSED, said)
    return Result(row.id, row.subject, str(ended.state), ended.detail)


def _taken_back(mover: Mover, row: Decision, result: Result) -> Result:
    """Move a workload of a failed wave back to where it came from."""
    if result.state != State.DONE:
        return result
    ended = _back(mover, MovePlan.of(mover.journal.intents(decision_id=row.id)[0].do), f"{row.id}/wave")
    if ended.state != State.DONE:
        return Result(row.id, row.subject, result.state, f"{result.detail}; its wave failed, and it did not go back: "
                                                         f"{ended.detail}")  # fmt: skip
    return Result(row.id, row.subject, State.UNDONE, f"taken back, as its wave failed: {ended.detail}")


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


@task(name="finish left-over moves", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run, pace: Pace) -> list[Result]:
    """Carry moves that a killed run has left to their end; in shadow they are only told."""
    if run.mode is Mode.SHADOW:
        left = [each for each in run.journal.expired() if each.kind == KIND]
        said = "left by a run that ended; the next run in act mode finishes it"
        return [Result(each.decision_id or "", each.subject, str(each.state), said) for each in left]
    with run.journal.holding():
        ended = settle(mover_of(run.fleet, run.journal, pace), run.fleet_name, side_by_side)
    return [Result(each.decision_id or "", each.subject, str(each.state), each.detail) for each in ended]
