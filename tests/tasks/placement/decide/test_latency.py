"""Response under load: closed forms, laws, refusals that spoil nobody else's prediction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.placement.decide.latency import Refusal, Service, response_under_load, scv


@given(st.floats(0.01, 0.94), st.floats(1, 500), st.floats(0, 200))
def test_one_server_is_the_closed_form_of_m_m_1(rho: float, processing_ms: float, propagation_ms: float) -> None:
    found = response_under_load(Service(1000 * rho / processing_ms, processing_ms, 1, propagation_ms=propagation_ms))
    response = processing_ms / (1 - rho)  # exponentially distributed
    assert found.mean_ms == pytest.approx(propagation_ms + response)
    assert found.p95_ms == pytest.approx(propagation_ms + response * math.log(20), rel=1e-6)


@given(st.integers(1, 20), st.floats(0.01, 0.94), st.floats(0, 4), st.floats(0, 9), st.floats(0, 1))
def test_the_parts_make_the_mean(k: int, rho: float, ca2: float, cs2: float, cold: float) -> None:
    found = response_under_load(Service(100 * rho * k, 10.0, k, ca2, cs2, 25.0, 300.0, cold))
    parts = found.propagation_ms + found.processing_ms + found.cold_ms + found.waiting_ms
    assert found.mean_ms == pytest.approx(float(parts))
    assert found.utilisation_ratio == pytest.approx(rho)
    assert found.refused == Refusal.NONE


@given(st.integers(1, 20), st.floats(0.01, 0.9), st.floats(0, 9), st.floats(0, 0.5))
def test_more_load_more_spread_and_more_cold_starts_never_make_it_faster(
    k: int, rho: float, cs2: float, cold: float
) -> None:
    rates, spread = 100 * k * np.array([rho, rho * 1.05, rho, rho]), np.array([cs2, cs2, cs2 + 1, cs2])
    found = response_under_load(
        Service(rates, 10.0, k, 1.0, spread, 5.0, 300.0, np.array([cold, cold, cold, cold + 0.1]))
    )
    assert (found.mean_ms[1:] >= found.mean_ms[0] - 1e-9).all()
    assert found.p95_ms[3] >= found.p95_ms[0] - 1e-6
    assert (found.p95_ms >= found.propagation_ms).all()


def test_without_traffic_a_request_takes_what_it_takes() -> None:
    found = response_under_load(Service(0.0, 10.0, 3, processing_scv=0.0, propagation_ms=7.0))
    assert found.mean_ms == 17.0
    assert found.waiting_ms == 0.0
    assert found.p95_ms == pytest.approx(17.0, abs=0.05)


def test_cold_starts_reach_the_percentile_only_where_more_than_a_twentieth_meets_them() -> None:
    found = response_under_load(Service(1.0, 10.0, 50, 1.0, 0.1, 0.0, 1000.0, np.array([0.0, 0.01, 0.2])))
    assert found.p95_ms[1] == pytest.approx(found.p95_ms[0], rel=0.05)
    assert found.p95_ms[2] > 1000
    assert found.mean_ms[1] - found.mean_ms[0] == pytest.approx(10)


def test_what_cannot_be_predicted_is_refused_alone_and_says_why() -> None:
    nan = math.nan
    found = response_under_load(
        Service(
            np.array([50.0, 96.0, 250.0, 50.0, nan, -1.0, 50.0, 50.0]), np.array([10.0] * 6 + [0.0, math.inf]),
            np.array([1, 1, 1, 0, 1, 1, 1, 1]),
        )
    )  # fmt: skip
    assert [Refusal(code).name for code in found.refused] == [
        "NONE", "SATURATED", "SATURATED", "NO_SERVER", "NOT_KNOWN", "NOT_KNOWN", "NOT_KNOWN", "NOT_KNOWN",
    ]  # fmt: skip
    for values in (found.mean_ms, found.p95_ms, found.waiting_ms):
        assert np.isnan(values).tolist() == [False] + [True] * 7
    assert found.utilisation_ratio[1] == pytest.approx(0.96)


@given(st.lists(st.floats(0.5, 99), min_size=2, max_size=40))
def test_the_scv_of_a_fine_histogram_is_that_of_its_samples(samples: list[float]) -> None:
    values = np.array(samples)
    upper = np.concatenate([np.arange(0.1, 100.1, 0.1), [np.inf]])
    counts = np.bincount(np.searchsorted(upper, values), minlength=len(upper)).astype(np.float64)
    assert scv(upper, counts) == pytest.approx(values.var() / values.mean() ** 2, abs=0.25)


def test_an_empty_histogram_has_no_scv() -> None:
    assert np.isnan(scv(np.array([1.0, np.inf]), np.zeros((2, 2)))).all()
