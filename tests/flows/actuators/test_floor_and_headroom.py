"""Floors and headroom on the simulated clouds: applied, undone, expired, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from blocks.errors import Refused
from blocks.fleet import Actuator, Fleet
from blocks.inventory import save_fleet
from blocks.store.tables import Decision, Mode, State, Verdict
from blocks.store.undo import carry_out as carry_out_undo
from blocks.store.undo import undo_plan
from deployments.command import app
from deployments.simulation import Simulation
from tasks.acting import REFUSED
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.actuators import open_actuator
from tasks.scaling.actuators.floor import SetFloor
from tasks.scaling.actuators.headroom import SetHeadroom
from tasks.scaling.actuators.hold_marks import HELD, LEASES, mark_name, marked
from tasks.scaling.actuators.pause_pods import EXPIRES_AT, NAMESPACE, object_name
from tasks.scaling.decide import Why
from tasks.scaling.holds import HOLD_S
from tasks.scaling.pool_access import open_pool
from tasks.scaling.reaper import expired, reap, renew
from tests.flows.actuators.scenes import BURST, JOBS, carry_out, decide, look, run_of
from tests.flows.shortcuts import with_pool

pytestmark = pytest.mark.server

KINDS = {JOBS: SetFloor.kind, BURST: SetHeadroom.kind}


@pytest.fixture(scope="module")
def start() -> str:
    """Five hours follow in which both pools have room."""
    return "2026-03-10T05:00:00+00:00"


@pytest.fixture
def run(fleet: Fleet, simulation: Simulation) -> Iterator[Run]:
    """A run at an hour at which both pools have room to grow; whatever a test holds up is taken back after it."""
    run = run_of(fleet)
    for _ in range(24):
        if all(more(run, subject, 0) + 3 <= 12 for subject in KINDS):  # of 12 nodes at most
            break
        simulation.advance(3600)
    yield run
    for hold in run.journal.holds("default"):
        run.journal.keep_hold(type(hold)(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    reap.fn(run)
    assert run.journal.holds("default") == []


def setting(run: Run, subject: str) -> dict[str, int]:
    return open_actuator(run.fleet, subject, KINDS[subject]).look().value


def done(run: Run, decision: Decision) -> None:
    """Carry it out; a change that did not come true says why."""
    (result,) = carry_out(run, decision)
    assert result.state == State.DONE, result


def more(run: Run, subject: str, nodes: int = 2) -> int:
    """A target that is so many nodes above what the pool has and holds."""
    reading, found = look(run, subject)
    assert reading.state is not None
    return min(max(reading.state.desired, int(found.setting_nodes[0])) + nodes, reading.pool.max_nodes)


@pytest.mark.parametrize(
    ("subject", "actuator", "why"),
    [
        (JOBS, Actuator.FLOOR, Why.BOUNDS_MOVE),
        (BURST, Actuator.HEADROOM, Why.KARPENTER),
        ("eu-eks/web", Actuator.DESIRED, Why.NOBODY_ELSE),
        ("us-gke/search", Actuator.PATCH, Why.HANDS_OFF),
        ("edge-munich/edge", Actuator.POWER, Why.EDGE_NODES),
    ],
)
def test_the_actuator_is_found_out_by_looking(run: Run, subject: str, actuator: Actuator, why: Why) -> None:
    _, found = look(run, subject)
    assert (found.kind[0], found.why[0]) == (actuator, why)


def test_a_raised_floor_brings_its_nodes_and_undo_takes_it_back(run: Run) -> None:
    before, target = setting(run, JOBS), more(run, JOBS)
    decision = decide(run, JOBS, target)
    (result,) = carry_out(run, decision)
    assert (result.state, result.detail) == (State.DONE, f"the floor is {target} nodes, and they are Ready")
    assert setting(run, JOBS) == {"min_nodes": target}
    assert look(run, JOBS)[0].ready >= target
    (hold,) = run.journal.holds("default")
    assert (hold.value, hold.base) == ({"min_nodes": target}, before)
    assert hold.until == decision.as_of + timedelta(seconds=HOLD_S)
    assert run.store.decision(decision.id).state == Verdict.ACTED

    carry_out_undo(run.journal, undo_plan(run.journal, decision.id), act.APPLIERS)
    assert setting(run, JOBS) == before
    assert run.journal.holds("default") == []
    assert run.store.decision(decision.id).state == Verdict.UNDONE


def test_headroom_brings_its_nodes_and_undo_leaves_nothing_behind(run: Run) -> None:
    target = more(run, BURST)
    decision = decide(run, BURST, target)
    (result,) = carry_out(run, decision)
    assert result.state == State.DONE, result
    api = open_pool(run.fleet, BURST).api
    pods = api.get("deployments", object_name("burst"), NAMESPACE)
    number = pods["spec"]["replicas"]
    assert number >= 1
    assert pods["status"]["readyReplicas"] == number  # where a workload shrank meanwhile, on nodes that were there
    spec = pods["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"karpenter.sh/nodepool": "burst"}
    assert spec["terminationGracePeriodSeconds"] == 0
    kind = api.get("priorityclasses", spec["priorityClassName"])
    assert (kind["value"], kind["preemptionPolicy"]) == (-10, "Never")
    assert pods["metadata"]["annotations"][EXPIRES_AT] == (decision.as_of + timedelta(seconds=HOLD_S)).isoformat()
    assert [hold.value for hold in run.journal.holds("default")] == [{"pause_pods": number}]

    carry_out_undo(run.journal, undo_plan(run.journal, decision.id), act.APPLIERS)
    assert setting(run, BURST) == {"pause_pods": 0}
    assert [each["metadata"]["name"] for each in api.list("deployments", NAMESPACE)] == []
    assert run.journal.holds("default") == []


def test_in_shadow_nothing_is_changed_whatever_a_flow_asks_for(run: Run) -> None:
    before = setting(run, JOBS)
    (result,) = carry_out(replace(run, mode=Mode.SHADOW), decide(run, JOBS, more(run, JOBS)))
    assert (result.state, "shadow" in result.detail) == (REFUSED, True)
    assert setting(run, JOBS) == before
    assert run.journal.intents() == []


def test_a_mark_that_cannot_be_written_fails_no_change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(api: object, hold: object) -> None:
        raise Refused("no Leases today", where="a test", fix="none")

    monkeypatch.setattr("tasks.scaling.actuators.hold_marks.leave", refuse)
    (result,) = carry_out(run, decide(run, JOBS, more(run, JOBS)))
    assert result.state == State.DONE
    assert len(run.journal.holds("default")) == 1


@pytest.mark.parametrize("subject", [JOBS, BURST])
def test_what_is_held_up_is_marked_in_its_cluster_until_it_is_taken_back(run: Run, subject: str) -> None:
    decision = decide(run, subject, more(run, subject))
    done(run, decision)
    (hold,) = run.journal.holds("default")
    access = open_pool(run.fleet, subject)
    (lease,) = access.api.list("leases", NAMESPACE)
    assert lease["metadata"]["annotations"][EXPIRES_AT] == hold.until.isoformat()
    carry_out_undo(run.journal, undo_plan(run.journal, decision.id), act.APPLIERS)
    assert access.api.list("leases", NAMESPACE) == []


def test_a_mark_that_our_store_does_not_know_lowers_nothing_unless_a_person_says_so(run: Run) -> None:
    before = setting(run, JOBS)
    done(run, decide(run, JOBS, more(run, JOBS)))
    (lost,) = run.journal.holds("default")
    run.journal.drop_hold(lost)
    api = open_pool(run.fleet, JOBS).api
    long_ago = {"metadata": {"annotations": {EXPIRES_AT: (lost.until - timedelta(days=1)).isoformat()}}}
    api.patch_at(LEASES, mark_name(lost), long_ago)

    held = setting(run, JOBS)
    for words in (["reap", "--json"], ["reap", "--dry-run", "--adopt", JOBS, "--json"]):
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0, answer.output
        assert (json.loads(answer.stdout)["reaped"], setting(run, JOBS)) == ([], held)
        assert run.journal.holds("default") == []
    assert CliRunner().invoke(app, ["reap", "--adopt", "eu-eks/web"]).exit_code == 1

    answer = CliRunner().invoke(app, ["reap", "--adopt", JOBS, "--json"])
    assert answer.exit_code == 0, answer.output
    assert [(each["subject"], each["state"]) for each in json.loads(answer.stdout)["reaped"]] == [(JOBS, "done")]
    assert setting(run, JOBS) == before
    assert api.list("leases", NAMESPACE) == []


def test_a_mark_that_cannot_be_read_is_told_of_and_left(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    done(run, decide(run, JOBS, more(run, JOBS)))
    (hold,) = run.journal.holds("default")
    api = open_pool(run.fleet, JOBS).api
    api.patch_at(LEASES, mark_name(hold), {"metadata": {"annotations": {HELD: "{}"}}})
    assert marked(api, "asia-aks", "default") == []
    assert "no mark that can be read" in caplog.text
    assert len(api.list("leases", NAMESPACE)) == 1


@pytest.mark.parametrize("subject", [JOBS, BURST])
def test_a_setting_that_somebody_changed_since_the_decision_is_refused(run: Run, subject: str) -> None:
    first, second = decide(run, subject, more(run, subject)), decide(run, subject, more(run, subject) + 1)
    assert carry_out(run, first)[0].state == State.DONE
    held = setting(run, subject)
    (result,) = carry_out(run, second)
    assert (result.state, "was decided at" in result.detail) == (REFUSED, True)
    assert setting(run, subject) == held
    assert run.store.decision(second.id).state == Verdict.EXPIRED


@pytest.mark.parametrize("subject", [JOBS, BURST])
def test_a_setting_that_changes_between_the_intent_and_the_call_is_left_alone(
    run: Run, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {JOBS: {"min_nodes": 3}, BURST: {"pause_pods": 1}}[subject]
    other, start = run_of(run.fleet, "other"), type(run.journal).start

    def meanwhile(self, intent):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(type(run.journal), "start", start)
        actuator = open_actuator(run.fleet, subject, KINDS[subject])
        foreign = other.journal.start(
            other.journal.plan(
                None, "elsewhere", "theirs", do={"value": theirs}, undo={}, planned_against={}, key=f"theirs/{subject}"
            )
        )
        actuator.put(other.journal, foreign, actuator.look(), theirs)
        actuator.wait(other.journal.intent(foreign.id).operation, 60)
        return start(self, intent)

    target = more(run, subject, 3)
    decision = decide(run, subject, target)
    monkeypatch.setattr(type(run.journal), "start", meanwhile)
    (result,) = carry_out(run, decision)
    assert (result.state, "left alone" in result.detail) == (State.FAILED, True), result
    assert setting(run, subject) == theirs
    # Clean up what "somebody" did.
    actuator = open_actuator(run.fleet, subject, KINDS[subject])
    base = {JOBS: {"min_nodes": 1}, BURST: {"pause_pods": 0}}[subject]
    again = other.journal.start(
        other.journal.plan(
            None, "elsewhere2", "theirs", do={"value": base}, undo={}, planned_against={}, key=f"back/{subject}"
        )
    )
    actuator.put(other.journal, again, actuator.look(), base)
    actuator.wait(other.journal.intent(again.id).operation, 60)


def test_a_floor_that_the_inventory_has_overtaken_is_forgotten_and_no_change_is_journalled(run: Run) -> None:
    done(run, decide(run, JOBS, more(run, JOBS)))
    (hold,) = run.journal.holds("default")
    run.journal.keep_hold(type(hold)(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    known = len(run.journal.intents())
    overtaken = replace(run, fleet=with_pool(run.fleet, JOBS, min_nodes=hold.value["min_nodes"]))
    (result,) = reap.fn(overtaken)
    assert (result.state, "at its least already" in result.detail) == (REFUSED, True)
    assert (setting(run, JOBS), run.journal.holds("default"), len(run.journal.intents())) == (hold.value, [], known)
    pools = open_pool(run.fleet, JOBS).pools  # as it was, for the tests that follow
    pools.wait(pools.set_bounds("jobs", hold.base["min_nodes"], pools.describe("jobs").max_nodes), timeout_s=60)


def test_where_the_time_of_the_fleet_is_unknown_a_hold_expires_by_our_own_clock(run: Run) -> None:
    done(run, decide(run, BURST, more(run, BURST)))
    (hold,) = run.journal.holds("default")
    assert expired([hold], None) == []
    old = type(hold)(**hold.model_dump() | {"renewed_at": hold.renewed_at - timedelta(seconds=HOLD_S + 1)})
    assert expired([old], None) == [old]


def test_a_hands_off_mark_on_the_pause_pods_is_respected(run: Run) -> None:
    decision = decide(run, BURST, more(run, BURST))
    done(run, decision)
    api = open_pool(run.fleet, BURST).api
    place, name = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", object_name("burst")
    api.patch_at(place, name, {"metadata": {"annotations": {"continuum.io/hands-off": "true"}}})
    with pytest.raises(Refused, match="belongs to hands-off"):
        open_actuator(run.fleet, BURST, SetHeadroom.kind).look()
    api.patch_at(place, name, {"metadata": {"annotations": {"continuum.io/hands-off": None}}})


def test_a_cluster_that_knows_capacity_buffers_gets_one_instead_of_pods(run: Run) -> None:
    api = open_pool(run.fleet, BURST).api
    group, plural = "autoscaling.x-k8s.io", "capacitybuffers"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "kind": "CapacityBuffer", "singular": "capacitybuffer"}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.request("POST", crds, body={
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    })  # fmt: skip
    try:
        actuator = SetHeadroom(open_pool(run.fleet, BURST))
        _, found = look(run, BURST)
        content = {"target": more(run, BURST), "seen": found.seen[0]}
        planned = actuator.plan(content, None, decide(run, BURST, 2).as_of)
        intent = run.journal.start(run.journal.plan(
            None, BURST, SetHeadroom.kind, do=planned.do | {"fleet": "default"}, undo=planned.undo,
            planned_against=planned.against, key="buffer"))  # fmt: skip
        actuator.put(run.journal, intent, actuator.look(), planned.do["value"])
        buffer = api.request("GET", f"/apis/{group}/v1alpha1/namespaces/{NAMESPACE}/{plural}/{object_name('burst')}")
        assert buffer["spec"]["replicas"] == planned.do["value"]["pause_pods"]
        assert buffer["spec"]["scalableRef"]["name"] == object_name("burst")
        assert api.get("deployments", object_name("burst"), NAMESPACE)["spec"]["replicas"] == 0
        assert actuator.look().value == planned.do["value"]
        actuator.put(run.journal, intent, actuator.look(), {"pause_pods": 0})
        assert actuator.look().value == {"pause_pods": 0}
        assert api.list("deployments", NAMESPACE) == []
    finally:
        api.delete_at(crds, f"{plural}.{group}")


def test_the_inventory_may_ask_for_an_actuator_and_hears_in_one_line_where_it_cannot_be_had(run: Run) -> None:
    from tasks.pools.observe import read_pools
    from tasks.scaling.find import find_actuators

    wish = with_pool(with_pool(run.fleet, JOBS, actuator=Actuator.HEADROOM), "eu-eks/web", actuator=Actuator.FLOOR)
    save_fleet(wish, "wish")
    readings, _ = read_pools(wish)
    found, lines = find_actuators(wish, [], readings)
    kinds = dict(zip((reading.subject for reading in readings), found.kind, strict=True))
    assert (kinds[JOBS], kinds["eu-eks/web"]) == (Actuator.HEADROOM, Actuator.DESIRED)
    assert lines == [
        "pool eu-eks/web: actuator `floor` is not possible here: no autoscaler would follow it; it is `desired`"
    ]


def test_the_command_tells_what_is_held_up_and_takes_back_what_has_expired(run: Run) -> None:
    def said(*options: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["reap", "--json", *options])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    before = setting(run, JOBS)
    done(run, decide(run, JOBS, more(run, JOBS)))
    told = said()
    assert (told["reaped"], [hold["subject"] for hold in told["held"]]) == ([], [JOBS])
    (hold,) = run.journal.holds("default")
    run.journal.keep_hold(type(hold)(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    assert [result["state"] for result in said("--dry-run")["reaped"]] == ["expired"]
    assert setting(run, JOBS) != before
    assert [result["state"] for result in said()["reaped"]] == [State.DONE]
    assert setting(run, JOBS) == before


@pytest.mark.parametrize("subject", [JOBS, BURST])
def test_what_has_expired_is_taken_back_and_what_is_wanted_is_renewed(
    run: Run, simulation: Simulation, subject: str
) -> None:
    simulation.set_speed(20)  # else the hour that it is held is a minute of a slow machine
    before = setting(run, subject)
    decision = decide(run, subject, more(run, subject))
    done(run, decision)
    held = setting(run, subject)
    assert reap.fn(run) == []
    simulation.advance(HOLD_S * 0.7)

    wanted = decide(run, subject, int(decision.content["target"]))
    wanted.content |= {"action": "hold", "target": wanted.content["current"]}
    renew(run, [wanted])
    simulation.advance(HOLD_S * 0.7)
    assert reap.fn(run) == []
    assert setting(run, subject) == held

    simulation.advance(HOLD_S)
    (told,) = reap.fn(replace(run, mode=Mode.SHADOW))
    assert "the next run in act mode takes it back" in told.detail
    assert setting(run, subject) == held
    (result,) = reap.fn(run)
    assert result.state == State.DONE, result
    assert setting(run, subject) == before
    assert run.journal.holds("default") == []
    (newest, *_) = run.journal.intents(subject=subject)
    assert (newest.kind, newest.state, newest.decision_id) == (KINDS[subject], State.DONE, None)
