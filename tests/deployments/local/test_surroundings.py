"""Carbon, prices, round trips and watts of the simulated sites."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import NotFound
from blocks.fleet_file import load_fleet
from blocks.tables import carbon_profile, carbon_zones, watts_per_thread
from deployments.local import noise
from deployments.local.files import FLEET_FILE
from deployments.local.power import cpu_family, it_watts, threads
from deployments.local.surroundings import (
    SPOT_RANGE,
    carbon_g_per_kwh,
    on_demand_usd_per_hour,
    site_rtt_ms,
    spot_usd_per_hour,
)

FLEET = load_fleet(FLEET_FILE)
POOLS = {f"{cluster.name}/{pool.name}": (cluster, pool) for cluster, pool in FLEET.pools()}
YEAR = 1_767_225_600.0 + np.arange(365 * 48) * 1800.0


@pytest.mark.parametrize("zone", ["DE", "SG", "US-TEX-ERCO", "NO-NO1"])
def test_carbon_stays_within_one_deviation_of_the_typical_day(zone: str) -> None:
    profile = carbon_profile(zone)
    on_the_hour = YEAR[::2]
    month = on_the_hour.astype("datetime64[s]").astype("datetime64[M]").astype(int) % 12
    hour = (on_the_hour // 3600 % 24).astype(int)
    mean, std = profile.mean_g_per_kwh[month, hour], profile.std_g_per_kwh[month, hour]
    deviation = (carbon_g_per_kwh(zone, on_the_hour, 7) - mean) / std
    assert np.all(np.abs(deviation) <= 1 + 1e-9)
    assert np.std(deviation) > 0.2


@given(st.sampled_from(carbon_zones()), st.floats(0, 4e9), st.integers(0, 9))
def test_carbon_is_smooth_and_positive(zone: str, at_s: float, seed: int) -> None:
    profile = carbon_profile(zone)
    here, there = carbon_g_per_kwh(zone, np.array([at_s, at_s + 60]), seed)
    most = float(profile.mean_g_per_kwh.max() + profile.std_g_per_kwh.max())
    assert 0 <= here <= most
    assert abs(there - here) <= 0.05 * most


def test_carbon_does_not_depend_on_what_else_is_asked() -> None:
    together = carbon_g_per_kwh("DE", YEAR[:50], 7)
    assert together.tolist() == [float(carbon_g_per_kwh("DE", np.array([at]), 7)[0]) for at in YEAR[:50]]


def test_an_unknown_zone_has_no_carbon_figures() -> None:
    with pytest.raises(NotFound, match="XX"):
        carbon_g_per_kwh("XX", YEAR[:1], 7)


def test_the_spot_price_wanders_between_30_and_60_percent_of_on_demand() -> None:
    prices = spot_usd_per_hour(0.2, "eu-eks/web", YEAR, 7) / 0.2
    assert SPOT_RANGE[0] <= prices.min() < 0.35
    assert 0.55 < prices.max() <= SPOT_RANGE[1]
    assert np.abs(np.diff(prices)).max() < 0.05


def test_prices_are_those_of_the_fleet_file_else_of_the_aws_list_else_unknown() -> None:
    cluster, pool = POOLS["eu-eks/web"]
    bare = pool.model_copy(update={"price_usd_per_hour": None, "instance_type": "m5.2xlarge"})
    assert on_demand_usd_per_hour(cluster, pool) == 0.192
    assert on_demand_usd_per_hour(cluster, bare) == 0.384
    assert on_demand_usd_per_hour(cluster, bare.model_copy(update={"instance_type": "m99.huge"})) is None
    assert on_demand_usd_per_hour(*POOLS["edge-osaka/edge"]) is None


def test_round_trips_between_sites_are_symmetric_and_plausible() -> None:
    for a, b in itertools.combinations(FLEET.sites, 2):
        assert site_rtt_ms(a, b) == site_rtt_ms(b, a)
        assert 5 < site_rtt_ms(a, b) < 300


def test_sites_without_a_measured_zone_are_as_far_as_the_fibre_between_them() -> None:
    frankfurt, virginia = FLEET.site("frankfurt"), FLEET.site("virginia")
    unmeasured = frankfurt.model_copy(update={"grid_zone": None})
    assert site_rtt_ms(unmeasured, virginia) == pytest.approx(2 * 1.6 * 6_540 / 200, rel=0.02)  # 6,540 km apart
    assert site_rtt_ms(FLEET.site("munich"), virginia) == site_rtt_ms(frankfurt, virginia) + 2  # its last mile


def test_machines_draw_their_familys_watts_at_their_load() -> None:
    cluster, pool = POOLS["eu-eks/batch"]
    assert (cpu_family(cluster, pool), threads(pool)) == ("skylake", 8)
    half = it_watts(cluster, pool, 3, 3 * 7.91 / 2)
    assert half == pytest.approx(3 * 8 * float(watts_per_thread("skylake", 0.5)))
    assert it_watts(cluster, pool, 0, 0) == 0
    assert it_watts(cluster, pool, 3, 99) == pytest.approx(3 * 8 * float(watts_per_thread("skylake", 1.0)))
    assert cpu_family(*POOLS["edge-osaka/edge"]) == "coffeelake"


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e10), st.floats(60, 1e6))
def test_a_smooth_curve_stays_in_its_bounds_and_never_jumps(key: int, at: float, knot_s: float) -> None:
    here, there = noise.smooth(key, np.array([at, at + knot_s / 1000]), knot_s)
    assert -1 <= here <= 1
    assert abs(there - here) < 0.01
