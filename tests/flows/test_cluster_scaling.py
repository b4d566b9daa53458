from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from blocks import settings
from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Fleet
from blocks.inventory import save_fleet
from blocks.series import utc
from blocks.store import Journal, Store
from blocks.store.tables import Mode, State, Verdict
from blocks.store.undo import carry_out, undo_plan
from deployments.simulation import Simulation
from flows.cluster_scaling import ScalingRequest, cluster_scaling
from flows.demand_forecasting import demand_forecasting
from tasks import publish
from tasks.acting.form import Approval
from tasks.scaling import act
from tasks.scaling.actuators.size import SetSize
from tasks.scaling.decide import CHANGES
from tasks.scaling.pool_access import open_pool
from tests.flows.shortcuts import QUICK, asked_for, changes, sizes, with_pool

pytestmark = pytest.mark.server


def test_shadow_changes_nothing_and_decides_what_the_other_modes_would(
    fleet: Fleet, simulation: Simulation, off_size: str
) -> None:
    demand_forecasting(QUICK)
    before, log = sizes(fleet), asked_for(simulation)
    simulation.set_speed(0)  # time stands still: all three look at the same moment
    told = {mode: cluster_scaling(ScalingRequest(mode=mode)) for mode in (Mode.SHADOW, Mode.PROPOSE)}

    assert sizes(fleet) == before
    assert asked_for(simulation) == log
    store = Store.open()
    shadow, proposed = (store.proposals(told[mode]["flow_run_id"]) for mode in (Mode.SHADOW, Mode.PROPOSE))
    assert [row.content for row in shadow] == [row.content for row in proposed]
    assert {row.state for row in shadow} == {Verdict.RECORDED}
    assert {row.state for row in proposed if row.action in CHANGES} == {Verdict.PROPOSED}
    assert {row.state for row in proposed if row.action not in CHANGES} <= {Verdict.RECORDED}
    assert Journal(store).intents() == []
    assert off_size in {row["unique_id"] for row in changes(told[Mode.SHADOW])}


def test_act_makes_the_change_journals_it_and_undo_takes_it_back(fleet: Fleet, off_size: str) -> None:
    demand_forecasting(QUICK)
    before = sizes(fleet)[off_size]
    told = cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size])

    (change,) = changes(told)
    assert change["result"]["state"] == State.DONE, change
    assert sizes(fleet)[off_size] == change["target"] != before
    store = Store.open()
    journal = Journal(store)
    (intent,) = journal.intents()
    assert [step.event for step in journal.steps(intent.id)] == ["planned", "started", "noted", "done"]
    assert store.decision(change["id"]).state == Verdict.ACTED

    carry_out(journal, undo_plan(journal, change["id"]), act.APPLIERS)
    assert sizes(fleet)[off_size] == before
    assert store.decision(change["id"]).state == Verdict.UNDONE


def test_a_freeze_stops_acting_and_says_how_to_end_it(fleet: Fleet, off_size: str) -> None:
    demand_forecasting(QUICK)
    before = sizes(fleet)
    Journal(Store.open()).freeze("us-gke", reason="release day", by="a test")
    told = cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size])
    (decision,) = told["decisions"]
    assert decision["action"] == "refuse"
    assert "a change freeze is in force" in decision["words"]
    assert any("us-gke" in line and "release day" in line for line in told["trouble"])
    assert sizes(fleet) == before


def test_a_freeze_that_comes_after_the_decision_stops_the_act(
    fleet: Fleet, off_size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_forecasting(QUICK)
    planned = Journal.plan

    def meanwhile(self: Journal, *given: object, **named: object) -> object:
        Journal(Store.open()).freeze("us-gke", reason="release day", by="a test")
        return planned(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "plan", meanwhile)
    before = sizes(fleet)
    (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size]))
    assert change["result"]["state"] == "refused"
    assert "release day" in change["result"]["detail"]
    assert "continuum thaw 'us-gke'" in change["result"]["detail"]
    assert sizes(fleet) == before


