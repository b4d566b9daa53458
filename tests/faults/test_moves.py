"""One workload moved between two simulated clusters: as it should be, refused, turned round."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blocks.errors import NotFound, Refused
from blocks.fleet import Fleet
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from blocks.store import Store
from blocks.store.tables import Intent, State
from deployments.simulation import Simulation
from tasks.migration.moves import (
    SILENT,
    MovePlan,
    Route,
    closure_of,
    look_at,
    plan_from_afar,
    plan_move,
    settle_left_over,
)  # fmt: skip
from tests.faults.move_faults import SOURCE_SILENT, Scene, Struck, crashing, settle
from tests.faults.move_scenes import (
    NAMESPACE,
    QUICK,
    REPLICAS,
    SOURCE,
    START_S,
    TARGET,
    Clusters,
    Watcher,
    deploy,
    look,
    mover_of,
    planned,
    ready_pods,
    there,
    tidy,
    until,
)

pytestmark = pytest.mark.server
numbers = itertools.count()


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


@pytest.fixture
def name(clusters: Clusters) -> str:
    """A workload of its own, Ready in the source."""
    made = f"shop-{next(numbers)}"
    deploy(clusters(SOURCE), made)
    return made


def test_a_move_takes_all_along_and_is_never_below_the_floor(fleet: Fleet, clusters: Clusters) -> None:
    name = "slowly"
    deploy(clusters(SOURCE), name, START_S)
    mover, plan = mover_of(clusters), planned(clusters, name)
    assert sorted(kind for kind, _ in plan.closure) == [
        "configmaps",
        "poddisruptionbudgets",
        "serviceaccounts",
        "services",
    ]
    with Watcher(fleet) as watcher:
        ended = mover.carry_out(mover.begin(plan, key=name))
        until(lambda: watcher.serving(name) == ready_pods(clusters(TARGET), name))
    assert ended.state == State.DONE, ended.detail
    found = look(clusters, name, done=ended.state == State.DONE)
    assert (found.source, found.target, found.left) == (0, REPLICAS, ())
    assert clusters(TARGET).get("configmaps", name, NAMESPACE)["data"] == {"mode": "shop"}
    assert watcher.least(name) >= plan.floor, watcher.events
    steps = [step.detail.split(",")[0] for step in mover.journal.steps(ended.id) if step.event == "noted"]
    assert steps == ["reserved", "started", "healthy", "shifting", "drained", "removed"]
    assert ready_pods(clusters(TARGET), name) == REPLICAS


def also_uses(api: KubernetesApi, name: str) -> None:
    """Another workload of that cluster that reads the ConfigMap `name`, and an Ingress to its Service."""
    container = {"name": "a", "image": "registry.example/a:1", "envFrom": [{"configMapRef": {"name": name}}]}
    template = {"metadata": {"labels": {"app": f"{name}-too"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": f"{name}-too"}}, "template": template}
    meta = {"name": f"{name}-too", "namespace": NAMESPACE}
    api.create(
        "deployments", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}, NAMESPACE
    )
    backend = {"service": {"name": name, "port": {"number": 80}}}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta,
               "spec": {"defaultBackend": backend}}  # fmt: skip
    api.create("ingresses", ingress, NAMESPACE)


def test_what_others_need_or_have_edited_stays_in_the_source_and_is_told(
    simulation: Simulation, clusters: Clusters, name: str
) -> None:
    also_uses(clusters(SOURCE), name)
    scene = Scene(simulation, clusters, name, random.Random(), planned(clusters, name))
    mover = scene.in_stage(
        "removed",
        lambda: clusters(SOURCE).patch("poddisruptionbudgets", name, {"spec": {"maxUnavailable": 2}}, NAMESPACE),
    )
    scene.run(mover)
    (ended,) = mover.journal.intents()
    assert ended.state == State.DONE, ended.detail
    assert there(clusters(SOURCE), name) == [
        f"{kind}/{name}" for kind in ("configmaps", "services", "poddisruptionbudgets")
    ]
    for words in (f"ConfigMap {name} (others need it)", f"Service {name} (others need it)", "(it was edited)"):
        assert words in ended.detail


def test_a_move_that_goes_back_leaves_what_others_need_in_the_target_by_then(
    simulation: Simulation, clusters: Clusters, name: str
) -> None:
    def cancel() -> None:
        also_uses(clusters(TARGET), name)
        raise Struck

    scene = Scene(simulation, clusters, name, random.Random(), planned(clusters, name))
    scene.run(scene.in_stage("healthy", cancel))
    (ended,) = settle_left_over(mover_of(clusters))
    assert ended.state == State.UNDONE, ended.detail
    assert there(clusters(TARGET), name) == [f"{kind}/{name}" for kind in ("configmaps", "services")]


@pytest.mark.parametrize("reached", ["drained", "removed"])
def test_a_store_that_has_forgotten_how_far_a_move_went_goes_by_the_world(
    simulation: Simulation, clusters: Clusters, name: str, reached: str
) -> None:
    def over() -> None:
        raise Refused("its run is over")

    scene = Scene(simulation, clusters, name, random.Random(), planned(clusters, name))
    scene.run(scene.in_stage(reached, over))
    later = mover_of(clusters)
    (intent,) = later.journal.expired()
    later.journal.note(later.journal.adopt(intent), {"stage": "healthy", "weight": 0})
    (ended,) = settle_left_over(mover_of(clusters))
    assert ended.state == State.DONE, ended.detail
    found = look(clusters, name, done=True)
    assert (found.source, found.target, found.left) == (0, REPLICAS, ())


def test_the_copy_of_a_move_that_was_forgotten_goes_only_when_the_source_is_whole_again(
    fleet: Fleet, simulation: Simulation, clusters: Clusters, tmp_path: Path
) -> None:
    def over() -> None:
        raise Refused("its run is over")

    name = "forgotten"
    deploy(clusters(SOURCE), name, START_S)
    scene = Scene(simulation, clusters, name, random.Random(), planned(clusters, name))
    with Watcher(fleet) as watcher:
        scene.run(scene.in_stage("drained", over))
        mover_of(clusters)  # time passes: the Lease has ended
        patient = replace(QUICK, away_s=20.0)  # its pods come and go while it writes: it is told to read again
        mover = mover_of(clusters, pace=patient, store=Store.open(f"sqlite:///{tmp_path / 'new.db'}"))
        ended = mover.carry_out(mover.begin(scene.plan, key=name))
        assert ended.state == State.DONE, ended.detail
        until(lambda: watcher.serving(name) == ready_pods(clusters(TARGET), name) == REPLICAS)
    assert watcher.least(name) >= scene.plan.floor


class TestFromAfar:
    """A workload whose cluster does not answer is started elsewhere, and never left there twice."""

    @pytest.fixture
    def clusters(self, fleet: Fleet) -> Clusters:
        """Who asks what does not answer gives up soon."""
        return Clusters(fleet, quick=True)

    def begun(self, simulation: Simulation, clusters: Clusters, name: str, **more: Any) -> Intent:
        """A copy that serves while the source is silent."""
        spare = look_at(clusters(SOURCE), NAMESPACE, name, target="", cause=SILENT)
        mover = mover_of(clusters, **more)
        simulation.add_fault(SOURCE_SILENT)
        ended = mover.carry_out(mover.begin(plan_from_afar(spare, clusters(TARGET)), key=name))
        assert ready_pods(clusters(TARGET), name) == REPLICAS
        return ended

    def test_it_serves_and_waits_and_the_source_goes_when_it_is_back(
        self, simulation: Simulation, clusters: Clusters, name: str
    ) -> None:
        waits = self.begun(simulation, clusters, name)
        assert (waits.state, "serves in" in waits.detail) == (State.STARTED, True), waits.detail
        simulation.lift_fault()
        (ended,) = settle_left_over(mover_of(clusters))
        found = look(clusters, name, done=True)
        assert (ended.state, found.source, found.target, found.left) == (State.DONE, 0, REPLICAS, ()), ended.detail

    def test_a_source_that_is_back_before_the_copy_serves_keeps_its_workload(
        self, simulation: Simulation, clusters: Clusters, name: str
    ) -> None:
        def wanted(_: MovePlan) -> bool:
            return not (simulation.lift_fault() or True)

        spare = look_at(clusters(SOURCE), NAMESPACE, name, target="", cause=SILENT)
        mover = mover_of(clusters, still_wanted=wanted)
        simulation.add_fault(SOURCE_SILENT)
        ended = mover.carry_out(mover.begin(plan_from_afar(spare, clusters(TARGET)), key=name))
        found = look(clusters, name, done=False)
        assert (ended.state, found.source, found.target, found.left) == (State.UNDONE, REPLICAS, 0, ())

    def test_a_source_that_comes_back_empty_or_never_leaves_the_copy_alone(
        self, simulation: Simulation, clusters: Clusters, name: str
    ) -> None:
        self.begun(simulation, clusters, name)
        simulation.lift_fault()
        tidy(clusters, name, SOURCE)
        (ended,) = settle_left_over(mover_of(clusters))
        assert (ended.state, ready_pods(clusters(TARGET), name)) == (State.DONE, REPLICAS)

    def test_a_source_that_somebody_took_out_of_the_inventory_ends_the_move(
        self, simulation: Simulation, clusters: Clusters, name: str
    ) -> None:
        self.begun(simulation, clusters, name)
        mover = mover_of(clusters)

        def without(cluster: str) -> KubernetesApi:
            if cluster == SOURCE:
                raise NotFound("the inventory has no such cluster", where=cluster)
            return clusters(cluster)

        (ended,) = settle_left_over(replace(mover, world=replace(mover.world, clusters=without)))
        assert (ended.state, f"whatever {SOURCE} has" in ended.detail) == (State.DONE, True)


def test_a_copy_that_fails_once_it_is_alone_brings_the_source_back(
    simulation: Simulation, clusters: Clusters, name: str
) -> None:
    scene = Scene(simulation, clusters, name, random.Random(), planned(clusters, name))
    crashing(scene, "removed")
    ended = settle(scene)
    assert (ended.state, "pods are Ready" in ended.detail) == (State.UNDONE, True), ended.detail
    found = look(clusters, name, done=False)
    assert (found.source, found.target, found.left) == (REPLICAS, 0, ())


def test_a_done_move_can_be_taken_back_by_the_same_way(clusters: Clusters, name: str) -> None:
    mover = mover_of(clusters)
    mover.carry_out(mover.begin(planned(clusters, name), key=name))
    back = plan_move(clusters(TARGET), clusters(SOURCE), NAMESPACE, name, cause="undo")
    ended = mover.carry_out(mover.begin(back, key=f"{name}/back"))
    assert ended.state == State.DONE, ended.detail
    assert (ready_pods(clusters(SOURCE), name), ready_pods(clusters(TARGET), name)) == (REPLICAS, 0)


def test_the_requests_follow_in_three_steps_and_come_back_when_a_check_fails(clusters: Clusters, name: str) -> None:
    weights: list[int] = []
    plan = planned(clusters, name, route=Route("eu-eks/gateway/default/shop", "here", "there"))

    def check(_: MovePlan) -> str:
        return "5 % errors" if weights[-1:] == [50] else ""

    mover = mover_of(clusters, route=lambda _, weight: weights.append(weight), check=check)
    ended = mover.carry_out(mover.begin(plan, key=name))
    assert (ended.state, weights) == (State.UNDONE, [10, 50, 0])
    assert "5 % errors" in ended.detail
    found = look(clusters, name, done=ended.state == State.DONE)
    assert (found.source, found.target, found.left) == (REPLICAS, 0, ())


def test_a_move_whose_cause_has_passed_is_cancelled_before_the_requests_shift(clusters: Clusters, name: str) -> None:
    mover = mover_of(clusters, still_wanted=lambda _: False)
    ended = mover.carry_out(mover.begin(planned(clusters, name), key=name))
    assert (ended.state, ended.detail.endswith("its cause has passed")) == (State.UNDONE, True)
    assert look(clusters, name, done=ended.state == State.DONE).left == ()


def test_a_second_move_of_the_same_workload_is_refused_while_the_first_is_open(clusters: Clusters, name: str) -> None:
    first, plan = mover_of(clusters), planned(clusters, name)
    first.begin(plan, key=name)
    with pytest.raises(Refused, match="another unfinished change holds it"):
        mover_of(clusters).begin(plan, key=f"{name}/second")


def test_a_freeze_of_the_target_stops_a_move_where_it_is_and_a_thaw_lets_it_go_on(
    clusters: Clusters, name: str
) -> None:
    mover, plan = mover_of(clusters), planned(clusters, name)
    intent = mover.begin(plan, key=name)
    mover.journal.freeze(TARGET)
    with pytest.raises(Refused, match="frozen"):
        mover.begin(plan, key=f"{name}/other")
    assert mover.carry_out(intent).state == State.STARTED
    assert ready_pods(clusters(TARGET), name) == 0
    mover.journal.thaw(TARGET)
    (ended,) = settle_left_over(mover_of(clusters))
    assert ended.state == State.DONE


def annotated(clusters: Clusters, name: str, **annotations: str) -> None:
    clusters(SOURCE).patch("deployments", name, {"metadata": {"annotations": annotations}}, NAMESPACE)


class TestRefusals:
    """What cannot end well is refused before anything is touched."""

    def test_what_somebody_else_owns(self, clusters: Clusters, name: str) -> None:
        annotated(clusters, name, **{"argocd.argoproj.io/tracking-id": "shop"})
        with pytest.raises(Refused, match="argo-cd owns it"):
            planned(clusters, name)

    def test_a_name_that_is_taken_in_the_target(self, clusters: Clusters, name: str) -> None:
        deploy(clusters(TARGET), name)
        with pytest.raises(Refused, match="there is a workload of that name already"):
            planned(clusters, name)

    def test_a_budget_that_lets_no_pod_go(self, clusters: Clusters, name: str) -> None:
        clusters(SOURCE).patch("poddisruptionbudgets", name, {"spec": {"maxUnavailable": 0}}, NAMESPACE)
        with pytest.raises(Refused, match="lets no pod go"):
            planned(clusters, name)

    def test_a_workload_without_what_its_pods_need(self, clusters: Clusters, name: str) -> None:
        clusters(SOURCE).delete_at(path_of("configmaps", namespace=NAMESPACE), name)
        with pytest.raises(Refused, match=f"configmaps/{name}"):
            planned(clusters, name)

    def test_data_in_volume_claims_unless_somebody_says_that_it_may_stay(self, clusters: Clusters, name: str) -> None:
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        found = clusters(SOURCE).get("deployments", name, NAMESPACE)
        found["spec"]["template"]["spec"]["volumes"] = [volume]
        with pytest.raises(Refused, match="keep data in data"):
            closure_of(clusters(SOURCE), found)
        found["metadata"]["annotations"] = {"continuum.io/stateless": "true"}
        assert closure_of(clusters(SOURCE), found).absent == ()

    def test_another_object_of_that_name_in_the_target_turns_the_move_round(
        self, clusters: Clusters, name: str
    ) -> None:
        other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"mode": "other"}}
        clusters(TARGET).create("configmaps", other, NAMESPACE)
        mover = mover_of(clusters)
        ended = mover.carry_out(mover.begin(planned(clusters, name), key=name))
        assert (ended.state, "there is another ConfigMap" in ended.detail) == (State.UNDONE, True)
        assert clusters(TARGET).get("configmaps", name, NAMESPACE)["data"] == {"mode": "other"}
        assert ready_pods(clusters(SOURCE), name) == REPLICAS
