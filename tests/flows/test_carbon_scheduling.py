"""Flexible runs on a real Prefect server: found by their tag, moved to a cleaner hour, brought back, never too late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Pending, Scheduled

from blocks.errors import NotConfigured, Unreachable
from blocks.fleet import CarbonAccess, Fleet
from blocks.inventory import save_fleet
from blocks.store import Journal, Store
from blocks.store.tables import State
from deployments.command import journal
from flows.carbon_scheduling import CarbonRequest, carbon_scheduling
from tasks.acting import Planned
from tasks.carbon import act, caps
from tasks.carbon.observe import TAG
from tasks.run import open_run
from tests.blocks.conftest import Server, as_json, server

__all__ = ["server"]

pytestmark = pytest.mark.server

TAGS = [TAG, "takes:1h", "flexible:24h", "zone:US-CAL-CISO"]  # the sun makes its days far cleaner than its nights


@flow
def backup(flexible_until: str | None = None) -> None:
    """What somebody wants to run."""


@pytest.fixture(autouse=True)
def _carried_data_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)


@pytest.fixture
def planned() -> datetime:
    """Ahead of every hour of the run: the middle of the night in California."""
    return (datetime.now(UTC) + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)


@pytest.fixture
def made(fleet: Fleet):  # type: ignore[no-untyped-def]
    """Makes scheduled runs, and deletes them after the test."""
    ids: list[UUID] = []
    with get_client(sync_client=True) as client:

        def make(when: datetime, tags: list[str] = TAGS, **parameters: object) -> UUID:
            run = client.create_flow_run(backup, tags=tags, parameters=parameters, state=Scheduled(scheduled_time=when))
            ids.append(run.id)
            return run.id

        yield make
        for each in ids:
            client.delete_flow_run(each)


def start(run_id: UUID) -> datetime | None:
    return datetime.fromisoformat(act.SetStart(str(run_id)).look().value["start"])


def undo(decision_id: str) -> None:
    store = Store.open()
    journal.undo_decision(store, Journal(store), decision_id, journal.appliers(), force=False)


def test_without_flexible_runs_there_is_nothing_to_do(fleet: Fleet) -> None:
    assert carbon_scheduling(CarbonRequest(mode="act"))["decisions"] == []
    (section,) = Store.open().sections(flow="carbon-scheduling")
    assert "No run that is scheduled carries the tag" in section.content["paragraphs"][0]


def test_shadow_tells_the_cleaner_hour_and_moves_nothing(made, planned: datetime) -> None:
    run_id = made(planned)
    (row,) = carbon_scheduling()["decisions"]
    assert row["action"] == "shift"
    assert "typical day" in row["words"]
    assert row["saved_ratio"] > 0.1
    assert start(run_id) == planned


def test_act_moves_the_run_once_and_undo_brings_it_back(made, planned: datetime) -> None:
    run_id = made(planned)
    (row,) = carbon_scheduling(CarbonRequest(mode="act"))["decisions"]
    assert row["result"]["state"] == "done", row
    moved = start(run_id)
    assert planned < moved <= planned + timedelta(hours=24)
    assert 15 <= moved.hour <= 23  # daylight in California, UTC
    (again,) = carbon_scheduling(CarbonRequest(mode="act"))["decisions"]
    assert (again["action"], again["result"], again["arrival"]) == ("hold", None, planned.isoformat())
    undo(row["id"])
    assert start(run_id) == planned


def test_a_providers_forecast_moves_the_run_and_without_it_the_run_stays(
    made, planned: datetime, fleet: Fleet, server: Server
) -> None:
    run_id = made(planned)
    access = CarbonAccess(kind="electricity-maps", url=server.url, token="typed", zones={"US-CAL-CISO": "US-CAL"})
    save_fleet(fleet.model_copy(update={"carbon": [access]}), "default")
    server.answers(as_json({"error": "no"}, 401))
    told = carbon_scheduling(CarbonRequest(mode="act"))
    assert [row["action"] for row in told["decisions"]] == ["hold"]
    assert any("runs there start at their time" in line for line in told["trouble"])

    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    night = planned + timedelta(hours=3)  # where no typical day would send it
    rows = [{"datetime": at.isoformat(), "carbonIntensity": 50 if at == night else 400}
            for at in (first + timedelta(hours=each) for each in range(72))]  # fmt: skip
    server.answers(as_json({"zone": "US-CAL", "forecast": rows, "updatedAt": datetime.now(UTC).isoformat()}))
    (row,) = carbon_scheduling(CarbonRequest(mode="act"))["decisions"]
    assert start(run_id) == night
    assert "forecast, Electricity Maps, issued" in row["words"]


@pytest.fixture
def pool() -> Iterator[str]:
    """A work pool with a limit of 6."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="batch", type="process", concurrency_limit=6))
        yield "batch"
        client.delete_work_pool("batch")


