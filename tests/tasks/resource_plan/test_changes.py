"""Why a plan is not that of the day before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from blocks.store.series import SeriesStore
from tasks.resource_plan.decide.changes import Cause, plan_changes
from tasks.resource_plan.record import keep, plan_before
from tasks.resource_plan.report import WHY, why_words


def pool(
    name: str = "eu/web", sizes: list[int] | None = None, cpu: float = 3.0, now: int = 3, **more: Any
) -> dict[str, Any]:
    planned = [3] * 96 if sizes is None else sizes
    return {"pool": name, "nodes_planned": planned, "nodes_now": now, "notes": [], "nodes_needed_by":
            {"cpu_cores": [cpu] * 96, "memory_bytes": [1.0] * 96, "gpus": None}} | more  # fmt: skip


def plan(*pools: dict[str, Any], top: int = 9, **policy: float) -> dict[str, Any]:
    bounds = {"min_nodes": 1, "max_nodes": top, "node_sizes": {"cpu_cores": 4.0}}
    return {"step_s": 900, "policy": {"quantile": 0.95} | policy, "pools": list(pools),
            "inputs": {each["pool"]: bounds for each in pools}}  # fmt: skip


def causes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[Cause, str]]:
    (changed,) = plan_changes(before, after)
    return [(why.cause, why.what) for why in changed.why]


def test_a_plan_that_is_the_same_within_five_percent_has_not_changed() -> None:
    assert plan_changes(plan(pool()), plan(pool(now=5, sizes=[3] * 95 + [4]))) == []


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        (plan(pool()), plan(pool(sizes=[6] * 96, cpu=5.8)), (Cause.FORECAST, "cpu_cores")),
        (plan(pool(sizes=[9] * 96)), plan(pool(sizes=[6] * 96), top=6), (Cause.BOUNDS, "max_nodes")),
        (plan(pool()), plan(pool(sizes=[4] * 96), quantile=0.975), (Cause.POLICY, "quantile")),
        (plan(pool()), plan(pool(sizes=[5] * 96, now=5)), (Cause.SIZE_NOW, "")),
        (plan(pool()), plan(pool(sizes=[5] * 96)), (Cause.UNEXPLAINED, "")),
        (plan(), plan(pool()), (Cause.NEW, "")),
        (plan(pool()), plan(), (Cause.GONE, "")),
        (plan(pool()), plan(pool(sizes=[], notes=[{"code": "forecast-stale"}])), (Cause.NO_PLAN, "forecast-stale")),
        (plan(pool(sizes=[], notes=[{"code": "unreachable"}])), plan(pool()), (Cause.PLAN_AGAIN, "unreachable")),
    ],
)  # fmt: skip
def test_the_cause_is_what_changed_and_nothing_else(
    before: dict[str, Any], after: dict[str, Any], cause: tuple[Cause, str]
) -> None:
    assert causes(before, after) == [cause]


def test_every_cause_has_words() -> None:
    assert {each.value for each in Cause} == set(WHY)
    for cause in Cause:
        assert "{" not in why_words({"cause": cause, "what": "cpu_cores", "before": None, "after": 2.0})


def test_the_largest_difference_is_told_first() -> None:
    after = plan(pool("a", [4] * 96), pool("b", [9] * 96))
    assert [each.pool for each in plan_changes(plan(pool("a"), pool("b")), after)] == ["b", "a"]


def test_the_plan_that_it_is_held_against_is_the_newest_of_those_that_are_old_enough(tmp_path: Any) -> None:
    files = SeriesStore.open(str(tmp_path))
    for hour in (4, 10):
        keep(files, {"fleet": "f", "as_of": f"2026-03-10T{hour:02d}:20:00+00:00"})
    for at, found in (("09:00", "04:20"), ("10:20", "10:20"), ("04:19", None)):
        before = plan_before(files, "f", datetime.fromisoformat(f"2026-03-10T{at}:00+00:00"))
        assert (before and before["as_of"][11:16]) == found
