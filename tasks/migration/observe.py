"""Where each movable workload stands, what it would cost at every cluster with room for it, and its last moves."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Cluster, Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.pod_requests import pod_requests
from blocks.store.tables import Decision, Verdict, now
from tasks.clusters import side_by_side
from tasks.migration.decide.moves import Costs, Room
from tasks.migration.decide.replay import COORDINATION, DISRUPTION, MONEY_WEIGHT, TRANSFER_USD_PER_GB, total_of
from tasks.migration.movable import Movable
from tasks.placement.decide.latency_matrix import fibre_ms
from tasks.placement.new_workloads import GIB
from tasks.placement.observe import ClusterRoom, fitting_pods, read_room
from tasks.placement.site_terms import site_terms
from tasks.run import Run

Floats = NDArray[np.float64]

SLOT = timedelta(minutes=15)
LOOK_BACK = timedelta(days=1)
CARBON_USD_PER_G, KWH_PER_CORE_H = 1e-4, 0.005  # 100 USD a tonne; a modelled server's share of a core (tasks/energy)
FAR_MS = 400.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """W workloads that stand in one cluster each, S clusters; see `decide_moves`.

    Attributes
    ----------
    failing: (W,) share of its pods that are not Ready, now and in the pass before.
    """

    as_of: datetime
    workloads: tuple[Movable, ...]
    clusters: tuple[str, ...]
    place: NDArray[np.int64]
    costs: Costs
    move_cost: NDArray[np.float32]
    idle_slots: NDArray[np.float32]
    came_from: NDArray[np.int64]
    not_ready: Floats
    latency_ms: Floats
    usd_per_hour: Floats
    room: Room
    leave: frozenset[str]
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class _Cluster:
    """What one cluster answered: its room, and its Deployments by `namespace/name`."""

    room: ClusterRoom
    standing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@task(name="observe movable workloads", cache_policy=NO_CACHE, persist_result=False)
def observe_workloads(run: Run, workloads: Sequence[Movable], leave: Collection[str]) -> View:
    """Find each workload, and weigh every cluster for it. One that stands nowhere, or twice, is told and left.

    leave: clusters that are to be left, as for maintenance.

    Raises
    ------
    InvalidInput: a workload or `leave` names what the inventory does not have, or is there twice.
    """
    _check_names(run.fleet, workloads, leave)
    as_of, trouble = now(), list[str]()
    found = dict(zip((each.name for each in run.fleet.clusters), side_by_side(_read, run.fleet.clusters), strict=True))
    trouble += [each.room.trouble for each in found.values() if each.room.trouble]
    clusters = [cluster for cluster in run.fleet.clusters if not found[cluster.name].room.trouble]
    names = tuple(cluster.name for cluster in clusters)
    kept, place, sizes, ready = [], [], [], []
    for each in workloads:
        at = [name for name in names if each.key in found[name].standing]
        if len(at) != 1:
            where = f"in {', '.join(at)}: one has to go first" if at else "in no cluster that answers"
            trouble.append(f"workload {each.key} stands {where}")
            continue
        deployment = found[at[0]].standing[each.key]
        kept.append(each)
        place.append(names.index(at[0]))
        sizes.append(_size(deployment))
        ready.append(_not_ready(deployment))
    size, not_ready = np.array(sizes).reshape(-1, 3), np.array(ready, np.float64)
    latency, money = _latency(run.fleet, clusters, kept), _money(run.fleet, clusters, size, as_of)
    allowed = _allowed(clusters, kept, place, size, found)
    before = _before(run, as_of)
    failing = np.minimum(not_ready, [before.not_ready.get(each.key, 0.0) for each in kept]) if kept else not_ready
    errors = np.zeros(latency.shape)
    if kept:
        errors[np.arange(len(kept)), place] = failing
    errors[:, [number for number, name in enumerate(names) if name in leave]] = 1.0
    costs = _costs(latency, money, errors, allowed)
    usual = np.nanmedian(np.where(np.isnan(money), 1.0, money), axis=1) if kept else np.ones(0)
    data = np.array([each.moved_gb for each in kept]) * TRANSFER_USD_PER_GB / np.maximum(usual, 1e-6) * MONEY_WEIGHT
    moved = [before.moved.get(each.key) for each in kept]
    idle = [(as_of - each[0]) / SLOT if each else 1e6 for each in moved]
    came = [names.index(each[1]) if each and each[1] in names else -1 for each in moved]
    return View(
        as_of, tuple(kept), names, np.array(place, np.int64), costs,
        (data + DISRUPTION + COORDINATION).astype(np.float32), np.array(idle, np.float32), np.array(came, np.int64),
        not_ready, latency, money, Room(size[:, :1] * size[:, 1:], _free(names, found)), frozenset(leave),
        tuple(trouble),
    )  # fmt: skip


@dataclass(frozen=True)
class _Before:
    """From earlier passes: when and from where a workload moved, or tried to; how many of its pods were not Ready."""

    moved: dict[str, tuple[datetime, str]]
    not_ready: dict[str, float]


def _before(run: Run, as_of: datetime) -> _Before:
    rows: list[Decision] = run.store.decisions(flow=run.flow, since=as_of - LOOK_BACK, limit=None)[::-1]
    moved = {row.content["workload"]: (row.created_at, row.content["source"]) for row in rows
             if row.action == "move" and row.state in (Verdict.ACTED, Verdict.UNDONE)}  # fmt: skip
    return _Before(moved, {row.content["workload"]: float(row.content.get("not_ready", 0.0)) for row in rows})


def _read(cluster: Cluster) -> _Cluster:
    room = read_room(cluster)
    if room.trouble:
        return _Cluster(room)
    try:
        found = KubernetesApi.connect(resolve_secrets(cluster)).list("deployments")
    except ContinuumError as error:
        return _Cluster(ClusterRoom({}, trouble=f"{error}; nothing is moved there, or from there"))
    return _Cluster(room, {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in found})


def _free(names: Sequence[str], found: Mapping[str, _Cluster]) -> Floats:
    """(S, 2) cores and GiB that each cluster has free in all."""
    return np.array([[found[name].room.free[key] for key in ("cpu", "memory_gb")] for name in names]).reshape(-1, 2)


def _size(deployment: Mapping[str, Any]) -> tuple[float, float, float]:
    """Pods, and what each requests: cores, GiB."""
    asked = pod_requests({"spec": deployment["spec"]["template"]["spec"]})
    return float(deployment["spec"].get("replicas", 1)), asked.cpu_cores, asked.memory_bytes / GIB


def _not_ready(deployment: Mapping[str, Any]) -> float:
    wanted = int(deployment["spec"].get("replicas", 1))
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    return max(0.0, 1 - ready / wanted) if wanted else 0.0


def _latency(fleet: Fleet, clusters: Sequence[Cluster], workloads: Sequence[Movable]) -> Floats:
    """(W, S) mean round trip of the users, by distance; the same everywhere for a workload without users."""
    sites = {site.name: (site.latitude, site.longitude) for site in fleet.sites}
    found = np.ones((len(workloads), len(clusters)))
    there = np.array([sites[cluster.site] for cluster in clusters]).reshape(-1, 2)
    for row, each in enumerate(workloads):
        rates = {name: rate for name, rate in each.users.items() if rate > 0}
        if rates:
            table = fibre_ms(np.array([sites[name] for name in rates]), there)
            found[row] = np.array(list(rates.values())) @ table / sum(rates.values())
    return found


def _money(fleet: Fleet, clusters: Sequence[Cluster], size: Floats, as_of: datetime) -> Floats:
    """(W, S) USD an hour of the cores, and of their carbon; NaN where a price is not known."""
    terms = [site_terms(fleet.site(cluster.site), cluster.node_pools, as_of) for cluster in clusters]
    core = np.array([(each.get("usd_per_unit") or {}).get("cpu", np.nan) for each in terms])
    grams = np.array([each.get("carbon_g_per_kwh", 0.0) * each["pue"] * KWH_PER_CORE_H for each in terms])
    return np.asarray((size[:, 0] * size[:, 1])[:, None] * (core + grams * CARBON_USD_PER_G))


def _allowed(
    clusters: Sequence[Cluster], workloads: Sequence[Movable], place: Sequence[int], size: Floats,
    found: Mapping[str, _Cluster],
) -> NDArray[np.bool_]:  # fmt: skip
    """(W, S) where a workload may stand: where it is, and where it is allowed and has room on the nodes."""
    may = np.zeros((len(workloads), len(clusters)), bool)
    for column, cluster in enumerate(clusters):
        nodes = np.array(found[cluster.name].room.nodes).reshape(-1, 3)
        for row, each in enumerate(workloads):
            if each.allowed is None or cluster.name in each.allowed:
                cores, memory = max(size[row, 1], 1e-3), max(size[row, 2], 1e-3)
                may[row, column] = len(nodes) > 0 and fitting_pods(nodes, cores, memory).sum() >= size[row, 0]
            if each.key in found[cluster.name].standing:
                may[row, column] = place[row] == column
    return may


def _costs(latency: Floats, money: Floats, errors: Floats, allowed: NDArray[np.bool_]) -> Costs:
    """In slots of each workload's usual cost; a place that is not allowed is not known. Unknown prices count alike."""
    priced = np.where(np.isnan(money).any(axis=1, keepdims=True), 1.0, money)
    parts = [each / np.maximum(np.median(each, axis=1, keepdims=True), 1e-9) for each in (latency, priced)]
    one, other = (np.where(allowed, each, np.nan).astype(np.float32) for each in parts)
    wrong = errors.astype(np.float32)
    return Costs(total_of(one, other, wrong), one, other, wrong)


def _check_names(fleet: Fleet, workloads: Sequence[Movable], leave: Collection[str]) -> None:
    if not workloads:
        raise InvalidInput("no workload is given", where="workloads", fix="give one at least: its name and namespace")
    clusters, sites = {each.name for each in fleet.clusters}, {each.name for each in fleet.sites}
    keys = [each.key for each in workloads]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise InvalidInput("it is there twice", where=f"workload {twice}", fix="give each once")
    wanted = [("leave", "cluster", set(leave), clusters)]
    for each in workloads:
        at = f"workload {each.key}"
        wanted += [(at, "cluster", set(each.allowed or ()), clusters), (at, "site", set(each.users), sites)]
        if each.route:
            wanted.append((at, "cluster", set(each.route.backends), clusters))
    for where, what, named, known in wanted:
        if unknown := named - known:
            raise InvalidInput(f"the inventory has no {what} `{min(unknown)}`", where=where,
                               fix="see `continuum fleet show`")  # fmt: skip
