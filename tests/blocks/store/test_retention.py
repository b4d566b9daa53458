"""What is forgotten after weeks, what after a year, and what never."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from blocks.series import Forecast, Series
from blocks.store import Journal, Store, retention
from blocks.store.forecasts import load_forecast, save_forecast
from blocks.store.retention import NEVER, Keep, forget
from blocks.store.series import SeriesStore
from blocks.store.tables import (
    Decision,
    Intent,
    OutboxItem,
    Outcome,
    Pass,
    Row,
    Scorecard,
    Section,
    State,
    Verdict,
    now,
)

AT = now()


@pytest.fixture
def files(tmp_path: Path) -> SeriesStore:
    return SeriesStore.open(str(tmp_path / "series"))


def aged(days: int, state: Verdict, name: str = "a") -> Decision:
    at = AT - timedelta(days=days)
    return Decision(id=f"{state}-{days}-{name}", flow_run_id="r", flow="f", subject=name, action="up", state=state,
                    as_of=at, created_at=at)  # fmt: skip


def counts(store: Store) -> dict[str, int]:
    with store.read() as session:
        found = {table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
                 for table in Row.metadata.sorted_tables}  # fmt: skip
    return {name: int(count) for name, count in found.items() if count}


def test_every_table_is_either_forgotten_or_said_to_stay(store: Store, files: SeriesStore) -> None:
    touched = set(forget(store, files, AT, Keep(), dry=True)) - {"series files"}
    assert touched | NEVER == {table.name for table in Row.metadata.sorted_tables}
    assert not touched & NEVER


def test_what_changed_nothing_goes_after_weeks_and_what_was_done_after_a_year(
    store: Store, files: SeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    rows = [aged(days, state) for days in (34, 36, 401) for state in
            (Verdict.RECORDED, Verdict.EXPIRED, Verdict.ACTED, Verdict.UNDONE, Verdict.APPROVED)]  # fmt: skip
    store.record_decisions(rows)
    store.save_outcomes([Outcome(decision_id=row.id, measured_at=AT) for row in rows])
    before = counts(store)
    dry = forget(store, files, AT, Keep(), dry=True)
    assert counts(store) == before
    gone = forget(store, files, AT, Keep())
    assert gone == dry
    left = {row.id for row in store.decisions(limit=None)}
    assert {row.id for row in rows} - left == {
        "recorded-36-a", "expired-36-a", "recorded-401-a", "expired-401-a", "acted-401-a", "undone-401-a"}  # fmt: skip
    assert gone["outcome"] == gone["decision"] == 6
    assert not any(forget(store, files, AT, Keep()).values())


def test_a_finished_change_goes_with_its_history_and_an_open_one_never(store: Store, files: SeriesStore) -> None:
    old = Journal(store, clock=lambda: AT - timedelta(days=500))

    def planned(key: str, undoes: str | None = None) -> Intent:
        return old.plan(None, f"eu/{key}", "k", do={}, undo={}, planned_against={}, key=key, undoes=undoes)

    done = old.done(old.start(planned("done")))
    old.done(old.start(planned("undoing", done.id)))
    stays = old.start(planned("open"))
    forget(store, files, AT, Keep())
    journal = Journal(store)
    assert [(each.id, each.state) for each in journal.intents()] == [(stays.id, State.STARTED)]
    assert counts(store) == {"intent": 1, "intent_step": 2}


def test_the_newest_report_and_pass_of_each_flow_stay_however_old(store: Store, files: SeriesStore) -> None:
    for days in (600, 500):
        at = AT - timedelta(days=days)
        store.save_sections([Section(flow_run_id=str(days), flow="f", subject=fleet, title="t", created_at=at)
                             for fleet in ("a", "b")])  # fmt: skip
        store.record_pass(Pass(flow_run_id=str(days), flow="f", fleet="a", mode="act", began_at=at, ended_at=at))
    forget(store, files, AT, Keep())
    assert [(row.flow_run_id, row.subject) for row in store.sections()] == [("500", "a"), ("500", "b")]
    assert [row.flow_run_id for row in store.last_passes()] == ["500"]
    assert counts(store) == {"section": 2, "flow_pass": 1}


def test_scores_forecasts_series_and_what_edges_told_go_too(store: Store, files: SeriesStore) -> None:
    for days in (1, 50, 500):
        at = AT - timedelta(days=days)
        store.save_scorecards([Scorecard(flow="f", subject="s", method="m", period_start=at, period_end=at)])
        with store.write() as session:
            session.add(OutboxItem(edge="e", epoch="e", seq=days, kind="k", ts="", received_at=at))
        values = np.ones((1, 2, 2), np.float32)
        made = Forecast(("a",), at, int(at.timestamp()), 300, (0.5, 0.9), values, values, ("x",))
        save_forecast(store, made, metric="demand", shard="0", engine="x", flow_run_id="r", files=files)
        files.append("cpu", Series(("a",), int(at.timestamp()) // 300 * 300, 300, np.ones((1, 1), np.float32)))
    gone = forget(store, files, AT, Keep())
    assert {name: count for name, count in gone.items() if count} == {
        "forecast": 2, "scorecard": 1, "outbox_item": 2, "series files": 1}  # fmt: skip
    assert load_forecast(store, "demand", files=files) is not None
    assert files.read("cpu", 0, int(AT.timestamp())).unique_id == ("a",)
    assert files.forget(date.min) == 0
