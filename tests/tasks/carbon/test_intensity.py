"""Forecasts kept as they were issued, providers that fail or are old, and starts held against what came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from blocks.carbon.configured import Provider
from blocks.errors import ContinuumError, NotFound
from blocks.fleet import CarbonAccess
from blocks.fleet_file import load_fleet
from blocks.store import Journal, Store
from blocks.store.tables import Decision, now
from deployments.local.files import FLEET_FILE
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.shift import FlexibleRun, decide_shifts
from tasks.carbon.intensity import forecast_of, kept_forecast, known_of
from tasks.carbon.report import shift_sections
from tasks.carbon.scorecard import score_due
from tasks.run import Run
from tests.blocks.conftest import Server, as_json, server

__all__ = ["server"]

ISSUED = datetime(2026, 3, 1, 5, 25, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    made = Store.open(f"sqlite:///{tmp_path}/store.db")
    yield made
    made.close()


@pytest.fixture
def provider(server: Server) -> Provider:
    return Provider(CarbonAccess(kind="electricity-maps", url=server.url, token=SecretStr("k")))


def told(first: datetime, *values: float, issued: datetime = ISSUED) -> dict:
    """As Electricity Maps documents its forecasts."""
    rows = [{"carbonIntensity": value, "datetime": (first + timedelta(hours=number)).isoformat()}
            for number, value in enumerate(values)]  # fmt: skip
    return {"zone": "DE", "forecast": rows, "updatedAt": issued.isoformat()}


def test_a_forecast_is_kept_with_its_issue_time_and_holds_from_now_on(server, store, provider) -> None:
    server.answers(as_json(told(ISSUED.replace(hour=6, minute=0), 300, 200)))
    series, trouble = forecast_of(store, [provider], "DE", ISSUED, "run")
    assert series is not None
    assert (series.g_per_kwh.tolist(), trouble) == ([300, 300, 200], [])
    assert series.start_s <= ISSUED.timestamp()
    kept = kept_forecast(store, provider, "DE", ISSUED)
    assert kept is not None
    assert (kept.issued_at, kept.g_per_kwh.tolist(), kept.signal) == (ISSUED, [300, 300, 200], "average")
    assert kept_forecast(store, provider, "DE", ISSUED - timedelta(seconds=1)) is None


def test_a_provider_that_fails_is_told_and_its_last_word_counts_while_it_is_fresh(server, store, provider) -> None:
    server.answers(as_json(told(ISSUED.replace(minute=0), 300, 200)))
    forecast_of(store, [provider], "DE", ISSUED, "run")
    server.answers(as_json({"error": "no"}, 401))
    series, trouble = forecast_of(store, [provider], "DE", ISSUED + timedelta(hours=1), "run")
    assert series is not None
    assert "what it told before counts" in trouble[0]
    series, trouble = forecast_of(store, [provider], "DE", ISSUED + timedelta(hours=7), "run")
    assert series is None
    assert "too old" in trouble[1]


def test_a_forecast_that_was_issued_long_ago_plans_nothing(server, store, provider) -> None:
    server.answers(as_json(told(ISSUED.replace(minute=0), 300, 200)))
    series, (line,) = forecast_of(store, [provider], "DE", ISSUED + timedelta(hours=9), "run")
    assert series is None
    assert "is of 2026-03-01T05:25Z, too old" in line


def actual(first: datetime, *values: float) -> dict:
    rows = told(first, *values)["forecast"]
    return {"zone": "DE", "data": [row | {"isEstimated": False} for row in rows]}


def test_what_was_is_the_providers_word_before_a_typical_day_and_a_failure_is_raised(server, store, provider) -> None:
    begin = int(ISSUED.replace(minute=0).timestamp())
    server.answers(as_json(actual(ISSUED.replace(minute=0), 310, 210)))
    series = known_of([provider], "DE", begin, begin + 7200)
    assert (series.method, series.g_per_kwh.tolist()) == ("actual", [310, 210])
    assert known_of([], "DE", begin, begin + 7200).method == "typical day"
    with pytest.raises(NotFound):
        known_of([], "DE", begin, begin + 7200, "marginal")
    server.answers(as_json({"error": "no"}, 401))
    with pytest.raises(ContinuumError):
        known_of([provider], "DE", begin, begin + 7200)


def test_a_start_is_scored_once_by_what_came_beside_the_perfect_one(server, store, provider) -> None:
    arrival = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=12)
    begin = int(arrival.timestamp())
    guess = Intensity(begin, 3600, np.array([400.0, 300, 100, 300, 300, 300, 300, 300, 300, 300]))
    server.answers(as_json(told(arrival, *guess.g_per_kwh, issued=arrival)))
    forecast_of(store, [provider], "DE", arrival, "earlier")
    job = FlexibleRun("prefect/1", "training", "DE", begin, begin, 3600, begin + 6 * 3600, kw=2.0)
    (record,) = decide_shifts([job], {"DE": guess}, {"DE": "forecast"}, begin)
    row = Decision(flow_run_id="earlier", flow="carbon-scheduling", subject=job.subject, action="shift", as_of=arrival,
                   created_at=arrival, content=record)  # fmt: skip
    store.record_decisions([row])
    run = Run("r", "carbon-scheduling", "default", load_fleet(FLEET_FILE), store, Journal(store))

    assert score_due.fn(run, [], "average") == []  # a typical day is no measure
    server.answers(as_json(actual(arrival, 400, 200, 250, 300, 300, 300)))
    (marked,) = score_due.fn(run, [provider], "average")
    assert (marked.came.baseline_g, marked.came.planned_g, marked.came.perfect_g) == (800.0, 500.0, 400.0)
    assert marked.came.captured_ratio == 0.75
    assert marked.forecast_error == pytest.approx((0 + 0.5 + 0.6 + 0 + 0 + 0) / 6)
    outcome = store.outcomes([row.id])[row.id]
    assert outcome.happened == {"emitted_g": 500.0}
    assert outcome.baselines["perfect"] == {"emitted_g": 400.0}
    cards = {(card.subject, card.method): card.scores for card in store.scorecards(flow="carbon-scheduling")}
    assert cards[("prefect/1", "planned")] == {"emitted_g": 500.0}
    assert cards[("zone DE", "forecast")]["mape_ratio"] == pytest.approx(marked.forecast_error)
    assert score_due.fn(run, [provider], "average") == []
    _, section = shift_sections([], [marked])
    assert "75% of what a perfect forecast would have saved" in section["paragraphs"][0]
