"""The carried tables: complete, in bounds, and honest about what they do not hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from blocks import tables
from blocks.errors import InvalidInput, NotFound


def test_every_zone_has_a_whole_year_of_positive_carbon_figures() -> None:
    assert len(tables.carbon_zones()) == 81
    for zone in tables.carbon_zones():
        profile = tables.carbon_profile(zone)
        assert profile.mean_g_per_kwh.shape == profile.std_g_per_kwh.shape == (12, 24)
        assert np.all(profile.mean_g_per_kwh > 0)
        assert np.all(profile.std_g_per_kwh >= 0)


def test_a_profile_cannot_be_changed_by_a_reader() -> None:
    with pytest.raises(ValueError, match="read-only"):
        tables.carbon_profile("DE").mean_g_per_kwh[0, 0] = 1


def test_the_scalar_figure_is_the_profiles() -> None:
    assert tables.carbon_intensity_g_per_kwh("DE", 12, 23) == (
        tables.carbon_profile("DE").mean_g_per_kwh[11, 23],
        tables.carbon_profile("DE").std_g_per_kwh[11, 23],
    )


@pytest.mark.parametrize(("month", "hour"), [(0, 0), (13, 0), (1, 24), (1, -1)])
def test_a_month_or_hour_that_does_not_exist_is_refused(month: int, hour: int) -> None:
    with pytest.raises(InvalidInput):
        tables.carbon_intensity_g_per_kwh("DE", month, hour)


def test_power_rises_with_load_and_is_linear_between_measured_points() -> None:
    loads = np.linspace(-0.5, 1.5, 41)
    for family in tables.cpu_families():
        watts = tables.watts_per_thread(family, loads)
        assert np.all(np.diff(watts) >= 0)
        assert 0.1 < watts[0] < watts[-1] < 31
    halfway = tables.watts_per_thread("skylake", [0.4, 0.45, 0.5])
    assert halfway[1] == pytest.approx((halfway[0] + halfway[2]) / 2)
    assert np.isnan(tables.watts_per_thread("skylake", np.nan))


def test_round_trips_are_symmetric_and_shortest_at_home() -> None:
    zones = tables.rtt_zones()
    assert len(zones) == 33
    for a, b in itertools.product(zones, zones):
        assert 0 < tables.rtt_ms(a, b) == tables.rtt_ms(b, a) < 500
        assert tables.rtt_ms(a, a) <= 11.5


def test_zones_of_both_tables_have_one_name() -> None:
    assert set(tables.rtt_zones()) - set(tables.carbon_zones()) <= {"ID"}


def test_prices_and_regions_are_those_of_their_sources() -> None:
    assert tables.aws_usd_per_hour("m5.xlarge") == 0.192
    assert tables.transfer_usd_per_gb("us", "eu") == 0.02
    assert tables.gcp_region("europe-west3") == tables.GcpRegion("Frankfurt", 0.68, 275.82, 2024)


@pytest.mark.parametrize(
    ("ask", "near"),
    [
        (lambda: tables.carbon_profile("US-TEX"), "US-TEX-ERCO"),
        (lambda: tables.rtt_ms("DE", "US-TEX"), "US-TEX-ERCO"),
        (lambda: tables.watts_per_thread("icelakes", 0.5), "icelake"),
        (lambda: tables.aws_usd_per_hour("m5.xlarg"), "m5.xlarge"),
        (lambda: tables.transfer_usd_per_gb("eu", "intranet"), "eu to internet"),
        (lambda: tables.gcp_region("europe-west30"), "europe-west3"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones(ask, near) -> None:
    with pytest.raises(NotFound, match=near):
        ask()
