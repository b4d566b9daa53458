"""What each cluster has room for now, where it stands, and what runs in it that we have placed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Cluster, Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi, budgets, is_ready, is_schedulable, is_under_pressure
from blocks.kubernetes.pod_requests import Requests, pod_requests
from blocks.store.tables import Verdict, now
from tasks.clusters import side_by_side
from tasks.placement.new_workloads import GIB, NewWorkload
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem
from tasks.placement.site_terms import site_terms
from tasks.run import Run

Floats = NDArray[np.float64]

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
                       side_by_side(read_room, run.fleet.clusters), strict=True))  # fmt: skip
    sites = [_site(run.fleet, cluster, answers[cluster.name].free, as_of)
             for cluster in run.fleet.clusters if not answers[cluster.name].trouble]  # fmt: skip
    if not sites:
        raise InvalidInput("no cluster answers, so nothing can be placed", where=f"fleet {run.fleet_name}",
                           fix="see `continuum doctor`")  # fmt: skip
    standing: dict[str, list[str]] = {}
    for name, answer in answers.items():
        for key in answer.placed:
            standing.setdefault(key, []).append(name)
    for name, key in _remembered(run, {name for name, answer in answers.items() if answer.trouble}):
        standing.setdefault(key, []).append(name)
    room, split = _room(answers), list[str]()
    problem = parse_problem({
        "sites": sites,
        "zones": [{"name": each.name, "lat": each.latitude, "lon": each.longitude} for each in run.fleet.sites],
        "workloads": [wish for each in workloads
                      if (wish := _workload(run.fleet, each, _that_fit(each, room, split),
                                            standing.get(each.key, [])))],
    }, "workloads")  # fmt: skip
    trouble = [answer.trouble for answer in answers.values() if answer.trouble]
    more = [f"and {len(split) - TOLD} more like it"] if len(split) > TOLD else []
    return View(as_of, problem, standing, (*trouble, *split[:TOLD], *more))


@dataclass(frozen=True)
class ClusterRoom:
    """What a cluster has free by resource in all and on each of its nodes, what we have placed there; or its trouble.

    `nodes`: free CPU cores, GiB and pods of each node that takes pods without a toleration. `pressed`: namespace and
    labels of each pod on a node under pressure.
    """

    free: dict[str, float]
    nodes: tuple[tuple[float, float, float], ...] = ()
    placed: tuple[str, ...] = ()
    pressed: tuple[tuple[str, Mapping[str, str]], ...] = ()
    trouble: str = ""


def _remembered(run: Run, silent: Collection[str]) -> list[tuple[str, str]]:
    """Clusters that do not answer with what we have placed there: silence is no reason to place it a second time."""
    acted = (run.store.decisions(flow=run.flow, fleet=run.fleet_name, state=Verdict.ACTED, limit=None)
             if silent else [])  # fmt: skip
    return sorted({(row.content["site"], row.content["workload"]) for row in acted
                   if row.action == "deploy" and row.content["site"] in silent})  # fmt: skip


@dataclass(frozen=True)
class _Room:
    """The C clusters that answered, and the N nodes of all of them.

    free: (C, 2) cores and GiB in all. nodes: (N, 3) cores, GiB and pods free on each. owner: (N,) its cluster's place.
    """

    clusters: tuple[str, ...]
    free: Floats
    nodes: Floats
    owner: NDArray[np.int64]


def _room(answers: Mapping[str, ClusterRoom]) -> _Room:
    known = {name: answer for name, answer in answers.items() if not answer.trouble}
    nodes = [node for answer in known.values() for node in answer.nodes]
    return _Room(
        tuple(known),
        np.array([[answer.free["cpu"], answer.free["memory_gb"]] for answer in known.values()]).reshape(-1, 2),
        np.array(nodes).reshape(-1, 3),
        np.repeat(np.arange(len(known)), [len(answer.nodes) for answer in known.values()]),
    )


def _that_fit(each: NewWorkload, room: _Room, split: list[str]) -> set[str]:
    """Clusters that answered, without those whose room is in pieces too small; these are told in `split`."""
    pods = np.bincount(room.owner, fitting_pods(room.nodes, each.cpu_cores, each.memory_gib), len(room.clusters))
    enough = (room.free >= each.replicas * np.array([each.cpu_cores, each.memory_gib])).all(axis=1)
    in_pieces = enough & (pods < each.replicas)  # where there is not enough in all, the problem itself says what lacks
    split += [f"{room.clusters[row]}: has room for {each.key} in all, on its nodes for {pods[row]:.0f} of "
              f"{each.replicas} pods: it is no candidate for it" for row in np.flatnonzero(in_pieces)]  # fmt: skip
    return {name for name, without in zip(room.clusters, in_pieces, strict=True) if not without}


def fitting_pods(nodes: Floats, cpu_cores: float, memory_gib: float) -> Floats:
    """(N,) how many pods of one size each node takes; nodes: (N, 3) free CPU cores, GiB and pods.

    >>> fitting_pods(np.array([(1.5, 8.0, 100), (1.9, 1.0, 100), (9.0, 64.0, 2)]), 1.0, 2.0).tolist()
    [1.0, 0.0, 2.0]
    """
    tiny = 1e-9  # 0.3 of 0.1 are three pods
    each = np.minimum(np.minimum(nodes[:, 0] / cpu_cores, nodes[:, 1] / memory_gib) + tiny, nodes[:, 2])
    return np.maximum(np.floor(each), 0.0)


def takes_any_pod(node: dict[str, Any]) -> bool:
    """Whether a pod that tolerates nothing may go there."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return is_ready(node) and is_schedulable(node) and not any(each.get("effect") in REPELLING for each in taints)


