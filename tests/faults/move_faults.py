"""Faults that strike a move: each knows how to strike at a given moment, and what else has to be lifted after it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blocks import settings
from blocks.errors import ContinuumError, Refused, StoreUnavailable
from blocks.kubernetes import KubernetesApi
from blocks.store import Store
from blocks.store.tables import UNFINISHED, Intent, State
from deployments.simulation import Simulation
from tasks.migration.moves import MovePlan, Mover, settle_left_over
from tasks.migration.moves.plan import digest_of
from tests.faults.move_scenes import NAMESPACE, SOURCE, TARGET, Clusters, mover_of, planned

STAGES = ("planned", "reserved", "started", "healthy", "shifting", "drained", "removed")


class Struck(BaseException):
    """Ends a run as a cancellation does."""


@dataclass
class Scene:
    """One workload, its move, and what has been done to it."""

    simulation: Simulation
    clusters: Clusters
    name: str
    random: random.Random
    plan: MovePlan
    intent: Intent | None = None
    removed_by_others: bool = False
    edited: str = ""
    scaled_to: int = 0
    told: list[str] = field(default_factory=list)

    def in_stage(self, stage: str, strike: Callable[[], None]) -> Mover:
        """A mover whose `strike` happens once, just before the move leaves a stage."""
        mover = mover_of(self.clusters)
        proceed, done = mover.journal.proceed, []

        def proceeding(intent: Intent) -> Intent:
            if not done and intent.operation.get("stage", "planned") == stage:
                done.append(True)
                strike()
            return proceed(intent)

        mover.journal.proceed = proceeding  # type: ignore[method-assign]
        return mover

    def run(self, mover: Mover) -> None:
        """Begin the move, or go on with it; whatever ends the run ends it here."""
        with suppress(Struck, ContinuumError):
            if self.intent is None:
                self.intent = mover.begin(self.plan, key=self.name)
                mover.carry_out(self.intent)
            else:
                settle_left_over(mover)

    def killed(self, requests: int, *, after: bool) -> None:
        """The same in a process that kills itself before, or right after, its n-th request."""
        if self.intent is None:
            mover = mover_of(self.clusters)
            self.intent = mover.begin(self.plan, key=self.name)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                _kill_at(requests, after=after)
                mover = mover_of(self.clusters)
                settle_left_over(mover)
            os._exit(0)
        os.waitpid(child, 0)


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


def kill(scene: Scene, stage: str) -> None:
    """`kill -9` somewhere in the requests of a stage (there are some four to eight in each)."""
    del stage
    scene.killed(scene.random.randint(1, 60), after=scene.random.random() < 0.5)


def _api(scene: Scene, **fault: Any) -> None:
    scene.simulation.add_fault({"kind": "api", "api": "kubernetes", "seed": scene.random.randint(0, 10**6), **fault})


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


def gone(cluster: str) -> Callable[[Scene, str], None]:
    """A cluster does not answer from a stage on, longer than a run waits; it is back for the next."""

    def strike(scene: Scene, stage: str) -> None:
        scene.run(scene.in_stage(stage, lambda: _api(scene, cluster=cluster, effect="reset")))
        scene.simulation.lift_fault()

    return strike


def never_ready(scene: Scene, stage: str) -> None:
    """Pods in the target stop being Ready (an image that is missing, a crash after the soak)."""
    pods = {"kind": "pod-never-ready", "cluster": TARGET, "namespace": NAMESPACE, "name": f"{scene.name}-*"}
    scene.run(scene.in_stage(stage, lambda: scene.simulation.add_fault(pods) and None))
    scene.simulation.lift_fault()


def no_room(scene: Scene, stage: str) -> None:
    """The target's room is gone between plan and reservation: nothing fits any more."""
    del stage
    if scene.intent is None:
        manifest = scene.plan.manifest
        spec = manifest["spec"]["template"]["spec"]
        huge = [container | {"resources": {"requests": {"cpu": "900"}}} for container in spec["containers"]]
        template = manifest["spec"]["template"] | {"spec": spec | {"containers": huge}}
        scene.plan = replace(scene.plan, manifest=manifest | {"spec": manifest["spec"] | {"template": template}})
    scene.run(mover_of(scene.clusters))


