"""What a demo has shown: each change beside the simulated clouds' own log, their nodes, and the demand that came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from blocks.fleet import Fleet, pool_id
from blocks.prometheus import PrometheusSource
from blocks.series import Series, utc
from blocks.store import Journal, Store
from tasks.sections import section

FULL_RATIO = 0.90  # demand above this share of the nodes is a violation, as in the policies

ACTUATORS = {"desired", "floor", "headroom"}  # what a demo must have changed pools by
STEERING = {"floor", "headroom", "workload"}  # they move what an autoscaler goes by, not the size

GUARD_RAILS = {"at-max", "cooldown", "stale-data", "missing-data"}


@dataclass
class Outcome:
    """What a demo did and saw."""

    simulated: bool = True
    fleet: str = ""
    speed: float = 1.0
    flows: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    left_over: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    ahead_of_demand: list[dict[str, Any]] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    energy: dict[str, Any] = field(default_factory=dict)
    cleaner: dict[str, Any] = field(default_factory=dict)
    moved: list[dict[str, Any]] = field(default_factory=list)
    caches: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
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

    def foreseen(self) -> list[dict[str, Any]]:
        """Scale-ups of pools that still held their demand, for a forecast peak that they would not have held."""
        return [row for row in self.scaled("up") if row["actuator"] not in STEERING and _outgrown_later(row)]

    def actuated(self) -> set[str]:
        """The actuators by which something was changed."""
        return {row["actuator"] for action in ("up", "down") for row in self.scaled(action)}

    def complete(self) -> bool:
        """Whether a scale-up ahead of demand, a scale-down, a refusal by bounds, cooldown or bad data were seen, and a
        change by each of the actuators.
        """
        reasons = {reason["code"] for row in self.refused() for reason in row["reasons"]}
        seen = self.foreseen() and self.scaled("down") and reasons & GUARD_RAILS
        return bool(seen) and self.actuated() >= ACTUATORS


def look(fleet: Fleet, operations: list[dict[str, Any]], outcome: Outcome) -> None:
    """Hold what was promised against the simulated clouds' own log, their nodes, and the demand that came."""
    outcome.operations = operations
    _check_sizes(fleet, outcome)
    _check_refusals(outcome)
    acted = [row["result"] for row in outcome.decisions if row["result"] and row["result"]["state"] != "done"]
    left = [result for result in outcome.left_over if result["state"] not in ("done", "undone")]
    for result in (*acted, *left):
        outcome.problems.append(f"pool {result['subject']}: {result['state']}: {result['detail']}")
    for decision in (row for row in outcome.scaled("up") if row["actuator"] not in STEERING):
        finished = _finished(outcome.operations, decision)
        crossed = _demand_passed(fleet, decision)
        if finished and crossed and finished < crossed:
            outcome.ahead_of_demand.append(
                {"pool": decision["unique_id"], "foreseen": decision in outcome.foreseen(),
                 "from_nodes": decision["current"], "to_nodes": decision["target"],
                 "decided": decision["as_of"], "nodes_ready": finished.isoformat(),
                 "demand_arrived": crossed.isoformat(),
                 "lead_minutes": round((crossed - finished).total_seconds() / 60, 1)}
            )  # fmt: skip


def _outgrown_later(decision: dict[str, Any]) -> bool:
    """Whether use fitted into `FULL_RATIO` of the old size, and the forecast peak did not."""
    full = {
        reason["code"]: (reason["numbers"]["need_nodes"] or 0.0) * reason["numbers"]["target_ratio"]
        for reason in decision["reasons"]
        if reason["code"] in ("reactive-need", "forecast-peak")
    }
    holds = FULL_RATIO * decision["current"]
    return bool(full.get("reactive-need", holds + 1) <= holds < full.get("forecast-peak", 0.0))


def _check_sizes(fleet: Fleet, outcome: Outcome) -> None:
    """Every promised change must be visible in the cluster: the last size that was done is the size there is."""
    from tasks.pools.observe import read_pools

    done = [row for row in outcome.decisions if (row["result"] or {}).get("state") == "done"]
    promised = {row["unique_id"]: row["target"] for row in done if row["actuator"] not in STEERING}
    readings, trouble = read_pools(fleet)
    outcome.problems += trouble
    _check_settings(fleet, done, outcome)
    for reading in readings:
        wanted = promised.get(reading.subject)
        if wanted is not None and (reading.state is None or (reading.state.desired, reading.ready) != (wanted, wanted)):
            there = f"{reading.state.desired} asked for, {reading.ready} Ready" if reading.state else "no answer"
            outcome.problems.append(f"pool {reading.subject}: {wanted} nodes were promised; the cluster shows {there}")


def _check_settings(fleet: Fleet, done: Sequence[dict[str, Any]], outcome: Outcome) -> None:
    """Every floor and every headroom must be there as the store says that it is held up, and have been decided."""
    from tasks.scaling.actuators import open_actuator
    from tasks.scaling.actuators.pool import told

    steered = {row["unique_id"] for row in done if row["actuator"] in STEERING}
    for hold in Journal(Store.open()).holds("default"):
        there = open_actuator(fleet, hold.subject, hold.kind).look().value
        outcome.held.append({"pool": hold.subject, "kind": hold.kind, "setting": told(there), "before": told(hold.base),
                             "until": hold.until.isoformat()})  # fmt: skip
        if there != hold.value:
            outcome.problems.append(f"pool {hold.subject}: {told(hold.value)} is held up; there is {told(there)}")
        if hold.subject not in steered:
            outcome.problems.append(f"pool {hold.subject}: {told(hold.value)} is held up, and was never decided")


