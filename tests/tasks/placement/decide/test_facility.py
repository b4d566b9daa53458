"""Where to open sites: agreement with trying everything, bounds, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.placement.decide.facility import Facilities, decide_sites, facilities_of
from tasks.placement.problem_checks import parse_problem

laws = settings(max_examples=60, deadline=None)


def drawn(seed: int, clients: int, sites: int, count: int | None) -> Facilities:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 20, (clients, sites)).round(1)
    return Facilities(tuple(f"c{row}" for row in range(clients)), tuple(f"s{row}" for row in range(sites)), cost,
                      rng.uniform(0, 10, sites).round(1), min(count, sites) if count else None)  # fmt: skip


def best_of(facilities: Facilities) -> float:
    sites = range(len(facilities.sites))
    sizes = [facilities.count] if facilities.count else range(1, len(facilities.sites) + 1)
    return min(
        facilities.cost[:, list(chosen)].min(axis=1).sum() + facilities.open_cost[list(chosen)].sum()
        for size in sizes
        for chosen in itertools.combinations(sites, size)
    )


SMALL = st.builds(drawn, st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 6),
                  st.sampled_from([None, 1, 2, 3]))  # fmt: skip


@laws
@given(facilities=SMALL)
def test_the_best_of_all_choices_lies_between_bound_and_value(facilities):
    opened = decide_sites(facilities)
    best = best_of(facilities)
    assert opened.bound - 1e-9 <= best <= opened.objective + 1e-9
    assert opened.objective <= 1.05 * best + 1e-9  # local search: not always the best of them
    assert facilities.count in (None, len(opened.open))


@laws
@given(facilities=SMALL)
def test_capacities_that_never_bind_change_nothing_and_are_solved_exactly(facilities):
    many = len(facilities.clients)
    limited = replace(facilities, requests=np.ones((many, 1)), capacity=np.full((len(facilities.sites), 1), many + 1.0))
    opened = decide_sites(limited)
    assert opened.objective == pytest.approx(best_of(facilities))
    assert opened.gap < 1e-5


@laws
@given(facilities=SMALL, data=st.data())
def test_the_order_of_sites_and_clients_changes_nothing(facilities, data):
    rows = data.draw(st.permutations(range(len(facilities.clients))))
    columns = data.draw(st.permutations(range(len(facilities.sites))))
    clients, sites = (tuple(facilities.clients[row] for row in rows), tuple(facilities.sites[c] for c in columns))
    cost, open_cost = facilities.cost[np.ix_(rows, columns)], facilities.open_cost[columns]
    turned = Facilities(clients, sites, cost, open_cost, facilities.count)
    assert decide_sites(turned) == decide_sites(facilities)


def test_every_client_goes_to_an_open_site():
    opened = decide_sites(drawn(1, 40, 12, 4))
    assert {site for _, site in opened.assignments} <= set(opened.open)
    assert len(opened.assignments) == 40


def test_full_capacities_send_a_client_to_the_second_site():
    facilities = Facilities(("a", "b"), ("x", "y"), np.array([[1.0, 9.0], [1.0, 5.0]]), np.zeros(2),
                            requests=np.ones((2, 1)), capacity=np.ones((2, 1)))  # fmt: skip
    opened = decide_sites(facilities)
    assert (opened.assignments, opened.objective) == ((("a", "x"), ("b", "y")), 6.0)


def test_clients_that_nothing_can_serve_are_refused_by_name_of_the_remedy():
    barred = Facilities(("a", "b"), ("x", "y"), np.array([[1.0, np.inf], [np.inf, 1.0]]), np.zeros(2), 1)
    with pytest.raises(InvalidInput, match="no choice of sites"):
        decide_sites(barred)
    full = replace(barred, cost=np.ones((2, 2)), count=None, requests=np.ones((2, 1)), capacity=np.full((2, 1), 0.5))
    with pytest.raises(InvalidInput, match="no choice of sites"):
        decide_sites(full)


def test_without_workloads_the_user_zones_are_the_clients():
    problem = parse_problem({"sites": [{"name": "a", "capacity": {}}, {"name": "b", "capacity": {}}],
                             "latency_ms": {"y": {"a": 1, "b": 7}, "z": {"a": 5, "b": 2}},
                             "open": {"count": 1}})  # fmt: skip
    opened = decide_sites(facilities_of(problem))
    assert (opened.open, opened.objective, opened.bound) == (("a",), 6.0, 6.0)


def test_a_problem_without_clients_is_refused():
    with pytest.raises(InvalidInput, match="neither a workload nor a zone"):
        facilities_of(parse_problem({"sites": [{"name": "a", "capacity": {}}]}))
