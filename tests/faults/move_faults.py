"""Faults that strike a move: each knows how to strike as the move leaves a stage, and what else it takes down."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blocks import settings
from blocks.errors import ContinuumError, NotFound, Refused, StoreUnavailable
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from blocks.store import Store
from blocks.store.tables import UNFINISHED, Intent, State
from deployments.simulation import Simulation
from tasks.migration.moves import SILENT, STAGES, MovePlan, Mover, look_at, plan_from_afar, settle_left_over
from tasks.migration.moves.closure import replicas_of
from tasks.migration.moves.objects import is_drained_into
from tasks.migration.moves.plan import workload_in
from tests.faults.move_scenes import ANSWER_S, NAMESPACE, REPLICAS, SOURCE, TARGET, Clusters, mover_of, planned

PODS_ASIDE = "^(?!.*/pods)"  # whoever watches the pods is spared the errors of an API, which would hide them
SITES = {SOURCE: "frankfurt", TARGET: "virginia"}
SOURCE_SILENT = {"kind": "api", "api": "kubernetes", "cluster": SOURCE, "effect": "reset", "path": PODS_ASIDE}
MOST_REQUESTS = 8  # of a stage, about: a kill strikes at one of them


class Struck(BaseException):
    """Ends a run as a cancellation does."""


@dataclass
class Scene:
    """One workload, its move, and what has been done to it.

    Attributes
    ----------
    struck: the stage that the last fault met; "" where the move had ended before.
    expected, floor: pods that others want by now, and that have to be Ready at every moment.
    forced: somebody else took pods down, which no mover can help.
    theirs: what is left because somebody else edited it.
    """

    simulation: Simulation
    clusters: Clusters
    name: str
    random: random.Random
    plan: MovePlan
    struck: str = ""
    expected: int = REPLICAS
    floor: int = REPLICAS
    forced: bool = False
    removed_by_others: bool = False
    moved_by_others: bool = False
    theirs: str = ""

    def in_stage(self, stage: str, strike: Callable[[], None]) -> Mover:
        """A mover whose `strike` happens once, as the move leaves a stage, or the later one in which it is."""
        mover = mover_of(self.clusters)
        proceed = mover.journal.proceed
        self.struck = ""

        def proceeding(intent: Intent) -> Intent:
            present = intent.operation.get("stage", STAGES[0])
            if not self.struck and STAGES.index(present) >= STAGES.index(stage):
                self.struck = present
                strike()
            return proceed(intent)

        mover.journal.proceed = proceeding  # type: ignore[method-assign]
        return mover

    def run(self, mover: Mover) -> None:
        """Go on with the move, or begin one where none is open nor done; whatever ends the run ends it here."""
        with suppress(Struck, ContinuumError):
            if open_intents(mover):
                settle_left_over(mover)
                return
            ended = mover.journal.intents()
            if not any(intent.state == State.DONE for intent in ended):
                plan = planned(self.clusters, self.name) if ended else self.plan
                mover.carry_out(mover.begin(plan, key=f"{self.name}/{len(ended)}"))

    def takes_down(self, cluster: str) -> None:
        """A fault takes down the pods in a cluster: below the floor where those of the other do not make up for it."""
        if cluster == SOURCE or STAGES.index(self.struck) >= STAGES.index("shifting"):
            self.forced = True


def kill(scene: Scene, stage: str) -> None:
    """`kill -9` before, or right after, one of the requests of a stage."""
    requests, after = scene.random.randint(1, MOST_REQUESTS), scene.random.random() < 0.5
    pipe = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):

            def strike() -> None:
                os.write(pipe[1], scene.struck.encode())
                _kill_at(requests, after=after)

            scene.run(scene.in_stage(stage, strike))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(pipe[1])
    with os.fdopen(pipe[0], "rb") as told:
        scene.struck = told.read().decode() if os.WIFSIGNALED(status) else ""
    mover_of(scene.clusters)  # the child's time has passed too


def _kill_at(requests: int, *, after: bool) -> None:
    left, send = [requests], KubernetesApi._send

    def sending(api: KubernetesApi, *given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(api, *given, **named)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    KubernetesApi._send = sending  # type: ignore[method-assign]


def _api(scene: Scene, **fault: Any) -> None:
    rule = {"kind": "api", "api": "kubernetes", "seed": scene.random.randint(0, 10**6), "path": PODS_ASIDE}
    scene.simulation.add_fault(rule | fault)


def api_errors(status: int, *, work_done: bool = False) -> Callable[[Scene, str], None]:
    """Some requests to a cluster are answered with an error, though the work of writes may have gone on."""

    def strike(scene: Scene, stage: str) -> None:
        cluster = scene.random.choice((SOURCE, TARGET))
        more = {"retry_after_s": 0} if status == 429 else {}
        fault = {"cluster": cluster, "effect": "error", "status": status, "share": 0.5, "work_done": work_done} | more
        times = scene.random.randint(1, 8)
        scene.run(scene.in_stage(stage, lambda: _api(scene, times=times, **fault)))

    return strike


def cut_off(scene: Scene, stage: str) -> None:
    """Connections are cut after the request has taken effect."""
    cluster = scene.random.choice((SOURCE, TARGET))
    scene.run(scene.in_stage(stage, lambda: _api(scene, cluster=cluster, effect="reset", share=0.5, work_done=True,
                                                 times=scene.random.randint(1, 6))))  # fmt: skip


def timed_out(scene: Scene, stage: str) -> None:
    """Answers come after their time-out; the requests have taken effect."""
    cluster = scene.random.choice((SOURCE, TARGET))
    late = {"cluster": cluster, "effect": "slow", "delay_s": ANSWER_S + 1, "work_done": True, "share": 0.5}
    times = scene.random.randint(1, 2)
    scene.run(scene.in_stage(stage, lambda: _api(scene, times=times, **late)))


def gone(cluster: str) -> Callable[[Scene, str], None]:
    """A cluster's API does not answer from a stage on, longer than a run waits; it is back for the next."""

    def strike(scene: Scene, stage: str) -> None:
        scene.run(scene.in_stage(stage, lambda: _api(scene, cluster=cluster, effect="reset")))
        scene.simulation.lift_fault()

    return strike


