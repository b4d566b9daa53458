"""The demo: real flows, in `act` mode, against the simulated fleet at high speed; and the evidence of what they did."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks.errors import NotFound
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.store import Store
from blocks.store.tables import Section
from deployments import evidence
from deployments.demo_caches import caches_section, warm_caches
from deployments.demo_models import models_section, train_and_roll_out
from deployments.evidence import Outcome
from deployments.first_training import has_models, train_first
from deployments.own_home import own_home
from deployments.prefect_server import prefect_server
from deployments.simulation import Simulation, ready, starting_simulation

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

START = "2026-03-12T07:00:00+00:00"  # a Thursday: the morning wave rises in Europe, Asia goes home
PASSES = (4, 10)  # fewest and most passes; it ends between them when all that it promises has been seen
PASS_S = 600
MOVED = "checkout"  # the workload that the demo moves
HOME_PASSES, HOME_PASS_S = 4, 2400  # until it goes home; one unseen for an hour is not known to be well
HOME_SPEED = 5.0
LOOK_AHEAD_S = 2400  # after the last pass: long enough for the demand that was scaled for to arrive

# The demo tells of failures itself, in one line each; Prefect's log would tell them again, as tracebacks.
SILENT = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false"}

Progress = Callable[[str], None]


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
    with own_home("demo") as home, contextlib.ExitStack() as stack:
        _prepare(home, resume)
        progress("starting the simulated fleet and a Prefect server")
        child = stack.enter_context(
            starting_simulation(home / "local", speed=1.0, seed=seed, start=None if resume else START)
        )
        server = stack.enter_context(prefect_server(home / "prefect"))
        os.environ |= SILENT
        server.become_client()
        simulation = ready(child)
        fleet = load_fleet(simulation.fleet_file)
        outcome = Outcome(fleet=fleet.name, speed=speed, home=str(home))
        simulation.set_speed(speed)
        _passes(fleet, simulation, outcome, progress)
        simulation.set_speed(1.0)
        progress("letting the forecast demand arrive")
        simulation.advance(LOOK_AHEAD_S)
        evidence.look(fleet, simulation.operations(), outcome)
        progress("moving a workload off a cluster where its pods fail, and back")
        _move(fleet, simulation, outcome)
        progress("accounting the energy, and moving a flexible run to a cleaner hour")
        _energy(outcome)
        progress("warming the edge caches")
        warm_caches(simulation, outcome, lambda flow: _run("cache-prepopulation", flow, outcome))
        progress("training a model on edges, rolling it out, and asking it")
        train_and_roll_out(outcome, lambda name, flow: _run(name, flow, outcome))
        if not (outcome.complete() or resume):
            outcome.problems.append(f"after {PASSES[1]} passes not all that a demo shows was seen; look at the report")
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
    if not has_models():
        progress("training the forecast engine on 30 days of demand")
        _run("forecast-training", train_first, outcome)
    for number in range(PASSES[1]):
        before = datetime.fromisoformat(simulation.status()["time"])
        progress(f"pass {number + 1}: forecasting at {before:%H:%M} UTC, simulated time")
        _run("demand-forecasting", lambda: demand_forecasting(forecast, return_state=True), outcome)
        progress(f"pass {number + 1}: scaling")
        told = _run("cluster-scaling", lambda: cluster_scaling(scale, return_state=True), outcome)
        outcome.decisions += told.get("decisions", [])
        outcome.left_over += told.get("left_over", [])
        if number + 1 >= PASSES[0] and outcome.complete():
            break
        now = datetime.fromisoformat(simulation.status()["time"])
        if (wait_s := PASS_S - (now - before).total_seconds()) > 0:
            simulation.advance(wait_s)


def _move(fleet: Fleet, simulation: Simulation, outcome: Outcome) -> None:
    """Let a workload's pods fail where it runs: two passes later it runs elsewhere, and goes home when that is well.

    The first pass waits: pods that fail once may be a roll-out. Home has to have been well for half an hour, and the
    last move to be two hours ago. Time passes between these looks, hardly in them: they may take a slow machine long.
    Pools that nobody scales meanwhile may be full by then: home is not well, the workload rightly stays, and `undo` is
    what brings it back.
    """
    from blocks.kubernetes import KubernetesApi
    from blocks.store import Journal
    from deployments.command.journal import appliers, undo_decision
    from flows.workload_migration import MigrationRequest, workload_migration

    source, target = "us-gke", "eu-eks"
    clusters = {each.name: KubernetesApi.connect(each) for each in fleet.clusters if each.name in (source, target)}
    labels = {"app": MOVED}
    container = {"name": MOVED, "image": "registry.example/checkout:1", "resources": {"requests": {"cpu": "100m"}}}
    clusters[source].create("deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": MOVED, "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    }, "default")  # fmt: skip
    fault = {"kind": "pod-never-ready", "cluster": source, "namespace": "default", "name": f"{MOVED}-*"}
    simulation.add_fault(fault)
    simulation.advance(120)
    request = MigrationRequest.model_validate({
        "mode": "act", "workloads": [{"name": MOVED, "allowed": [source, target], "home": source}], "soak_s": 1,
        "check_s": 0, "failback_min": 30,
    })  # fmt: skip

    made: list[str] = []

    def one_pass(speed: float) -> bool:
        simulation.set_speed(speed)
        told = _run("workload-migration", lambda: workload_migration(request, return_state=True), outcome)
        simulation.set_speed(1.0)
        done = [row for row in told.get("decisions", []) if (row["result"] or {}).get("state") == "done"]
        outcome.moved += [{"words": row["words"], "detail": row["result"]["detail"]} for row in done]
        made.extend(row["id"] for row in done)
        return bool(done)

    for _ in range(2):
        one_pass(outcome.speed)
    simulation.lift_fault()
    for _ in range(HOME_PASSES):
        if len(outcome.moved) != 1 or one_pass(min(outcome.speed, HOME_SPEED)):
            break
        simulation.advance(HOME_PASS_S)
    if len(made) == 1:
        store = Store.open()
        simulation.set_speed(outcome.speed)
        (undone,) = undo_decision(store, Journal(store), made[0], appliers(), force=False)
        simulation.set_speed(1.0)
        words = f"{MOVED} is taken back to {source}, which is not well at this hour: it would not have gone by itself"
        outcome.moved.append({"words": words, "detail": undone.detail})
    if len(outcome.moved) != 2:
        outcome.problems.append(f"workload {MOVED} did not move and come back; look at the journal")


def _energy(outcome: Outcome) -> None:
    """Account the last hour, and let a run that may wait start in a cleaner one: it stands in the UI as scheduled late.

    The grid is that of California's typical day, whose nights are far from as clean as its days.
    """
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import Scheduled

    from flows.carbon_scheduling import CarbonRequest, carbon_scheduling
    from flows.energy_report import energy_report

    told = _run("energy-report", lambda: energy_report(return_state=True), outcome)
    outcome.energy = {name: told[name] for name in ("summary", "totals", "by_cluster", "files") if name in told}
    night = (datetime.now(UTC) + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    tags = ["continuum.flexible", "takes:1h", "flexible:24h", "zone:US-CAL-CISO", "kw:1"]
    with get_client(sync_client=True) as client:
        backup = flow(name="backup")(lambda: None)
        asleep: State[None] = Scheduled(scheduled_time=night)
        run = client.create_flow_run(backup, name="nightly-backup", tags=tags, state=asleep)
    told = _run("carbon-scheduling", lambda: carbon_scheduling(CarbonRequest(mode="act"), return_state=True), outcome)
    for row in told.get("decisions", []):
        if row["unique_id"] == f"prefect/{run.id}" and (row["result"] or {}).get("state") == "done":
            outcome.cleaner = {"run": run.name, "words": row["words"]}
    if not (outcome.energy and outcome.cleaner):
        outcome.problems.append("no energy report, or no flexible run moved; look at the report")


def _run(name: str, flow: Callable[[], State[dict[str, Any]]], outcome: Outcome) -> dict[str, Any]:
    """Run a flow to its end; a failure is a problem that is told, and the demo goes on."""
    state = flow()
    row = {"flow": name, "state": state.name, "flow_run_id": str(state.state_details.flow_run_id), "as_of": ""}
    outcome.flows.append(row)
    if not state.is_completed():
        outcome.problems.append(f"{name} ended as {state.name}: {state.message}")
        return {}
    told = state.result()
    row["as_of"] = told["as_of"]
    outcome.problems += [f"{name}: {line}" for line in told["trouble"]]
    return told


def _write_report(fleet: Fleet, outcome: Outcome) -> Path:
    """Keep the evidence as a section of its own, then render everything that is stored."""
    from deployments.command.report import write_report

    store = Store.open()
    told = [
        evidence.log_section(outcome) | {"plots": evidence.pictures(fleet, store, outcome)},
        caches_section(outcome),
        models_section(outcome),
    ]
    store.save_sections(
        [Section(flow_run_id="demo", flow="a demo", subject=fleet.name, title=content["title"], ordinal=ordinal,
                 content=content) for ordinal, content in enumerate(told)]
    )  # fmt: skip
    return write_report(store, Path.cwd() / "report.html", title="Continuum demo")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as one JSON document."""
    return asdict(outcome) | {"complete": outcome.complete(), "ok": not outcome.problems}
