"""Everything of ours that a Prefect server holds: work pool, deployments with their triggers, automations."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from blocks.errors import Conflict, ContinuumError, Unreachable

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

WORK_POOL = "continuum"
DEPLOY_TIMEOUT_S = 120
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


@dataclass(frozen=True)
class Deployed:
    """What was done: `automations` by name, each created, changed or unchanged; `alerts`: whether people are told."""

    pool: str
    deployments: tuple[str, ...]
    automations: Mapping[str, str]
    alerts: bool


def deployments_folder() -> Path:
    """The folder that holds prefect.yaml: the clone's root, or this package where it was installed from a wheel."""
    here = Path(__file__).resolve().parent
    return here if (here / "prefect.yaml").exists() else here.parent


def declared() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml, as they are written there."""
    text = (deployments_folder() / "prefect.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["deployments"])


def intervals_s(by: Literal["flow", "name"] = "flow") -> dict[str, float]:
    """By flow, or by name of a deployment, the seconds between two passes by the schedule that runs it most often."""
    found: dict[str, float] = {}
    for entry in declared():
        flow = entry["entrypoint"].rsplit(".", 1)[1].replace("_", "-") if by == "flow" else entry["name"]
        for schedule in entry.get("schedules", ()):
            if schedule.get("active", True) and "interval" in schedule:
                found[flow] = min(found.get(flow, math.inf), float(schedule["interval"]))
    return found


def deploy(*, pool_type: str = "process", silent_s: float | None = None) -> Deployed:
    """Bring the server that this process is a client of to what this release holds; again, nothing changes.

    silent_s: seconds without a heartbeat after which a run is dead; the automation's own where None.

    Raises
    ------
    Conflict: the work pool is of another type. ContinuumError: Prefect refused, or did not come back in time.
    """
    from prefect.settings import PREFECT_API_URL

    from blocks.prefect_api import prefect_client
    from deployments.automations import SILENT, alerts_block, ensure, wanted

    where = "continuum deploy"
    with prefect_client(where) as client:
        pool = ensure_pool(client, pool_type)
    _prefect_deploy({**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())})
    with prefect_client(where) as client:
        alerts = alerts_block(client)
        told = ensure(client, wanted(alerts, timedelta(seconds=silent_s) if silent_s else SILENT))
    return Deployed(pool, tuple(entry["name"] for entry in declared()), told, alerts is not None)


def _job_template() -> dict[str, Any]:
    """What a run's Job looks like; people change its defaults in the pool, and no later deploy changes them back."""
    file = Path(__file__).parent / "kubernetes" / "base-job-template.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def ensure_pool(client: SyncPrefectClient, pool_type: str) -> str:
    """Make the work pool where it is missing; "created" or "unchanged".

    Raises
    ------
    Conflict: it is of another type.
    """
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        there = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        template = _job_template() if pool_type == "kubernetes" else {}
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type=pool_type, base_job_template=template))
        return "created"
    if there.type != pool_type:
        fix = f"delete it (prefect work-pool delete {WORK_POOL}), or give --pool {there.type}"
        raise Conflict(f"is of type {there.type}, not {pool_type}", where=f"work pool {WORK_POOL}", fix=fix)
    return "unchanged"


def _prefect_deploy(env: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            [*PREFECT, "deploy", "--all"], env=dict(env), cwd=deployments_folder(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=DEPLOY_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unreachable(f"no end after {DEPLOY_TIMEOUT_S} s", where="prefect deploy", fix="try again") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise ContinuumError(f"refused: {said}", where="prefect deploy", fix="read prefect.yaml")
