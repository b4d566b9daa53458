"""What is learned from, in which steps, and who is chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blocks.errors import InvalidInput
from blocks.series import Series, utc
from tasks.forecasting.decide.backtest import Backtest, backtest
from tasks.forecasting.decide.group_scores import choose, scores_of
from tasks.forecasting.decide.lessons import lessons, lived
from tasks.forecasting.decide.plans import LEVELS, coarser

NAN = np.float32(np.nan)
ENGINES = st.sampled_from(["linear", "trees", "last-value"])
ROWS = st.dictionaries(ENGINES, st.builds(lambda wql: {"wql": wql}, st.floats(0, 10)))


@given(ROWS, st.floats(0, 10))
def test_nobody_is_chosen_who_does_not_beat_seasonal_naive(rows: dict[str, dict[str, float]], naive: float) -> None:
    chosen = choose({**rows, "seasonal-naive": {"wql": naive}})
    assert chosen == "seasonal-naive" or rows[chosen]["wql"] < naive
    assert all(rows[name]["wql"] >= {**rows, "seasonal-naive": {"wql": naive}}[chosen]["wql"] for name in rows) or (
        chosen == "seasonal-naive" and min(row["wql"] for row in rows.values()) >= naive
    )


def test_an_engine_without_a_score_is_never_chosen() -> None:
    assert choose({"linear": {}, "seasonal-naive": {"wql": 1.0}}) == "seasonal-naive"


def test_scores_that_are_not_defined_are_left_out() -> None:
    nothing = Backtest(*(np.full((2, width), np.nan) for width in (3, 3, 3, 2, 5)))
    assert set(scores_of(nothing, 0.0)) == {"series", "origins", "cpu_s"}


def test_the_shares_within_points_are_of_series_with_both_bands_near_nominal() -> None:
    ones = np.ones((2, 3))
    bands = np.array([[0.95, 0.80], [0.95, 0.73]])
    found = scores_of(Backtest(ones, ones, ones, bands, np.ones((2, 5))), 2.0)
    assert (found["within_5"], found["within_8"], found["coverage_80"]) == (0.5, 1.0, 0.765)
    assert found["series_per_cpu_s"] == 3.0


@given(arrays(np.float32, (2, 13), elements=st.one_of(st.floats(0, 100, width=32), st.just(NAN))), st.integers(0, 3))
def test_longer_steps_hold_the_mean_of_what_is_known(values: np.ndarray, late: int) -> None:
    fine = Series(("a", "b"), 300 * late, 300, values)
    coarse = coarser(fine, 900)
    for column, start_s in enumerate(coarse.times()):
        at = (int(start_s) - fine.start_s) // 300
        part = values[:, at : at + 3]
        known = np.isfinite(part).any(axis=1)
        np.testing.assert_allclose(coarse.values[known, column], np.nanmean(part[known], axis=1), rtol=1e-5)
        assert np.isnan(coarse.values[~known, column]).all()
    assert coarse.start_s % 900 == 0


def test_steps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="600 s"):
        coarser(Series(("a",), 0, 600, np.zeros((1, 4), np.float32)), 900)


def test_an_isolated_spike_is_not_learned_from_and_all_else_is(make_fleet) -> None:
    history = make_fleet(series=2, days=8)
    history.values[1, 500] += 200
    as_of = utc(history.end_s - history.step_s)
    learned = lessons(history, as_of)
    assert np.argwhere(np.isnan(learned.values)).tolist() == [[1, 500]]
    assert history.values[1, 500] > 200


def test_nothing_after_the_moment_is_learned_from(make_fleet) -> None:
    history = make_fleet(series=2, days=8)
    as_of = utc(history.start_s + 400 * history.step_s)
    changed = history.values.copy()
    changed[:, 401:] = 1e6
    learned = lessons(history, as_of)
    assert learned.values.shape[1] == 401
    np.testing.assert_array_equal(learned.values, lessons(replace(history, values=changed), as_of).values)


def test_the_backtest_learns_without_the_spikes_and_scores_with_them(make_fleet) -> None:
    history, asked = make_fleet(series=2, days=10), []

    def noted(panel: Series, as_of: datetime) -> Series:
        asked.append(as_of)
        return lessons(panel, as_of)

    (found,) = backtest([history], 8, LEVELS, engine="linear", origins=4, lessons=noted)
    assert len(asked) == 1
    assert np.isfinite(found.mase).all()


def test_a_history_begins_with_its_first_value() -> None:
    values = np.array([[NAN, NAN, 1, NAN], [NAN, NAN, NAN, 2]], np.float32)
    assert (lived(Series(("a", "b"), 0, 300, values)).start_s, lived(Series(("a",), 0, 300, values[:1, :2])).end_s) == (
        600, 600,
    )  # fmt: skip
