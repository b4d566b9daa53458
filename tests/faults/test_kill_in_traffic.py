"""`kill -9` at every step of writing a route's weights: the next run ends the intent by what is there."""

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
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, State, Verdict, now
from blocks.traffic.objects import ObjectRoute
from tasks.run import Run
from tasks.traffic import act
from tests.faults.kill_in_act import dies, dying
from tests.faults.scenes import run_of
from tests.flows.traffic_scenes import api_of, make, stored

SUBJECT = "edge-munich/gateway/default/killed"
BEFORE, AFTER = {"a": 50, "b": 50}, {"a": 90, "b": 10}
STEPS = [("start:after", BEFORE), ("write:before", BEFORE), ("write:after", AFTER), ("done:before", AFTER)]


def killed(step: str, home: Path, fleet_file: Path) -> None:
    """Write the weights in a process that dies before or after a verb."""
    told = home / "killed.log"
    with told.open("w", buffering=1) as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        os.environ["CONTINUUM_HOME"] = str(home)
        verb, _, when = step.partition(":")
        store = Store.open()
        journal = Journal(store, lease_s=3600)
        thing = ObjectRoute if verb == "write" else journal
        setattr(thing, verb, dying(getattr(thing, verb), before=when == "before"))
        run = Run("killed", "traffic-routing", "default", load_fleet(str(fleet_file)), store, journal, Mode.ACT)
        content = {"action": "shift", "seen": BEFORE, "weights": AFTER, "reasons": []}
        decision = Decision(flow_run_id=run.id, flow=run.flow, subject=SUBJECT, action="shift", mode=Mode.ACT,
                            state=Verdict.APPROVED, as_of=now(), content=content)  # fmt: skip
        store.record_decisions([decision])
        print(act.act_on.fn(run, [decision]))


@pytest.mark.parametrize(("step", "there"), STEPS)
def test_weights_of_a_killed_run_are_settled_by_the_next(fleet: Fleet, step: str, there: dict[str, int]) -> None:
    api = api_of(fleet)
    make(api, "httproutes", "killed", BEFORE)
    fleet_file = settings.home() / "fleet.yaml"
    fleet_file.parent.mkdir(parents=True, exist_ok=True)
    fleet_file.write_text(yaml.safe_dump(join_secrets(*split_secrets(fleet))))
    dies(killed, step, settings.home(), fleet_file, told=settings.home() / "killed.log", preload=__name__)

    run = run_of(fleet)
    act.finish_left_over.fn(run)
    (intent,) = run.journal.intents()
    assert intent.state == (State.DONE if there == AFTER else State.UNDONE), intent.detail
    refs = stored(api, "httproutes", "killed")["spec"]["rules"][0]["backendRefs"]
    assert {each["name"]: each["weight"] for each in refs} == there
