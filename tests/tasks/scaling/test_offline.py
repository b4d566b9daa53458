"""Replays of policies over a history: what is read of it, chosen and told."""

from __future__ import annotations

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.scaling.ground import ground_of_file, plain_ground
from tasks.scaling.offline import by_the_minute, halves, replay_policies
from tasks.scaling.replay_report import replay_sections, scatter


def history_of(days=4, step_s=300, seed=0) -> Series:
    """Two series that climb every morning and fall every evening, with noise."""
    steps = int(days * 86_400 / step_s)
    t, rng = np.arange(steps) * step_s / 86_400, np.random.default_rng(seed)
    climb = [np.clip(6 * np.sin(2 * np.pi * t + phase), -1, 1) for phase in (0, 2)]
    rows = [9 + 8 * each + rng.normal(0, 0.4, steps) for each in climb]
    return Series(("a", "b"), 1_767_571_200, step_s, np.maximum(rows, 0.1).astype(np.float32))


@pytest.fixture(scope="module")
def replayed():
    history = history_of()
    return replay_policies(history, plain_ground(history), ["predictive", "seed", "target-tracking"], boot_min=10,
                           every_min=5)  # fmt: skip


def test_ahead_of_a_daily_demand_predictive_violates_less_than_the_seed_for_fewer_node_hours(replayed):
    ours, seed = replayed.policies["predictive"], replayed.policies["seed"]
    assert ours.violation_minutes_per_day < 0.5 * seed.violation_minutes_per_day
    assert ours.node_hours_ratio < seed.node_hours_ratio


def test_every_setting_is_on_the_frontier_and_the_one_chosen_is_among_them(replayed):
    assert {name: len(score.frontier) for name, score in replayed.policies.items()} == replayed.settings
    for score in replayed.policies.values():
        assert (score.node_hours_ratio, score.violation_minutes_per_day) in score.frontier


def test_without_price_and_zone_neither_usd_nor_carbon_is_told(replayed):
    assert {(score.usd, score.carbon_g) for score in replayed.policies.values()} == {(None, None)}


def test_a_pool_file_gives_prices_and_carbon(tmp_path):
    file = tmp_path / "pool.yaml"
    file.write_text("{node_cpu: 1, min_nodes: 2, max_nodes: 30, instance_type: m5.large, grid_zone: DE, boot_s: 120}")
    history = history_of(days=2)
    seed = replay_policies(history, ground_of_file(file, history), ["seed"], boot_min=4).policies["seed"]
    assert seed.usd == pytest.approx(seed.node_hours * 0.096)
    assert 0.2 < seed.carbon_g / seed.node_hours < 3  # one thread of 1-4 W at 200-600 g/kWh, and a fifth on top


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("min_nodes: 2", "node_cpu: Field required"),
        ("{node_cpu: 1, colour: red}", "colour: Extra inputs are not permitted"),
        ("{node_cpu: 1, grid_zone: Atlantis}", "no grid zone 'Atlantis'"),
        ("{node_cpu: 1, instance_type: m5.tiny}", "no AWS type 'm5.tiny'"),
        ("{node_cpu: 1, min_nodes: 9, max_nodes: 3}", "min_nodes is above max_nodes"),
        ("node_cpu: [", "is no YAML"),
    ],
)
def test_a_bad_pool_file_is_refused_in_one_line(tmp_path, text, words):
    file = tmp_path / "pool.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        ground_of_file(file, history_of(days=2))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("history", "names", "words"),
    [
        (history_of(days=1), ["seed"], "the history has 1.0 days"),
        (history_of(days=2, step_s=30), ["seed"], "steps of 30 s"),
        (history_of(days=2), ["clever"], "no policy is called 'clever'"),
        (Series(tuple(map(str, range(201))), 0, 300, np.ones((201, 600), np.float32)), ["seed"], "201 series"),
    ],
)
def test_what_cannot_be_replayed_is_refused(history, names, words):
    with pytest.raises(InvalidInput, match=words):
        replay_policies(history, plain_ground(history), names, boot_min=4)


def test_a_series_that_is_nearly_always_zero_has_no_size():
    with pytest.raises(InvalidInput, match="its 99th percentile is zero"):
        plain_ground(Series(("idle",), 0, 300, np.zeros((1, 600), np.float32)))


def test_between_samples_demand_is_a_straight_line_and_missing_beside_a_missing_one():
    fine, start_s = by_the_minute(Series(("a",), 0, 300, np.array([[0, 5, np.nan, 1]], np.float32)))
    assert start_s == 0
    assert fine[0, :5].tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(fine[0, 6:15]).all()
    assert fine[0, 15] == 1


def test_the_halves_leave_time_to_settle_in():
    parts = halves(20 * 1440)
    assert [(parts == part).sum() / 1440 for part in (-1, 0, 1)] == [2, 8, 10]


def test_the_report_tells_every_policy_and_draws_every_setting(replayed):
    (section,) = replay_sections(replayed, 10, 1)
    assert [row[0] for row in section["table"]["rows"]] == ["predictive", "seed", "target-tracking", "oracle"]
    drawn = {points["label"]: len(points["x"]) for points in section["plots"][0]["points"]}
    assert drawn == replayed.settings


def test_the_picture_in_characters_has_a_letter_for_each_setting():
    picture = scatter({"predictive": [(1.1, 9.0), (2.0, 0.5)], "seed": [(1.5, 20.0)]})
    plot = "".join(line.partition("|")[2] for line in picture.splitlines())
    assert (plot.count("p"), plot.count("s")) == (2, 1)
