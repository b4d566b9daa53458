"""What pods make of the requests they are offered: laws of the serving model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.load import (
    BORDER_RHO,
    CPU_S_PER_REQUEST,
    SERVICE_SCV,
    TIMEOUT_S,
    Service,
    cores_in_use,
    served,
    service_of,
)
from tasks.placement.decide.queueing import mean_wait

SERVICES = st.builds(Service, st.floats(*CPU_S_PER_REQUEST), st.floats(*SERVICE_SCV))
MODEST = Service(0.01, 1.0)
RATES = st.floats(0, 5000)


@given(SERVICES, RATES, st.integers(0, 60), st.floats(0.05, 8))
def test_more_pods_never_raise_latency_errors_or_utilisation(service, rate, pods, cores) -> None:
    replicas = np.array([pods, pods + 1])
    found = served(service, rate, replicas, replicas * cores)
    for values in (found.utilisation, found.errors, found.mean_s, found.p95_s):
        assert not values[1] > values[0] * (1 + 1e-9)


@given(SERVICES, RATES, st.floats(0, 500), st.integers(0, 60), st.floats(0.05, 8))
def test_more_requests_never_lower_latency_errors_or_utilisation(service, rate, more, pods, cores) -> None:
    found = served(service, [rate, rate + more], pods, pods * cores)
    for values in (found.utilisation, found.errors, found.mean_s, found.p95_s):
        assert not values[1] < values[0] * (1 - 1e-9)


@given(SERVICES, st.floats(0.001, 5000), st.integers(1, 60), st.floats(0.05, 8))
def test_all_values_are_in_their_bounds(service, rate, pods, cores) -> None:
    found = served(service, rate, pods, pods * cores)
    assert found.utilisation == pytest.approx(rate * service.cpu_s / (pods * cores))
    assert found.errors == pytest.approx(max(0.0, 1 - 1 / found.utilisation))
    assert 0 < found.mean_s <= TIMEOUT_S
    assert 0 < found.p95_s <= TIMEOUT_S
    assert cores_in_use(service, rate, pods * cores) == pytest.approx(rate * (1 - found.errors) * service.cpu_s)


@given(SERVICES, st.integers(1, 60))
def test_nothing_jumps_where_overload_begins(service, pods) -> None:
    border = pods / service.cpu_s
    found = served(service, [border * (1 - 1e-6), border * (1 + 1e-6)], pods, pods)
    for values in (found.errors, found.mean_s, found.p95_s):
        assert values[1] == pytest.approx(values[0], rel=1e-3, abs=1e-4)


def test_below_the_border_latency_is_allen_cunneens() -> None:
    found = served(MODEST, 80.0, 4, 1.0)  # four pods of 25 requests/s each
    assert found.mean_s == pytest.approx(float(mean_wait(80.0, 25.0, 4)) + 1 / 25)
    assert found.errors == 0


def test_the_wait_stops_growing_at_the_border() -> None:
    found = served(MODEST, [100 * BORDER_RHO, 100.0], 4, 1.0)
    assert found.mean_s[0] == pytest.approx(found.mean_s[1])


def test_at_twice_what_pods_can_serve_half_the_requests_time_out() -> None:
    found = served(MODEST, 200.0, 4, 1.0)
    assert found.errors == pytest.approx(0.5)
    assert found.p95_s == TIMEOUT_S
    assert TIMEOUT_S / 2 < found.mean_s < TIMEOUT_S


def test_without_pods_every_request_times_out() -> None:
    found = served(MODEST, 10.0, 0, 0.0)
    assert (found.utilisation, found.errors, found.mean_s, found.p95_s) == (math.inf, 1.0, TIMEOUT_S, TIMEOUT_S)


def test_where_nobody_asks_and_nobody_serves_there_is_no_latency_and_no_error() -> None:
    found = served(MODEST, 0.0, 0, 0.0)
    assert (found.utilisation, found.errors) == (0.0, 0.0)
    assert np.isnan([found.mean_s, found.p95_s]).all()


def test_what_is_not_recorded_has_no_response() -> None:
    found = served(MODEST, [np.nan, 1.0], [1.0, np.nan], [1.0, np.nan])
    assert all(np.isnan(values).all() for values in (found.utilisation, found.errors, found.mean_s, found.p95_s))


def test_a_workloads_service_depends_on_its_name_and_the_seed_alone() -> None:
    assert service_of("default/shop", 7) == service_of("default/shop", 7)
    assert len({service_of(name, seed).cpu_s for name in ("a", "b") for seed in (1, 2)}) == 4
    for seed in range(50):
        service = service_of("x", seed)
        assert CPU_S_PER_REQUEST[0] <= service.cpu_s <= CPU_S_PER_REQUEST[1]
        assert SERVICE_SCV[0] <= service.scv <= SERVICE_SCV[1]
