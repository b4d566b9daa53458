"""`kill -9` at every step of deploying a workload: the next run says by what is there whether it was deployed."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest
import yaml

from blocks import settings
from blocks.credentials import join_secrets, split_secrets
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, State, Verdict, now
from tasks.placement import act
from tasks.placement.new_workloads import NewWorkload
from tasks.run import Run
from tests.faults.kill_in_act import dies, dying
from tests.faults.scenes import run_of
from tests.flows.traffic_scenes import api_of

PLACE = "/apis/apps/v1/namespaces/default/deployments"
WEB = NewWorkload(name="killed", image="nginx:1", cpu_cores=0.1, memory_gib=0.1)
SUBJECT = f"edge-munich/{WEB.key}"
STEPS = [("start:after", False), ("request:before", False), ("request:after", True), ("done:before", True)]


def killed(step: str, home: Path, fleet_file: Path) -> None:
    """Deploy in a process that dies before or after a verb; of requests, the one that applies."""
    told = home / "killed.log"
    with told.open("w", buffering=1) as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        os.environ["CONTINUUM_HOME"] = str(home)
        verb, _, when = step.partition(":")
        store = Store.open()
        journal = Journal(store, lease_s=3600)
        if verb == "request":
            asked = KubernetesApi.request
            deadly = dying(asked, before=when == "before")
            KubernetesApi.request = lambda self, method, *given, **named: (  # type: ignore[method-assign]
                (deadly if method == "PATCH" else asked)(self, method, *given, **named)
            )
        else:
            setattr(journal, verb, dying(getattr(journal, verb), before=when == "before"))
        run = Run("killed", "workload-placement", "default", load_fleet(str(fleet_file)), store, journal, Mode.ACT)
        content = {"action": "deploy", "workload": WEB.key, "site": "edge-munich", "reasons": []}
        decision = Decision(flow_run_id=run.id, flow=run.flow, subject=SUBJECT, action="deploy", mode=Mode.ACT,
                            state=Verdict.APPROVED, as_of=now(), content=content)  # fmt: skip
        store.record_decisions([decision])
        print(act.deploy.fn(run, [decision], [WEB]))


@pytest.mark.parametrize(("step", "there"), STEPS)
def test_a_deployment_of_a_killed_run_is_there_and_done_or_not_there_and_undone(
    fleet: Fleet, step: str, there: bool
) -> None:
    api = api_of(fleet)
    fleet_file = settings.home() / "fleet.yaml"
    fleet_file.parent.mkdir(parents=True, exist_ok=True)
    fleet_file.write_text(yaml.safe_dump(join_secrets(*split_secrets(fleet))))
    try:
        dies(killed, step, settings.home(), fleet_file, told=settings.home() / "killed.log", preload=__name__)
        run = run_of(fleet)
        act.finish_left_over.fn(run)
        (intent,) = run.journal.intents()
        assert intent.state == (State.DONE if there else State.UNDONE), intent.detail
        names = [each["metadata"]["name"] for each in api.list("deployments", "default")]
        assert ("killed" in names) == there
    finally:
        api.delete_at(PLACE, "killed")
