"""Decisions and what became of them; scorecards, sections, forecasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from blocks.errors import InvalidInput, NotFound
from blocks.store import Journal, Store
from blocks.store.tables import Decision, ForecastRecord, Intent, Mode, Outcome, Pass, Scorecard, Section, Verdict

AS_OF = datetime(2026, 1, 31, 12, tzinfo=UTC)


def decision(subject: str = "eu-eks/web", **changes: object) -> Decision:
    values: dict[str, object] = {"flow_run_id": "run-1", "flow": "cluster-scaling", "subject": subject,
                                 "action": "set_desired", "as_of": AS_OF, "created_at": AS_OF}  # fmt: skip
    return Decision(**values | changes)


def section(run: str, ordinal: int, *, title: str = "Pools", minutes: int = 0) -> Section:
    return Section(flow_run_id=run, flow="cluster-scaling", subject="fleet", title=title, ordinal=ordinal,
                   content={"rows": [run]}, created_at=AS_OF + timedelta(minutes=minutes))  # fmt: skip


def forecast(minutes: int, shard: str, path: str = "a.parquet") -> ForecastRecord:
    return ForecastRecord(
        flow_run_id="run-1", metric="cpu_cores", shard=shard, as_of=AS_OF + timedelta(minutes=minutes), path=path,
        start_s=0, step_s=300, horizon=12, levels=[0.5, 0.9], engine="linear", series=8,
    )  # fmt: skip


def card(mase_ratio: float) -> Scorecard:
    return Scorecard(
        flow="demand-forecasting", subject="fleet", method="linear", period_start=AS_OF,
        period_end=AS_OF + timedelta(days=1), scores={"mase_ratio": mase_ratio},
    )  # fmt: skip


def test_a_decision_comes_back_as_it_was_made(store: Store) -> None:
    made = decision(content={"b": 1, "a": [1.5, None]}, reasons=[{"code": "peak", "cores": 12.5}],
                    promised={"cost_usd": 1.25}, mode=Mode.PROPOSE, expires_at=AS_OF)  # fmt: skip
    store.record_decisions([made])
    assert store.decision(made.id).model_dump() == made.model_dump()
    assert list(store.decision(made.id).content) == ["b", "a"]


def test_many_decisions_are_recorded_in_few_statements_and_all_read_back(store: Store) -> None:
    rows = [decision(f"c/{i}", content={"desired": i}, reasons=[{"code": "peak", "cores": 1.5}]) for i in range(2_000)]
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    store.record_decisions(rows)
    assert len(statements) <= 10
    assert len(store.decisions(limit=None)) == 2_000


def test_recording_the_same_decision_again_leaves_it_as_it_is(store: Store) -> None:
    made = decision()
    store.record_decisions([made])
    store.settle([made], Verdict.ACTED)
    store.record_decisions([made])
    assert [row.state for row in store.decisions()] == [Verdict.ACTED]


def test_a_resumed_run_loads_its_decisions_in_recorded_order(store: Store) -> None:
    store.record_decisions([decision(f"c/{i}") for i in (3, 1, 2)])
    store.record_decisions([decision("c/9", flow_run_id="run-2")])
    assert [row.subject for row in store.proposals("run-1")] == ["c/3", "c/1", "c/2"]


def test_decisions_are_filtered_and_come_newest_first(store: Store) -> None:
    store.record_decisions([decision(f"c/{i}", created_at=AS_OF + timedelta(minutes=i)) for i in range(4)])
    store.record_decisions([decision("c/9", flow="caching", created_at=AS_OF)])
    assert [row.subject for row in store.decisions(flow="cluster-scaling", limit=2)] == ["c/3", "c/2"]
    assert [row.subject for row in store.decisions(since=AS_OF + timedelta(minutes=3))] == ["c/3"]
    assert [row.flow for row in store.decisions(subject="c/9")] == ["caching"]


def test_a_unique_beginning_of_an_id_is_enough(store: Store) -> None:
    store.record_decisions([decision(id="abc1" + "0" * 28), decision(id="abd2" + "0" * 28)])
    assert store.decision("abc").id.startswith("abc1")
    with pytest.raises(InvalidInput, match="more digits"):
        store.decision("ab")
    for unknown in ("f", "", "%"):
        with pytest.raises(NotFound):
            store.decision(unknown)


def test_find_gives_an_intent_or_a_decision(store: Store, journal: Journal) -> None:
    made = decision(id="f" * 32)
    store.record_decisions([made])
    intent = journal.plan(made.id, "c/1", "set_desired", do={}, undo={}, planned_against={}, key="k")
    assert isinstance(store.find("ffff"), Decision)
    assert isinstance(store.find(intent.id[:12]), Intent)


def test_a_proposal_expires_at_its_time_and_then_never_changes(store: Store) -> None:
    due, later = (decision(state=Verdict.PROPOSED, expires_at=AS_OF + timedelta(hours=hours)) for hours in (1, 2))
    store.record_decisions([due, later])
    assert store.expire_proposals(AS_OF + timedelta(hours=1), fleet="demo") == 1
    assert store.settle([due, later], Verdict.APPROVED) == 1
    assert (store.decision(due.id).state, store.decision(later.id).state) == (Verdict.EXPIRED, Verdict.APPROVED)


def test_no_fleets_clock_expires_the_proposals_of_another(store: Store) -> None:
    ours, theirs = (decision(fleet=fleet, state=Verdict.PROPOSED, expires_at=AS_OF) for fleet in ("a", "b"))
    store.record_decisions([ours, theirs])
    assert store.expire_proposals(AS_OF + timedelta(days=300), fleet="a") == 1
    assert store.decision(theirs.id).state == Verdict.PROPOSED


def test_settling_without_a_detail_keeps_the_one_that_is_there(store: Store) -> None:
    made = decision()
    store.record_decisions([made])
    store.settle([made], Verdict.APPROVED, detail="by ada")
    store.settle([made.id], Verdict.ACTED)
    assert (store.decision(made.id).state, store.decision(made.id).detail) == (Verdict.ACTED, "by ada")


def test_an_outcome_measured_again_replaces_the_older(store: Store) -> None:
    made = decision()
    store.record_decisions([made])
    for hours in (3.0, 4.0):
        store.save_outcomes([Outcome(decision_id=made.id, measured_at=AS_OF, happened={"node_hours": hours},
                                     baselines={"hpa": {"node_hours": 5.0}})])  # fmt: skip
    assert store.outcomes([made.id, "unknown"])[made.id].happened == {"node_hours": 4.0}


def test_unmeasured_gives_the_decisions_without_an_outcome(store: Store) -> None:
    old, older, young = (decision(as_of=AS_OF + timedelta(hours=hours)) for hours in (1, 0, 9))
    measured = decision()
    store.record_decisions([old, older, young, measured])
    store.save_outcomes([Outcome(decision_id=measured.id, measured_at=AS_OF)])
    found = store.unmeasured("cluster-scaling", AS_OF + timedelta(hours=2))
    assert [row.id for row in found] == [older.id, old.id]


def test_a_scorecard_of_the_same_period_replaces_the_older(store: Store) -> None:
    store.save_scorecards([card(0.5)])
    store.save_scorecards([card(0.4)])
    assert [row.scores for row in store.scorecards(flow="demand-forecasting")] == [{"mase_ratio": 0.4}]


def test_sections_are_those_of_the_newest_run_in_their_order(store: Store) -> None:
    store.save_sections([section("old", 0)])
    store.save_sections([section("new", 1, title="Then", minutes=5), section("new", 0, title="First", minutes=5)])
    store.save_sections([section("new", 1, title="Then, again", minutes=5)])
    assert [row.title for row in store.sections()] == ["First", "Then, again"]
    assert [row.flow_run_id for row in store.sections(flow_run_id="old")] == ["old"]


def test_decisions_and_sections_are_those_of_one_fleet_where_it_is_asked_for(store: Store) -> None:
    flow = "cluster-scaling"
    store.record_decisions([decision(fleet=fleet, flow_run_id=fleet, as_of=AS_OF) for fleet in ("", "a", "b")])
    for count, fleet in ((3, None), (2, "a"), (1, "other")):
        assert len(store.decisions(fleet=fleet)) == count
        assert sum(row[4] for row in store.verdicts(AS_OF, fleet=fleet)) == count
        assert len(list(store.decided(flow, AS_OF, AS_OF + timedelta(hours=1), fleet=fleet))) == count
        assert len(store.last_decided(flow, AS_OF + timedelta(hours=1), fleet=fleet)) == count
        assert store.first_decided(flow, fleet=fleet) == AS_OF
    for minutes, fleet in enumerate(("a", "b", "a")):
        store.save_sections([section(f"{fleet}{minutes}", 0, minutes=minutes).model_copy(update={"subject": fleet})])
    assert [row.flow_run_id for row in store.sections()] == ["a2", "b1"]
    assert [row.flow_run_id for row in store.sections(flow=flow, subject="b")] == ["b1"]


def test_the_last_pass_of_each_flow_and_fleet(store: Store) -> None:
    for minutes, (flow, fleet) in enumerate((("f", "a"), ("f", "b"), ("g", "a"), ("f", "a"))):
        at = AS_OF + timedelta(minutes=minutes)
        store.record_pass(
            Pass(flow_run_id=str(minutes), flow=flow, fleet=fleet, mode="act", began_at=AS_OF, ended_at=at)
        )
    assert [row.flow_run_id for row in store.last_passes()] == ["3", "1", "2"]


def test_the_latest_forecast_has_all_its_shards(store: Store) -> None:
    store.record_forecasts([forecast(0, "0"), forecast(5, "1"), forecast(5, "0", "old.parquet"), forecast(9, "0")])
    store.record_forecasts([forecast(5, "0", "new.parquet")])
    found = store.latest_forecasts("cpu_cores", AS_OF + timedelta(minutes=8))
    assert [(row.shard, row.path) for row in found] == [("0", "new.parquet"), ("1", "a.parquet")]
    assert store.latest_forecasts("memory_bytes") == []


def test_decisions_are_read_by_the_time_they_were_made_for(store: Store) -> None:
    rows = [decision(f"c/{i}", as_of=AS_OF + timedelta(minutes=i), promised={"m": float(i)}) for i in (3, 1, 2, 9)]
    store.record_decisions([*rows, decision("c/1", flow="other")])
    found = list(store.decided("cluster-scaling", AS_OF + timedelta(minutes=1), AS_OF + timedelta(minutes=9)))
    assert [(row.subject, row.promised) for row in found] == [("c/1", {"m": 1}), ("c/2", {"m": 2}), ("c/3", {"m": 3})]
    assert store.first_decided("cluster-scaling") == AS_OF + timedelta(minutes=1)
    assert store.first_decided("cluster-scaling", AS_OF + timedelta(minutes=4)) == AS_OF + timedelta(minutes=9)
    assert store.first_decided("nobody") is None


def hourly(subject: str, method: str, hour: int, **scores: float) -> Scorecard:
    begin = AS_OF + timedelta(hours=hour)
    return Scorecard(flow="cluster-scaling", subject=subject, method=method, period_start=begin,
                     period_end=begin + timedelta(hours=1), scores=scores)  # fmt: skip


def test_scores_are_summed_by_subject_and_method_since_a_time(store: Store) -> None:
    store.save_scorecards([
        hourly("a/p", "ours", 0, minutes=60, usd=9), hourly("a/p", "ours", 1, minutes=30),
        hourly("a/p", "live", 1, usd=2),
        hourly("b/p", "ours", 1, minutes=7.5), hourly("b/p", "ours", -1, minutes=99),
    ])  # fmt: skip
    found = store.score_sums("cluster-scaling", ("minutes", "usd"), AS_OF)
    assert found == {("a/p", "ours"): {"minutes": 90, "usd": 9}, ("a/p", "live"): {"minutes": 0, "usd": 2},
                     ("b/p", "ours"): {"minutes": 7.5, "usd": 0}}  # fmt: skip
    chosen = store.score_sums("cluster-scaling", ("minutes",), AS_OF, methods=["ours"], subjects=["a/p", "c/p"])
    assert chosen == {("a/p", "ours"): {"minutes": 90}}
    assert store.score_sums("cluster-scaling", ("minutes",), AS_OF, subjects=[]) == {}


def test_scorecards_are_found_by_method_and_end(store: Store) -> None:
    store.save_scorecards([hourly("a/p", method, hour) for method in ("ours", "live") for hour in (0, 1)])
    (found,) = store.scorecards(flow="cluster-scaling", method="live", period_end=AS_OF + timedelta(hours=1))
    assert (found.method, found.period_start) == ("live", AS_OF)


def test_every_subject_is_known_once(store: Store) -> None:
    assert store.subjects() == set()
    store.record_decisions([decision("c/1"), decision("c/1"), decision("d/2")])
    assert store.subjects() == {"c/1", "d/2"}
