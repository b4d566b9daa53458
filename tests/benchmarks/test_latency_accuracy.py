"""Predicted response times against exact simulations, at the margins that `bench_placement_latency.py` measures."""

from __future__ import annotations

import numpy as np
import pytest
from queue_simulation import simulate

from tasks.placement.decide.latency import Service, response_under_load


def test_the_simulation_is_right_where_the_truth_is_known() -> None:
    waits, responses = simulate(1, 0.7, 1, 1, customers=6000, copies=60, seed=1)
    assert waits.mean() == pytest.approx(0.7 / 0.3, rel=0.06)
    assert responses.mean() == pytest.approx(1 / 0.3, rel=0.06)


@pytest.mark.parametrize(
    ("arrival_scv", "service_scv", "worst"),
    [(1, 1, 0.07), (1, 4, 0.15), (4, 4, 0.25)],
    ids=["M/M/k", "M/H2/k", "H2/H2/k"],
)
def test_mean_responses_are_those_of_the_simulation(arrival_scv: float, service_scv: float, worst: float) -> None:
    grid = [(k, rho) for k in (1, 4, 16) for rho in (0.5, 0.7, 0.8)]
    truth = [simulate(k, rho, arrival_scv, service_scv, customers=5000, copies=60, seed=3)[1].mean() for k, rho in grid]
    k, rho = np.array([cell[0] for cell in grid]), np.array([cell[1] for cell in grid])
    found = response_under_load(Service(1000 * rho * k, 1.0, k, arrival_scv, service_scv))
    error = np.abs(found.mean_ms / np.array(truth) - 1)
    assert np.median(error) <= 0.06
    assert error.max() <= worst
