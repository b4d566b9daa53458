"""Drift of confidences: none where they come as before, seen where they do not, and only then a new threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.decide.drift import LEAST_ROWS, PSI, decide_recalibration, deciles, stability_index
from tasks.inference.decide.threshold import Predictions

DRAW = np.random.default_rng(3)
REFERENCE = deciles(DRAW.random(500))


def rows(many: int, shift: float = 0.0) -> Predictions:
    """An edge that is right as often as it says, less what `shift` takes; a cloud that is nearly always right."""
    confidence = DRAW.beta(5, 1.5, many).clip(0, 1) * (1 - shift)
    return Predictions(confidence, DRAW.random(many) < confidence, DRAW.random(many) < 0.985, np.ones(many),
                       np.full(many, 10.0))  # fmt: skip


@given(st.lists(st.floats(0, 1), min_size=50, max_size=300))
def test_the_index_is_never_negative_and_order_does_not_matter(values: list[float]) -> None:
    confidence = np.array(values)
    assert stability_index(REFERENCE, confidence) >= -1e-12
    assert stability_index(deciles(confidence), confidence[::-1]) == stability_index(deciles(confidence), confidence)


def test_the_same_rows_do_not_drift_and_others_do() -> None:
    before = deciles(rows(2000).confidence)
    assert stability_index(before, rows(2000).confidence) < 0.05
    assert stability_index(before, rows(2000, shift=0.3).confidence) > PSI


def test_a_model_that_is_often_quite_sure_does_not_seem_to_drift() -> None:
    sure = np.minimum(DRAW.beta(5, 1.5, 4000) * 1.3, 1.0)
    assert stability_index(deciles(sure[:2000]), sure[2000:]) < 0.05
    assert stability_index(deciles(sure[:2000]), 0.6 * sure[2000:]) > PSI


@pytest.mark.parametrize(
    ("threshold", "metrics", "late", "anyway", "code", "action"),
    [
        (None, {}, rows(500), False, "never-calibrated", "recalibrate"),
        (0.8, deciles(rows(2000).confidence), rows(500), False, "no-drift", "hold"),
        (0.8, deciles(rows(2000).confidence), rows(500), True, "asked", "recalibrate"),
        (0.8, deciles(rows(2000).confidence), rows(500, 0.3), False, "drift", "recalibrate"),
        (0.8, deciles(rows(2000).confidence), rows(LEAST_ROWS - 1, 0.3), False, "too-few-rows", "refuse"),
    ],
)
def test_what_is_done_and_why(threshold, metrics, late, anyway, code, action) -> None:
    entry = decide_recalibration("digits", "1", late, 0.01, threshold=threshold, metrics=metrics, anyway=anyway)
    assert (entry["action"], entry["reasons"][0]["code"]) == (action, code)
    assert ("threshold" in entry) is (action == "recalibrate")


def test_drift_is_seen_where_nobody_knows_who_was_right_and_changes_nothing() -> None:
    entry = decide_recalibration("digits", "1", rows(5), 0.01, threshold=0.8, metrics=deciles(rows(2000).confidence),
                                 confidence=rows(500, 0.3).confidence)  # fmt: skip
    assert (entry["action"], entry["reasons"][0]["code"]) == ("refuse", "drift-unlabelled")
