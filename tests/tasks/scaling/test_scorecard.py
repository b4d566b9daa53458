"""An hour of stored decisions and demand, scored and kept."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from blocks.series import Series, utc
from blocks.store import Store
from blocks.store.series import SeriesStore
from blocks.store.tables import Decision, Verdict
from tasks.scaling import scorecard
from tasks.scaling.scorecard import FLOW, gated, score_due, totals

START = utc(1_767_225_600)
POOL = "eu-eks/web"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fleet of one pool whose demand fills 3 nodes, and 9 from 03:30 on; its clock is at 05:00."""
    demand = np.full((1, 60), 3.0)
    demand[0, 42:] = 9.0
    files = SeriesStore.open()
    for kind, size in (("cpu_cores", 4.0), ("memory_bytes", 2.0**30)):
        series = Series((POOL,), int(START.timestamp()), 300, (demand * size).astype(np.float32))
        files.append(f"{kind} of f", series)
    pool = SimpleNamespace(name="web", node_cpu=4.0, node_memory=2**30, boot_s=240)
    fleet = SimpleNamespace(name="f", pools=lambda: [(SimpleNamespace(name="eu-eks"), pool)])
    monkeypatch.setattr(scorecard, "source_time_s", lambda fleet: (START + timedelta(hours=5)).timestamp())
    return SimpleNamespace(fleet=fleet, fleet_name="f", store=Store.open())


def decide(run: Any, begin_min: int, end_min: int, **changed: Any) -> list[Decision]:
    """One decision every five minutes."""
    state = changed.pop("state", Verdict.RECORDED)
    content = {"current": 4, "ready": 4, "want": 5, "target": 5, "min_nodes": 1, "max_nodes": 20, "actuator": "desired",
               "policy": "predictive", "reasons": []} | changed  # fmt: skip
    promised = {"horizon_s": 3600.0, "violation_minutes_if_not": 2.0, "violation_minutes_if_changed": 1.0}
    rows = [
        Decision(flow_run_id=f"r{minute}", flow=FLOW, subject=POOL, action="up", state=state, content=content,
                 as_of=START + timedelta(minutes=minute), promised=promised)
        for minute in range(begin_min, end_min, 5)
    ]  # fmt: skip
    run.store.record_decisions(rows)
    return rows


def score(run: Any) -> Any:
    return score_due.fn(run)


def rules(run: Any) -> dict[str, tuple[float, float, float]]:
    found = totals(run, START, ("ours", "live"))
    return {method: (sums.violation_minutes, sums.node_hours, sums.minutes) for (_, method), sums in found.items()}


def test_hours_are_scored_as_soon_as_their_horizons_are_over_and_only_once(run) -> None:
    decide(run, 0, 300)
    first = score(run)
    # 02:00 to 03:00 is due at 04:10; 03:00 to 04:00 at 05:10, ten minutes from now
    assert (first.hours, first.decisions, first.until) == (3, 36, START + timedelta(hours=3))
    assert score(run).hours == 0


def test_an_outcome_holds_what_came_over_the_horizon(run) -> None:
    rows = decide(run, 0, 300)
    score(run)
    (late,) = (row for row in rows if row.as_of == START + timedelta(minutes=175))
    outcome = run.store.outcomes([late.id])[late.id]
    # demand rises from 3 to 9 nodes between 03:25 and 03:30; 3.6 nodes are 90 % of four
    assert outcome.happened == {"violation_minutes": 29.0, "node_hours": 4.0, "minutes": 60.0}
    assert outcome.baselines["stay"] == outcome.happened
    assert set(outcome.baselines) == {"stay", "ours", "seed", "target-tracking"}


def test_the_gate_reads_what_the_scorecard_has_kept(run, stage) -> None:
    decide(run, 0, 300, want=4)
    score(run)
    assert rules(run) == {"ours": (0, 12, 180), "live": (0, 12, 180)}
    decisions = stage.scene(cpu_cores=20.0, names=[POOL]).decide(START + timedelta(hours=5))
    assert gated(run, decisions, 0) is decisions
    assert gated(run, decisions, 1).reasons[0][-1].code == "gate-unscored"


def test_after_an_act_the_live_rule_stays_at_the_size_of_before_in_later_hours_too(run) -> None:
    decide(run, 0, 30)
    decide(run, 30, 35, state=Verdict.ACTED, target=3, want=3)
    decide(run, 35, 300, current=3, ready=3, want=3)
    score(run)
    ours, live = rules(run)["ours"], rules(run)["live"]
    assert live == (0, 12, 180)
    assert ours[1] < 11
    assert ours[0] > 100  # three nodes are full at 2.7


def test_a_pool_that_an_autoscaler_sizes_is_scored_by_its_ready_nodes_not_by_its_floor(run) -> None:
    decide(run, 0, 300, actuator="floor", current=2, ready=6, state=Verdict.ACTED)
    score(run)
    assert rules(run)["live"] == (0, 18, 180)


def test_decisions_of_an_older_release_are_scored_too(run) -> None:
    decide(run, 0, 240)
    with run.store.write() as session:
        session.execute(text("UPDATE decision SET content = json_remove(content, '$.actuator')"))
    assert score(run).hours == 3


def test_a_pass_that_could_not_reach_the_pool_says_nothing_of_its_size(run) -> None:
    decide(run, 0, 60)
    decide(run, 60, 300, current=0, ready=0, reasons=[{"code": "unreachable", "resource": "", "numbers": {}}])
    score(run)
    assert rules(run)["live"] == (0, pytest.approx(4 * 86 / 60), 86)


def test_decisions_of_a_pool_that_is_gone_from_the_inventory_are_left_out(run) -> None:
    decide(run, 0, 60)
    run.fleet.pools = list
    assert score(run).decisions == 0
    assert totals(run, START, ("ours", "live")) == {}


def test_nothing_decided_is_nothing_scored(run) -> None:
    told = score(run)
    assert (told.hours, told.until) == (0, None)