def store_away(scene: Scene, stage: str) -> None:
    """The store cannot be written for the rest of a run."""
    mover = scene.in_stage(stage, lambda: None)
    note = mover.journal.note

    def refusing(intent: Intent, operation: Any = None, detail: str = "") -> Intent:
        if intent.operation.get("stage", "planned") == stage:
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
        api = scene.clusters(SOURCE)
        with suppress(ContinuumError):
            body = {"spec": {"template": {"metadata": {"annotations": {"edited": str(scene.random.random())}}}}}
            api.patch("deployments", scene.name, body, NAMESPACE)
            scene.edited = digest_of(api.get("deployments", scene.name, NAMESPACE))

    scene.run(scene.in_stage(stage, strike))


def removed(scene: Scene, stage: str) -> None:
    """Somebody removes the source in mid-move, while it is theirs."""

    def strike() -> None:
        from blocks.kubernetes.connection import path_of

        if stage in STAGES[:5]:
            scene.clusters(SOURCE).delete_at(path_of("deployments", namespace=NAMESPACE), scene.name)
            scene.removed_by_others = True

    scene.run(scene.in_stage(stage, strike))


def scaled(scene: Scene, stage: str) -> None:
    """An autoscaler gives the source more pods in mid-move."""

    def strike() -> None:
        with suppress(ContinuumError):
            if stage in STAGES[:4]:
                scene.clusters(SOURCE).patch("deployments", scene.name, {"spec": {"replicas": 5}}, NAMESPACE)
                scene.scaled_to = 5

    scene.run(scene.in_stage(stage, strike))


def second_mover(scene: Scene, stage: str) -> None:
    """Another run wants to move the same workload."""

    def strike() -> None:
        other = mover_of(scene.clusters)
        with suppress(ContinuumError):
            other.carry_out(other.begin(planned(scene.clusters, scene.name), key=f"{scene.name}/other"))

    scene.run(scene.in_stage(stage, strike))


def restored(scene: Scene, stage: str) -> None:
    """The store is put back to how it was before the move began, in mid-move; and the move is decided once more."""
    file = Path(settings.store_url().removeprefix("sqlite:///"))
    if scene.intent is not None or not file.exists():
        scene.run(mover_of(scene.clusters))
        return
    Store.open().close()
    copy = {path: path.read_bytes() for path in file.parent.glob(f"{file.name}*")}

    def strike() -> None:
        raise Refused("a test: the run is over")

    scene.run(scene.in_stage(stage, strike))
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    mover = mover_of(scene.clusters)
    try:
        again = planned(scene.clusters, scene.name)
    except Refused:  # the copy in the target is seen: another place has to be found, or a person looks
        again = scene.plan
    except ContinuumError:
        return
    scene.intent = mover.begin(again, key=f"{scene.name}/again")
    mover.carry_out(scene.intent)


FAULTS: dict[str, Callable[[Scene, str], None]] = {
    "kill -9": kill,
    "API 409": api_errors(409), "API 429": api_errors(429), "API 500": api_errors(500),
    "API 500, work done": api_errors(500, work_done=True), "connection cut, work done": cut_off,
    "target never Ready": never_ready, "no room in the target": no_room,
    "source cluster gone": gone(SOURCE), "target cluster gone": gone(TARGET),
    "store away": store_away, "cancelled": cancelled, "edited": edited, "removed by others": removed,
    "scaled by an autoscaler": scaled, "a second mover": second_mover, "store restored": restored,
}  # fmt: skip


def open_intents(mover: Mover) -> list[Intent]:
    return [intent for intent in mover.journal.intents() if intent.state in UNFINISHED]


def settle(scene: Scene, passes: int = 4) -> Intent:
    """Runs without faults until every move has ended; the newest one."""
    scene.simulation.lift_fault()
    for _ in range(passes):
        mover = mover_of(scene.clusters)
        settle_left_over(mover)
        if not open_intents(mover):
            break
    ended = mover.journal.intents()
    done = [intent for intent in ended if intent.state == State.DONE]
    return done[0] if done else ended[0]
