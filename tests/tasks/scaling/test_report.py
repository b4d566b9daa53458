from __future__ import annotations

import json

import numpy as np
import pytest

from tasks.scaling.decide import ReasonCode
from tasks.scaling.reason_words import WORDS
from tasks.scaling.report import explain, patch, proposal, sections

GIB = 2.0**30


def record_of(scene):
    return json.loads(json.dumps(scene.decide().to_records()))[0]


def test_every_reason_has_its_words():
    assert set(WORDS) == set(ReasonCode)
    assert all(words.text for words in WORDS.values())


def test_a_scale_up_is_told_with_its_peak_time_quantile_and_need(stage):
    rising = np.full((1, 12), 8.0)
    rising[0, 3] = 31.2
    assert explain(record_of(stage.scene(peak_cpu=rising))) == (
        "eu-eks/web: desired 6 -> 9 nodes: CPU peak 31.2 cores expected at 14:15 UTC (p90) needs 8.7 nodes at 90 %; "
        "CPU in use, 12.0 cores, needs 4.3 nodes at 70 %"
    )


def test_a_refusal_says_why_and_what_to_do(stage):
    assert explain(record_of(stage.scene(cpu_cores=20.0, peak_cpu=1.0, peak_memory=GIB, max_nodes=6))) == (
        "eu-eks/web: desired stays at 6 nodes: CPU in use, 20.0 cores, needs 7.1 nodes at 70 %; CPU peak 1.0 cores "
        "expected at 14:00 UTC (p90) needs 0.3 nodes at 90 %; refused: the maximum of 6 nodes leaves 2 nodes unmet. "
        "To mend it: raise max_nodes of the pool, and the cloud's quota with it"
    )


def test_a_refused_scale_down_says_how_long_to_wait(stage):
    line = explain(record_of(stage.scene(last_up_s=240.0)))
    assert "refused: the last scale-up was 4 min ago, no scale-down within 10 min of one. To mend it: wait" in line


def test_a_foreign_pool_names_its_owner_and_the_patch(stage):
    record = record_of(stage.scene(owner="flux", cpu_cores=20.0))
    assert "6 -> 8 nodes (as a patch)" in explain(record)
    assert "flux sizes this pool. To mend it: apply the patch to 8 nodes there" in explain(record)
    assert patch(record) == {
        "cluster": "eu-eks", "node_pool": "web", "owner": "flux", "desired_nodes": {"from": 6, "to": 8},
        "decided_at": "2026-03-04T14:00:00+00:00", "why": explain(record),
    }  # fmt: skip


@pytest.mark.parametrize("columns", [{"cpu_cores": 20.0}, {}, {"cpu_cores": 70.0, "max_nodes": 6}])
def test_what_is_ours_to_change_has_no_patch(stage, columns):
    assert patch(record_of(stage.scene(**columns))) is None


def test_a_pool_that_waits_is_not_told_to_be_mended(stage):
    assert "To mend it" not in explain(record_of(stage.scene(busy=True)))


def test_sections_hold_every_pool_changes_first_and_each_refusal_with_its_fix(stage):
    scene = stage.scene(
        4, cpu_cores=[16.0, 20.0, 70.0, 12.0], max_nodes=[20, 20, 6, 20], last_up_s=[np.inf, np.inf, np.inf, 60]
    )
    decisions, refusals = sections(scene.decide().to_records())
    assert [[*row[:2], *row[3:6]] for row in decisions["table"]["rows"]] == [
        ["c001/web", "up", 6, 8, 8],
        ["c002/web", "refuse", 6, 6, 25],
        ["c003/web", "refuse", 6, 6, 5],
        ["c000/web", "hold", 6, 6, 6],
    ]
    assert "1 to grow, 0 to shrink, 2 refused, 1 unchanged" in decisions["paragraphs"][0]
    assert "+2.0 node-hours, +0.40 USD (price known for 1 of 1 pool)" in decisions["paragraphs"][1]
    assert [row[0] for row in refusals["table"]["rows"]] == ["c002/web", "c003/web"]
    assert all(row[-1] for row in refusals["table"]["rows"])
    assert all(
        len(row) == len(found["table"]["columns"]) for found in (decisions, refusals) for row in found["table"]["rows"]
    )
    json.dumps([decisions, refusals], allow_nan=False)


def test_a_pass_without_refusals_has_no_section_about_them(stage):
    assert len(sections(stage.scene().decide().to_records())) == 1


def test_unknown_figures_are_called_unknown(stage):
    scene = stage.scene(cpu_cores=20.0, forecast=None, price_usd_per_hour=np.nan)
    row = sections(scene.decide().to_records())[0]["table"]["rows"][0]
    assert row[6:11] == ["unknown", "unknown", "unknown", 2.0, "unknown"]


def test_a_long_table_is_cut_and_says_so(stage):
    decisions = sections(stage.scene(5, cpu_cores=16.0).decide().to_records(), rows_limit=2)[0]
    assert len(decisions["table"]["rows"]) == 2
    assert decisions["paragraphs"][-1].startswith("3 further pools not shown here")


def test_a_proposal_is_a_table_of_the_changes_and_what_they_promise(stage):
    record = record_of(stage.scene(cpu_cores=30.0, price_usd_per_hour=0.5))
    head, rule, row, _, promise, _, why = proposal([record]).splitlines()
    assert head.startswith("| pool | by | nodes |")
    assert rule.count("---") == head.count("|") - 1
    assert row.startswith("| eu-eks/web | desired | 6 → ")
    assert row.count("|") == head.count("|")
    assert promise.startswith("Promised over the next ")
    assert why.startswith("- **eu-eks/web**: CPU in use, 30.0 cores")
