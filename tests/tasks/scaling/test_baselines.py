"""The seed's rule and target tracking over a span: what a score is held against."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.scaling.decide.baselines import BASELINES
from tasks.scaling.decide.scoring import Span


def span(load: np.ndarray, *, low: float = 1, high: float = 40) -> Span:
    count, minutes = load.shape
    passes = np.full((count, minutes // 5), 6.0)
    return Span(
        unique_id=tuple(f"c{row}/p" for row in range(count)), start_s=0, load=load, at_min=np.arange(minutes // 5) * 5,
        desired=passes, ready=passes, want=passes, acted_to=np.full(passes.shape, np.nan), low=passes * 0 + low,
        high=passes * 0 + high, boot_min=np.full(count, 4),
    )  # fmt: skip


def settled(name: str, world: Span) -> float:
    """Mean nodes after two hours."""
    tally = BASELINES[name](world).between(24, 48)
    return float(tally.node_minutes[0, 0] / tally.minutes[0, 0])


def test_target_tracking_settles_at_its_target_and_the_seed_between_its_limits():
    world = span(np.full((1, 240), 7.0))
    assert 7.0 / 0.77 <= settled("target-tracking", world) <= 7.0 / 0.63  # its tolerance is a tenth
    assert 7.0 / 0.7 <= settled("seed", world) <= 7.0 / 0.3


def test_the_seed_leaves_a_size_within_its_limits_as_it_was():
    assert settled("seed", span(np.full((1, 240), 3.0))) == 6


@pytest.mark.parametrize("name", ["seed", "target-tracking"])
def test_demand_that_jumps_is_a_violation_until_nodes_have_booted(name):
    load = np.full((1, 240), 7.0)
    load[:, 150:] = 30.0
    tally = BASELINES[name](span(load))
    assert 4 <= tally.violation_minutes[0, 30:].sum() <= 20
    assert tally.violation_minutes[0, 24:30].sum() == 0


@pytest.mark.parametrize("name", ["seed", "target-tracking"])
def test_minutes_without_demand_count_nowhere_and_pools_never_seen_neither(name):
    load = np.full((2, 240), 7.0)
    load[0, 150:153] = np.nan
    world = span(load)
    world.low[1] = world.high[1] = np.nan
    tally = BASELINES[name](world)
    assert tally.minutes[0, 30] == 2
    assert tally.node_minutes[0, 30] == pytest.approx(tally.node_minutes[0, 29] * 2 / 5)
    assert tally.minutes[1].sum() == tally.node_minutes[1].sum() == tally.violation_minutes[1].sum() == 0