def test_a_work_pool_is_capped_in_a_dirty_hour_and_undo_lifts_it(fleet: Fleet, server: Server, pool: str) -> None:
    access = CarbonAccess(kind="electricity-maps", url=server.url, token="typed", zones={"DE": "DE"})
    save_fleet(fleet.model_copy(update={"carbon": [access]}), "default")
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [{"datetime": (first + timedelta(hours=each)).isoformat(), "carbonIntensity": 900 - each}
            for each in range(48)]  # fmt: skip
    server.answers(as_json({"zone": "DE", "forecast": rows, "updatedAt": datetime.now(UTC).isoformat()}))
    subject, limit = f"prefect/work-pools/{pool}", lambda: caps.SetPoolLimit(pool).look().value["most"]
    asked: dict[str, Any] = {"caps": [{"subject": subject, "most": 6, "hours_a_day": 0.1, "zone": "DE"}]}
    assert [row["cap"] for row in carbon_scheduling(CarbonRequest.model_validate(asked))["decisions"]] == [1]
    assert limit() == 6
    (row,) = carbon_scheduling(CarbonRequest.model_validate({**asked, "mode": "act"}))["decisions"]
    assert (row["result"]["state"], limit()) == ("done", 1), row
    assert any(section.title == "Caps by carbon" for section in Store.open().sections(flow="carbon-scheduling"))
    undo(row["id"])
    assert limit() == 6
    with get_client(sync_client=True) as client:
        runs = [client.create_flow_run(backup, work_pool_name=pool, state=Pending()) for _ in range(2)]
        (row,) = carbon_scheduling(CarbonRequest.model_validate({**asked, "mode": "act"}))["decisions"]
        assert (limit(), row["words"].count("2 run, and nothing that runs is ended")) == (2, 1)
        mine = replace(open_run("carbon-scheduling", "default"), id=str(runs[0].id))
        requests = [caps.CapRequest(subject=subject, most=6, hours_a_day=1)]
        assert "would wait for itself" in caps.observe_caps(mine, requests, "DE", datetime.now(UTC))[1][0]
        for each in runs:
            client.delete_flow_run(each.id)
    asked["caps"][0]["zone"] = "XX"  # which nobody knows
    asked["caps"].append({"subject": "prefect/work-pools/none", "most": 6, "hours_a_day": 1, "zone": "DE"})
    told = carbon_scheduling(CarbonRequest.model_validate({**asked, "mode": "act"}))
    assert limit() == 6
    assert any("work pool none: there is none" in line for line in told["trouble"])


def test_the_deadline_of_a_parameter_is_kept(made, planned: datetime) -> None:
    run_id = made(planned, flexible_until=(planned + timedelta(hours=4)).isoformat())
    carbon_scheduling(CarbonRequest(mode="act"))
    assert planned <= start(run_id) <= planned + timedelta(hours=3)


@pytest.mark.parametrize(("until", "words"), [("2026-01-31T18:00", "no time zone"), ("soon", "is no time")])
def test_a_deadline_that_cannot_be_read_is_told(made, planned: datetime, until: str, words: str) -> None:
    run_id = made(planned, flexible_until=until)
    assert any(words in line for line in carbon_scheduling(CarbonRequest(mode="act"))["trouble"])
    assert start(run_id) == planned


def test_a_run_that_is_months_ahead_is_not_looked_at_yet(made, planned: datetime) -> None:
    made(planned + timedelta(days=90))
    assert carbon_scheduling()["decisions"] == []


def test_without_a_prefect_server_a_start_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(NotConfigured, match="no Prefect server is set"):
        act.SetStart("00000000-0000-0000-0000-000000000000").look()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), pytest.raises(Unreachable):
        act.SetStart("00000000-0000-0000-0000-000000000000").look()


@pytest.mark.parametrize(("tags", "words"), [
    ([TAG, "flexible:24h", "zone:DE"], "tag takes"), ([TAG, "takes:soon", "flexible:24h", "zone:DE"], "tag takes"),
    ([TAG, "takes:1h", "zone:DE"], "tag flexible"), ([TAG, "takes:1h", "flexible:24h"], "in which grid zone"),
    ([TAG, "takes:1h", "flexible:24h", "zone:XX"], "start at their time"),
    ([TAG, "takes:1h", "flexible:24h", "zone:DE", "kw:nan"], "tag kw"),
    ([TAG, "takes:1h", "flexible:24h", "zone:DE", "kw:-1"], "tag kw"),
    ([TAG, "takes:1h", "flexible:900d", "zone:DE"], "more than 31 days after its time"),
    ([TAG, "takes:1h", f"flexible:{'9' * 400}d", "zone:DE"], "is too long"),
])  # fmt: skip
def test_tags_that_cannot_be_read_leave_the_run_and_are_told(made, planned, tags: list[str], words: str) -> None:
    run_id = made(planned, tags)
    told = carbon_scheduling(CarbonRequest(mode="act"))
    assert any(words in line for line in told["trouble"]), told["trouble"]
    assert start(run_id) == planned


def test_a_run_that_has_begun_since_is_left_alone(made, planned: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = made(planned)
    look = act.SetStart.look

    def begun(self: act.SetStart):  # type: ignore[no-untyped-def]
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Pending(), force=True)
        return look(self)

    monkeypatch.setattr(act.SetStart, "look", begun)
    (row,) = carbon_scheduling(CarbonRequest(mode="act"))["decisions"]
    assert (row["result"]["state"], "begun" in row["result"]["detail"]) == ("refused", True)


def test_what_a_killed_run_left_is_settled_by_what_is_seen(made, planned: datetime) -> None:
    run_id = made(planned)
    target = (planned + timedelta(hours=9)).isoformat()
    dead = open_run("carbon-scheduling", "default")
    change = Planned({"value": {"start": target}, "fleet": "default"},
                     {"value": {"start": planned.isoformat()}, "fleet": "default"})  # fmt: skip
    intent = dead.journal.start(
        dead.journal.plan(None, f"prefect/{run_id}", act.SetStart.kind, do=change.do, undo=change.undo,
                          planned_against={}, key="killed"))  # fmt: skip
    act.SetStart(str(run_id)).put(dead.journal, intent, act.SetStart(str(run_id)).look(), intent.do["value"])
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Pending(), force=True)  # and then it began
    (settled,) = [act.SetStart(str(run_id)).settle(dead.journal, dead.journal.intent(intent.id))]
    assert (settled.state, "begun" in settled.detail) == (State.FAILED, True)