def read_room(cluster: Cluster) -> ClusterRoom:
    """What one cluster has free, in all and on each node; its trouble where it does not answer."""
    try:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        every = {node["metadata"]["name"]: node for node in api.nodes()}
        pods = [pod for pod in api.pods() if (pod.get("status") or {}).get("phase") not in ENDED]
        placed = api.list("deployments", label_selector=f"{MANAGED_BY}={OURS}")
    except ContinuumError as error:
        logger.warning("%s", error)
        return ClusterRoom({}, trouble=f"{error}; nothing is placed there")
    nodes = {name: node for name, node in every.items() if takes_any_pod(node)}
    by_node: dict[str, list[Requests]] = {name: [] for name in ("", *nodes)}  # "": waits for a node
    for pod in pods:
        if (found := by_node.get(pod["spec"].get("nodeName") or "")) is not None:
            found.append(pod_requests(pod))
    left = []
    for name, node in nodes.items():
        (cores, memory), used = budgets.room([node]), reduce(Requests.plus, by_node[name], Requests())
        most = float((node.get("status") or {}).get("allocatable", {}).get("pods") or inf)
        left.append((max(cores - used.cpu_cores, 0.0), max(memory - used.memory_bytes, 0.0) / GIB,
                     most - len(by_node[name])))  # fmt: skip
    waiting = reduce(Requests.plus, by_node[""], Requests())
    free = {"cpu": max(sum(each[0] for each in left) - waiting.cpu_cores, 0.0),
            "memory_gb": max(sum(each[1] for each in left) - waiting.memory_bytes / GIB, 0.0)}  # fmt: skip
    keys = (f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in placed)
    ill = {name for name, node in every.items() if is_under_pressure(node)}
    pressed = ((pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}) for pod in pods
               if pod["spec"].get("nodeName") in ill)  # fmt: skip
    return ClusterRoom(free, tuple(left), tuple(keys), tuple(pressed))


def _site(fleet: Fleet, cluster: Cluster, free: dict[str, float], as_of: datetime) -> dict[str, Any]:
    """The cluster as a site of the problem."""
    site = fleet.site(cluster.site)
    return site_terms(site, cluster.node_pools, as_of) | {
        "name": cluster.name, "capacity": free, "region": site.name, "tier": site.tier,
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
