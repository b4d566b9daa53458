"""A plan in words, and the plans that are kept."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from blocks.errors import NotFound
from blocks.store.series import SeriesStore
from tasks.resource_plan.chart import chart
from tasks.resource_plan.decide import Code, PlanPolicy
from tasks.resource_plan.observe import PlanView
from tasks.resource_plan.record import KEPT, document_of, keep, newest_plan
from tasks.resource_plan.report import ROWS, sections
from tasks.resource_plan.words import WORDS, mends, said


@pytest.fixture
def told(stage):
    def made(count=3, **columns):
        pools = stage.pools(count, current=9, **columns)
        forecast = stage.forecast(pools)
        run = SimpleNamespace(id="run", fleet_name="default", fleet=SimpleNamespace(simulated=True))
        view = PlanView(stage.now, pools, forecast, ("cluster x: no answer",))
        return document_of(run, view, stage.plan(pools, forecast), stage.policy)

    return made


def test_every_code_has_words_and_only_codes_have():
    assert set(WORDS) == set(Code)


def test_the_report_says_that_nothing_acts_on_it_and_what_is_saved(told):
    actions, amounts, timeline = sections(told())
    words = " ".join(actions["paragraphs"])
    assert "nothing acts on it" in words
    assert "+288.0 of 648.0 node-hours (+57.60 USD for 3 with a price)" in words
    assert "GPU is unknown for 3 of 3 pools." in words
    assert "cluster x: no answer" in words
    assert actions["table"]["rows"][0][:5] == ["low", "c000/web", "shrink", 9, "5 at 14:00"]
    assert amounts["table"]["rows"][0][:3] == ["c000/web", "CPU", "16.0 cores"]
    assert timeline["table"]["rows"][0] == ["2026-03-04 14:00", "c000/web", 9, 5]
    assert actions["plots"][0]["title"] == "The fleet: nodes over the day"


def test_pools_without_a_plan_are_told_with_what_to_do(told):
    found = sections(told(reachable=False))
    assert found[-1]["title"] == "Resource plan: not planned"
    assert found[-1]["table"]["rows"][0][1:] == [
        "the cluster or its node-pool API does not answer", "run `continuum doctor`, check network and credentials",
    ]  # fmt: skip
    assert found[0]["plots"] == []


def test_a_large_fleet_is_cut_and_the_rest_counted(told):
    actions = sections(told(ROWS + 5))[0]
    assert len(actions["table"]["rows"]) == ROWS
    assert any(line.startswith("5 further pools") for line in actions["paragraphs"])


def test_a_hands_off_pool_is_its_owners_to_size():
    note = {"code": "owned", "resource": "", "numbers": {}}
    assert said(note, "hands-off") == "it is for its owner (marked hands-off) to size"
    assert mends([note, note]) == "give the plan to its owner"


def test_the_newest_plan_is_read_back_and_only_so_many_are_kept(told, tmp_path):
    files, document = SeriesStore.open(str(tmp_path)), told()
    with pytest.raises(NotFound, match="no plan is kept"):
        newest_plan(files, "default")
    for day in range(KEPT + 3):
        keep(files, document | {"as_of": f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T04:20:00+00:00"})
    assert newest_plan(files, "default") == document | {"as_of": "2026-02-05T04:20:00+00:00"}
    assert len(files.names("plans/fleet=default")) == KEPT
    assert document["policy"] == asdict(PlanPolicy(quantile=0.975))


def test_a_chart_has_one_column_for_each_group_of_neighbours():
    lines = chart(list(range(96))).splitlines()
    assert len(lines) == 9
    assert {len(line) for line in lines} == {2 + 2 + 48}
    assert chart([]) == ""
    assert "█" not in chart([0.0, 0.0])
