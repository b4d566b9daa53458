"""Traffic weights: the optimum, rounding, the change limit, failover, health and affinity, by laws and small cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linprog

from blocks.errors import InvalidInput
from tasks.placement.decide.traffic import FILL_RATIO, STRATEGIES, Traffic, decide_traffic, to_record
from tasks.placement.decide.traffic_flow import cheapest_flow, unserved_price
from tasks.placement.decide.traffic_health import Health, checked
from tasks.placement.decide.traffic_weights import failover, limited, whole_weights

SHARES = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.floats(0, 100))


def made(seed: int, zones: int = 4, functions: int = 3, sites: int = 12, slack: float = 1.3, **more) -> Traffic:
    draw = np.random.default_rng(seed)
    demand = draw.lognormal(2, 1, (zones, functions))
    on = draw.random((functions, sites)) < 0.7
    on[:, 0] = True
    raw = on * draw.lognormal(0, 0.5, on.shape)
    capacity = raw / raw.sum(axis=1, keepdims=True) * demand.sum(axis=0)[:, None] * slack / FILL_RATIO
    names = [
        tuple(f"{kind}{at}" for at in range(count)) for kind, count in (("z", zones), ("f", functions), ("s", sites))
    ]
    return Traffic(*names, demand, capacity, draw.uniform(2, 90, (zones, sites)), **more)


def whole_problem(demand, cost, limit, site_limit) -> float:
    """The full LP, every column, by the interior point method: its optimum."""
    zones, functions, sites = *demand.shape, len(site_limit)
    at = np.arange(zones * functions * sites).reshape(zones, functions, sites)
    count = at.size
    serve = np.zeros((zones * functions, count + zones * functions))
    for row, (zone, function) in enumerate(np.ndindex(zones, functions)):
        serve[row, at[zone, function]] = serve[row, count + row] = 1
    load = np.zeros((functions * sites + sites, serve.shape[1]))
    for row, (function, site) in enumerate(np.ndindex(functions, sites)):
        load[row, at[:, function, site]] = 1
    for site in range(sites):
        load[functions * sites + site, at[:, :, site].ravel()] = 1
    each = np.broadcast_to(cost[:, None], (zones, functions, sites)).ravel()
    costs = np.concatenate([each, np.full(zones * functions, unserved_price(12) * cost.max())])
    room = np.concatenate([limit.ravel(), np.where(np.isfinite(site_limit), site_limit, 1e9)])
    return float(linprog(costs, A_ub=load, b_ub=room, A_eq=serve, b_eq=demand.ravel(), method="highs-ipm").fun)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.5, 2.0), st.booleans(), st.booleans())
def test_the_sifted_flow_is_the_optimum_of_the_whole_problem_feasible_or_not(seed, slack, shared, warm):
    traffic = made(seed, slack=slack)
    limit = FILL_RATIO * traffic.capacity
    site_limit = limit.sum(axis=0) * 0.8 if shared else np.full(12, np.inf)
    known = cheapest_flow(traffic.demand * 1.1, traffic.latency_ms, limit, site_limit).prices if warm else None
    flow = cheapest_flow(traffic.demand, traffic.latency_ms, limit, site_limit, known)
    penalty = unserved_price(12) * np.where((limit > 0).any(axis=0), traffic.latency_ms, 0).max()
    ours = (flow.sent.sum(axis=1) * traffic.latency_ms).sum() + penalty * flow.unserved.sum()
    full = whole_problem(traffic.demand, np.where((limit > 0).any(axis=0), traffic.latency_ms, 0), limit, site_limit)
    assert flow.proven
    assert ours == pytest.approx(full, rel=1e-5)
    np.testing.assert_allclose(flow.sent.sum(axis=2) + flow.unserved, traffic.demand, rtol=1e-6)
    assert (flow.sent.sum(axis=0) <= limit * (1 + 1e-6) + 1e-6).all()
    assert (flow.sent.sum(axis=(0, 1)) <= site_limit * (1 + 1e-6) + 1e-6).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_zones_functions_and_sites_changes_no_optimum(seed, random):
    traffic = made(seed)
    zones, functions, sites = (random.sample(range(count), count) for count in (4, 3, 12))
    limit = FILL_RATIO * traffic.capacity
    free = np.full(12, np.inf)
    one = cheapest_flow(traffic.demand, traffic.latency_ms, limit, free)
    other = cheapest_flow(traffic.demand[np.ix_(zones, functions)], traffic.latency_ms[np.ix_(zones, sites)],
                          limit[np.ix_(functions, sites)], free)  # fmt: skip
    turned = traffic.latency_ms[np.ix_(zones, sites)]
    spent = [(flow.sent.sum(axis=1) * cost).sum() for flow, cost in ((one, traffic.latency_ms), (other, turned))]
    assert spent[0] == pytest.approx(spent[1], rel=1e-6)


def test_nothing_is_left_unserved_to_make_others_faster():
    """Ten zones, each at home at its own site; one more request at the first shifts all of them, one site each."""
    count = 12
    home = np.arange(count)
    cost = np.full((count, count), np.inf)
    cost[home, home] = 0.0
    cost[home[:-1], home[1:]] = 100.0
    demand = np.ones((count, 1))
    demand[0] = 2.0
    demand[-1] = 0.0
    limit = np.ones((1, count))
    flow = cheapest_flow(demand, cost, limit, np.full(count, np.inf))
    assert flow.unserved.sum() == pytest.approx(0, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(1.0, 2.0))
def test_more_capacity_never_makes_it_slower(seed, more):
    traffic = made(seed)
    limit = FILL_RATIO * traffic.capacity
    free = np.full(12, np.inf)
    spent = [(cheapest_flow(traffic.demand, traffic.latency_ms, room, free).sent.sum(axis=1) * traffic.latency_ms).sum()
             for room in (limit, limit * more)]  # fmt: skip
    assert spent[1] <= spent[0] * (1 + 1e-6)


@given(SHARES, st.sampled_from([100, 255]))
def test_rounded_weights_sum_to_the_total_and_are_next_to_their_share(shares, total):
    weights = whole_weights(shares, total)
    sums = shares.sum(axis=1)
    assert weights.sum(axis=1).tolist() == [total if each > 0 else 0 for each in sums]
    exact = shares[sums > 0] / sums[sums > 0, None] * total
    assert (np.abs(weights[sums > 0] - exact) < 1 + 1e-6).all()
    assert (weights >= 0).all()


@given(SHARES, st.integers(1, 30), st.integers(0, 1000))
def test_no_weight_changes_by_more_than_the_limit_and_the_target_is_reached_in_the_end(target, most, seed):
    start = whole_weights(np.random.default_rng(seed).random(target.shape), 100)
    start[target.sum(axis=1) == 0] = 0
    weights = start
    for _ in range(100 // most + 2):
        after = limited(weights, target, most)
        assert (np.abs(after - weights) <= most).all()
        assert after.sum(axis=1).tolist() == weights.sum(axis=1).tolist()
        weights = after
    assert (np.abs(weights - whole_weights(target)) <= 1).all()


@given(SHARES, st.integers(0, 1000))
def test_a_failover_leaves_dead_sites_nothing_and_living_ones_no_less(shares, seed):
    before = whole_weights(shares)
    alive = np.random.default_rng(seed).random(shares.shape) < 0.6
    after = failover(before, alive, np.ones(shares.shape))
    assert (after[~alive] == 0).all()
    assert after.sum(axis=1).tolist() == [100 if row.any() else 0 for row in alive]
    held = np.where(alive, before, 0)
    assert (after >= held - 1)[held.any(axis=1)].all()


def test_a_dead_replica_loses_its_weight_at_once_whatever_the_limit():
    traffic = made(3, zones=1, functions=1, sites=4)
    first = decide_traffic(traffic).weights
    alive = np.ones((1, 4), dtype=bool)
    alive[0, first[0, 0].argmax()] = False
    after = decide_traffic(Traffic(**{**traffic.__dict__, "alive": alive}), before=first, most_change=10).weights
    assert (after[0][~alive] == 0).all()
    assert after.sum() == 100


@given(st.integers(0, 1000), st.integers(1, 25))
@settings(deadline=None, max_examples=20)
def test_a_pass_changes_no_weight_by_more_than_the_limit_while_nothing_dies(seed, most):
    traffic = made(seed)
    first = decide_traffic(traffic).weights
    moved = Traffic(**{**traffic.__dict__, "demand": traffic.demand[::-1].copy()})
    after = decide_traffic(moved, before=first, most_change=most).weights
    assert (np.abs(after - first) <= most).all()
    assert (after.sum(axis=2) == 100).all()


def test_all_replicas_down_is_unserved_and_routes_nothing():
    traffic = made(1, alive=np.zeros((3, 12), dtype=bool))
    routing = decide_traffic(traffic)
    assert not routing.weights.any()
    assert routing.unserved.sum() == pytest.approx(traffic.demand.sum())
    assert to_record(traffic, routing)["mean_latency_ms"] is None


def test_a_zone_without_demand_is_sent_to_its_nearest_replica():
    traffic = made(2)
    demand = traffic.demand.copy()
    demand[0] = 0
    weights = decide_traffic(Traffic(**{**traffic.__dict__, "demand": demand})).weights
    nearest = np.where(traffic.capacity > 0, traffic.latency_ms[0], np.inf).argmin(axis=1)
    assert weights[0].argmax(axis=1).tolist() == nearest.tolist()
    assert (weights[0].max(axis=1) == 100).all()


def test_a_site_out_of_reach_gets_nothing():
    traffic = made(5)
    latency = traffic.latency_ms.copy()
    latency[1, :6] = np.nan
    weights = decide_traffic(Traffic(**{**traffic.__dict__, "latency_ms": latency})).weights
    assert not weights[1, :, :6].any()


def test_each_strategy_saves_most_of_what_it_is_for():
    draw = np.random.default_rng(0)
    traffic = made(6, slack=2.0, usd_per_million=draw.uniform(1, 9, 12), g_per_million=draw.uniform(1, 900, 12),
                   distance_km=draw.uniform(10, 9000, (4, 12)))  # fmt: skip
    terms = {"performance": traffic.latency_ms, "geographic": traffic.distance_km,
             "cost": traffic.usd_per_million, "carbon": traffic.g_per_million}  # fmt: skip
    assert set(terms) == set(STRATEGIES)
    sent = {name: (decide_traffic(traffic, name).shares * traffic.demand[:, :, None]).sum(axis=1) for name in terms}
    for name, term in terms.items():
        spent = {other: float((flow * term).sum()) for other, flow in sent.items()}
        assert min(spent, key=spent.__getitem__) == name


def test_a_strategy_that_is_unknown_or_lacks_its_terms_is_refused():
    with pytest.raises(InvalidInput, match="no strategy cheap"):
        decide_traffic(made(0), "cheap")
    with pytest.raises(InvalidInput, match="needs g_per_million"):
        decide_traffic(made(0), "carbon")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_demand_that_is_not_known_is_named_and_refused(value):
    traffic = made(0)
    traffic.demand[2, 1] = value
    with pytest.raises(InvalidInput, match="demand") as refusal:
        decide_traffic(traffic)
    assert "z2 f1" in str(refusal.value)


def test_the_record_names_what_it_weighs_and_leaves_zeros_out():
    traffic = Traffic(("eu",), ("f",), ("a", "b"), np.array([[9.0]]), np.array([[5.0, 50.0]]), np.array([[1.0, 11.0]]))
    record = to_record(traffic, decide_traffic(traffic))
    weights = {"f": {"eu": {"a": 50, "b": 50}}}
    assert record == {"weights": weights, "mean_latency_ms": 6.0, "unserved": 0.0, "under_load": []}


@given(st.lists(st.sampled_from([0, 1, -1]), max_size=40))
def test_health_turns_down_after_two_failures_in_a_row_and_up_after_three_successes(answers):
    state, up, recent = Health.start(1), True, []
    for answer in answers:
        state = checked(state, np.array([answer]))
        if answer >= 0:
            recent.append(answer)
        if up and recent[-2:] == [0, 0]:
            up = False
        elif not up and recent[-3:] == [1, 1, 1]:
            up = True
        assert bool(state.up[0]) == up
