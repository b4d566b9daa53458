"""`kill -9` at every step of raising the minimums of two HPAs: all of them or none, and the hold is taken back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from blocks import settings
from blocks.fleet import Actuator, Fleet, Workload
from blocks.fleet_file import load_fleet
from blocks.store.tables import UNFINISHED, Hold, State, now
from deployments.simulation import Simulation
from tasks.scaling import act
from tasks.scaling.actuators import open_actuator
from tasks.scaling.actuators.workload import SetWorkloadMinimum
from tasks.scaling.pool_access import open_pool
from tasks.scaling.reaper import reap
from tests.faults.kill_in_act import killed_at
from tests.faults.laws import Laws
from tests.faults.scenes import run_of
from tests.flows.actuators.scenes import JOBS, look
from tests.flows.actuators.test_workload_minimum import HPAS
from tests.flows.shortcuts import with_pool

NAMES = ("shop", "mart")
STEPS = ("start:after", "patch:before", "patch:after", "done:before")


@pytest.fixture(scope="module")
def scaled(simulation: Simulation) -> Fleet:
    """Two workloads with an HPA each, on a pool that is changed by their minimums."""
    fleet = with_pool(load_fleet(simulation.fleet_file), JOBS, actuator=Actuator.WORKLOAD)
    workloads = [Workload(name=name, cluster="asia-aks", node_pool="jobs") for name in NAMES]
    api = open_pool(fleet, JOBS).api
    for name in NAMES:
        labels = {"app": name}
        container = {"name": name, "image": "registry.example/shop:1", "resources": {"requests": {"cpu": "50m"}}}
        api.create("deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
        }, "default")  # fmt: skip
        api.request("POST", HPAS, body={
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"minReplicas": 2, "maxReplicas": 6,
                     "metrics": [{"type": "Resource", "resource": {
                         "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
                     "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}},
        })  # fmt: skip
    return fleet.model_copy(update={"workloads": workloads})


@pytest.mark.parametrize("step", STEPS)
def test_minimums_of_a_killed_run_are_all_raised_or_all_as_before(
    scaled: Fleet, fleet: Fleet, simulation: Simulation, step: str, tmp_path: Path
) -> None:
    run = run_of(scaled)
    laws, actuator = Laws(simulation, fleet, run.journal), open_actuator(scaled, JOBS, SetWorkloadMinimum.kind)
    _, found = look(run, JOBS)
    before, setting = actuator.look().value, int(found.setting_nodes[0])
    about = {"actuator": found.kind[0].value, "actuator_why": found.why[0].value,
             "seen": found.seen[0]}  # fmt: skip
    killed_at(step, settings.home(), scaled, JOBS, setting, 2 * setting, about)

    act.finish_left_over.fn(run)
    (intent,) = run.journal.intents()
    there = actuator.look().value
    assert intent.state not in UNFINISHED
    assert there == (intent.do if intent.state == State.DONE else intent.undo)["value"], intent.detail
    for hold in run.journal.holds("default"):
        run.journal.keep_hold(Hold(**hold.model_dump() | {"until": now() - timedelta(days=400)}))
    assert all(result.state == State.DONE for result in reap.fn(run))
    assert actuator.look().value == before
    assert run.journal.holds("default") == []
    laws.check()