def off(cluster: str) -> Callable[[Scene, str], None]:
    """A cluster is off, nodes and all, longer than a run waits; it is back for the next."""

    def strike(scene: Scene, stage: str) -> None:
        def at_once() -> None:
            scene.takes_down(cluster)
            scene.simulation.add_fault({"kind": "cluster-kill", "cluster": cluster})

        scene.run(scene.in_stage(stage, at_once))
        scene.simulation.lift_fault()

    return strike


def cut_apart(cluster: str) -> Callable[[Scene, str], None]:
    """No network to a cluster, where all goes on; it is back for the next run."""

    def strike(scene: Scene, stage: str) -> None:
        partition = {"kind": "site-partition", "site": SITES[cluster]}
        scene.run(scene.in_stage(stage, lambda: scene.simulation.add_fault(partition) and None))
        scene.simulation.lift_fault()

    return strike


def from_afar(fault: dict[str, Any]) -> Callable[[Scene, str], None]:
    """The source is silent before a move begins; its workload is started elsewhere, and it is back for the next run."""

    def strike(scene: Scene, stage: str) -> None:
        del stage
        if scene.plan.hook or mover_of(scene.clusters).journal.intents():
            scene.struck = ""
            return
        spare = look_at(scene.clusters(SOURCE), NAMESPACE, scene.name, target="", cause=SILENT)
        scene.plan = plan_from_afar(spare, scene.clusters(TARGET))
        scene.forced |= fault["kind"] == "cluster-kill"
        scene.simulation.add_fault(fault)
        scene.run(scene.in_stage(STAGES[0], lambda: None))
        scene.simulation.lift_fault()

    return strike


def not_ready(scene: Scene, stage: str) -> None:
    """Pods in the target do not become Ready, and those that are do not stay so."""

    def at_once() -> None:
        scene.takes_down(TARGET)
        pods = {"kind": "pod-never-ready", "cluster": TARGET, "namespace": NAMESPACE, "name": f"{scene.name}-*"}
        scene.simulation.add_fault(pods)

    scene.run(scene.in_stage(stage, at_once))
    scene.simulation.lift_fault()


def crashing(scene: Scene, stage: str) -> None:
    """The target's pods were Ready, stayed so for the soak, and crash after it, again and again."""
    stage = stage if STAGES.index(stage) >= STAGES.index("healthy") else "healthy"

    def at_once() -> None:
        scene.takes_down(TARGET)
        target = scene.clusters(TARGET)
        for pod in target.list("pods", NAMESPACE, label_selector=f"app={scene.name}"):
            body = {"metadata": {"annotations": {"continuum.io/fail": "crash"}}}
            with suppress(NotFound):
                target.patch("pods", pod["metadata"]["name"], body, NAMESPACE)

    scene.run(scene.in_stage(stage, at_once))


