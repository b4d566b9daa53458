"""The solver that goes on where it stopped finds what scipy finds, pass after pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from blocks.errors import NotConfigured
from tasks.placement.decide.traffic import Traffic, decide_traffic
from tasks.placement.warm_traffic import WarmSimplex


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
    alive = np.ones(first.capacity.shape, dtype=bool)
    alive[:, 3] = False
    no_demand = first.demand.copy()
    no_demand[2, 1] = 0
    far = np.where(first.latency_ms > 80, np.nan, first.latency_ms)
    changes = ({}, {"demand": first.demand[::-1].copy()}, {"alive": alive}, {"demand": no_demand},
               {"latency_ms": far}, {"demand": 3 * first.demand}, {})  # fmt: skip
    for change in changes:
        traffic = Traffic(**{**first.__dict__, **change})
        ours, plain = decide_traffic(traffic, known=known, optimum=warm), decide_traffic(traffic)
        known = ours.prices
        assert ours.proven
        assert ours.unserved.sum() == pytest.approx(plain.unserved.sum(), abs=1e-4)
        assert ours.planned_latency_ms == pytest.approx(plain.planned_latency_ms, rel=1e-5)
