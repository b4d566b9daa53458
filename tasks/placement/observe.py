"""What each cluster has room for now, where it stands, and what runs in it that we have placed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import tables
from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Cluster, Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi, is_ready, is_schedulable
from blocks.kubernetes.budgets import room
from blocks.kubernetes.pod_requests import Requests, pod_requests
from blocks.store.tables import now
from tasks.clusters import side_by_side
from tasks.placement.new_workloads import GIB, NewWorkload
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem
from tasks.run import Run

ENDED = ("Succeeded", "Failed")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """A placement problem of the clusters that answered; `standing`: clusters by `namespace/name` of what is there."""

    as_of: datetime
    problem: Problem
    standing: dict[str, list[str]]
    trouble: tuple[str, ...]


@task(name="observe room", cache_policy=NO_CACHE, persist_result=False)
def observe_room(run: Run, workloads: Sequence[NewWorkload]) -> View:
    """Free CPU and memory of every cluster that answers; one that does not is no candidate, and is told.

    Raises
    ------
    InvalidInput: a workload names a cluster or a site that the inventory does not have, or none answered.
    """
    _check_names(run.fleet, workloads)
    as_of = now()
    answers = side_by_side(_read, run.fleet.clusters)
    trouble = tuple(line for _, _, line in answers if line)
    sites = [_site(run.fleet, cluster, free, as_of)
             for cluster, (free, _, _) in zip(run.fleet.clusters, answers, strict=True) if free]  # fmt: skip
    if not sites:
        raise InvalidInput("no cluster answers, so nothing can be placed", where=f"fleet {run.fleet_name}",
                           fix="see `continuum doctor`")  # fmt: skip
    standing: dict[str, list[str]] = {}
    for cluster, (_, found, _) in zip(run.fleet.clusters, answers, strict=True):
        for key in found:
            standing.setdefault(key, []).append(cluster.name)
    names = {site["name"] for site in sites}
    problem = parse_problem({
        "sites": sites,
        "zones": [{"name": each.name, "lat": each.latitude, "lon": each.longitude} for each in run.fleet.sites],
        "workloads": [wish for each in workloads
                      if (wish := _workload(run.fleet, each, names, standing.get(each.key, [])))],
    }, "workloads")  # fmt: skip
    return View(as_of, problem, standing, trouble)


def _read(cluster: Cluster) -> tuple[dict[str, float], list[str], str]:
    """Room by resource, what we have placed there, and a line where it does not answer."""
    try:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        nodes = [node for node in api.nodes() if is_ready(node) and is_schedulable(node)]
        names = {node["metadata"]["name"] for node in nodes}
        pods = [pod for pod in api.pods() if (pod.get("status") or {}).get("phase") not in ENDED]
        placed = api.list("deployments", label_selector=f"{MANAGED_BY}={OURS}")
    except ContinuumError as error:
        logger.warning("%s", error)
        return {}, [], f"{error}; nothing is placed there"
    cores, memory = room(nodes)
    waiting_or_here = (pod for pod in pods if (pod["spec"].get("nodeName") or "") in names | {""})
    used = reduce(Requests.plus, map(pod_requests, waiting_or_here), Requests())
    free = {"cpu": max(cores - used.cpu_cores, 0.0), "memory_gb": max(memory - used.memory_bytes, 0.0) / GIB}
    return free, [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in placed], ""


def _site(fleet: Fleet, cluster: Cluster, free: dict[str, float], as_of: datetime) -> dict[str, Any]:
    """The cluster as a site of the problem; prices and carbon where the inventory or a table knows them."""
    site = fleet.site(cluster.site)
    prices = [pool.price_usd_per_hour / float(pool.node_cpu)
              for pool in cluster.node_pools if pool.price_usd_per_hour is not None]  # fmt: skip
    known: dict[str, Any] = {"usd_per_unit": {"cpu": min(prices)}} if prices else {}
    if site.grid_zone:
        try:
            known["carbon_g_per_kwh"] = tables.carbon_intensity_g_per_kwh(site.grid_zone, as_of.month, as_of.hour)[0]
            known["grid_zone"] = site.grid_zone
        except ContinuumError as error:
            logger.warning("%s", error)
    return known | {
        "name": cluster.name, "capacity": free, "region": site.name, "tier": site.tier, "lat": site.latitude,
        "lon": site.longitude, "pue": site.pue,
    }  # fmt: skip


def _workload(fleet: Fleet, each: NewWorkload, answered: set[str], standing: Sequence[str]) -> dict[str, Any] | None:
    """What is placed is a copy with all of its pods, each at another site; None where as many stand as are wanted."""
    if len(standing) >= each.clusters:
        return None
    wish: dict[str, Any] = {
        "name": each.key, "replicas": each.clusters - len(standing), "spread": "region", "demand": each.users,
        "requests": {"cpu": each.cpu_cores * each.replicas, "memory_gb": each.memory_gib * each.replicas},
    }  # fmt: skip
    if each.latency_limit_ms is not None:
        wish["latency_limit_ms"] = each.latency_limit_ms
    taken = {cluster.site for cluster in fleet.clusters if cluster.name in standing}
    free = {cluster.name for cluster in fleet.clusters if cluster.site not in taken} & answered
    if each.allowed is not None or taken:
        wish["allowed"] = sorted(free & set(each.allowed) if each.allowed is not None else free)
    if each.allowed_tiers is not None:
        wish["allowed_tiers"] = each.allowed_tiers
    return wish


def _check_names(fleet: Fleet, workloads: Sequence[NewWorkload]) -> None:
    if not workloads:
        raise InvalidInput("no workload is given", where="workloads", fix="fill in one at least: a name, an image, "
                           "cpu_cores and memory_gib")  # fmt: skip
    clusters, sites = {each.name for each in fleet.clusters}, {each.name for each in fleet.sites}
    keys = [each.key for each in workloads]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise InvalidInput("it is there twice", where=f"workload {twice}", fix="give each a name of its own")
    for each in workloads:
        for what, named, known in (("cluster", set(each.allowed or ()), clusters), ("site", set(each.users), sites)):
            if unknown := named - known:
                raise InvalidInput(f"the inventory has no {what} `{min(unknown)}`", where=f"workload {each.key}",
                                   fix="see `continuum fleet show`")  # fmt: skip
