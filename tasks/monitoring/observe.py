"""Read the fleet's sources side by side; one that does not answer is named, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.fleet import Cluster, Fleet, Tier, pool_id
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi, is_ready
from blocks.kubernetes.nodes import must_leave
from blocks.series import utc
from blocks.store.series import SeriesStore
from blocks.store.tables import now
from tasks.clusters import side_by_side
from tasks.forecasting.announced import recent_anomalies
from tasks.forecasting.observe import demand_queries, source_time_s
from tasks.monitoring.decide import ClusterReading, Reading
from tasks.run import Run

RECENT = timedelta(hours=1)
ROUTED = timedelta(minutes=5)  # a pass of traffic-routing that is older says nothing of now
LOOK_BACK_S = 900
SCALED = {"serving.knative.dev": "services", "keda.sh": "scaledobjects"}
PRESSURES = ("DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable")


@task(name="observe the fleet", cache_policy=NO_CACHE, persist_result=False)
def observe_fleet(run: Run) -> tuple[Reading, tuple[str, ...]]:
    """Clusters, metrics, anomalies and routes as they are now; a line for each source in trouble."""
    trouble: list[str] = []
    try:
        as_of = utc(source_time_s(run.fleet))
    except ContinuumError as error:
        as_of = now()
        trouble.append(f"{error}; this machine's clock is taken")
    edge = {site.name for site in run.fleet.sites if site.tier is not Tier.CLOUD_REGION}
    answers = side_by_side(lambda cluster: read_cluster(cluster, cluster.site in edge, as_of), run.fleet.clusters)
    ages = _metrics_age(run.fleet, as_of, trouble)
    down, checked = _routes(run, now())
    homes = {cluster.name: cluster.site for cluster in run.fleet.clusters}
    anomalies = tuple(
        (each.series, homes.get(each.series.split("/", 1)[0], ""), each.at)
        for each in recent_anomalies(SeriesStore.open(), run.fleet_name, as_of)
        if as_of - each.at <= RECENT
    )
    lines = [line for _, found in answers for line in found]
    reading = Reading(as_of, tuple(each for each, _ in answers), ages, down, checked, anomalies, homes)
    return reading, (*trouble, *lines)


def read_cluster(cluster: Cluster, edge: bool, as_of: datetime) -> tuple[ClusterReading, list[str]]:
    """One cluster's nodes, pods, and what Knative and KEDA scale there."""
    try:
        api, begin = KubernetesApi.connect(resolve_secrets(cluster)), time.monotonic()
        api.request("GET", "/version")
        took_s = time.monotonic() - begin
        nodes, pods = api.nodes(), [pod for pod in api.pods() if must_leave(pod)]
    except ContinuumError as error:
        return ClusterReading(cluster.name, cluster.site, edge, answered=False), [str(error)]
    scaled, unknown = _scaled(api)
    bad = tuple(sorted(_name(each) for each in scaled if not _holds(each, "Ready")))
    reading = ClusterReading(
        cluster.name, cluster.site, edge, True, took_s, len(nodes), sum(map(is_ready, nodes)),
        not_ready={_name(node): _since(node, "Ready", as_of) for node in nodes if not is_ready(node)},
        under_pressure={_name(node): ", ".join(lacks) for node in nodes
                        if (lacks := [kind for kind in PRESSURES if _holds(node, kind)])},
        pods=len(pods),
        pending={_name(pod): _age(pod["metadata"].get("creationTimestamp"), as_of) for pod in pods if not _bound(pod)},
        failing={_name(pod): _since(pod, "Ready", as_of) for pod in pods
                 if _bound(pod) and not _holds(pod, "Ready")},
        scaled=len(scaled), scaled_ready=len(scaled) - len(bad), not_scaled=bad, scaled_unknown=unknown,
    )  # fmt: skip
    return reading, [unknown] if unknown else []


def _scaled(api: KubernetesApi) -> tuple[list[Any], str]:
    """Objects of Knative and KEDA where the cluster serves them, and why they could not be read."""
    found: list[Any] = []
    try:
        for group, plural in SCALED.items():
            if version := api.preferred_version(group):
                found += api.request("GET", f"/apis/{group}/{version}/{plural}").get("items") or ()
    except ContinuumError as error:
        return [], str(error)
    return found, ""


def _bound(pod: Mapping[str, Any]) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName"))


def _name(found: Mapping[str, Any]) -> str:
    metadata = found["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def _holds(found: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition of an object is True."""
    return _condition(found, kind).get("status") == "True"


def _since(found: Mapping[str, Any], kind: str, as_of: datetime) -> float:
    """Seconds for which a condition has been as it is; without it, since the object was made."""
    return _age(_condition(found, kind).get("lastTransitionTime") or found["metadata"].get("creationTimestamp"), as_of)


def _condition(found: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _age(stamp: str | None, as_of: datetime) -> float:
    """Seconds since a time stamp of Kubernetes; 0 where there is none."""
    if not stamp:
        return 0.0
    return (as_of - datetime.fromisoformat(stamp).astimezone(UTC)).total_seconds()


def _metrics_age(fleet: Fleet, as_of: datetime, trouble: list[str]) -> dict[str, float] | None:
    """Seconds since the newest CPU sample of each pool; None where no source answered."""
    ages, answered, end_s = dict[str, float](), False, as_of.timestamp()
    for asked in demand_queries(fleet, ("cpu_cores",)):
        names = [pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools() if cluster.name in asked.clusters]
        try:
            found = asked.read(end_s - LOOK_BACK_S, end_s, 60)
        except ContinuumError as error:
            trouble.append(str(error))
            continue
        answered, known = True, np.isfinite(found.values)
        last = found.values.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        newest = {name: float(found.times()[last[row]])
                  for row, name in enumerate(found.unique_id) if known[row].any()}  # fmt: skip
        ages |= {name: end_s - newest[name] if name in newest else float("inf") for name in names}
    return ages if answered else None


def _routes(run: Run, at: datetime) -> tuple[dict[str, tuple[str, ...]] | None, int]:
    """`function/site` that the last passes of traffic-routing hold for down, by site, and how many they check."""
    health: dict[str, tuple[str, bool]] = {}
    for row in run.store.decisions(flow="traffic-routing", fleet=run.fleet_name, since=at - ROUTED, limit=1000):
        for site, (up, _) in row.content.get("health", {}).items():
            health.setdefault(f"{row.content['function']}/{site}", (site, bool(up)))
    if not health:
        return None, 0
    down: dict[str, list[str]] = {}
    for name, (site, up) in sorted(health.items()):
        if not up:
            down.setdefault(site, []).append(name)
    return {site: tuple(names) for site, names in down.items()}, len(health)
