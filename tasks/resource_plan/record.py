"""Keep a plan as a file beside the series, read the newest back, and tell it."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from math import isnan
from typing import Any
from urllib.parse import quote

from blocks.errors import NotFound
from blocks.store.series import SeriesStore
from tasks.publish import publish
from tasks.resource_plan.decide import PlanPolicy, ResourcePlan
from tasks.resource_plan.observe import PlanView
from tasks.resource_plan.report import sections
from tasks.run import Run

KEPT = 30  # plans of one fleet


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
        "trouble": list(view.trouble),
    }


def publish_plan(run: Run, view: PlanView, plan: ResourcePlan, policy: PlanPolicy) -> dict[str, Any]:
    """Keep the plan, save the report's sections and artifacts; the document for whoever called the flow."""
    document = document_of(run, view, plan, policy)
    keep(SeriesStore.open(), document)
    publish(run, sections(document))
    return document


def keep(files: SeriesStore, document: dict[str, Any]) -> None:
    """Write the plan whole or not at all; of one fleet the newest `KEPT` stay."""
    folder = _folder(document["fleet"])
    name = document["as_of"][:19].replace(":", "")
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    files.write_bytes(f"{folder}/{name}.json.gz", gzip.compress(text.encode(), mtime=0))
    for old in files.names(folder)[:-KEPT]:
        files.remove(f"{folder}/{old}")


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
    document: dict[str, Any] = json.loads(gzip.decompress(files.read_bytes(f"{_folder(fleet_name)}/{names[-1]}")))
    return document


def _folder(fleet_name: str) -> str:
    return f"plans/fleet={quote(fleet_name, safe='')}"
