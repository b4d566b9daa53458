"""Decisions for the actuator tests: made by hand, for pools as they are found by looking."""

from __future__ import annotations

from typing import Any

from blocks.fleet import Fleet
from blocks.series import utc
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, Verdict
from tasks.acting import Result
from tasks.forecasting.observe import source_time_s
from tasks.pools.observe import PoolReading, read_pools
from tasks.run import Run
from tasks.scaling.act import act_on
from tasks.scaling.decide import Actuators
from tasks.scaling.find import find_actuators

BURST, JOBS = "eu-eks/burst", "asia-aks/jobs"  # Karpenter's, and a cluster-autoscaler's


def run_of(fleet: Fleet, name: str = "one", fleet_name: str = "default") -> Run:
    store = Store.open()
    return Run(name, "cluster-scaling", fleet_name, fleet, store, Journal(store), Mode.ACT)


def look(run: Run, subject: str) -> tuple[PoolReading, Actuators]:
    """The pool and its actuator as a pass would find them."""
    cluster = next(each for each in run.fleet.clusters if each.name == subject.split("/", maxsplit=1)[0])
    alone = run.fleet.model_copy(update={"clusters": [cluster]})
    readings = [reading for reading in read_pools(alone)[0] if reading.subject == subject]
    found, lines = find_actuators(run.fleet, run.journal.holds(run.fleet_name), readings)
    assert lines == []
    return readings[0], found


def decide(run: Run, subject: str, target: int, reasons: list[dict[str, Any]] | None = None) -> Decision:
    """A stored decision to set a pool's actuator to so many nodes."""
    _, found = look(run, subject)
    current = int(found.setting_nodes[0])
    action = "up" if target > current else "down"
    content = {"current": current, "target": target, "action": action, "want": target, "actuator": found.kind[0].value,
               "actuator_why": found.why[0].value, "seen": found.seen[0], "reasons": reasons or []}  # fmt: skip
    decision = Decision(
        flow_run_id=run.id, flow=run.flow, subject=subject, action=action, mode=Mode.ACT, state=Verdict.APPROVED,
        as_of=utc(source_time_s(run.fleet)), content=content,
    )  # fmt: skip
    run.store.record_decisions([decision])
    return decision


def carry_out(run: Run, *decisions: Decision) -> list[Result]:
    return act_on.fn(run, decisions, disruption_ratio=0.5, fleet_nodes=100)
