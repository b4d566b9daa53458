"""A forecast that has moved is announced once, one that trembles is not: over a real store and real requests."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from blocks.events import CarbonMoved
from blocks.fleet import CarbonAccess
from blocks.fleet_file import load_fleet
from blocks.store import Journal, Store
from blocks.store.tables import now
from deployments.local.files import FLEET_FILE
from tasks.carbon import watch
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.moved import decide_movement
from tasks.run import Run
from tests.blocks.conftest import Server, as_json, server
from tests.tasks.carbon.test_intensity import store, told

__all__ = ["server", "store"]

NOON = [400.0] * 8 + [100.0] * 4 + [400.0] * 12
NIGHT = [400.0] * 14 + [100.0] * 4 + [400.0] * 6


@pytest.fixture
def run(server: Server, store: Store) -> Run:
    access = CarbonAccess(kind="electricity-maps", url=server.url, token=SecretStr("k"), zones={"DE": "DE"})
    fleet = load_fleet(FLEET_FILE).model_copy(update={"carbon": [access]})
    return Run("r", "energy-report-hour", "default", fleet, store, Journal(store))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[CarbonMoved]:
    found: list[CarbonMoved] = []
    monkeypatch.setattr(watch, "emit", lambda event, identity: found.append(event))
    return found


def look(run: Run, server: Server, values: list[float], issued: datetime) -> list[str]:
    begin = run.began_at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=8)
    server.answers(as_json(told(begin, *values[-8:], *values, issued=issued)))
    return watch.watch_forecasts.fn(run)


def test_a_forecast_that_moved_is_announced_once_and_what_trembles_is_not(run, server, said) -> None:
    first = now() - timedelta(minutes=40)
    trembling = [value * (1.04 if hour % 2 else 0.96) for hour, value in enumerate(NIGHT)]
    assert look(run, server, NOON, first) == []  # there is nothing to hold it against
    assert look(run, server, NIGHT, first + timedelta(minutes=10)) == ["DE"]
    assert look(run, server, NIGHT, first + timedelta(minutes=20)) == []
    assert look(run, server, trembling, first + timedelta(minutes=30)) == []
    assert [event.zones for event in said] == [["DE"]]


def test_one_that_creeps_is_announced_when_it_has_gone_far_enough(run, server, said) -> None:
    first = now() - timedelta(minutes=40)
    levels = [(1 + 0.08 * step) for step in range(4)]
    found = [look(run, server, [value * level for value in NOON], first + timedelta(minutes=step))
             for step, level in enumerate(levels)]  # fmt: skip
    assert found == [[], [], ["DE"], []]


def test_what_was_announced_long_ago_is_replaced_without_a_word(run, server, said, monkeypatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(watch, "now", lambda: now() - timedelta(hours=7))
        assert look(run, server, NOON, now() - timedelta(hours=7, minutes=1)) == []
    assert look(run, server, NIGHT, now() - timedelta(minutes=1)) == []
    assert look(run, server, NOON, now()) == ["DE"]


def test_a_provider_that_fails_announces_nothing(run, server, said, caplog: pytest.LogCaptureFixture) -> None:
    look(run, server, NOON, now() - timedelta(minutes=30))
    server.answers(as_json({"error": "no"}, 401))
    assert watch.watch_forecasts.fn(run) == []
    assert "what it told before counts" in caplog.text
    assert said == []


grids = st.permutations([1.5**each for each in range(12)]).map(lambda each: Intensity(0, 3600, np.array(each)))


@given(before=grids, after=grids, begin_h=st.integers(0, 7))
def test_the_cost_of_the_old_start_is_that_of_trying_every_start(before, after, begin_h: int) -> None:
    found = decide_movement(before, after, begin_h * 3600)
    assert (found is None) == (begin_h > 6)
    if found is None:
        return
    worst = 0.0
    for hours in (1, 6):
        old, new = ([each.g_per_kwh[at : at + hours].sum() for at in range(begin_h, 13 - hours)]
                    for each in (before, after))  # fmt: skip
        usual = after.g_per_kwh[begin_h:].mean() * hours
        worst = max(worst, (new[int(np.argmin(old))] - min(new)) / usual)
    assert found.costs_more_ratio == pytest.approx(worst, abs=1e-9)


@given(before=grids, factor=st.floats(0.5, 2))
def test_another_level_of_the_same_shape_moves_no_start(before, factor: float) -> None:
    found = decide_movement(before, Intensity(0, 3600, before.g_per_kwh * factor), 0)
    assert found is not None
    assert found.costs_more_ratio == pytest.approx(0, abs=1e-9)
    assert found.differs_ratio == pytest.approx(abs(factor - 1), abs=1e-9)
