"""Laws that hold for every history: order, unit, quantiles that never cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.series import Series, utc
from tasks.forecasting.decide import ENGINES, forecast

LEVELS = (0.1, 0.5, 0.9)
STEP_S, DAY = 3600, 24


@pytest.fixture(autouse=True)
def _quick(few_trees: None) -> None:
    """No law depends on their number."""


def made_of(history: Series, engine: str) -> np.ndarray:
    return forecast(history, 5, LEVELS, utc(history.end_s - STEP_S), engine=engine).values


@st.composite
def histories(draw: st.DrawFn) -> Series:
    """3 to 5 hourly series of 14 days: waves, noise, bursts, holes, late starts, zeros."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, steps = draw(st.integers(3, 5)), 14 * DAY
    wave = np.sin(2 * np.pi * np.arange(steps) / DAY + rng.uniform(0, 6, (count, 1)))
    values = rng.lognormal(0, 2, (count, 1)) * (
        3 + wave + rng.gamma(1, rng.uniform(0.01, 2, (count, 1)), (count, steps))
    )
    values[rng.random((count, steps)) < draw(st.sampled_from([0, 0.1]))] = np.nan
    values[0, : draw(st.sampled_from([0, steps - 3, steps - 30, steps - 100]))] = np.nan
    values[1] = draw(st.sampled_from([values[1], np.zeros(steps), np.full(steps, 7.0)]))
    return Series(tuple(f"s{i}" for i in range(count)), 0, STEP_S, values.astype(np.float32))


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(history=histories(), seed=st.integers(0, 100))
def test_permuted_series_give_permuted_forecasts(engine, history, seed):
    order = np.random.default_rng(seed).permutation(len(history.unique_id))
    shuffled = Series(tuple(history.unique_id[i] for i in order), 0, STEP_S, history.values[order])
    np.testing.assert_allclose(made_of(shuffled, engine), made_of(history, engine)[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(history=histories(), powers=st.lists(st.integers(-20, 20), min_size=5, max_size=5))
def test_a_series_in_another_unit_is_forecast_in_that_unit(engine, history, powers):
    unit = np.float32(2.0) ** np.array(powers[: len(history.unique_id)], np.float32)[:, None]
    scaled = made_of(replace(history, values=history.values * unit), engine)
    np.testing.assert_array_equal(scaled, made_of(history, engine) * unit[:, :, None])


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(history=histories())
def test_quantiles_never_cross(engine, history):
    levels = np.arange(0.1, 0.97, 0.1 if engine == "trees" else 0.04).round(
        2
    )  # levels so close that a linear model alone does cross
    values = forecast(history, 5, levels, utc(history.end_s - STEP_S), engine=engine).values
    served = np.isfinite(values).all(axis=(1, 2))
    assert (np.diff(values[served], axis=2) >= 0).all()
