"""A calibrated model holds its promise for each series, and knows nothing of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Series, utc
from tasks.forecasting.decide import calibrate, fit, forecast
from tasks.forecasting.decide.backtest import backtest, rolling_origins
from tasks.forecasting.decide.calibration import past_origins

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
HORIZON, DAY = 8, 96


def uneven(make_fleet) -> Series:
    """Twelve series whose noise differs by a factor of twenty; a global band fits none of them."""
    history = make_fleet(series=12, days=16)
    noise = np.random.default_rng(8).standard_t(4, history.values.shape) * np.geomspace(0.1, 2, 12)[:, None]
    return replace(history, values=(history.values + noise).astype(np.float32))


def test_every_series_has_the_coverage_it_was_promised(make_fleet):
    scored = backtest([uneven(make_fleet)], HORIZON, LEVELS, engine="linear")[0]
    off = np.abs(scored.coverage - [0.95, 0.8])
    assert scored.coverage.mean(axis=0) == pytest.approx([0.95, 0.8], abs=0.03)
    assert (off <= 0.08).all(axis=1).mean() >= 0.9


def test_the_peak_has_the_coverage_it_was_promised(make_fleet):
    scored = backtest([uneven(make_fleet)], HORIZON, LEVELS, engine="linear")[0]
    assert scored.peak_coverage.mean(axis=0)[3:] == pytest.approx([0.9, 0.975], abs=0.05)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("engine", ["linear", "trees", "seasonal-naive", "last-value"])
def test_a_peak_is_never_below_its_steps_and_never_falls_with_time(make_fleet, engine):
    history = make_fleet()
    made = forecast(history, HORIZON, LEVELS, utc(history.end_s - history.step_s), engine=engine)
    assert (made.peaks >= made.values).all()
    assert (np.diff(made.peaks, axis=1) >= 0).all()
    assert (np.diff(made.peaks, axis=2) >= 0).all()
    np.testing.assert_allclose(made.peaks[:, 0], made.values[:, 0], rtol=0.15)


def test_a_series_that_swings_between_two_levels_learns_to_trust_the_last_value(make_fleet):
    history = make_fleet(series=6, days=14)
    rng = np.random.default_rng(4)
    values = history.values.copy()
    values[0] = np.repeat(rng.choice([2.0, 60.0], history.values.shape[1] // 24 + 1), 24)[: values.shape[1]]
    now = utc(history.end_s - history.step_s)
    model = fit(history, HORIZON, LEVELS, now)
    plain, odd = (calibrate(replace(history, values=v), model, now).weight[0] for v in (history.values, values))
    assert odd[2] > 0.5 > plain[2]


def test_a_calibration_follows_its_series_in_any_order_and_passes_over_strangers(make_fleet):
    history = make_fleet()
    now = utc(history.end_s - history.step_s)
    model = fit(history, HORIZON, LEVELS, now)
    found = calibrate(history, model, now)
    turned = found.of(("pool-3", "stranger", "pool-0"))
    np.testing.assert_array_equal(turned.steps.own, [found.steps.own[3], np.zeros(5), found.steps.own[0]])
    assert turned.weight[1, 0] > 0.9
    assert turned.group.tolist() == [0, -1, 0]


def test_each_group_is_calibrated_apart(make_fleet):
    history = uneven(make_fleet)
    now = utc(history.end_s - history.step_s)
    model = fit(history, HORIZON, LEVELS, now)
    apart = calibrate(history, model, now, groups=["a"] * 6 + ["b"] * 6)
    alone = calibrate(replace(history, unique_id=history.unique_id[:6], values=history.values[:6]), model, now)
    np.testing.assert_allclose(apart.steps.group[0], alone.steps.group[0], rtol=1e-3)
    assert not np.allclose(apart.steps.group[0], apart.steps.group[1])


def test_other_than_one_group_a_series_is_refused(make_fleet):
    history = make_fleet()
    now = utc(history.end_s - history.step_s)
    with pytest.raises(InvalidInput, match="1 groups for 4 series"):
        calibrate(history, fit(history, HORIZON, LEVELS, now), now, groups=["a"])


def test_past_origins_lie_closer_where_less_is_known():
    assert np.diff(past_origins(5000, 5000, 288, 24)).tolist() == [26] * 23
    young = past_origins(200, 200, 288, 24)
    assert len(young) == 24
    assert young[0] >= 36


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("engine", ["linear", "trees", "seasonal-naive"])
def test_the_score_at_an_origin_does_not_change_when_the_future_is_garbage(make_fleet, engine):
    history = make_fleet(days=10)
    origins = rolling_origins(history, HORIZON, 8)
    known = round((origins[4].timestamp() - history.start_s) / history.step_s) + 1 + HORIZON
    garbage = history.values.copy()
    garbage[:, known:] = np.random.default_rng(1).choice([0, 1e6, np.nan], garbage[:, known:].shape)
    true, blind = (
        backtest([replace(history, values=values)], HORIZON, LEVELS, engine=engine, origins=8)[0]
        for values in (history.values, garbage)
    )
    np.testing.assert_array_equal(true.mase[:, :5], blind.mase[:, :5])
    np.testing.assert_array_equal(true.loss[:, :5], blind.loss[:, :5])
    assert not np.array_equal(true.loss[:, 6:], blind.loss[:, 6:])


def test_one_model_serves_several_panels_and_each_is_scored(make_fleet):
    panels = [make_fleet(series=3), make_fleet(series=2, days=9, seed=5)]
    scored = backtest(panels, HORIZON, LEVELS, engine="linear", origins=6)
    assert [part.mase.shape for part in scored] == [(3, 6), (2, 6)]


def test_a_panel_too_short_to_be_scored_is_left_unscored(make_fleet):
    scored = backtest([make_fleet(days=9), replace(make_fleet(), values=make_fleet().values[:, :5])], HORIZON, LEVELS,
                      engine="linear", origins=6)  # fmt: skip
    assert scored[1].mase.shape == (4, 0)
