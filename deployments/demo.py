"""The demo: real flows, in `act` mode, against the simulated fleet at high speed; and the evidence of what they did."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from blocks.errors import ContinuumError, NotFound
from blocks.fleet import Fleet, pool_id
from blocks.fleet_file import load_fleet
from blocks.prometheus import PrometheusSource
from blocks.store import Store
from blocks.store.tables import Section
from deployments.place import own_place
from deployments.prefect_server import prefect_server
from deployments.simulation import Simulation, ready, starting_simulation

START = "2026-03-10T09:20:00+00:00"  # a Tuesday: noon nears in Europe, America wakes up, Asia goes home
SPEED = 60.0
SEED = 7
PASSES = (4, 8)  # fewest and most passes; it ends between them when all that it promises has been seen
PASS_S = 600
LOOK_AHEAD_S = 4500  # after the last pass: long enough for the demand that was scaled for to arrive
FULL_RATIO = 0.90  # demand above this share of the nodes is a violation, as in the policies

Progress = Callable[[str], None]


@dataclass
class Outcome:
    """What a demo did and saw."""

    simulated: bool = True
    fleet: str = ""
    speed: float = SPEED
    flows: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    left_over: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    ahead_of_demand: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    report: str = ""
    home: str = ""

    def scaled(self, action: str) -> list[dict[str, Any]]:
        """Decisions with that action that were carried out."""
        return [
            row for row in self.decisions if row["action"] == action and (row["result"] or {}).get("state") == "done"
        ]

    def refused(self) -> list[dict[str, Any]]:
        """Decisions that a guard rail stopped."""
        return [row for row in self.decisions if row["action"] == "refuse"]

    def complete(self) -> bool:
        """Whether a scale-up, a scale-down and a refusal have all been seen."""
        return bool(self.scaled("up") and self.scaled("down") and self.refused())


def run_demo(*, resume: bool, speed: float, seed: int, progress: Progress) -> Outcome:
    """Run the whole demo once in `CONTINUUM_HOME/demo`.

    Parameters
    ----------
    resume: go on with the simulated fleet and the store of a demo that was interrupted or killed.
    speed: simulated seconds per second.

    Raises
    ------
    NotFound: nothing to resume. ContinuumError: a server or the simulated fleet did not start.
    """
    with own_place("demo") as home, contextlib.ExitStack() as stack:
        _prepare(home, resume)
        progress("starting the simulated fleet and a Prefect server")
        child = stack.enter_context(
            starting_simulation(home / "local", speed=1.0, seed=seed, start=None if resume else START)
        )
        server = stack.enter_context(prefect_server(home / "prefect"))
        os.environ.update(server.env)
        simulation = ready(child)
        fleet = load_fleet(simulation.fleet_file)
        outcome = Outcome(fleet=fleet.name, speed=speed, home=str(home))
        simulation.set_speed(speed)
        _passes(fleet, simulation, outcome, progress)
        progress("letting the forecast demand arrive")
        simulation.advance(LOOK_AHEAD_S)
        simulation.set_speed(1.0)
        _look(fleet, simulation, outcome)
        progress("writing the report")
        outcome.report = str(_write_report(fleet, outcome))
        return outcome


def _prepare(home: Path, resume: bool) -> None:
    """A fresh place (the Prefect server's database stays: it takes long to make), or the one that was left."""
    if resume:
        if not (home / "local" / "snapshot.json").exists():
            raise NotFound("there is no demo to resume", where=str(home), fix="run `continuum demo` without --resume")
        return
    for name in ("local", "series", "patches"):
        shutil.rmtree(home / name, ignore_errors=True)
    for file in home.glob("store.db*"):
        file.unlink()


def _passes(fleet: Fleet, simulation: Simulation, outcome: Outcome, progress: Progress) -> None:
    """Forecast and scale, again and again, as the schedules would; every flow failure is a problem, not the end."""
    from blocks.inventory import save_fleet
    from flows.cluster_scaling import ScalingRequest, cluster_scaling
    from flows.demand_forecasting import ForecastRequest, demand_forecasting

    save_fleet(fleet, "default")
    forecast, scale = ForecastRequest(), ScalingRequest(mode="act")
    for number in range(PASSES[1]):
        before = datetime.fromisoformat(simulation.status()["time"])
        progress(f"pass {number + 1}: forecasting at {before:%H:%M} UTC, simulated time")
        _run("demand-forecasting", lambda: demand_forecasting(forecast), outcome)
        progress(f"pass {number + 1}: scaling")
        told = _run("cluster-scaling", lambda: cluster_scaling(scale), outcome)
        outcome.decisions += told.get("decisions", [])
        outcome.left_over += told.get("left_over", [])
        if number + 1 >= PASSES[0] and outcome.complete():
            break
        now = datetime.fromisoformat(simulation.status()["time"])
        if (wait_s := PASS_S - (now - before).total_seconds()) > 0:
            simulation.advance(wait_s)


def _run(name: str, flow: Callable[[], Any], outcome: Outcome) -> dict[str, Any]:
    row = {"flow": name, "state": "Completed", "flow_run_id": "", "as_of": ""}
    outcome.flows.append(row)
    try:
        told: dict[str, Any] = flow()
    except ContinuumError as error:
        row["state"] = "Failed"
        outcome.problems.append(f"{name} failed: {error}")
        return {}
    row |= {"flow_run_id": told["flow_run_id"], "as_of": told["as_of"]}
    outcome.problems += [f"{name}: {line}" for line in told["trouble"]]
    return told


def _look(fleet: Fleet, simulation: Simulation, outcome: Outcome) -> None:
    """Hold what was promised against the simulated clouds' own log, their nodes, and the demand that came."""
    outcome.operations = simulation.operations()
    _check_sizes(fleet, outcome)
    _check_refusals(outcome)
    for decision in outcome.scaled("up"):
        finished = _finished(outcome.operations, decision)
        crossed = _demand_passed(fleet, decision, LOOK_AHEAD_S + 3600)
        if finished and crossed and finished < crossed:
            outcome.ahead_of_demand.append(
                {"pool": decision["unique_id"], "from_nodes": decision["current"], "to_nodes": decision["target"],
                 "decided": decision["as_of"], "nodes_ready": finished.isoformat(),
                 "demand_arrived": crossed.isoformat(),
                 "lead_minutes": round((crossed - finished).total_seconds() / 60, 1)}
            )  # fmt: skip


def _check_sizes(fleet: Fleet, outcome: Outcome) -> None:
    """Every promised change must be visible in the cluster: the last size that was done is the size there is."""
    from tasks.pools.observe import read_pools

    promised = {
        row["unique_id"]: row["target"] for row in outcome.decisions if (row["result"] or {}).get("state") == "done"
    }
    readings, trouble = read_pools(fleet)
    outcome.problems += trouble
    for reading in readings:
        wanted = promised.get(reading.subject)
        if wanted is not None and (reading.state is None or (reading.state.desired, reading.ready) != (wanted, wanted)):
            there = f"{reading.state.desired} asked for, {reading.ready} Ready" if reading.state else "no answer"
            outcome.problems.append(f"pool {reading.subject}: {wanted} nodes were promised; the cluster shows {there}")


def _check_refusals(outcome: Outcome) -> None:
    """A pool that was refused a change must have no operation in the clouds' log until its next decision."""
    for number, decision in enumerate(outcome.decisions):
        if decision["action"] != "refuse":
            continue
        later = [row["as_of"] for row in outcome.decisions[number + 1 :] if row["unique_id"] == decision["unique_id"]]
        decided, until = decision["as_of"], later[0] if later else "9999"
        for entry in outcome.operations:
            of_it = pool_id(entry["cluster"], entry["pool"]) == decision["unique_id"]
            if of_it and decided <= entry["time"] < until:
                outcome.problems.append(f"pool {decision['unique_id']}: refused, yet the cloud logs {entry['kind']}")


def _finished(operations: Sequence[dict[str, Any]], decision: dict[str, Any]) -> datetime | None:
    """When the clouds' log says that the decision's change was done; None where it is not in there."""
    decided = datetime.fromisoformat(decision["as_of"])
    ends = [
        datetime.fromisoformat(entry["settled"])  # when its nodes were Ready, not when the cloud called it done
        for entry in operations
        if pool_id(entry["cluster"], entry["pool"]) == decision["unique_id"]
        and entry["state"] == "done" and entry["settled"] and entry["to"] == decision["target"]
        and datetime.fromisoformat(entry["time"]) >= decided
    ]  # fmt: skip
    return min(ends, default=None)


def _demand_passed(fleet: Fleet, decision: dict[str, Any], within_s: float) -> datetime | None:
    """When demand first went above what the nodes before the change could hold; None if it never did."""
    from tasks.forecasting.observe import KINDS

    decided = datetime.fromisoformat(decision["as_of"])
    cluster, pool = next((c, p) for c, p in fleet.pools() if pool_id(c.name, p.name) == decision["unique_id"])
    source = PrometheusSource.from_metrics(fleet.metrics)
    limits = dict(zip(KINDS, (pool.node_cpu, float(pool.node_memory)), strict=True))
    first: list[float] = []
    for kind, one_node in limits.items():
        query = f'{getattr(fleet.metrics, kind)}{{cluster="{cluster.name}",node_pool="{pool.name}"}}'
        demand = source.matrix(
            query, decided.timestamp(), decided.timestamp() + within_s, 60, label="{cluster}/{node_pool}"
        )
        above = demand.values > FULL_RATIO * decision["current"] * one_node
        first += [float(demand.times()[np.argmax(row)]) for row in above if row.any()]
    return decided + timedelta(seconds=min(first) - decided.timestamp()) if first else None


def _write_report(fleet: Fleet, outcome: Outcome) -> Path:
    """Keep the evidence as a section of its own, then render everything that is stored."""
    from deployments.command.report import write_report

    store = Store.open()
    content = evidence_section(outcome)
    store.save_sections(
        [Section(flow_run_id="demo", flow="demo", subject=fleet.name, title=content["title"], content=content)]
    )
    return write_report(store, Path.cwd() / "report.html", title="Continuum demo", simulated=True)


def evidence_section(outcome: Outcome) -> dict[str, Any]:
    """The section that shows each change beside the clouds' own log and the demand that came."""
    lead = [
        f"{row['pool']}: {row['from_nodes']} to {row['to_nodes']} nodes were Ready at {row['nodes_ready'][11:16]} UTC, "
        f"{row['lead_minutes']} min before demand outgrew the old size at {row['demand_arrived'][11:16]} UTC."
        for row in outcome.ahead_of_demand
    ]
    columns = ["time", "cluster", "pool", "operation", "from", "to", "state", "finished"]
    rows = [
        [entry["time"][:16], entry["cluster"], entry["pool"], entry["kind"], entry["from"], entry["to"], entry["state"],
         (entry["finished"] or "")[:16]]
        for entry in outcome.operations
    ]  # fmt: skip
    return {
        "title": "What came of it: the simulated clouds' own log",
        "paragraphs": lead or ["No scale-up had to be ready before its demand."],
        "table": {"columns": columns, "rows": rows},
        "plots": [],
    }


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as one JSON document."""
    return asdict(outcome) | {"complete": outcome.complete(), "ok": not outcome.problems}