def _check_refusals(outcome: Outcome) -> None:
    """A pool that was refused a change must have no operation in the clouds' log until its next decision.

    But for bounds that had expired: a pass takes them back before it decides, and journals that without a decision.
    """
    taken_back = Counter(intent.subject for intent in Journal(Store.open()).intents() if intent.decision_id is None)
    for number, decision in enumerate(outcome.decisions):
        if decision["action"] != "refuse":
            continue
        later = [row["as_of"] for row in outcome.decisions[number + 1 :] if row["unique_id"] == decision["unique_id"]]
        decided, until = decision["as_of"], later[0] if later else "9999"
        for entry in outcome.operations:
            of_it = pool_id(entry["cluster"], entry["pool"]) == decision["unique_id"]
            if not (of_it and decided <= entry["time"] < until) or entry["kind"] == "autoscaler":
                continue
            if entry["kind"] == "set_bounds" and taken_back[decision["unique_id"]]:
                taken_back[decision["unique_id"]] -= 1
            else:
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


def _demand_passed(fleet: Fleet, decision: dict[str, Any]) -> datetime | None:
    """When demand first went above what the nodes before the change could hold; None if it has not yet."""
    decided = datetime.fromisoformat(decision["as_of"])
    cluster, pool = next((c, p) for c, p in fleet.pools() if pool_id(c.name, p.name) == decision["unique_id"])
    first: list[float] = []
    for kind, one_node in (("cpu_cores", pool.node_cpu), ("memory_bytes", float(pool.node_memory))):
        demand = _demand(fleet, kind, cluster.name, pool.name, decided.timestamp())
        above = demand.values > FULL_RATIO * decision["current"] * one_node
        first += [float(demand.times()[np.argmax(row)]) for row in above if row.any()]
    return utc(min(first)) if first else None


def log_section(outcome: Outcome) -> dict[str, Any]:
    """The section that shows each change beside the clouds' own log and the demand that came."""
    lead = [
        f"{row['pool']}: {row['from_nodes']} to {row['to_nodes']} nodes were Ready at {row['nodes_ready'][11:16]} UTC, "
        f"{row['lead_minutes']} min before demand outgrew the old size at {row['demand_arrived'][11:16]} UTC."
        for row in outcome.ahead_of_demand
    ]
    rows = [
        [entry["cluster"], entry["pool"], entry["from"], entry["to"], entry["state"],
         *((entry[when] or "")[11:19] for when in ("time", "finished", "settled"))]
        for entry in outcome.operations
    ]  # fmt: skip
    lead += [
        f"{row['pool']}: {row['setting']} is held up (before: {row['before']}), until {row['until'][11:16]} UTC unless "
        f"a later pass renews it."
        for row in outcome.held
    ]
    return section(
        "What came of it: the simulated clouds' own log", lead or ["No scale-up had to be ready before its demand."],
        ["cluster", "pool", "from", "to", "state", "asked (UTC)", "done (UTC)", "nodes settled (UTC)"], rows,
        simulated=True,
    )  # fmt: skip


def pictures(fleet: Fleet, store: Store, outcome: Outcome) -> list[dict[str, Any]]:
    """For each cloud pool that was scaled: the forecast it was scaled by, the demand that came, and its capacity."""
    from blocks.store.forecasts import load_forecast
    from tasks.forecasting.act import forecast_name
    from tasks.forecasting.report import demand_plot

    logged = {pool_id(entry["cluster"], entry["pool"]) for entry in outcome.operations if entry["settled"]}
    ups = [row["unique_id"] for row in outcome.scaled("up")]
    first = datetime.fromisoformat(outcome.decisions[0]["as_of"]) if outcome.decisions else None
    plots = []
    for cluster, pool in fleet.pools():
        name = pool_id(cluster.name, pool.name)
        if name not in logged or first is None:
            continue
        decided = [row["as_of"] for row in outcome.scaled("up") + outcome.scaled("down") if row["unique_id"] == name]
        made = load_forecast(
            store, forecast_name("default"), not_after=datetime.fromisoformat(max(decided, default=first.isoformat()))
        )
        if made is None:
            continue
        begin_s = first.timestamp() - 3 * 3600
        seen = _demand(fleet, "cpu_cores", cluster.name, pool.name, begin_s)
        one_node = FULL_RATIO * pool.node_cpu
        steps, marks = [(begin_s, _first_size(outcome, name))], []
        for entry in outcome.operations:
            if pool_id(entry["cluster"], entry["pool"]) == name and entry["settled"]:
                steps.append((datetime.fromisoformat(entry["settled"]).timestamp(), entry["to"]))
                marks.append({"t": steps[-1][0], "label": f"{entry['from']} to {entry['to']} nodes"})
        steps.append((seen.end_s, steps[-1][1]))
        row = made.unique_id.index(f"{name}/cpu_cores")
        plot = demand_plot(made, seen, {}, row, title=f"{name}: forecast, what came, and capacity")
        plot["steps"] = [{"label": "capacity", "t": [t for t, _ in steps], "y": [size * one_node for _, size in steps]}]
        plot["marks"] = marks
        plots.append((name not in ups, plot))
    return [plot for _, plot in sorted(plots, key=lambda item: item[0])]


def _first_size(outcome: Outcome, name: str) -> int:
    first = next(row for row in outcome.decisions if row["unique_id"] == name)
    return int(first["ready"] if first["actuator"] in STEERING else first["current"])


def _demand(fleet: Fleet, kind: str, cluster: str, pool: str, begin_s: float) -> Series:
    """A pool's demand from `begin_s` to the source's now, minute by minute."""
    source = PrometheusSource.from_metrics(fleet.metrics)
    query = f'{getattr(fleet.metrics, kind)}{{cluster="{cluster}",node_pool="{pool}"}}'
    return source.matrix(query, begin_s, source.now().timestamp(), 60, label="{cluster}/{node_pool}")
