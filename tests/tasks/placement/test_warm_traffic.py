"""The solver that goes on where it stopped finds what scipy finds, pass after pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from blocks.errors import NotConfigured
from tasks.placement.decide.traffic import Traffic, decide_traffic
from tasks.placement.decide.traffic_flow import cheapest_flow, unserved_price
from tasks.placement.warm_traffic import WarmSimplex, best_optimum


def problem(seed: int, *, shared: bool) -> Traffic:
    draw = np.random.default_rng(seed)
    demand = draw.lognormal(2, 1, (6, 3))
    raw = draw.lognormal(0, 0.5, (3, 15)) * (draw.random((3, 15)) < 0.7)
    capacity = raw / raw.sum(axis=1, keepdims=True) * demand.sum(axis=0)[:, None] * 1.3
    names = [tuple(f"{kind}{at}" for at in range(count)) for kind, count in zip("zfs", (6, 3, 15), strict=True)]
    return Traffic(*names, demand, capacity, draw.uniform(2, 90, (6, 15)),
                   site_capacity=capacity.sum(axis=0) * 0.9 if shared else None)  # fmt: skip


def test_without_the_extra_a_person_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(NotConfigured, match="highspy is not installed"):
        WarmSimplex()


def test_nothing_is_written_to_stdout_where_json_may_go(capfd):
    pytest.importorskip("highspy", reason="the highspy extra is not installed")
    decide_traffic(problem(0, shared=False), optimum=WarmSimplex())
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("shared", [False, True])
def test_every_pass_finds_the_optimum_whatever_has_changed(shared):
    pytest.importorskip("highspy", reason="the highspy extra is not installed")
    warm, known = WarmSimplex(), None
    first = problem(0, shared=shared)
    demand, cost, limit = first.demand, first.latency_ms, first.capacity
    room = np.full(15, np.inf) if first.site_capacity is None else first.site_capacity
    dead = np.where(np.arange(15) == 3, 0, limit)
    none_there = np.where(np.arange(18).reshape(6, 3) == 7, 0, demand)
    far = np.where(cost > 80, np.inf, cost)
    passes = [(demand, cost, limit), (demand[::-1], cost, limit), (demand, cost, dead), (none_there, cost, limit),
              (demand, far, limit), (3 * demand, cost, limit), (demand, cost, limit)]  # fmt: skip
    for asked, each, most in passes:
        ours, plain = cheapest_flow(asked, each, most, room, known, warm), cheapest_flow(asked, each, most, room)
        known = ours.prices
        assert ours.proven
        price = unserved_price(15) * np.where((most > 0).any(axis=0) & np.isfinite(each), each, 0).max()
        spent = [(flow.sent.sum(axis=1) * np.where(np.isfinite(each), each, 0)).sum() + price * flow.unserved.sum()
                 for flow in (ours, plain)]  # fmt: skip
        assert spent[0] == pytest.approx(spent[1], rel=1e-6)


def test_it_is_taken_where_it_is_installed_and_never_beside_or_tools(monkeypatch):
    pytest.importorskip("highspy", reason="the highspy extra is not installed")
    assert isinstance(best_optimum(), WarmSimplex)
    monkeypatch.setitem(sys.modules, "ortools", sys)
    assert best_optimum() is None
