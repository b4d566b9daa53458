"""Anomalies are announced once, in one event a pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from blocks.events import AnomaliesDetected, Anomaly
from blocks.series import utc
from blocks.store.series import SeriesStore
from tasks import publish
from tasks.forecasting import announced
from tasks.forecasting.announced import announce_anomalies
from tasks.forecasting.decide.forecast_checks import ForecastCode, ForecastReason
from tasks.forecasting.decide.residuals import Cause
from tasks.forecasting.report_anomalies import CAUSE_WORDS, CODE_WORDS, anomaly_sections
from tasks.forecasting.shards import Doubt, ShardMade

NOW = utc(1_767_225_600)


def anomaly(series: str, minutes_ago: int = 5) -> Anomaly:
    return Anomaly(series=f"{series}/cpu_cores", at=NOW - timedelta(minutes=minutes_ago), value=9.0, expected=1.0,
                   cause="step")  # fmt: skip


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "emit_event", lambda name, **given: events.append({"name": name, **given}))
    return events


def test_only_what_is_new_is_announced_and_all_of_two_days_is_told(emitted: list[dict[str, Any]]) -> None:
    files = SeriesStore.open()
    announce_anomalies(files, "default", NOW, [anomaly("a"), anomaly("b", 10)])
    new, recent = announce_anomalies(files, "default", NOW, [anomaly("a"), anomaly("c", 1)])
    assert [found.series for found in new] == ["c/cpu_cores"]
    assert [found.series for found in recent] == ["c/cpu_cores", "a/cpu_cores", "b/cpu_cores"]
    first, second = (AnomaliesDetected.model_validate(event["payload"]) for event in emitted)
    assert (first.count, second.count) == (2, 1)


def test_a_pass_without_news_emits_nothing(emitted: list[dict[str, Any]]) -> None:
    files = SeriesStore.open()
    announce_anomalies(files, "default", NOW, [])
    announce_anomalies(files, "default", NOW, [anomaly("a")])
    announce_anomalies(files, "default", NOW, [anomaly("a")])
    assert len(emitted) == 1


def test_a_pass_killed_before_it_wrote_emits_the_same_id_again(emitted: list[dict[str, Any]]) -> None:
    files = SeriesStore.open()
    announce_anomalies(files, "default", NOW, [anomaly("a")])
    files.remove(announced._path("default"))
    announce_anomalies(files, "default", NOW, [anomaly("a")])
    assert emitted[0]["id"] == emitted[1]["id"]


def test_old_anomalies_are_forgotten_and_a_damaged_file_is_begun_anew(emitted: list[dict[str, Any]]) -> None:
    files = SeriesStore.open()
    announce_anomalies(files, "default", NOW, [anomaly("a")])
    assert announce_anomalies(files, "default", NOW + timedelta(days=3), [])[1] == []
    files.write_bytes(announced._path("default"), b"[{")
    assert len(announce_anomalies(files, "default", NOW, [anomaly("b")])[1]) == 1


def test_every_cause_and_code_has_words() -> None:
    assert set(CAUSE_WORDS) == set(Cause)
    assert set(CODE_WORDS) == set(ForecastCode)


def test_anomalies_and_doubts_are_shown_in_the_unit_of_their_series() -> None:
    numbers = {"value": 5 * 2**30, "step": 3.0, "measured_low": 0.0, "measured_high": float(2**30)}
    doubt = Doubt("a/web/memory_bytes", (ForecastReason(ForecastCode.IMPOSSIBLE_LEVEL, numbers),))
    shard = ShardMade(0, 1, {}, doubts=(doubt,), doubtful=1)
    found, doubtful = anomaly_sections([anomaly("a")], [shard])
    assert found["table"]["rows"][0][2:4] == ["9.00 cores", "1.00 cores"]
    assert "reaches 5.00 GiB at step 3; measured were 0.00 GiB to 1.00 GiB" in doubtful["table"]["rows"][0][1]
    assert anomaly_sections([], [ShardMade(0, 1, {})]) == []
