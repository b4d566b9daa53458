"""Curves fitted to a meter: laws, when they are kept, and what they do beyond what was metered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.energy.decide.calibration import calibrate, calibrate_clocked, fill
from tasks.energy.decide.power import Machine, model_power

RATIO = st.floats(0, 1)
MACHINE = Machine("icelake", 8, memory_gib=32)
RNG = np.random.default_rng(0)
LOAD = RNG.uniform(0, 1, 200)
CLOCK = RNG.choice([1.2, 2.4, 3.6], 200)
WARM = 40 + 30 * LOAD
DRAWN = 20 + 100 * LOAD * (CLOCK / 3.6) ** 3 + 0.1 * WARM


def test_the_clock_tells_apart_what_the_load_alone_cannot() -> None:
    kept, rest = slice(0, 100), slice(100, 200)
    by_load = calibrate(LOAD[kept], DRAWN[kept]).power_w(LOAD[rest])
    clocked = calibrate_clocked(LOAD[kept], CLOCK[kept], WARM[kept], DRAWN[kept]).power_w(
        LOAD[rest], CLOCK[rest], WARM[rest])  # fmt: skip
    errors = [np.abs(each - DRAWN[rest]).mean() for each in (by_load, clocked)]
    assert errors[1] < 0.25 * errors[0]


@given(st.floats(0.5, 5), st.integers(0, 2**31))
def test_the_unit_of_the_clock_does_not_matter_nor_the_order_of_samples(times: float, seed: int) -> None:
    one = calibrate_clocked(LOAD, CLOCK, WARM, DRAWN).power_w(LOAD, CLOCK, WARM)
    mixed = np.random.default_rng(seed).permutation(len(LOAD))
    other = calibrate_clocked(LOAD[mixed], CLOCK[mixed] * times, WARM[mixed], DRAWN[mixed])
    assert other.power_w(LOAD, CLOCK * times, WARM) == pytest.approx(one, rel=1e-6)


@given(RATIO, st.floats(0.01, 100), st.floats(-60, 200))
def test_no_clock_or_temperature_takes_it_far_beyond_its_samples(used: float, clock: float, warm: float) -> None:
    watts = calibrate_clocked(LOAD, CLOCK, WARM, DRAWN).power_w([used], [clock], [warm])
    assert 0.9 * DRAWN.min() - 1e-9 <= watts[0] <= 1.1 * DRAWN.max() + 1e-9


def test_clocks_of_zero_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a clock of 0"):
        calibrate_clocked(LOAD, CLOCK * 0, WARM, DRAWN)


def test_too_few_samples_one_load_or_a_gpu_give_no_curve() -> None:
    used, meter = LOAD[None, :], DRAWN[None, :]
    few = np.where(np.arange(200) < 11, meter, np.nan)
    assert fill(MACHINE, used, few) is None
    assert fill(MACHINE, np.full((1, 200), 0.5), meter) is None
    assert fill(MACHINE, used, meter * 0) is None  # a dead meter
    assert fill(Machine("icelake", 8, gpus=1, gpu_tdp_w=300), used, meter) is None


def test_a_model_that_is_right_is_kept() -> None:
    meter = model_power(MACHINE, LOAD).central + np.random.default_rng(1).normal(0, 5, 200)
    assert fill(MACHINE, LOAD[None, :], meter[None, :]) is None


def test_beyond_the_loads_that_were_metered_the_models_slope_goes_on() -> None:
    used = np.linspace(0, 1, 101)[None, :]
    meter = np.where((used > 0.295) & (used < 0.505), 300 + 50 * used, np.nan)
    found = fill(MACHINE, used, meter)
    assert found is not None
    slope = float(model_power(MACHINE, 1.0).central - model_power(MACHINE, 0.5).central)
    assert found.full == pytest.approx(325 + slope, abs=1)
    assert found.watts[0, -1] == pytest.approx(found.full)
    assert found.watts[0, 0] == pytest.approx(found.idle)


@given(st.lists(st.tuples(RATIO, st.floats(0, 1e4)), min_size=12, max_size=60), st.lists(RATIO, min_size=1))
def test_what_fills_a_gap_is_never_negative_nor_worse_than_the_model(
    samples: list[tuple[float, float]], silent: list[float]
) -> None:
    used, watts = np.array(samples).T
    assume(used.min() < used.max())
    gaps = np.full(len(silent), np.nan)
    if (found := fill(MACHINE, np.r_[used, silent][None, :], np.r_[watts, gaps][None, :])) is not None:
        assert np.isnan(found.watts[0, : len(used)]).all()  # there the meter tells
        assert (found.watts[0, len(used) :] >= 0).all()
        assert found.idle >= 0
        modelled = np.abs(model_power(MACHINE, used).central - watts).mean()
        assert found.error * watts.mean() < modelled


def test_clock_and_temperature_are_used_where_all_metered_samples_have_them() -> None:
    silent = np.where(np.arange(200) < 150, DRAWN, np.nan)[None, :]
    by_load = fill(MACHINE, LOAD[None, :], silent)
    clocked = fill(MACHINE, LOAD[None, :], silent, CLOCK[None, :], WARM[None, :])
    assert by_load is not None
    assert clocked is not None
    off = [float(np.abs(each.watts[0, 150:] - DRAWN[150:]).mean()) for each in (by_load, clocked)]
    assert off[1] < 0.3 * off[0]
    part = np.where(np.arange(200) == 3, np.nan, CLOCK)[None, :]
    without = fill(MACHINE, LOAD[None, :], silent, part, WARM[None, :])
    assert without is not None
    assert without.watts[0, 150:].tolist() == by_load.watts[0, 150:].tolist()
