"""Quantiles that hold what they promise: for a group, and for each series through a drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.forecasting.decide.conformal import split_conformal, track

LEVELS = (0.1, 0.5, 0.9)
FLAT = np.zeros((1, 6, 3), np.float32)


@given(arrays(np.float32, st.integers(20, 60), elements=st.floats(-100, 100, width=32)))
def test_a_groups_offset_covers_the_share_it_promises(scores):
    offset = split_conformal(np.repeat(scores[:, None], 3, axis=1), LEVELS, holds_median=True)
    assert (scores <= offset[2]).mean() >= 0.9
    assert (scores < offset[0]).mean() <= 0.1
    assert offset[1] == 0


def test_a_group_of_which_nothing_is_known_is_not_moved():
    assert not split_conformal(np.full((5, 3), np.nan, np.float32), LEVELS, holds_median=True).any()


def follow(noise: np.ndarray, last: int | None = None) -> np.ndarray:
    """(M, 3) offsets of a forecast of 0 before each origin; origins lie a horizon apart."""
    scores = np.repeat(noise.reshape(-1, 1, 6, 1), 3, axis=3).astype(np.float32)
    origins = np.arange(len(scores)) * 6
    return np.array([
        track(scores[:m], origins[:m], m * 6 if last is None else last, LEVELS, FLAT, holds_median=True).offset[0]
        for m in range(1, len(scores))
    ])  # fmt: skip


@pytest.mark.parametrize("after", [1.0, 4.0, 0.25], ids=["steady", "wilder", "calmer"])
def test_coverage_holds_again_after_the_noise_has_changed(after):
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, (300, 6))
    noise[100:] *= after
    offsets = follow(noise)
    held = noise[1:]
    inside = (held >= offsets[:, :1]) & (held <= offsets[:, 2:])
    assert inside[-150:].mean() == pytest.approx(0.8, abs=0.03)


def test_the_median_of_a_step_stays_and_that_of_a_peak_follows():
    scores = np.ones((40, 1, 6, 3), np.float32)
    origins = np.arange(40) * 6
    still, moved = (
        track(scores, origins, 240, LEVELS, FLAT, holds_median=holds).offset[0, 1] for holds in (True, False)
    )
    assert still == 0
    assert moved == pytest.approx(1, abs=0.3)


def test_what_is_not_known_yet_moves_nothing():
    scores = np.ones((2, 1, 6, 3), np.float32)
    scores[1] = np.nan
    origins = np.array([0, 6])
    known = track(scores[:1], origins[:1], 6, LEVELS, FLAT, holds_median=True)
    both = track(scores, origins, 12, LEVELS, FLAT, holds_median=True)
    np.testing.assert_array_equal(known.offset, both.offset)
    assert known.unit == both.unit == 1


def test_a_forecast_that_is_always_exact_keeps_a_band_of_no_width():
    state = track(np.zeros((9, 1, 6, 3), np.float32), np.arange(9) * 6, 54, LEVELS, FLAT, holds_median=True)
    assert not state.offset.any()