def _with_pods(scene: Scene, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Begin with pods that cannot be in the target as they are in the source."""
    if scene.struck or open_intents(mover_of(scene.clusters)):
        scene.struck = ""
        return
    manifest = scene.plan.manifest
    template = change(manifest["spec"]["template"])
    scene.plan = replace(scene.plan, manifest=manifest | {"spec": manifest["spec"] | {"template": template}})
    scene.run(scene.in_stage(STAGES[0], lambda: None))


def no_room(scene: Scene, stage: str) -> None:
    """No node of the target is as large as its pods."""
    del stage

    def huge(template: dict[str, Any]) -> dict[str, Any]:
        containers = [each | {"resources": {"requests": {"cpu": "900"}}} for each in template["spec"]["containers"]]
        return template | {"spec": template["spec"] | {"containers": containers}}

    _with_pods(scene, huge)


def no_image(scene: Scene, stage: str) -> None:
    """The target's nodes cannot pull the image."""
    del stage
    _with_pods(scene, lambda template: template | {
        "metadata": template["metadata"] | {"annotations": {"continuum.io/fail": "image"}}})  # fmt: skip


def full(scene: Scene, stage: str) -> None:
    """The target takes no pods any more, between plan and reservation or later, until the run is over."""
    target = scene.clusters(TARGET)

    def cordon(wanted: bool) -> None:
        for node in target.list("nodes"):
            target.patch("nodes", node["metadata"]["name"], {"spec": {"unschedulable": wanted or None}})

    scene.run(scene.in_stage(stage, lambda: cordon(True)))
    cordon(False)


def store_away(scene: Scene, stage: str) -> None:
    """The store cannot be written for the rest of a run."""
    mover = scene.in_stage(stage, lambda: None)
    note = mover.journal.note

    def refusing(intent: Intent, operation: Any = None, detail: str = "") -> Intent:
        if scene.struck:
            raise StoreUnavailable("a test", where="store")
        return note(intent, operation, detail)

    mover.journal.note = refusing  # type: ignore[method-assign]
    scene.run(mover)


def cancelled(scene: Scene, stage: str) -> None:
    """The run is cancelled."""

    def strike() -> None:
        raise Struck

    scene.run(scene.in_stage(stage, strike))


def edited(scene: Scene, stage: str) -> None:
    """Somebody edits the source's pods in mid-move."""

    def strike() -> None:
        with suppress(ContinuumError):
            body = {"spec": {"template": {"metadata": {"annotations": {"edited": str(scene.random.random())}}}}}
            scene.clusters(SOURCE).patch(scene.plan.resource, scene.name, body, NAMESPACE)
            scene.forced = True

    scene.run(scene.in_stage(stage, strike))


def removed(scene: Scene, stage: str) -> None:
    """Somebody removes the source in mid-move, while it is theirs."""

    def strike() -> None:
        if STAGES.index(scene.struck) <= STAGES.index("shifting"):
            scene.clusters(SOURCE).delete_at(path_of(scene.plan.resource, namespace=NAMESPACE), scene.name)
            scene.removed_by_others = scene.forced = True

    scene.run(scene.in_stage(stage, strike))


def scaled(pods: int) -> Callable[[Scene, str], None]:
    """An autoscaler gives the source another number of pods in mid-move, before the requests are shifted."""

    def struck(scene: Scene, stage: str) -> None:
        def strike() -> None:
            if STAGES.index(scene.struck) <= STAGES.index("healthy"):
                with suppress(ContinuumError):
                    scene.clusters(SOURCE).patch(
                        scene.plan.resource, scene.name, {"spec": {"replicas": pods}}, NAMESPACE
                    )
                    scene.expected = min(scene.expected, pods)
                    scene.floor = min(scene.floor, pods)

        scene.run(scene.in_stage(stage, strike))

    return struck


def budget(scene: Scene, stage: str) -> None:
    """Somebody lets the workload's budget forbid every disruption in mid-move."""

    def strike() -> None:
        with suppress(ContinuumError):
            body = {"spec": {"maxUnavailable": 0}}
            scene.clusters(SOURCE).patch("poddisruptionbudgets", scene.name, body, NAMESPACE)
            scene.theirs = f"{SOURCE}: poddisruptionbudgets/{scene.name}"

    scene.run(scene.in_stage(stage, strike))


def second_mover(scene: Scene, stage: str) -> None:
    """Another run wants to move the same workload."""

    def strike() -> None:
        other = mover_of(scene.clusters)
        with suppress(ContinuumError):
            other.carry_out(other.begin(planned(scene.clusters, scene.name), key=f"{scene.name}/other"))

    scene.run(scene.in_stage(stage, strike))


def other_store(scene: Scene, stage: str) -> None:
    """A run that knows nothing of this journal wants to move the same workload."""

    def strike() -> None:
        store = Store.open(f"sqlite:///{_store_file().parent / 'other.db'}")
        other = mover_of(scene.clusters, store=store)
        with suppress(ContinuumError):
            ended = other.carry_out(other.begin(planned(scene.clusters, scene.name), key=scene.struck))
            scene.moved_by_others |= ended.state == State.DONE
        store.close()

    scene.run(scene.in_stage(stage, strike))


def _store_file() -> Path:
    return Path(settings.store_url().removeprefix("sqlite:///"))


def restored(scene: Scene, stage: str) -> None:
    """The store is put back, in mid-move, to how it was before this run; and the next run goes on from that."""
    Store.open().close()
    file = _store_file()
    copy = {path: path.read_bytes() for path in file.parent.glob(f"{file.name}*")}

    def strike() -> None:
        raise Refused("a test: the run is over")

    scene.run(scene.in_stage(stage, strike))
    struck = scene.struck
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    mover = mover_of(scene.clusters)
    with suppress(Refused, NotFound):  # of a new plan, that sees the copy in the target; it may have been made before
        if not open_intents(mover):
            scene.plan = planned(scene.clusters, scene.name)
    scene.run(mover)
    scene.struck = struck


FAULTS: dict[str, Callable[[Scene, str], None]] = {
    "kill -9": kill,
    "API 409": api_errors(409), "API 429": api_errors(429), "API 500": api_errors(500),
    "API 500, work done": api_errors(500, work_done=True), "connection cut, work done": cut_off,
    "time-out, work done": timed_out,
    "target not Ready": not_ready, "crashes after its soak": crashing, "no image in the target": no_image,
    "no room in the target": no_room, "target full since the plan": full,
    "source API gone": gone(SOURCE), "target API gone": gone(TARGET),
    "source off": off(SOURCE), "target off": off(TARGET),
    "source cut apart": cut_apart(SOURCE), "target cut apart": cut_apart(TARGET),
    "source silent, copy started": from_afar(SOURCE_SILENT),
    "source off, copy started": from_afar({"kind": "cluster-kill", "cluster": SOURCE}),
    "store away": store_away, "store restored": restored, "cancelled": cancelled,
    "edited": edited, "removed by others": removed, "scaled out": scaled(5), "scaled in": scaled(2),
    "budget forbids": budget, "a second mover": second_mover, "a mover of another store": other_store,
}  # fmt: skip


def open_intents(mover: Mover) -> list[Intent]:
    return [intent for intent in mover.journal.intents() if intent.state in UNFINISHED]


def finish_forgotten(scene: Scene, mover: Mover) -> None:
    """End a move that has drained the source and that a restored store never heard of, as the flow does."""
    source, target = scene.clusters(SOURCE), scene.clusters(TARGET)
    with suppress(NotFound):
        copy = workload_in(target, NAMESPACE, scene.name)
        if is_drained_into(TARGET, workload_in(source, NAMESPACE, scene.name), copy):
            plan = look_at(source, NAMESPACE, scene.name, target=TARGET, cause="forgotten", replicas=replicas_of(copy))
            mover.carry_out(mover.begin(plan, key="forgotten"))


def settle(scene: Scene, passes: int = 4) -> Intent:
    """Runs without faults until every move has ended; the newest one, or the one that is done."""
    scene.simulation.lift_fault()
    for _ in range(passes):
        mover = mover_of(scene.clusters)
        settle_left_over(mover)
        if not open_intents(mover):
            break
    finish_forgotten(scene, mover_of(scene.clusters))
    ended = mover.journal.intents()
    done = [intent for intent in ended if intent.state == State.DONE]
    return done[0] if done else ended[0]
