"""ScaledObjects of a simulated cluster over a real socket: capped, lifted, and never below what runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blocks.errors import Refused
from blocks.kubernetes import KubernetesApi
from blocks.store.tables import Decision, Mode, State, now
from blocks.store.undo import undo_plan
from tasks.acting import Result
from tasks.carbon.act import act_on
from tasks.carbon.caps import CapRequest, SetReplicaCap, observe_caps, open_cap
from tasks.carbon.decide.caps import DAY_S, HOUR_S, decide_caps
from tasks.carbon.decide.grid import Intensity
from tasks.run import Run
from tests.flows.actuators.test_workload_minimum import scaled_object
from tests.tasks.carbon.test_jobs import fleet, run, server

__all__ = ["fleet", "run", "server"]

ASKED = CapRequest(subject="c/scaledobjects/default/shop", most=20, hours_a_day=1)


@pytest.fixture
def api(run: Run) -> Any:
    """The cluster, with a ScaledObject of 1 to 20 replicas of a Deployment."""
    actuator = open_cap(run.fleet, ASKED.subject)
    assert isinstance(actuator, SetReplicaCap)
    pod = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "m", "image": "i:1"}]}}
    with scaled_object(actuator._api):
        actuator._api.create("deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "shop"}}, "template": pod},
        }, "default")  # fmt: skip
        yield actuator._api
        actuator._api.delete_at("/apis/apps/v1/namespaces/default/deployments", "shop")


def decided(run: Run) -> Decision:
    """One pass over it in the dirtiest hour of the day."""
    (capped,), trouble = observe_caps(run, [ASKED], "", now())
    assert trouble == []
    now_s = int(now().timestamp())
    grid = Intensity(now_s // DAY_S * DAY_S, HOUR_S, np.arange(24.0)[::-1])
    (record,) = decide_caps([capped], {"DE": grid}, {"DE": "actual"}, now_s)
    row = Decision(flow_run_id="r", flow="carbon-scheduling", subject=ASKED.subject, action=record["action"],
                   mode=Mode.ACT, as_of=now(), content=record)  # fmt: skip
    run.store.record_decisions([row])
    return row


def most(api: KubernetesApi) -> int:
    return int(api.get("scaledobjects", "shop", "default")["spec"]["maxReplicaCount"])


def acted(run: Run, row: Decision) -> Result:
    (result,) = act_on.fn(run, [row])
    return result


def test_its_maximum_goes_down_to_what_runs_and_comes_back_by_undo(run: Run, api: KubernetesApi) -> None:
    row = decided(run)
    assert acted(run, row).state == State.DONE
    assert most(api) == 3
    (undo,) = undo_plan(run.journal, row.id)
    open_cap(run.fleet, ASKED.subject).make_so(run.journal, run.journal.start(undo))
    assert most(api) == 20


def test_replicas_that_came_since_are_not_ended(run: Run, api: KubernetesApi) -> None:
    row = decided(run)
    api.patch("deployments", "shop", {"spec": {"replicas": 5}}, "default")
    result = acted(run, row)
    assert (result.state, most(api)) == ("refused", 20)
    assert "5 run, and nothing that runs is ended" in result.detail


def test_one_that_argo_cd_writes_or_that_scales_another_kind_is_not_capped(run: Run, api: KubernetesApi) -> None:
    api.patch("scaledobjects", "shop", {"spec": {"scaleTargetRef": {"kind": "Rollout", "name": "shop"}}}, "default")
    assert decided(run).content["reasons"] == [{"code": "running-unknown"}]
    api.patch("scaledobjects", "shop", {"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}}, "default")
    found, (line,) = observe_caps(run, [ASKED], "", now())
    assert (found, "argo-cd's to write" in line) == ([], True)
    with pytest.raises(Refused):
        open_cap(run.fleet, ASKED.subject).look()
