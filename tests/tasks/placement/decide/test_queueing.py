"""Queueing formulas against closed forms, direct sums, laws, and an exact simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.placement.decide import queueing

SERVERS = st.integers(1, 60)
RHO = st.floats(0.01, 0.985)


def direct_erlang_c(k: int, a: float) -> float:
    """Erlang's own sum, with factorials."""
    last = a**k / math.factorial(k) * k / (k - a)
    return last / (sum(a**n / math.factorial(n) for n in range(k)) + last)


@given(SERVERS, RHO)
def test_erlang_c_is_the_direct_sum(k: int, rho: float) -> None:
    assert queueing.erlang_c(k, rho * k) == pytest.approx(direct_erlang_c(k, rho * k), rel=1e-9)


@given(RHO, st.floats(0.1, 100))
def test_one_server_is_the_closed_form_of_m_m_1(rho: float, mu: float) -> None:
    assert queueing.mean_wait(rho * mu, mu, 1) == pytest.approx(rho / (1 - rho) / mu)
    assert queueing.sakasegawa_wait(rho * mu, mu, 1) == pytest.approx(rho / (1 - rho) / mu)
    quantile = max(math.log(rho / 0.05) / (mu - rho * mu), 0) if rho > 0.05 else 0
    assert queueing.wait_quantile(rho * mu, mu, 1) == pytest.approx(quantile)


@given(SERVERS, st.floats(0.01, 50), st.floats(0, 0.02))
def test_more_servers_never_wait_longer_and_more_arrivals_never_shorter(k: int, rate: float, more: float) -> None:
    here = queueing.mean_wait(rate, 1.0, [k, k + 1])
    assert here[1] <= here[0]
    assert queueing.mean_wait(rate * (1 + more), 1.0, k) >= here[0]
    late = queueing.wait_quantile(rate, 1.0, [k, k + 1])
    assert late[1] <= late[0]


@given(SERVERS, RHO, st.floats(0.1, 10))
def test_sakasegawa_agrees_within_its_error(k: int, rho: float, scv_sum: float) -> None:
    ours = queueing.mean_wait(rho * k, 1.0, k, scv_sum) * (1 - rho)
    assert queueing.sakasegawa_wait(rho * k, 1.0, k, scv_sum) * (1 - rho) == pytest.approx(
        ours, rel=0.1, abs=0.1 * scv_sum
    )


@given(st.lists(st.tuples(SERVERS, st.floats(0.01, 1.5)), min_size=1, max_size=6))
def test_a_vector_is_its_elements_one_by_one(pairs: list[tuple[int, float]]) -> None:
    k, rho = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    whole = queueing.mean_wait(rho * k, 1.0, k, 3.0)
    assert whole.tolist() == [float(queueing.mean_wait(r * n, 1.0, n, 3.0)) for n, r in zip(k, rho, strict=True)]


def test_saturation_waits_for_ever_and_so_does_no_server_at_all() -> None:
    assert queueing.mean_wait([1.0, 2.0, 1.0], 1.0, [1, 1, 0]).tolist() == [math.inf] * 3
    assert queueing.wait_quantile([1.0, 1.0], 1.0, [1, 0]).tolist() == [math.inf] * 2
    assert queueing.sakasegawa_wait([1.0, 1.0], 1.0, [1, 0]).tolist() == [math.inf] * 2


def test_a_prediction_above_95_percent_is_refused_element_by_element() -> None:
    response = queueing.predicted_response([0.0, 9.5, 9.51, 1.0], 1.0, [10, 10, 10, 0])
    assert response[0] == 1.0
    assert np.isnan(response).tolist() == [False, False, True, True]


def test_what_is_not_known_is_not_made_up() -> None:
    for function in (queueing.mean_wait, queueing.wait_quantile, queueing.predicted_response, queueing.sakasegawa_wait):
        assert np.isnan(function(np.nan, 1.0, 3))


def simulated_waits(k: int, rho: float, scv: float, *, customers: int, seed: int) -> np.ndarray:
    """Waits in M/H2/k (M/M/k for scv 1) by the Kiefer-Wolfowitz recursion, after a warm-up."""
    draw = np.random.default_rng(seed)
    between = draw.exponential(1 / (rho * k), customers)
    p = (1 + math.sqrt((scv - 1) / (scv + 1))) / 2  # balanced means
    service = draw.exponential(1.0, customers) / np.where(draw.random(customers) < p, 2 * p, 2 * (1 - p))
    work, waits = [0.0] * k, np.empty(customers)
    for n, (gap, length) in enumerate(zip(between.tolist(), service.tolist(), strict=True)):
        waits[n] = work[0]
        work[0] += length
        work = sorted(max(left - gap, 0.0) for left in work)
    return waits[customers // 10 :]


@pytest.mark.parametrize(("k", "rho", "scv", "tolerance"), [(1, 0.7, 1, 0.1), (4, 0.8, 1, 0.1), (4, 0.8, 4, 0.25)])
def test_the_formulas_agree_with_an_exact_simulation(k: int, rho: float, scv: float, tolerance: float) -> None:
    # the simulation's own standard error is some 4 %; for SCV 4 Allen-Cunneen's own is some 10 %
    waits = simulated_waits(k, rho, scv, customers=120_000, seed=5)
    assert queueing.mean_wait(rho * k, 1.0, k, 1 + scv) == pytest.approx(waits.mean(), rel=tolerance)
    p95 = queueing.wait_quantile(rho * k, 1.0, k, 1 + scv)
    assert p95 == pytest.approx(np.quantile(waits, 0.95), rel=tolerance)
