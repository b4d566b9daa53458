"""A series taken apart adds up again, and its rhythm is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blocks.errors import InvalidInput
from tasks.forecasting.decide.decomposition import decompose


def one(make_fleet, days: int):
    history = make_fleet(series=1, days=days)
    return replace(history, values=history.values[:1])


@pytest.mark.parametrize(("days", "weekly"), [(6, False), (22, True)])
def test_the_parts_add_up_and_the_week_needs_three_weeks(make_fleet, days, weekly):
    made = decompose(one(make_fleet, days))
    parts = made.trend + made.daily + made.rest + (made.weekly if weekly else 0)
    np.testing.assert_allclose(parts, made.observed, rtol=1e-5)
    assert (made.weekly is not None) == weekly
    assert made.strength["daily"] > 0.9


def test_a_series_of_noise_has_no_strong_rhythm(make_fleet):
    history = one(make_fleet, 10)
    noise = np.random.default_rng(1).normal(10, 1, history.values.shape).astype(np.float32)
    assert decompose(replace(history, values=noise)).strength["daily"] < 0.5


def test_holes_are_told_and_filled(make_fleet):
    history = one(make_fleet, 10)
    history.values[0, 300:348] = np.nan
    made = decompose(history)
    assert made.missing_ratio == pytest.approx(48 / 960, abs=0.01)
    assert np.isfinite(made.trend).all()


def test_less_than_three_days_is_refused(make_fleet):
    with pytest.raises(InvalidInput, match=r"2\.0 days"):
        decompose(one(make_fleet, 2))