def test_a_pool_that_somebody_changed_meanwhile_is_left_alone(
    fleet: Fleet, off_size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_forecasting(QUICK)
    access = open_pool(fleet, off_size)
    planned = Journal.plan

    def meanwhile(self: Journal, *given: object, **named: object) -> object:
        size = access.pools.describe("web").desired - 1
        access.pools.wait(access.pools.set_desired("web", size), timeout_s=120)
        return planned(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "plan", meanwhile)
    before = sizes(fleet)[off_size]
    (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size]))
    if change["target"] != before - 1:  # else the other writer has done just what was decided
        assert change["result"]["state"] == State.FAILED
        assert "left alone" in change["result"]["detail"]
    assert sizes(fleet)[off_size] == before - 1


def test_a_hands_off_pool_gets_a_patch_file_and_no_operation(
    fleet: Fleet, simulation: Simulation, off_size: str
) -> None:
    save_fleet(with_pool(fleet, off_size, hands_off=True), "theirs")
    demand_forecasting(QUICK.model_copy(update={"fleet": "theirs"}))
    log = asked_for(simulation)
    told = cluster_scaling(ScalingRequest(fleet="theirs", mode=Mode.ACT), [off_size])
    assert asked_for(simulation) == log
    (row,) = told["decisions"]
    assert row["action"] == "refuse"
    (patch,) = map(Path, told["patches"])
    assert patch.parent == settings.home() / "patches"
    told_to_owner = yaml.safe_load(patch.read_text())
    assert told_to_owner["desired_nodes"] == {"from": row["current"], "to": row["target"]}


def test_lost_metrics_lower_nothing_and_alert(fleet: Fleet, off_size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[tuple[str, dict]] = []
    monkeypatch.setattr(publish, "emit_event", lambda name, **more: emitted.append((name, more["payload"])))
    demand_forecasting(QUICK)
    blind = fleet.metrics.model_copy(update={"cpu_cores": "absent_metric", "memory_bytes": "absent_metric"})
    save_fleet(fleet.model_copy(update={"metrics": blind}), "blind")
    before = sizes(fleet)
    told = cluster_scaling(ScalingRequest(fleet="blind", mode=Mode.ACT))
    assert {change["action"] for change in changes(told)} <= {"up"}  # pods' requests are known all the same
    assert all(size >= before[pool] for pool, size in sizes(fleet).items())
    ((name, payload),) = [event for event in emitted if event[0].startswith("continuum.scaling")]
    assert name == "continuum.scaling.blinded"
    assert "missing-data" in payload["causes"]
    assert set(payload["pools"]) == {row["unique_id"] for row in told["decisions"]}


def test_metrics_that_do_not_answer_end_the_run_in_one_line(fleet: Fleet) -> None:
    gone = fleet.metrics.model_copy(update={"url": "http://127.0.0.1:9"})
    save_fleet(fleet.model_copy(update={"metrics": gone}), "gone")
    with pytest.raises(ContinuumError, match="metrics"):
        cluster_scaling(ScalingRequest(fleet="gone", mode=Mode.ACT))


def test_a_pool_that_is_not_in_the_inventory_is_named(fleet: Fleet) -> None:
    with pytest.raises(InvalidInput, match="eu-eks/nope"):
        cluster_scaling(ScalingRequest(), ["eu-eks/nope"])


def test_one_cluster_that_is_away_does_not_stop_the_others(fleet: Fleet, off_size: str) -> None:
    clusters = [
        cluster.model_copy(
            update={"kubernetes": cluster.kubernetes.model_copy(update={"server": "http://127.0.0.1:9"})}
        )
        if cluster.name == "edge-osaka"
        else cluster
        for cluster in fleet.clusters
    ]
    save_fleet(fleet.model_copy(update={"clusters": clusters}), "partly")
    demand_forecasting(QUICK.model_copy(update={"fleet": "partly"}))
    told = cluster_scaling(ScalingRequest(fleet="partly"))
    rows = {row["unique_id"]: row for row in told["decisions"]}
    assert rows["edge-osaka/edge"]["action"] == "hold"
    assert any("edge-osaka" in line for line in told["trouble"])
    assert rows[off_size]["action"] == "down"


class TestApproval:
    """A proposal waits for a person; what they answer is done to the stored decision, not to a new one."""

    @pytest.fixture
    def answer(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
        def given(approve: bool) -> None:
            form = Approval(approve=approve, name="a test", leave_out="", note="")
            monkeypatch.setattr("tasks.acting.approval.ask_for_approval", lambda plan, timeout_s: form)

        return given

    def test_an_approved_proposal_is_carried_out_as_it_was_stored(self, fleet, off_size, answer) -> None:
        demand_forecasting(QUICK)
        answer(True)
        (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.PROPOSE), [off_size]))
        assert change["result"]["state"] == State.DONE, change["result"]
        assert sizes(fleet)[off_size] == change["target"]
        assert Store.open().decision(change["id"]).state == Verdict.ACTED

    def test_a_rejected_proposal_changes_nothing(self, fleet, off_size, answer) -> None:
        demand_forecasting(QUICK)
        before = sizes(fleet)
        answer(False)
        (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.PROPOSE), [off_size]))
        assert change["result"] is None
        assert sizes(fleet) == before
        assert Store.open().decision(change["id"]).state == Verdict.REJECTED

    def test_a_resumed_run_loads_its_decision_and_lets_it_expire_when_it_is_old(
        self, fleet, simulation, off_size, answer, monkeypatch
    ) -> None:
        demand_forecasting(QUICK)
        before = sizes(fleet)
        monkeypatch.setattr("tasks.run.runtime.flow_run.id", "one-run", raising=False)
        first = cluster_scaling(ScalingRequest(mode=Mode.PROPOSE), [off_size])
        simulation.advance(1800)
        answer(True)
        second = cluster_scaling(ScalingRequest(mode=Mode.PROPOSE), [off_size])
        assert [row["id"] for row in second["decisions"]] == [row["id"] for row in first["decisions"]]
        assert [row["as_of"] for row in second["decisions"]] == [row["as_of"] for row in first["decisions"]]
        assert sizes(fleet) == before
        (change,) = changes(second)
        kept = Store.open().decision(change["id"])
        assert kept.state == Verdict.EXPIRED
        assert "expired after 15 min" in kept.detail


