"""What each cluster has room for now, where it stands, and what runs in it that we have placed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from math import inf
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
from blocks.store.tables import Verdict, now
from tasks.clusters import side_by_side
from tasks.placement.new_workloads import GIB, NewWorkload
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem
from tasks.run import Run

ENDED = ("Succeeded", "Failed")
REPELLING = ("NoSchedule", "NoExecute")
TOLD = 10  # lines of one kind in the report

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
    answers = dict(zip((cluster.name for cluster in run.fleet.clusters),
                       side_by_side(_read, run.fleet.clusters), strict=True))  # fmt: skip
    sites = [_site(run.fleet, cluster, answers[cluster.name].free, as_of)
             for cluster in run.fleet.clusters if not answers[cluster.name].trouble]  # fmt: skip
    if not sites:
        raise InvalidInput("no cluster answers, so nothing can be placed", where=f"fleet {run.fleet_name}",
                           fix="see `continuum doctor`")  # fmt: skip
    standing: dict[str, list[str]] = {}
    for name, answer in answers.items():
        for key in _remembered(run, name) if answer.trouble else answer.placed:
            standing.setdefault(key, []).append(name)
    split: list[str] = []
    problem = parse_problem({
        "sites": sites,
        "zones": [{"name": each.name, "lat": each.latitude, "lon": each.longitude} for each in run.fleet.sites],
        "workloads": [wish for each in workloads
                      if (wish := _workload(run.fleet, each, _that_fit(each, answers, split),
                                            standing.get(each.key, [])))],
    }, "workloads")  # fmt: skip
    trouble = [answer.trouble for answer in answers.values() if answer.trouble]
    more = [f"and {len(split) - TOLD} more like it"] if len(split) > TOLD else []
    return View(as_of, problem, standing, (*trouble, *split[:TOLD], *more))


@dataclass(frozen=True)
class _Answer:
    """What a cluster has free by resource in all and on each of its nodes, what we have placed there; or its trouble.

    `nodes`: free CPU cores, GiB and pods of each node that takes pods without a toleration.
    """

    free: dict[str, float]
    nodes: tuple[tuple[float, float, float], ...] = ()
    placed: tuple[str, ...] = ()
    trouble: str = ""


def _remembered(run: Run, cluster: str) -> list[str]:
    """What we have placed in a cluster that does not answer: silence is no reason to place it a second time."""
    acted = run.store.decisions(flow=run.flow, state=Verdict.ACTED, limit=None)
    return sorted({row.content["workload"] for row in acted
                   if row.action == "deploy" and row.content["site"] == cluster})  # fmt: skip


def _that_fit(each: NewWorkload, answers: Mapping[str, _Answer], split: list[str]) -> set[str]:
    """Clusters that answered, without those whose room is in pieces too small; these are told in `split`."""
    found = set()
    for name, answer in answers.items():
        if answer.trouble:
            continue
        pods = fitting_pods(answer.nodes, each.cpu_cores, each.memory_gib)
        enough = (answer.free["cpu"] >= each.replicas * each.cpu_cores
                  and answer.free["memory_gb"] >= each.replicas * each.memory_gib)  # fmt: skip
        if pods >= each.replicas or not enough:  # where there is not enough in all, the problem itself says what lacks
            found.add(name)
        else:
            split.append(f"{name}: has room for {each.key} in all, on its nodes for {pods} of {each.replicas} pods: "
                         "it is no candidate for it")  # fmt: skip
    return found


def fitting_pods(nodes: Iterable[tuple[float, float, float]], cpu_cores: float, memory_gib: float) -> int:
    """How many pods of one size nodes with so much free CPU, memory (GiB) and pods take.

    >>> fitting_pods([(1.5, 8.0, 100), (1.9, 1.0, 100), (9.0, 64.0, 2)], 1.0, 2.0)
    3
    """
    tiny = 1e-9  # 0.3 of 0.1 are three pods
    return sum(max(int(min(cores / cpu_cores + tiny, memory / memory_gib + tiny, pods)), 0)
               for cores, memory, pods in nodes)  # fmt: skip


def _open(node: dict[str, Any]) -> bool:
    """Whether a pod that tolerates nothing may go there."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return is_ready(node) and is_schedulable(node) and not any(each.get("effect") in REPELLING for each in taints)


def _read(cluster: Cluster) -> _Answer:
    try:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        nodes = {node["metadata"]["name"]: node for node in api.nodes() if _open(node)}
        pods = [pod for pod in api.pods() if (pod.get("status") or {}).get("phase") not in ENDED]
        placed = api.list("deployments", label_selector=f"{MANAGED_BY}={OURS}")
    except ContinuumError as error:
        logger.warning("%s", error)
        return _Answer({}, trouble=f"{error}; nothing is placed there")
    by_node: dict[str, list[Requests]] = {name: [] for name in ("", *nodes)}  # "": waits for a node
    for pod in pods:
        if (found := by_node.get(pod["spec"].get("nodeName") or "")) is not None:
            found.append(pod_requests(pod))
    left = []
    for name, node in nodes.items():
        (cores, memory), used = room([node]), reduce(Requests.plus, by_node[name], Requests())
        most = float((node.get("status") or {}).get("allocatable", {}).get("pods") or inf)
        left.append((max(cores - used.cpu_cores, 0.0), max(memory - used.memory_bytes, 0.0) / GIB,
                     most - len(by_node[name])))  # fmt: skip
    waiting = reduce(Requests.plus, by_node[""], Requests())
    free = {"cpu": max(sum(each[0] for each in left) - waiting.cpu_cores, 0.0),
            "memory_gb": max(sum(each[1] for each in left) - waiting.memory_bytes / GIB, 0.0)}  # fmt: skip
    keys = (f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in placed)
    return _Answer(free, tuple(left), tuple(keys))


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


def _workload(fleet: Fleet, each: NewWorkload, fitting: set[str], standing: Sequence[str]) -> dict[str, Any] | None:
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
    free = {cluster.name for cluster in fleet.clusters if cluster.site not in taken} & fitting
    if each.allowed is not None or free != {cluster.name for cluster in fleet.clusters}:
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
