"""Suspended Jobs of a simulated cluster over a real socket: read, given a start, released, never suspended again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from blocks.errors import Refused
from blocks.fleet import Cluster, Fleet
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, State, now
from tasks.acting import Result
from tasks.carbon.act import act_on, open_start
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.shift import decide_shifts
from tasks.carbon.jobs import LABEL, SLACK, START, TAKES, UNTIL, ZONE, flexible_jobs
from tasks.run import Run
from tests.conformance.server import TOKEN, Server

POOLS = [{"name": "p", "instance_type": "i", "min_nodes": 0, "max_nodes": 9, "node_cpu": 4, "node_memory": "16Gi"}]
PATH = "/apis/batch/v1/namespaces/default/jobs"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server().opened()
    yield made
    made.close()


@pytest.fixture
def fleet(server: Server) -> Fleet:
    access = {"server": server.url, "token": SecretStr(TOKEN)}
    cluster = Cluster(name="c", site="s", provider="k3s", kubernetes=access, node_pools=POOLS)
    site = {"name": "s", "tier": "far-edge", "latitude": 1, "longitude": 1, "grid_zone": "DE"}
    return Fleet(name="f", metrics={"url": "http://127.0.0.1:9"}, sites=[site], clusters=[cluster])


@pytest.fixture
def run(fleet: Fleet, tmp_path: Path) -> Iterator[Run]:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    yield Run("r", "carbon-scheduling", "default", fleet, store, Journal(store), Mode.ACT)
    store.close()


def make(fleet: Fleet, name: str, suspend: bool = True, **annotations: str):
    """A Job as somebody would create it; the API that it is looked at with."""
    told = {f"continuum.io/{key.replace('_', '-')}": text for key, text in annotations.items()}
    container = {"name": "m", "image": "i:1"}
    body = {"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "labels": {LABEL: "yes"}, "annotations": told},
            "spec": {"suspend": suspend, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
            }  # fmt: skip
    api = open_start(fleet, f"c/jobs/default/{name}", "")._api
    api.request("POST", PATH, body=body)
    return api


def pass_of(run: Run, server: Server, name: str, hours: list[float]) -> tuple[dict, Result | None]:
    """One pass over one Job, its intensity `hours` from now on."""
    jobs, _ = flexible_jobs(run.fleet)
    (job,) = (each for each in jobs if each.name.endswith(f"/{name}"))
    now_s = int(server.clock.now())
    known = Intensity(min(job.arrival_s, now_s), 3600, np.array(hours))
    (record,) = decide_shifts([job], {"DE": known}, {"DE": "actual"}, now_s)
    row = Decision(flow_run_id="r", flow="carbon-scheduling", subject=job.subject, action=record["action"],
                   mode=Mode.ACT, as_of=now(), content=record)  # fmt: skip
    run.store.record_decisions([row])
    return record, act_on.fn(run, [row])[0] if record["action"] != "hold" else None


def test_a_suspended_job_gets_its_start_and_is_released_when_that_is_near(run: Run, server: Server) -> None:
    api = make(run.fleet, "batch", takes="1h", slack="12h")
    hours = [400.0] * 6 + [100.0] * 3 + [400.0] * 20
    record, result = pass_of(run, server, "batch", hours)
    assert (record["action"], result.state) == ("shift", State.DONE), result
    job = api.get("jobs", "batch", "default")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["annotations"][START] == record["start"]

    record, result = pass_of(run, server, "batch", [100.0] * 30)  # the grid is clean at once
    assert (record["action"], result.state) == ("start-now", State.DONE), result
    assert api.get("jobs", "batch", "default")["spec"]["suspend"] is False
    assert all(each.name != "c/default/batch" for each in flexible_jobs(run.fleet)[0])


def test_what_has_begun_is_not_suspended_again(run: Run) -> None:
    make(run.fleet, "begun", suspend=False, takes="1h", slack="12h")
    actuator = open_start(run.fleet, "c/jobs/default/begun", "")
    intent = run.journal.plan(
        None, "c/jobs/default/begun", "set-job-start", do={}, undo={}, planned_against={}, key="k"
    )
    with pytest.raises(Refused, match="would end its pods"):
        actuator.put(run.journal, intent, actuator.look(), {"start": "", "suspend": True})


def test_a_freeze_of_its_cluster_holds_a_job(run: Run, server: Server) -> None:
    api = make(run.fleet, "held", takes="1h", slack="12h")
    run.journal.freeze("c", reason="a test", by="me")
    _, result = pass_of(run, server, "held", [400.0] * 6 + [100.0] * 3 + [400.0] * 20)
    assert result is not None
    assert "frozen" in result.detail
    assert START not in (api.get("jobs", "held", "default")["metadata"].get("annotations") or {})


def test_annotations_that_cannot_be_read_are_told_and_the_job_stays(fleet: Fleet) -> None:
    make(fleet, "no-takes", slack="1h")
    make(fleet, "no-slack", takes="1h")
    make(fleet, "no-zone-of-time", takes="1h", flexible_until="2030-03-17T18:00")
    make(fleet, "too-long", takes="1h", slack="900d")
    make(fleet, "other-zone", takes="1h", slack="1h", zone="FR", kw="2.5")
    found, trouble = flexible_jobs(fleet)
    assert {each.name: (each.zone, each.kw) for each in found}["c/default/other-zone"] == ("FR", 2.5)
    for words in (f"annotation {TAKES}", f"annotation {SLACK}", f"{UNTIL}: 2030-03-17T18:00 has no time zone",
                  "more than 31 days after its creation"):  # fmt: skip
        assert any(words in line and "stays suspended" in line for line in trouble), (words, trouble)
    nowhere = fleet.model_copy(update={"sites": [fleet.sites[0].model_copy(update={"grid_zone": None})]})
    make(fleet, "nowhere", takes="1h", slack="1h")
    assert any("in which grid zone" in line and ZONE in line for line in flexible_jobs(nowhere)[1])


def test_a_cluster_that_does_not_answer_is_a_line_of_trouble(fleet: Fleet) -> None:
    away = fleet.clusters[0].model_copy(
        update={"kubernetes": fleet.clusters[0].kubernetes.model_copy(update={"server": "http://127.0.0.1:9"})}
    )
    found, (line,) = flexible_jobs(fleet.model_copy(update={"clusters": [away]}))
    assert found == []
    assert line.startswith("cluster c")