def test_a_run_for_some_pools_holds_still_when_most_of_the_fleet_is_away(fleet: Fleet, off_size: str) -> None:
    away = [
        cluster.model_copy(
            update={
                "kubernetes": cluster.kubernetes.model_copy(update={"server": f"http://127.0.0.1:9/{cluster.name}"})
            }
        )
        if cluster.name != "us-gke"
        else cluster
        for cluster in fleet.clusters
    ]
    save_fleet(fleet.model_copy(update={"clusters": away}), "dark")
    demand_forecasting(QUICK.model_copy(update={"fleet": "dark"}))
    before = sizes(fleet)[off_size]
    told = cluster_scaling(ScalingRequest(fleet="dark", mode=Mode.ACT), [off_size])
    (row,) = told["decisions"]
    assert (row["action"], [reason["code"] for reason in row["reasons"]][-1]) == ("hold", "fleet-unreachable")
    assert sizes(fleet)[off_size] == before


def test_a_run_that_is_started_again_does_not_act_on_what_it_decided_long_ago(
    fleet: Fleet, simulation: Simulation, off_size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_forecasting(QUICK)
    monkeypatch.setattr("tasks.run.runtime.flow_run.id", "one-run", raising=False)
    with monkeypatch.context() as dying:
        dying.setattr("flows.cluster_scaling.approve", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size])
    before = sizes(fleet)
    simulation.advance(3 * 3600)
    (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.ACT), [off_size]))
    assert change["result"] is None
    assert Store.open().decision(change["id"]).state == Verdict.EXPIRED
    assert sizes(fleet) == before


def test_shadow_leaves_what_a_killed_run_left_and_says_so(fleet: Fleet, simulation: Simulation, off_size: str) -> None:
    demand_forecasting(QUICK)
    gone = Journal(Store.open(), owner="elsewhere:1:1:gone", clock=lambda: utc(0))
    size = sizes(fleet)[off_size]
    do, undo = {"desired": size - 1, "fleet": "default"}, {"desired": size, "fleet": "default"}
    intent = gone.start(gone.plan(None, off_size, SetSize.kind, do=do, undo=undo, planned_against={}, key="left"))
    log = asked_for(simulation)
    told = cluster_scaling(ScalingRequest(mode=Mode.SHADOW))
    assert [row["subject"] for row in told["left_over"]] == [off_size]
    assert "next run in act mode" in told["left_over"][0]["detail"]
    assert Journal(Store.open()).intent(intent.id).state == State.STARTED
    assert asked_for(simulation) == log
