"""How fast replicas change: examples of the documentation, and laws over random histories."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deployments.local.kubernetes.autoscaling.scaling_rules import (
    DOWN_STABILIZED,
    DOWN_WINDOW_S,
    READY,
    TOO_FEW,
    TOO_MANY,
    UP_LIMIT,
    UP_STABILIZED,
    Bounds,
    History,
    Verdict,
    decided,
)

Json = dict[str, Any]

DEFAULT_UP: Json = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DEFAULT_DOWN: Json = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def rules(up: Json | None = None, down: Json | None = None) -> Json:
    return {"scaleUp": {**DEFAULT_UP, **(up or {})}, "scaleDown": {**DEFAULT_DOWN, **(down or {})}}


def pods(value: int, period_s: int) -> list[Json]:
    return [{"type": "Pods", "value": value, "periodSeconds": period_s}]


def play(behavior: Json | None, wanted: list[int], present: int, bounds: Bounds, step_s: float = 15.0) -> list[Verdict]:
    """What becomes of a series of recommendations, each rescale carried out at once."""
    history, found = History(), []
    for index, replicas in enumerate(wanted):
        verdict = decided(history, behavior, present, replicas, bounds, index * step_s)
        if verdict.replicas != present:
            history.changed(behavior, present, verdict.replicas, index * step_s)
        present = verdict.replicas
        found.append(verdict)
    return found


def counts(verdicts: list[Verdict]) -> list[int]:
    return [verdict.replicas for verdict in verdicts]


WIDE = Bounds(1, 1000)


def test_without_behavior_growth_is_at_most_twofold_or_four() -> None:
    assert counts(play(None, [100] * 6, 1, Bounds(1, 50))) == [4, 8, 16, 32, 50, 50]
    first, *_, last = play(None, [100] * 6, 1, Bounds(1, 50))
    assert (first.why, last.why, last.limited) == (UP_LIMIT, TOO_MANY, True)


def test_without_behavior_shrinking_waits_for_five_minutes_without_a_higher_recommendation() -> None:
    verdicts = play(None, [10, *[2] * 22], 10, WIDE)
    assert counts(verdicts) == [10] * 21 + [2, 2]
    assert verdicts[1].able == DOWN_STABILIZED
    assert verdicts[-1].able == READY


def test_fewer_than_the_minimum_is_the_minimum_and_says_so() -> None:
    verdict = play(None, [1], 3, Bounds(3, 9))[0]
    assert (verdict.replicas, verdict.limited, verdict.why) == (3, True, TOO_FEW)


def test_the_default_behavior_adds_four_or_doubles_in_15_seconds() -> None:
    assert counts(play(rules(), [100] * 5, 1, WIDE)) == [5, 10, 20, 40, 80]


def test_a_policy_counts_what_was_added_within_its_period() -> None:
    behavior = rules({"policies": pods(2, 60)})
    assert counts(play(behavior, [100] * 9, 1, WIDE)) == [3, 3, 3, 3, 5, 5, 5, 5, 7]


def test_select_policy_min_takes_the_smaller_change_and_disabled_takes_none() -> None:
    assert counts(play(rules({"selectPolicy": "Min"}), [100] * 3, 1, WIDE)) == [2, 4, 8]
    assert counts(play(rules({"selectPolicy": "Disabled"}), [100] * 3, 1, WIDE)) == [1, 1, 1]
    down = {"stabilizationWindowSeconds": 0, "selectPolicy": "Min"}
    down["policies"] = [*pods(1, 15), {"type": "Percent", "value": 50, "periodSeconds": 15}]
    assert counts(play(rules(down=down), [1] * 4, 10, WIDE)) == [9, 8, 7, 6]


def test_a_window_for_growth_takes_the_lowest_recommendation_in_it() -> None:
    verdicts = play(rules({"stabilizationWindowSeconds": 60}), [2, 10, 10, 10, 10], 2, WIDE)
    assert counts(verdicts) == [2, 2, 2, 2, 6]
    assert verdicts[1].able == UP_STABILIZED


SERIES = st.lists(st.integers(0, 40), min_size=1, max_size=40)
PERIODS = st.sampled_from([15, 30, 60, 120])
POLICY = st.one_of(
    st.builds(lambda value, period: {"type": "Pods", "value": value, "periodSeconds": period},
              st.integers(1, 8), PERIODS),
    st.builds(lambda value, period: {"type": "Percent", "value": value, "periodSeconds": period},
              st.integers(1, 200), PERIODS),
)  # fmt: skip
RULES = st.fixed_dictionaries(
    {"stabilizationWindowSeconds": st.sampled_from([0, 30, 60, 300]), "selectPolicy": st.sampled_from(["Max", "Min"]),
     "policies": st.lists(POLICY, min_size=1, max_size=3)}
)  # fmt: skip
BEHAVIOR = st.none() | st.fixed_dictionaries({"scaleUp": RULES, "scaleDown": RULES})
BOUNDS = st.tuples(st.integers(1, 10), st.integers(0, 30)).map(lambda pair: Bounds(pair[0], pair[0] + pair[1]))


@given(BEHAVIOR, SERIES, BOUNDS, st.data())
def test_replicas_never_leave_their_bounds(behavior: Json | None, wanted: list[int], bounds: Bounds, data: Any) -> None:
    present = data.draw(st.integers(bounds.low, bounds.high))
    assert all(bounds.low <= count <= bounds.high for count in counts(play(behavior, wanted, present, bounds)))


@given(BEHAVIOR, SERIES, BOUNDS, st.data())
def test_replicas_never_fall_below_the_most_that_the_window_recommended(
    behavior: Json | None, wanted: list[int], bounds: Bounds, data: Any
) -> None:
    present = data.draw(st.integers(bounds.low, bounds.high))
    window_s = behavior["scaleDown"]["stabilizationWindowSeconds"] if behavior else DOWN_WINDOW_S
    before = present
    for index, count in enumerate(counts(play(behavior, wanted, present, bounds))):
        recent = [replicas for i, replicas in enumerate(wanted[: index + 1]) if (index - i) * 15 < max(window_s, 1)]
        assert count >= min(max(recent), before, bounds.high)
        before = count


@given(RULES, SERIES, st.integers(1, 20))
def test_growth_within_any_policys_period_stays_within_what_the_chosen_policies_allow(
    up: Json, wanted: list[int], present: int
) -> None:
    frozen = {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled", "policies": []}
    seen = [present, *counts(play({"scaleUp": up, "scaleDown": frozen}, wanted, present, Bounds(1, 1000)))]
    choose = max if up["selectPolicy"] == "Max" else min
    for index in range(1, len(seen)):
        if seen[index] == seen[index - 1]:
            continue
        allowed = []
        for policy in up["policies"]:
            start = seen[max(index - policy["periodSeconds"] // 15, 0)]
            more = policy["value"] if policy["type"] == "Pods" else -(-start * policy["value"] // 100)
            allowed.append(start + more)
        assert seen[index] <= choose(allowed)
