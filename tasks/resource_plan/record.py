"""Keep a plan as a file beside the series, read the newest back, and tell it."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from math import isnan
from typing import Any
from urllib.parse import quote

from blocks.errors import NotFound
from blocks.store.series import SeriesStore
from tasks.publish import publish
from tasks.resource_plan.decide import RESOURCES, PlanPolicy, PlanPools, ResourcePlan
from tasks.resource_plan.decide.changes import plan_changes
from tasks.resource_plan.observe import PlanView
from tasks.resource_plan.report import sections
from tasks.run import Run

KEPT = 30  # plans of one fleet
YESTERDAY = timedelta(hours=20)  # the plan of before that is held against a new one is at least so old


def document_of(run: Run, view: PlanView, plan: ResourcePlan, policy: PlanPolicy) -> dict[str, Any]:
    """The whole plan as one JSON-able document."""
    return {
        "flow_run_id": run.id,
        "fleet": run.fleet_name,
        "simulated": run.fleet.simulated,
        "as_of": plan.as_of.isoformat(),
        "forecast_as_of": view.forecast.as_of.isoformat() if view.forecast else None,
        "start_s": plan.start_s,
        "step_s": plan.step_s,
        "quantile": None if isnan(plan.quantile) else plan.quantile,
        "policy": asdict(policy),
        "total": plan.total(),
        "timeline": plan.timeline(),
        "pools": list(plan.to_records()),
        "inputs": _inputs_of(view.pools),
        "trouble": list(view.trouble),
    }


def _inputs_of(pools: PlanPools) -> dict[str, dict[str, Any]]:
    """By pool, what a plan rests on beside its forecast; None where it is not known."""
    sizes = pools.node_sizes.tolist()
    return {
        name: {"min_nodes": int(pools.min_nodes[row]), "max_nodes": int(pools.max_nodes[row]),
               "node_sizes": {resource: None if isnan(size) else size
                              for resource, size in zip(RESOURCES, sizes[row], strict=True)}}
        for row, name in enumerate(pools.unique_id)
    }  # fmt: skip


def publish_plan(run: Run, view: PlanView, plan: ResourcePlan, policy: PlanPolicy) -> dict[str, Any]:
    """Keep the plan, save the report's sections and artifacts; the document for whoever called the flow."""
    document, files = document_of(run, view, plan, policy), SeriesStore.open()
    if (before := plan_before(files, run.fleet_name, plan.as_of - YESTERDAY)) is not None:
        document["changed_since"] = before["as_of"]
        document["changes"] = [asdict(each) for each in plan_changes(before, document)]
    keep(files, document)
    publish(run, sections(document))
    return document


def keep(files: SeriesStore, document: dict[str, Any]) -> None:
    """Write the plan whole or not at all; of one fleet the newest `KEPT` stay."""
    folder = _folder(document["fleet"])
    name = _name(document["as_of"])
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    files.write_bytes(f"{folder}/{name}.json.gz", gzip.compress(text.encode(), mtime=0))
    for old in files.names(folder)[:-KEPT]:
        files.remove(f"{folder}/{old}")


def plan_before(files: SeriesStore, fleet_name: str, at: datetime) -> dict[str, Any] | None:
    """The newest plan that was made for a time not after `at`; None where there is none."""
    names = [name for name in files.names(_folder(fleet_name)) if name <= _name(at.isoformat()) + "~"]
    return _load(files, fleet_name, names[-1]) if names else None


def newest_plan(files: SeriesStore, fleet_name: str) -> dict[str, Any]:
    """The plan of a fleet that was made for the latest time.

    Raises
    ------
    NotFound: there is none yet.
    """
    names = files.names(_folder(fleet_name))
    if not names:
        raise NotFound("no plan is kept", where=f"fleet {fleet_name}",
                       fix="run the deployment resource-plan once, or `python -m flows.resource_plan`")  # fmt: skip
    return _load(files, fleet_name, names[-1])


def _load(files: SeriesStore, fleet_name: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(files.read_bytes(f"{_folder(fleet_name)}/{name}")))
    return document


def _name(as_of: str) -> str:
    return as_of[:19].replace(":", "")


def _folder(fleet_name: str) -> str:
    return f"plans/fleet={quote(fleet_name, safe='')}"
