"""Whether a wave of moves has gone well: pods Ready, service levels kept, and what a flow of the user's own says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.exceptions import MissingResult, ObjectNotFound, PrefectHTTPStatusError
from pydantic import Field

from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet_values import Model
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.prefect_api import prefect_client
from blocks.prometheus import PrometheusSource
from blocks.store.tables import Decision
from tasks.clusters import side_by_side
from tasks.migration.measured import key_of
from tasks.migration.observe import not_ready
from tasks.run import Run

POLL_S = 2.0


class Objective(Model):
    """A service level."""

    query: str = Field(description="PromQL with labels `namespace`, `workload`, `cluster`")
    at_most: float = Field(description="that every moved workload may have; not measured is too much")


class Checks(Model):
    """What must hold of a wave before the next one is begun; the moves of a wave that fails are taken back."""

    objectives: list[Objective] = Field([], description="service levels that every moved workload must keep")
    watch_s: float = Field(0.0, ge=0, le=3600, description="seconds in which a wave must come to keep them")
    deployment: str = Field("", description="`FLOW/DEPLOYMENT` that checks a wave: it gets `moves`, a list of "
                            "workload, source and target, and must complete, and not return false")  # fmt: skip
    deployment_timeout_s: float = Field(900.0, ge=1, le=86_400, description="seconds until that check has failed")
    pause: bool = Field(False, description="wait for a person before every wave but the first")


def refuse_unknown_check(name: str) -> None:
    """See, before anything is moved, that there is a deployment to check with.

    Raises
    ------
    InvalidInput: there is none of that name.
    """
    if not name:
        return
    try:
        with prefect_client("the check between waves") as client:
            client.read_deployment_by_name(name)
    except (ObjectNotFound, ValueError):
        raise InvalidInput("there is no such deployment", where=f"checks.deployment {name}",
                           fix="give FLOW/DEPLOYMENT as `prefect deployment ls` lists it") from None  # fmt: skip


@task(name="check a wave", cache_policy=NO_CACHE, persist_result=False)
def check_wave(run: Run, wave: Sequence[Decision], checks: Checks) -> str:
    """What is wrong after a wave, in words; "" where nothing is. What cannot be looked at is wrong."""
    until = time.monotonic() + checks.watch_s
    while (said := _pods(run, wave) or _levels(run, wave, checks.objectives)) and time.monotonic() < until:
        time.sleep(min(POLL_S, max(until - time.monotonic(), 0.0)))
    return said or (_own_flow(run, wave, checks) if checks.deployment else "")


def _pods(run: Run, wave: Sequence[Decision]) -> str:
    """All pods are Ready where they went."""
    clusters = {cluster.name: cluster for cluster in run.fleet.clusters}

    def look(row: Decision) -> str:
        namespace, name = row.content["workload"].split("/")
        try:
            api = KubernetesApi.connect(resolve_secrets(clusters[row.content["target"]]))
            missing = not_ready(api.get("deployments", name, namespace))
        except ContinuumError as error:
            return str(error)
        return f"{row.content['workload']}: {missing:.0%} of its pods are not Ready" if missing else ""

    return next(filter(None, side_by_side(look, wave)), "")


def _levels(run: Run, wave: Sequence[Decision], objectives: Sequence[Objective]) -> str:
    for each in objectives:
        try:
            samples = PrometheusSource.from_metrics(resolve_secrets(run.fleet).metrics).instant(each.query)
        except ContinuumError as error:
            return str(error)
        found: dict[str, float] = {}
        for sample in samples:
            if {"namespace", "workload", "cluster"} <= sample.labels.keys():
                key = key_of("error_ratio", **sample.labels)
                found[key] = max(sample.value, found.get(key, sample.value))
        for row in wave:
            value = found.get(f"{row.content['workload']}/{row.content['target']}")
            if value is None or not value <= each.at_most:
                what = "is not measured" if value is None else f"is {value:.4g}, above {each.at_most:.4g}"
                return f"{row.content['workload']}: {each.query} {what}"
    return ""


def _own_flow(run: Run, wave: Sequence[Decision], checks: Checks) -> str:
    """Run the user's deployment once for this wave, and hear what it says."""
    moves = [{name: row.content[name] for name in ("workload", "source", "target")} for row in wave]
    name = checks.deployment
    try:
        ended: Any = run_deployment(name, parameters={"moves": moves}, timeout=checks.deployment_timeout_s,
                               poll_interval=POLL_S, idempotency_key=f"{run.id} {moves[0]['target']}")  # fmt: skip
        state = ended.state
        if state is None or not state.is_completed():
            told = f"{state.name}: {state.message or ''}" if state else "without a state"
            return f"{name} has not completed ({told.strip(': ')})"
        answer = state.result(raise_on_failure=False)
    except MissingResult:  # it keeps no result: that it has completed is all that it says
        return ""
    except (OSError, ValueError) as error:
        return f"what {name} returned cannot be read: {error}"
    except (ObjectNotFound, PrefectHTTPStatusError) as error:
        return f"{name} could not be run: {type(error).__name__}"
    return f"{name} returned false" if answer is False else ""
