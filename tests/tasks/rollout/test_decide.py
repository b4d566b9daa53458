"""Laws of a roll-out: every edge in one wave, the canary first, and no version kept that edges cannot load."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.rollout.decide import LATE, TIERS, Count, EdgeSeen, Pace, count, decide_check, decide_rollout

EDGES = st.lists(
    st.builds(
        EdgeSeen, st.integers(0, 10_000).map(str), st.sampled_from(TIERS), st.sampled_from(["eu", "us", ""]),
        wanted=st.sampled_from(["", "old", "new"]), silent_s=st.sampled_from([None, 0.0, 5000.0, 1.0]),
    ),
    max_size=60, unique_by=lambda edge: edge.name,
)  # fmt: skip
PACE = Pace(wave_edges=7, most_late_ratio=1.0)


@given(EDGES)
def test_each_edge_that_lacks_the_version_is_in_one_wave(edges: list[EdgeSeen]) -> None:
    entry = decide_rollout(edges, "digits", "2", "new", PACE)
    named = Counter(name for wave in entry["waves"] for name in wave["edges"])
    assert named == Counter(edge.name for edge in edges if edge.wanted != "new")


@given(EDGES)
def test_waves_are_small_and_the_silent_come_last(edges: list[EdgeSeen]) -> None:
    waves = decide_rollout(edges, "digits", "2", "new", PACE)["waves"]
    late = {edge.name for edge in edges if edge.silent_s is None or edge.silent_s > PACE.heard_s}
    for wave in waves:
        assert (set(wave["edges"]) <= late) if wave["name"] == LATE else not late & set(wave["edges"])
        assert wave["edges"]
        assert wave["name"] == LATE or len(wave["edges"]) <= PACE.wave_edges
    assert LATE not in [wave["name"] for wave in waves[:-1]]


def test_the_canary_is_spread_over_regions() -> None:
    edges = [EdgeSeen(f"{region}{n}", "far-edge", region, silent_s=0) for region in ("eu", "us") for n in range(100)]
    canary = decide_rollout(edges, "digits", "2", "new", Pace(canary_ratio=0.01))["waves"][0]
    assert [name[:2] for name in canary["edges"]] == ["eu", "us"]


def test_what_was_taken_back_is_not_rolled_out_again() -> None:
    entry = decide_rollout([EdgeSeen("a", "far-edge", "eu", silent_s=0)], "d", "2", "new", PACE, state="rolled-back")
    assert (entry["action"], entry["waves"]) == ("refuse", [])


def test_nothing_begins_where_too_many_are_silent() -> None:
    edges = [EdgeSeen(str(n), "far-edge", "eu", silent_s=0.0 if n < 6 else None) for n in range(10)]
    assert decide_rollout(edges, "d", "2", "new", Pace(most_late_ratio=0.3))["action"] == "refuse"


def test_a_roll_out_that_was_cut_off_after_its_last_wave_is_checked_once_more() -> None:
    edges = [EdgeSeen("a", "far-edge", "eu", wanted="new", silent_s=0)]
    assert decide_rollout(edges, "d", "2", "new", PACE, state="running")["action"] == "roll-out"
    assert decide_rollout(edges, "d", "2", "new", PACE, state="done")["action"] == "hold"


def test_an_edge_that_runs_it_is_not_one_that_failed_before() -> None:
    seen = {"a": EdgeSeen("a", "", "", running="new", failed="new"), "b": EdgeSeen("b", "", "", failed="new"),
            "c": EdgeSeen("c", "", "", running="old")}  # fmt: skip
    assert count(["a", "b", "c", "gone"], seen, "new") == Count(1, 1, 1)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.floats(0, 2000), st.booleans())
def test_a_check_always_ends_and_never_passes_failures(
    running: int, failed: int, silent: int, waited_s: float, canary: bool
) -> None:
    found = Count(running, failed, silent)
    verdict = decide_check(found, waited_s, Pace(), canary=canary)
    assert verdict != "wait" or waited_s < Pace().patience_s
    if verdict == "go on":
        assert failed <= 0.02 * found.asked
        assert silent <= (found.asked // 3 if canary else 0.1 * found.asked)
        assert not (canary and failed)
    more = decide_check(Count(running, failed + 1, silent), waited_s, Pace(), canary=canary)
    assert not (verdict == "roll back" and failed and more == "go on")
