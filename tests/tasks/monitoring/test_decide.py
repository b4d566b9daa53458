"""Rules of monitoring: what is told, how badly, for how long; and the health that comes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.monitoring.decide import (
    FORGOTTEN,
    PATIENCE_S,
    ClusterReading,
    Finding,
    Reading,
    Severity,
    Source,
    decide_health,
    health_of,
)
from tasks.monitoring.report import words_of

AT = datetime(2026, 3, 10, 9, 20, tzinfo=UTC)
LATE = PATIENCE_S + 1
WELL = ClusterReading("eu", "frankfurt", False, True, 0.1, nodes=4, ready=4, pods=10)
EDGE = replace(WELL, cluster="edge", site="munich", edge=True)


def reading(*clusters: ClusterReading, at: datetime = AT, **more: Any) -> Reading:
    homes = {each.cluster: each.site for each in clusters}
    return Reading(at, clusters or (WELL,), more.pop("ages", {}), sites=homes, **more)


def told(seen: Reading, **more: Any) -> list[tuple[str, Severity]]:
    return [(each.code, each.severity) for each in decide_health(seen, **more).open]


CASES = [
    (replace(WELL, answered=False), "cluster-silent", Severity.CRITICAL),
    (replace(WELL, ready=3, not_ready={"a": LATE}), "node-not-ready", Severity.WARNING),
    (replace(WELL, ready=2, not_ready={"a": LATE, "b": LATE}), "most-nodes-gone", Severity.CRITICAL),
    (replace(WELL, under_pressure={"a": "DiskPressure"}), "node-under-pressure", Severity.WARNING),
    (replace(WELL, pending={"x/a": LATE}), "pods-pending", Severity.WARNING),
    (replace(WELL, failing={f"x/{n}": LATE for n in range(5)}), "pods-failing", Severity.CRITICAL),
    (replace(WELL, scaled=2, scaled_ready=1, not_scaled=("x/a",)), "not-scaling", Severity.WARNING),
    (replace(WELL, answer_s=2.0), "api-slow", Severity.INFO),
]


@pytest.mark.parametrize(("cluster", "code", "severity"), CASES, ids=[case[1] for case in CASES])
def test_each_trouble_is_told_lowers_the_health_and_can_be_put_in_words(
    cluster: ClusterReading, code: str, severity: Severity
) -> None:
    verdict = decide_health(reading(cluster))
    assert [(each.code, each.severity) for each in verdict.open] == [(code, severity)]
    assert "{" not in words_of(verdict.open[0])
    if code != "node-under-pressure":
        assert (verdict.health.overall or 0) < 1


def test_what_is_on_its_way_up_is_not_told() -> None:
    young = replace(WELL, ready=3, not_ready={"a": 60.0}, pending={"x/a": 60.0}, failing={"x/b": 60.0})
    assert told(reading(young)) == []


@pytest.mark.parametrize(
    ("ages", "code", "severity"),
    [
        (None, "metrics-silent", Severity.CRITICAL),
        ({"eu/a": 5.0, "eu/b": float("inf")}, "metrics-stale", Severity.WARNING),
        ({"eu/a": 601.0, "eu/b": float("inf")}, "metrics-stale", Severity.CRITICAL),
    ],
)
def test_old_and_silent_metrics_are_told(ages: Any, code: str, severity: Severity) -> None:
    assert told(reading(ages=ages)) == [(code, severity)]


def test_pools_whose_metrics_vanish_are_missed_though_nothing_is_stale() -> None:
    assert told(reading(ages={"eu/a": 5.0}), pools_before=2) == [("series-lost", Severity.WARNING)]
    assert told(reading(ages={"eu/a": 5.0}), pools_before=1) == []


@pytest.mark.parametrize(("count", "severity"), [(2, Severity.INFO), (3, Severity.WARNING)])
def test_several_anomalies_of_a_site_at_once_are_a_warning(count: int, severity: Severity) -> None:
    found = tuple((f"eu/{n}/cpu", "frankfurt", AT - timedelta(minutes=n)) for n in range(count))
    assert told(reading(anomalies=found)) == [("anomalies", severity)]


def test_one_that_goes_on_keeps_when_it_began_and_is_new_only_once() -> None:
    first = decide_health(reading(CASES[1][0]))
    later = decide_health(reading(CASES[1][0], at=AT + timedelta(minutes=5)), first.open)
    assert (len(first.new), len(later.new), later.open[0].since) == (1, 0, AT)
    over = decide_health(reading(at=AT + timedelta(minutes=10)), later.open)
    assert (over.open, [each.code for each in over.over]) == ((), ["node-not-ready"])


def test_silence_ends_nothing_for_a_day() -> None:
    before = decide_health(reading(CASES[1][0])).open
    gone = replace(WELL, answered=False)
    later = decide_health(reading(gone, at=AT + timedelta(hours=23)), before)
    assert [(each.code, each.seen_at == AT) for each in later.open] == [
        ("cluster-silent", False), ("node-not-ready", True)]  # fmt: skip
    assert "not seen this time" in words_of(later.open[1], AT + timedelta(hours=23))
    forgotten = decide_health(reading(gone, at=AT + FORGOTTEN), later.open)
    assert [each.code for each in forgotten.open] == ["cluster-silent"]


def test_a_cluster_that_left_the_inventory_takes_its_findings_along() -> None:
    before = decide_health(reading(CASES[1][0])).open
    assert decide_health(reading(EDGE), before).open == ()


def test_health_is_the_mean_of_the_parts_that_are_known() -> None:
    sick = replace(EDGE, ready=2, pods=10, failing={"x/a": LATE})
    health = health_of(reading(WELL, sick))
    assert health.parts == {Source.KUBERNETES: 1.0, Source.EDGE: pytest.approx(0.45), Source.SERVERLESS: None,
                            Source.NETWORK: 1.0}  # fmt: skip
    assert health.overall == pytest.approx((1 + 0.45 + 1) / 3)


def test_a_route_that_is_down_is_told_and_stays_while_nobody_routes() -> None:
    verdict = decide_health(reading(down={"munich": ("shop/munich",)}, checked=2))
    assert [each.code for each in verdict.open] == ["route-down"]
    assert verdict.health.parts[Source.NETWORK] == pytest.approx(2 / 3)
    assert [each.code for each in decide_health(reading(down=None), verdict.open).open] == ["route-down"]
    assert decide_health(reading(down={}, checked=2), verdict.open).open == ()


Ages = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0, 1000))
Clusters = st.builds(
    ClusterReading,
    cluster=st.sampled_from(["a", "b"]),
    site=st.just("s"),
    edge=st.booleans(),
    answered=st.booleans(),
    answer_s=st.floats(0, 3),
    nodes=st.just(3),
    ready=st.integers(0, 3),
    not_ready=Ages,
    pods=st.integers(3, 9),
    pending=Ages,
    failing=st.just({}),
    scaled=st.just(2),
    scaled_ready=st.integers(0, 2),
)


@given(st.lists(Clusters, max_size=3, unique_by=lambda each: each.cluster), st.none() | Ages)
def test_health_lies_between_0_and_1_and_findings_survive_the_store(clusters: list[ClusterReading], ages: Any) -> None:
    verdict = decide_health(Reading(AT, tuple(clusters), ages))
    for value in [*verdict.health.parts.values(), verdict.health.overall]:
        assert value is None or 0 <= value <= 1
    assert [Finding.of_record(each.to_record()) for each in verdict.open] == list(verdict.open)
    again = decide_health(Reading(AT, tuple(clusters), ages), verdict.open)
    assert (again.open, again.new, again.over) == (verdict.open, (), ())
