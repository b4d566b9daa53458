"""Laws of routing: nothing for the dead, no more than the limit for the living, never nothing for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.placement.decide.traffic import Traffic
from tasks.placement.decide.traffic_flow import Part, Solution
from tasks.placement.warm_traffic import WarmSimplex
from tasks.traffic.decide import CHANGES, LEAST_CHANGE, SeenRoute, decide_routes, no_longer_fits

SITES = ("a", "b", "c")


def traffic(alive: tuple[bool, ...] = (True, True, True), demand: float = 30.0, capacity: float = 100.0) -> Traffic:
    """One function, asked for in zone z, which is 5, 20 and 90 ms from its sites."""
    return Traffic(("z",), ("shop",), SITES, np.array([[demand]]), np.full((1, 3), capacity),
                   np.array([[5.0, 20.0, 90.0]]), np.array([alive]))  # fmt: skip


def route(weights: dict[str, int], alive: tuple[bool, ...] = (True, True, True)) -> SeenRoute:
    health = {site: (up, 0) for site, up in zip(SITES, alive, strict=True)}
    return SeenRoute("edge/gateway/default/shop", "shop", (), {site: f"on-{site}" for site in SITES}, weights, health)


def seen(a: int, b: int, c: int) -> dict[str, int]:
    return {"on-a": a, "on-b": b, "on-c": c}


def decided(weights: dict[str, int], world: Traffic, alive: tuple[bool, ...] = (True, True, True)) -> dict:
    (record,) = decide_routes(world, [route(weights, alive)])
    return record


def codes(record: dict) -> set[str]:
    return {each["code"] for each in record["reasons"]}


Weights = st.fixed_dictionaries({name: st.integers(0, 1000) for name in seen(0, 0, 0)})
Alive = st.tuples(st.booleans(), st.booleans(), st.booleans())
Demand = st.floats(0, 400) | st.just(float("nan"))


@given(Weights, Alive, Demand)
def test_the_dead_get_nothing_and_somebody_serves(weights: dict, alive: tuple[bool, ...], demand: float) -> None:
    record = decided(weights, traffic(alive, demand), alive)
    if not any(alive):
        assert record["action"] == "hold"
        assert record["weights"] == weights
        assert "all-down" in codes(record)
        return
    after = [record["weights"][f"on-{site}"] for site in SITES]
    assert all(weight == 0 for weight, up in zip(after, alive, strict=True) if not up)
    if record["action"] in CHANGES:
        assert sum(after) == 100


@given(Weights, Demand)
def test_no_weight_of_a_living_site_moves_beyond_the_limit(weights: dict, demand: float) -> None:
    record = decided(weights, traffic(demand=demand))
    total = sum(weights.values())
    if not total or record["action"] == "hold":
        return
    for backend, weight in weights.items():
        assert abs(record["weights"][backend] - 100 * weight / total) <= 21  # the limit, and rounding


@given(Weights, Alive, Demand)
def test_passes_one_after_the_other_come_to_rest(weights: dict, alive: tuple[bool, ...], demand: float) -> None:
    for _ in range(12):
        record = decided(weights, traffic(alive, demand), alive)
        weights = record["weights"]
    assert record["action"] == "hold"


@given(Weights, Alive)
def test_demand_that_is_not_known_takes_nothing_from_a_living_site(weights: dict, alive: tuple[bool, ...]) -> None:
    record = decided(weights, traffic(alive, float("nan")), alive)
    total = sum(weights.values())
    if record["action"] == "hold" or not total:
        return
    for site, up in zip(SITES, alive, strict=True):
        if up:
            assert record["weights"][f"on-{site}"] >= 100 * weights[f"on-{site}"] / total - 1


def test_a_failover_is_not_bound_by_the_change_limit() -> None:
    alive = (False, True, True)
    record = decided(seen(100, 0, 0), traffic(alive), alive)
    assert record["action"] == "failover"
    assert record["weights"] == seen(0, 100, 0)


def test_a_shift_goes_part_of_the_way() -> None:
    record = decided(seen(0, 0, 100), traffic())
    assert record["action"] == "shift"
    assert record["weights"] == seen(20, 0, 80)
    assert {"code": "on-the-way", "points": 80} in record["reasons"]


def test_other_totals_of_the_same_shares_are_left_as_they_are() -> None:
    assert decided(seen(1, 0, 0), traffic())["action"] == "hold"


def test_a_tremble_writes_nothing() -> None:
    assert LEAST_CHANGE == 2
    assert decided(seen(99, 1, 0), traffic())["action"] == "hold"


def test_more_than_the_nearest_may_take_goes_on_to_the_next() -> None:
    record = decided(seen(60, 40, 0), traffic(demand=150.0))
    assert record["weights"] == seen(60, 40, 0)  # 90 of 150 requests/s fit the nearest


def test_demand_beyond_all_capacity_is_told() -> None:
    assert "beyond-capacity" in codes(decided(seen(34, 33, 33), traffic(demand=400.0)))


def test_a_route_with_a_backend_that_nobody_named_is_refused() -> None:
    record = decided(seen(50, 50, 0) | {"other": 1}, traffic())
    assert record["action"] == "refuse"
    assert "backends-differ" in codes(record)


def test_a_route_that_was_not_read_is_left_alone() -> None:
    record = decided({}, traffic((False, True, True)), (False, True, True))
    assert (record["action"], record["weights"]) == ("hold", {})


@pytest.mark.parametrize(
    ("now", "alive", "why"),
    [({}, (True,) * 3, "cannot be read"), (seen(1, 1, 1), (True,) * 3, "changed since"),
     (seen(0, 0, 100), (False, True, True), "a would get requests and is down")],
)  # fmt: skip
def test_what_was_proposed_and_fits_no_more_is_told(now: dict, alive: tuple[bool, ...], why: str) -> None:
    record = decided(seen(0, 0, 100), traffic())
    assert why in no_longer_fits([route(now, alive)], {record["unique_id"]: record})[record["unique_id"]]
    assert no_longer_fits([route(seen(0, 0, 100))], {record["unique_id"]: record}) == {}


@pytest.mark.parametrize(("processing_ms", "told"), [(10.0, True), (32.0, False)])
def test_response_times_are_those_of_the_weights_that_are_written(processing_ms: float, told: bool) -> None:
    servers = np.array([[1.0, 1.0, 1.0]])
    world = replace(traffic(demand=30.0), processing_ms=np.array([processing_ms]), servers=servers)
    record = decided(seen(100, 0, 0), world)
    assert ("saturated" in codes(record)) is not told
    responses = record["responses"]
    assert [each["site"] for each in responses] == (["a"] if told else [])
    if told:
        assert responses[0]["p95_ms"] == pytest.approx(
            -np.log(0.05) / 0.07, rel=1e-3
        )  # M/M/1: exponential, mu - lambda


def test_the_kept_model_gives_the_weights_that_scipy_gives() -> None:
    pytest.importorskip("highspy", reason="the highspy extra is not installed")
    world, asked = traffic(demand=150.0), [0]
    kept = WarmSimplex()

    def counted(part: Part, columns: np.ndarray) -> Solution:
        asked[0] += 1
        return kept(part, columns)

    (record,) = decide_routes(world, [route(seen(100, 0, 0))], optimum=counted)
    assert asked[0] > 0
    assert record == decided(seen(100, 0, 0), world)
