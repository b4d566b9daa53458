"""Calibration, thresholds, splits and links: their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.decide.calibration import METHODS, calibration_error, decide_calibration, log_loss
from tasks.inference.decide.threshold import Predictions, decide_threshold
from tasks.inference.decide.transfer import WAYS, Point, carried_ratio, decide_split, decide_way, may_escalate


def told(rows: int, seed: int, bend: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences that are right with probability confidence ** bend."""
    draw = np.random.default_rng(seed)
    confidence = draw.beta(4, 1, rows)
    return confidence, draw.random(rows) < confidence**bend


def held_back(rows: int = 1500, seed: int = 1, bend: float = 1.0) -> Predictions:
    confidence, edge = told(rows, seed, bend)
    cloud = np.random.default_rng([seed, 1]).random(rows) < 0.985
    return Predictions(confidence, edge, cloud, np.ones(rows), np.full(rows, 10.0))


@pytest.mark.parametrize("method", list(METHODS))
def test_a_calibration_never_falls_and_stays_a_probability(method: str) -> None:
    for bend in (0.2, 1.0, 4.0):
        calibration = METHODS[method](*told(400, 2, bend))
        values = calibration(np.linspace(0, 1, 500))
        assert np.all(np.diff(values) >= -1e-12)
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("bend", [0.2, 4.0])
def test_the_chosen_calibration_helps_on_rows_it_has_not_seen(bend: float) -> None:
    calibration = decide_calibration(*told(2000, 3, bend))
    confidence, correct = told(5000, 4, bend)
    assert log_loss(calibration(confidence), correct) < log_loss(confidence, correct)
    assert calibration_error(calibration(confidence), correct) < calibration_error(confidence, correct) / 2


def test_what_is_calibrated_already_is_left_nearly_as_it_is() -> None:
    calibration = decide_calibration(*told(3000, 5))
    at = np.linspace(0.4, 1, 50)
    assert np.abs(calibration(at) - at).max() < 0.06


@given(st.integers(0, 200), st.sampled_from([0.005, 0.01, 0.03]))
def test_the_threshold_tells_what_applying_it_gives_and_keeps_the_target_on_its_rows(seed: int, drop: float) -> None:
    rows = held_back(400, seed)
    found = decide_threshold(rows, drop)
    up = rows.confidence < found.threshold
    assert found.escalated_ratio == up.mean()
    assert found.accuracy == np.where(up, rows.cloud_correct, rows.edge_correct).mean()
    assert found.cost_ratio == pytest.approx((len(up) + 10 * up.sum()) / (10 * len(up)))
    assert found.accuracy >= rows.cloud_correct.mean() - drop - 1e-12
    assert found.drop_bound <= drop


@given(st.integers(0, 50))
def test_a_looser_target_never_escalates_more(seed: int) -> None:
    rows = held_back(300, seed)
    ratios = [decide_threshold(rows, drop).escalated_ratio for drop in (0.0, 0.01, 0.03, 0.1, 1.0)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == 0


def test_the_target_holds_on_fresh_rows_nine_times_of_ten() -> None:
    held = 0
    for seed in range(60):
        threshold = decide_threshold(held_back(1500, seed), 0.02).threshold
        fresh = held_back(200_000, 1000 + seed)
        up = fresh.confidence < threshold
        held += bool(np.where(up, fresh.cloud_correct, fresh.edge_correct).mean() >= fresh.cloud_correct.mean() - 0.02)
    assert held >= 54


def test_confidence_that_says_nothing_escalates_everything() -> None:
    rows = held_back()
    flat = Predictions(np.ones(1500), rows.edge_correct, rows.cloud_correct, rows.edge_cost, rows.cloud_cost)
    assert decide_threshold(flat, 0.01).escalated_ratio == 1


def test_an_edge_as_good_as_the_cloud_is_never_left() -> None:
    rows = held_back()
    same = Predictions(rows.confidence, rows.cloud_correct, rows.cloud_correct, rows.edge_cost, rows.cloud_cost)
    found = decide_threshold(same, 0.01)
    assert (found.threshold, found.escalated_ratio, found.cost_ratio) == (0.0, 0.0, 0.1)


def test_a_better_row_is_taken_only_well_above_its_limit_and_a_worse_one_at_once() -> None:
    assert decide_way(11, now="balanced").name == "balanced"
    assert decide_way(13, now="balanced").name == "cloud-heavy"
    assert decide_way(9.9, now="cloud-heavy").name == "balanced"
    assert decide_way(11, now="cloud-heavy").name == "cloud-heavy"


@given(st.floats(0.1, 1000), st.floats(0.1, 1e4), st.floats(1, 1e7))
def test_the_link_is_never_asked_for_more_than_it_carries(mbps: float, requests_per_s: float, size: float) -> None:
    way = decide_way(mbps)
    ratio = carried_ratio(way, mbps, requests_per_s, size)
    assert 0 <= ratio <= way.cloud_ratio
    assert ratio * requests_per_s * size * 8 * (1 - way.compression_ratio) <= 0.8 * mbps * 1e6 * (1 + 1e-9)


def test_the_seeds_table_is_kept() -> None:
    assert [(way.cloud_ratio, way.compression_ratio, way.batch) for way in WAYS] == [(0.7, 0, 32), (0.3, 0.5, 8),
                                                                                     (0.05, 0.8, 1)]  # fmt: skip


POINTS = (Point(0.0, 0.892, 0.001, 15), Point(0.25, 0.93, 0.0035, 50), Point(1.0, 0.941, 0.01, 150))


def test_the_cheapest_split_that_is_good_fast_and_carried_is_taken() -> None:
    assert decide_split(POINTS, 0.9, 200) == POINTS[1]
    assert decide_split(POINTS, 0.5, 200) == POINTS[0]
    assert decide_split(POINTS, 0.94, 100) is None
    assert decide_split(POINTS, 0.9, 200, carried=0.1) is None
    assert [may_escalate(10, 40, 50), may_escalate(10.1, 40, 50)] == [True, False]
