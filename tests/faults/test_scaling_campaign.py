"""A seeded campaign: passes in act mode while faults of every kind come and go; both laws hold after each of them."""

from __future__ import annotations

from contextlib import suppress

import pytest

from blocks.errors import ContinuumError
from blocks.fleet import Fleet
from blocks.store.tables import State
from deployments.local.faults.campaign import campaign
from deployments.local.faults.kinds import KINDS
from deployments.simulation import Simulation
from tasks.acting import actuator as base
from tasks.run import Run
from tasks.scaling.pool_access import PoolAccess
from tests.faults.laws import Laws
from tests.faults.scenes import a_pass, forecast_of_now, run_of

SEED, PASSES, EVERY_S, FAULTS = 388, 7, 600.0, 24
# What hangs for two minutes of wall time is left out: how long clients wait is a matter for their own tests.
LEFT_OUT = {"cluster-freeze", "site-freeze", "site-partition"}
# Budgets do not bind what takes machines and pods away by force; the law is held where no such fault has struck.
FORCE = {"node-kill", "node-freeze", "disk-full", "cluster-kill", "site-kill", "pod-never-ready"}


def drawn(fleet: Fleet) -> list[dict[str, object]]:
    kinds = [kind for kind in KINDS if kind not in LEFT_OUT]
    found = campaign(SEED, fleet, FAULTS, PASSES * EVERY_S, kinds)
    return [fault for fault in found if fault.get("effect") != "drop"]


def struck(fleet: Fleet, faults: list[dict[str, object]]) -> set[str]:
    """Clusters in which a fault takes machines or pods away."""
    places = {fault.get(place) for fault in faults if fault["kind"] in FORCE for place in ("site", "cluster")}
    return {cluster.name for cluster in fleet.clusters if {cluster.site, cluster.name} & places}


def test_a_campaign_of_faults_leaves_no_undecided_size_and_loses_no_pod_below_its_budget(
    run: Run, simulation: Simulation, laws: Laws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolAccess, "boot_patience_s", lambda self: 2.0)
    monkeypatch.setattr(PoolAccess, "patience_s", lambda self: 2.0)
    monkeypatch.setattr(base, "POLL_S", (0.1, 0.5))
    faults = drawn(run.fleet)
    assert len({fault["kind"] for fault in faults}) >= 10
    hurt = struck(run.fleet, faults)
    assert len(hurt) <= len(run.fleet.clusters) / 2
    simulation.add_fault({"faults": faults, "seed": SEED})
    changes = 0
    for number in range(PASSES):
        mine = run_of(run.fleet, f"pass {number}", later=True)
        with suppress(ContinuumError):  # a pass may end in one line, and the next one looks again
            forecast_of_now(mine)
            changes += len(a_pass(mine).results)
        laws.check(hurt=hurt)
        simulation.advance(EVERY_S)
    assert changes >= 5

    simulation.lift_fault()
    simulation.advance(1800)
    last = a_pass(run_of(run.fleet, "last", later=True))
    assert [result for result in last.left_over if result.state == State.STARTED] == []
    simulation.advance(1800)
    laws.check(hurt=hurt)
