"""Energy rows: they add up, missing is not zero, more machines are more carbon, and idle energy is nobody's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blocks.errors import InvalidInput
from tasks.energy.decide.accounting import Accounts, account
from tasks.energy.decide.apportion import apportion
from tasks.energy.decide.change import Period, explain_change
from tasks.energy.decide.power import Machine, model_power
from tasks.energy.decide.samples import Pool, Samples, Shares

START = 1_772_323_200
WEB = Pool("eu", "web", Machine("icelake", 8, 32), "DE", 1.2, "a test")
EDGE = Pool("edge", "box", Machine("coffeelake", 4, 16), "FR", 1.0, "a test")
HOURS = 3
GRID = {"DE": np.array([400.0, 380.0, 500.0]), "FR": np.array([50.0, 40.0, 60.0])}


def samples(used: object, machines: object = 2.0, *, step_s: int = 900) -> Samples:
    """Two pools, the same in each quarter of an hour unless an array says otherwise."""
    shape = (2, HOURS * 3600 // step_s)
    return Samples(START, step_s, (WEB, EDGE), np.array([0, 1]), np.broadcast_to(np.asarray(machines, float), shape),
                   np.broadcast_to(np.asarray(used, float), shape))  # fmt: skip


def kwh(accounts: Accounts, rows: object = slice(None)) -> float:
    return float(accounts.energy_mwh[rows].sum() / 1e6)


@given(st.data())
def test_parts_add_up_to_their_totals_and_are_within_one_of_their_share(data: st.DataObject) -> None:
    totals = np.array(data.draw(st.lists(st.integers(0, 10**15), min_size=1, max_size=5)))
    group = np.sort(np.array(data.draw(st.lists(st.integers(0, len(totals) - 1), min_size=1, max_size=20))))
    weights = np.array(data.draw(st.lists(st.floats(0, 1e6), min_size=len(group), max_size=len(group))))
    parts = apportion(totals, group, weights)
    for number, total in enumerate(totals):
        mine = group == number
        if mine.any():
            assert parts[mine].sum() == total
            if weights[mine].sum() > 0:
                exact = total * (weights[mine] / weights[mine].sum())
                assert (np.abs(parts[mine] - exact) <= 1 + 1e-15 * total).all()
    assert (parts >= 0).all()


@given(
    arrays(float, (2, 12), elements=st.one_of(st.floats(0, 1), st.just(np.nan))),
    arrays(float, (2, 12), elements=st.sampled_from([0.0, 1.0, 7.0, np.nan])),
    arrays(float, (3, HOURS), elements=st.floats(0, 50)), arrays(float, (3, HOURS), elements=st.floats(0, 50)),
)  # fmt: skip
def test_rows_of_an_hour_add_up_to_what_the_machines_drew(used, machines, by, asked) -> None:
    shares = Shares(np.array([0, 0, 1]), ("shop", "batch", "shop"), by, asked)
    seen = samples(used, machines)
    alone, shared = account(seen, GRID), account(seen, GRID, None, shares)
    for pool in (0, 1):
        for hour in range(HOURS):
            rows = [(each.pool == pool) & (each.hour == hour) for each in (alone, shared)]
            assert alone.energy_mwh[rows[0]].sum() == shared.energy_mwh[rows[1]].sum()
            assert alone.idle_mwh[rows[0]].sum() == shared.idle_mwh[rows[1]].sum()
            assert alone.low_mwh[rows[0]].sum() <= alone.energy_mwh[rows[0]].sum() <= alone.high_mwh[rows[0]].sum() + 1
    assert (shared.energy_mwh >= 0).all()


@given(arrays(float, (2, 12), elements=st.floats(0, 1)), st.integers(2, 50))
def test_as_many_times_the_machines_draw_as_many_times_the_power_and_carbon(used, times: int) -> None:
    one, many = account(samples(used, 1.0), GRID), account(samples(used, float(times)), GRID)
    assert kwh(many) == pytest.approx(times * kwh(one), abs=1e-6 * times * 24)
    assert many.location_mg.sum() == pytest.approx(times * one.location_mg.sum(), abs=times * 24 * 2)


def test_energy_is_power_times_time_at_the_buildings_meter() -> None:
    found = account(samples(0.5, 1.0), GRID)
    watts = float(model_power(WEB.machine, 0.5).central) * 1.2
    assert kwh(found, found.pool == 0) == pytest.approx(watts * 3 / 1000, abs=1e-5)
    grams = watts / 1000 * GRID["DE"].sum()
    assert found.location_mg[found.pool == 0].sum() / 1000 == pytest.approx(grams, abs=0.02)


def test_a_use_that_is_not_known_is_never_no_use() -> None:
    used = np.full((2, 12), 0.8)
    used[0] = np.nan
    found = account(samples(used, 1.0), GRID)
    mine = found.pool == 0
    idle = float(model_power(WEB.machine, 0.0).central) * 1.2 * 3 / 1000
    assert kwh(found, mine) > idle
    assert set(found.method[mine]) == {"default"}
    assert found.low_mwh[mine].sum() / 1e6 == pytest.approx(idle, abs=1e-4)
    assert set(found.method[~mine]) == {"modelled"}


def test_a_gap_is_filled_with_the_hours_own_mean_and_told_as_coverage() -> None:
    used = np.full((2, 12), 0.6)
    used[0, 1] = np.nan
    found, whole = account(samples(used, 1.0), GRID), account(samples(0.6, 1.0), GRID)
    assert kwh(found) == kwh(whole)
    first = (found.pool == 0) & (found.hour == 0)
    assert (set(found.coverage[first]), set(found.method[first])) == ({0.75}, {"mixed"})


def test_an_unknown_number_of_machines_counts_nothing_and_is_counted_as_missing() -> None:
    machines = np.full((2, 12), 1.0)
    machines[0, :4] = np.nan
    found = account(samples(0.5, machines), GRID)
    assert not ((found.pool == 0) & (found.hour == 0)).any()
    assert (found.missing, found.known_hours) == (1, 5)


def test_what_a_meter_says_comes_before_the_model() -> None:
    seen = replace(samples(0.5, 1.0), metered_w=np.vstack([np.full(12, 90.0), np.full(12, np.nan)]))
    found = account(seen, GRID)
    assert kwh(found, found.pool == 0) == pytest.approx(90 * 1.2 * 3 / 1000, abs=1e-5)
    assert set(found.method[found.pool == 0]) == {"measured"}
    assert set(found.method[found.pool == 1]) == {"modelled"}


def test_idle_energy_that_nobody_requested_is_a_row_of_its_own() -> None:
    shares = Shares(np.array([0]), ("shop",), np.full((1, HOURS), 4.0), np.full((1, HOURS), 4.0))
    found = account(samples(0.5, 1.0), GRID, None, shares)
    of_shop = (found.pool == 0) & (found.namespace == "shop")
    rest = (found.pool == 0) & (found.namespace == "(idle)")
    assert found.busy_mwh[of_shop].sum() == found.busy_mwh[found.pool == 0].sum()
    assert found.idle_mwh[of_shop].sum() == pytest.approx(found.idle_mwh[rest].sum(), abs=HOURS)  # 4 of 8 threads


def test_market_and_location_stand_apart_and_an_unknown_contract_is_not_zero() -> None:
    found = account(samples(0.5), GRID, {"FR": 0.0})
    assert set(found.market_mg[found.pool == 0]) == {-1}
    assert set(found.market_mg[found.pool == 1]) == {0}
    assert (found.location_mg > 0).all()


@pytest.mark.parametrize(("grid", "words"), [
    ({"DE": GRID["DE"]}, "no intensity for all hours of zone FR"),
    (GRID | {"DE": np.array([1.0, -1.0, 1.0])}, "negative"),
    (GRID | {"DE": np.array([1.0, np.nan, 1.0])}, "missing"),
])  # fmt: skip
def test_bad_intensity_is_refused_by_name(grid, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        account(samples(0.5), grid)


period = st.builds(Period, *([st.floats(0, 1e6)] * 4))


@given(period, period)
def test_causes_add_up_to_the_change(before: Period, after: Period) -> None:
    difference = after.g + after.assumed_g - before.g - before.assumed_g
    assert explain_change(before, after).total == pytest.approx(difference, rel=1e-9, abs=1e-6)


def test_a_cleaner_grid_alone_is_told_as_intensity() -> None:
    change = explain_change(Period(100, 10, 4000), Period(100, 10, 3000))
    assert (round(change.load), round(change.efficiency), round(change.intensity)) == (0, 0, -1000)


def test_a_meters_own_samples_stand_in_where_it_is_silent() -> None:
    used = np.tile(np.linspace(0.1, 0.9, 12), (2, 1))
    meter = np.full((2, 12), np.nan)
    meter[0] = 400 + 100 * used[0]  # far above what the model says of 8 threads
    twice = replace(samples(0.5, 2.0), cpu_ratio=np.vstack([used, used]), pool=np.array([0, 0]),
                    metered_w=2 * meter)  # fmt: skip
    found = account(twice, GRID)
    metered = account(replace(twice, machines=np.array([[2.0] * 12, [0.0] * 12])), GRID)
    assert kwh(found) == pytest.approx(2 * kwh(metered), rel=0.01)
    assert set(found.method) == {"mixed"}
    assert found.pools[0].curve.startswith("a curve of 12 of its samples, ")
    silent = replace(twice, metered_w=np.hstack([2 * meter[:, :8], np.full((2, 4), np.nan)]))
    told = account(silent, GRID)
    assert told.pools[0].curve == ""  # eight samples are too few


def test_an_hour_that_only_the_curve_tells_is_calibrated_within_its_error() -> None:
    seen = samples(np.tile(np.linspace(0.1, 0.9, 36), (2, 1)), 1.0, step_s=300)
    meter = np.full((2, 36), np.nan)
    meter[0, :24] = 300 + 50 * seen.cpu_ratio[0, :24]
    found = account(replace(seen, metered_w=meter), GRID)
    last = (found.pool == 0) & (found.hour == 2)
    assert set(found.method[last]) == {"calibrated"}
    assert kwh(found, last) == pytest.approx((300 + 50 * 0.78) * 1.2 / 1000, rel=0.05)
    assert (found.high_mwh - found.low_mwh)[last].sum() < 0.02 * found.energy_mwh[last].sum()
    assert set(found.method[found.pool == 1]) == {"modelled"}
