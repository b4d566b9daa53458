"""Where each movable workload stands, what it would cost at every cluster with room for it, and its last moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.fleet import Cluster, Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.series import utc
from blocks.store.tables import State, now
from tasks.clusters import side_by_side
from tasks.forecasting.observe import source_time_s
from tasks.migration.decide.failback import Homes
from tasks.migration.decide.joint import Room
from tasks.migration.decide.moves import Costs
from tasks.migration.decide.policies import Policy
from tasks.migration.decide.replay import COORDINATION, DISRUPTION, MONEY_WEIGHT, TRANSFER_USD_PER_GB
from tasks.migration.decide.terms import costs_of, latency_to_come, mean_latency
from tasks.migration.history import History, homes_of, read_history
from tasks.migration.measured import SLOT, Measured, Queries, key_of, measure, zone_growth
from tasks.migration.movable import Maintenance, Movable, check_names
from tasks.migration.moves.closure import replicas_of
from tasks.migration.moves.objects import is_drained_into
from tasks.migration.places import allowed_of, prices_of, rates_of, rtt_of, size_of
from tasks.migration.silent import Silent, keep_spares, silent_workloads, started_from_afar
from tasks.placement.observe import ClusterRoom, read_room
from tasks.run import Run

Floats = NDArray[np.float64]

CARBON_USD_PER_G = 1e-4  # 100 USD a tonne
ILL, DOWN = 0.1, 0.5  # share of a cluster's pods that are not Ready: it is not well; it fails as a whole
CORES, MEMORY = "cpu_cores", "memory_gib"  # units of reservations, by cluster


@dataclass(frozen=True)
class Signs:
    """(W,) what is wrong with each workload where it stands, ratios, now and in the pass before.

    not_ready, pressed: of its pods that are not Ready, or on nodes under pressure. now: as seen now alone.
    errors: of its requests, smoothed. down: its cluster fails as a whole. leave: its cluster is to be left.
    """

    not_ready: Floats
    pressed: Floats
    errors: Floats
    down: NDArray[np.bool_]
    leave: NDArray[np.bool_]
    now: dict[str, Floats]


@dataclass(frozen=True)
class View:
    """W workloads that stand in one cluster each, S clusters; see `decide_moves`.

    Attributes
    ----------
    latency_ms, usd_per_hour, carbon_g_per_hour: (W, S); NaN where it is not known.
    rates: (W, Z) requests per second by the fleet's sites. home_well_s: (W,) negative where the home is not well.
    """

    as_of: datetime
    workloads: tuple[Movable, ...]
    clusters: tuple[str, ...]
    place: NDArray[np.int64]
    costs: Costs
    ahead: NDArray[np.float32] | None
    move_cost: NDArray[np.float32]
    idle_slots: NDArray[np.float32]
    came_from: NDArray[np.int64]
    homes: Homes
    home_well_s: list[float]
    signs: Signs
    latency_ms: Floats
    usd_per_hour: Floats
    carbon_g_per_hour: Floats
    rates: Floats
    cores: Floats
    room: Room
    queries: Queries
    history: History
    silent: Rescues
    forgotten: tuple[Forgotten, ...]
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class Forgotten:
    """A workload that a move has drained in `source`; `replicas` pods of its copy in `target` serve instead."""

    source: str
    target: str
    namespace: str
    name: str
    replicas: int

    @property
    def subject(self) -> str:
        """`cluster/namespace/name`, as the journal names it."""
        return f"{self.source}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Rescues:
    """W workloads of silent clusters, S clusters that answer; `total` is NaN, or infinite, where one may not go.

    held: so much of the fleet is silent that it may be us. latency_ms, usd_per_hour, carbon_g_per_hour: (W, S).
    """

    workloads: tuple[Silent, ...]
    held: bool
    total: NDArray[np.float32]
    size: Floats
    latency_ms: Floats
    usd_per_hour: Floats
    carbon_g_per_hour: Floats


@dataclass(frozen=True)
class _Cluster:
    """What one cluster answered: its room, its workloads by `namespace/name`, the share of their pods not Ready."""

    room: ClusterRoom
    standing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ill: float = 0.0


@task(name="observe movable workloads", cache_policy=NO_CACHE, persist_result=False)
def observe_workloads(
    run: Run, workloads: Sequence[Movable], leave: Sequence[str], maintenance: Sequence[Maintenance], queries: Queries,
    policy: Policy,
) -> View:  # fmt: skip
    """Find each workload, and weigh every cluster for it. One that stands nowhere, or twice, is told and left.

    leave: clusters that are to be left until further notice. policy: its smoothing, its look-ahead, its failback.

    Raises
    ------
    InvalidInput: a workload or a cluster that is to be left is not in the inventory, or is there twice.
    """
    check_names(run.fleet, workloads, leave, maintenance)
    as_of, trouble = present(run.fleet)
    closed = frozenset([*leave, *(each.cluster for each in maintenance if each.holds(as_of))])
    found = dict(zip((each.name for each in run.fleet.clusters), side_by_side(_read, run.fleet.clusters), strict=True))
    trouble += [each.room.trouble for each in found.values() if each.room.trouble]
    clusters = [cluster for cluster in run.fleet.clusters if not found[cluster.name].room.trouble]
    names = tuple(cluster.name for cluster in clusters)
    history = read_history(run, as_of)
    mute = {cluster.name for cluster in run.fleet.clusters} - set(names)
    afar = started_from_afar(run)
    silent = silent_workloads(run, history, [each for each in workloads if each.key not in afar], mute, as_of)
    forgotten = _forgotten(run, workloads, names, found)
    kept, place = _places(
        [each for each in workloads if each.key not in forgotten], names, found, trouble, afar,
        {each.workload.key for each in silent},
    )  # fmt: skip
    apis = {each.name: each for each in clusters}
    trouble += keep_spares(run, lambda name: KubernetesApi.connect(resolve_secrets(apis[name])), kept,
                           [names[at] for at in place], as_of)  # fmt: skip
    deployments = [found[names[at]].standing[each.key] for each, at in zip(kept, place, strict=True)]
    size = np.array([size_of(each) for each in deployments]).reshape(-1, 3)
    measured = measure(run.fleet, queries, as_of, policy.alpha)
    signs = _signs(kept, place, names, deployments, found, closed, measured, history)
    rates, rtt = rates_of(run.fleet, kept, measured), rtt_of(run.fleet, clusters, measured)
    usd, grams = prices_of(run.fleet, clusters, measured, as_of)
    latency, cores = mean_latency(rates, rtt), size[:, 0] * size[:, 1]
    money = cores[:, None] * (usd + grams * CARBON_USD_PER_G)
    errors = np.zeros(latency.shape)
    errors[np.arange(len(kept)), place] = np.maximum.reduce(
        [signs.not_ready, signs.pressed, signs.errors, signs.leave.astype(float)])  # fmt: skip
    rooms = {name: each.room for name, each in found.items()}
    allowed = allowed_of(clusters, kept, place, size, rooms, {n: each.standing for n, each in found.items()}, closed)
    well = {name for name in names if found[name].ill <= ILL and name not in closed}
    homes, home_well_s = homes_of(history, kept, names, well, as_of, policy.failback_s)
    growth = (
        zone_growth(run, [site.name for site in run.fleet.sites], as_of, policy.horizon_s) if policy.ahead else None
    )
    moves = [history.moves.get(each.key) for each in kept]
    return View(
        as_of, tuple(kept), names, np.array(place, np.int64), costs_of(latency, money, errors, allowed),
        None if growth is None else latency_to_come(rates, growth, rtt), _move_costs(kept, money),
        np.array([(as_of - each.at) / SLOT if each else 1e6 for each in moves], np.float32),
        np.array([names.index(each.source) if each and each.source in names else -1 for each in moves], np.int64),
        homes, home_well_s, signs, latency, cores[:, None] * usd, cores[:, None] * grams, rates, cores,
        Room(size[:, :1] * size[:, 1:], _free(run, names, rooms)), queries, history,
        _rescues(run, silent, 2 * len(mute) >= len(run.fleet.clusters), clusters, rtt, usd, grams, measured, rooms,
                 {n: each.standing for n, each in found.items()}, closed),
        tuple(forgotten.values()), (*trouble, *measured.trouble),
    )  # fmt: skip


def _rescues(
    run: Run, silent: Sequence[Silent], held: bool, clusters: Sequence[Cluster], rtt: Floats, usd: Floats,
    grams: Floats, measured: Measured, rooms: Mapping[str, ClusterRoom],
    standing: Mapping[str, Mapping[str, Any]], closed: frozenset[str],
) -> Rescues:  # fmt: skip
    """What every cluster that answers is to the workloads of those that do not."""
    kept = [each.workload for each in silent]
    size = np.array([size_of(each.spare.manifest) for each in silent]).reshape(-1, 3)
    latency, cores = mean_latency(rates_of(run.fleet, kept, measured), rtt), size[:, 0] * size[:, 1]
    allowed = allowed_of(clusters, kept, [-1] * len(kept), size, rooms, standing, closed)
    money = cores[:, None] * (usd + grams * CARBON_USD_PER_G)
    return Rescues(tuple(silent), held, costs_of(latency, money, np.zeros(latency.shape), allowed).total,
                   size[:, :1] * size[:, 1:], latency, cores[:, None] * usd, cores[:, None] * grams)  # fmt: skip


def present(fleet: Fleet) -> tuple[datetime, list[str]]:
    """The time of the fleet's metrics, for a simulated fleet has its own; of this machine where they do not answer."""
    try:
        return utc(source_time_s(fleet)), []
    except ContinuumError as error:
        return now(), [f"the fleet's metrics do not tell the time: {error}"]


def _forgotten(
    run: Run, workloads: Sequence[Movable], names: Sequence[str], found: Mapping[str, _Cluster]
) -> dict[str, Forgotten]:
    """Workloads that stand in two clusters, as a move that no intent tells of was cut off before its last step."""
    told, open_moves = dict[str, Forgotten](), {each.subject for each in run.journal.intents(state=State.STARTED)}
    for each in workloads:
        at = [name for name in names if each.key in found[name].standing]
        for source, target in permutations(at) if len(at) == 2 else ():
            there, copy = found[source].standing[each.key], found[target].standing[each.key]
            drained = Forgotten(source, target, each.namespace, each.name, replicas_of(copy))
            if is_drained_into(target, there, copy) and drained.subject not in open_moves:
                told[each.key] = drained
    return told


def _places(
    workloads: Sequence[Movable], names: Sequence[str], found: Mapping[str, _Cluster], trouble: list[str],
    afar: Mapping[str, str], silent: Collection[str],
) -> tuple[list[Movable], list[int]]:  # fmt: skip
    """The workloads that stand in one cluster, and which; the others are told, but for those of silent clusters."""
    kept, place = [], []
    for each in workloads:
        at = [name for name in names if each.key in found[name].standing]
        if each.key in afar:
            trouble.append(f"workload {each.key} runs in {', '.join(at) or 'no cluster that answers'} until "
                           f"{afar[each.key]} answers; then it is removed there")  # fmt: skip
        elif len(at) == 1:
            kept.append(each)
            place.append(names.index(at[0]))
        elif at or each.key not in silent:
            where = f"in {', '.join(at)}: one has to go first" if at else "in no cluster that answers"
            trouble.append(f"workload {each.key} stands {where}")
    return kept, place


def _signs(
    kept: Sequence[Movable], place: Sequence[int], names: Sequence[str], deployments: Sequence[Mapping[str, Any]],
    found: Mapping[str, _Cluster], closed: frozenset[str], measured: Measured, history: History,
) -> Signs:  # fmt: skip
    """What is wrong with the workloads; pods that fail in one pass alone may be a roll-out."""
    at = [names[column] for column in place]
    seen = {
        "not_ready": np.array([not_ready(each) for each in deployments], np.float64),
        "pressed": np.array([_pressed(found[name].room, each) for name, each in zip(at, deployments, strict=True)],
                            np.float64),
    }  # fmt: skip
    lasting = {name: np.minimum(values, [history.seen(each.key, name) for each in kept])
               for name, values in seen.items()}  # fmt: skip
    share = measured.of("error_ratio") or {}
    errors = [share.get(key_of("error_ratio", namespace=each.namespace, workload=each.name, cluster=name), 0.0)
              for each, name in zip(kept, at, strict=True)]  # fmt: skip
    down, leave = (np.array([test(name) for name in at], np.bool_)
                   for test in (lambda name: found[name].ill >= DOWN, closed.__contains__))  # fmt: skip
    return Signs(lasting["not_ready"], lasting["pressed"], np.array(errors, np.float64), down, leave, seen)


def _read(cluster: Cluster) -> _Cluster:
    room = read_room(cluster)
    if room.trouble:
        return _Cluster(room)
    try:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        found = [*api.list("statefulsets"), *api.list("deployments")]  # of one name, the Deployment counts
    except ContinuumError as error:
        return _Cluster(ClusterRoom({}, trouble=f"{error}; nothing is moved there, or from there"))
    wanted = np.array([replicas_of(each) for each in found], np.float64)
    missing = wanted @ np.array([not_ready(each) for each in found], np.float64) if found else 0.0
    standing = {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in found}
    return _Cluster(room, standing, float(missing / max(wanted.sum(), 1.0)))


def not_ready(deployment: Mapping[str, Any]) -> float:
    """Share of a Deployment's pods that are not Ready."""
    wanted = replicas_of(deployment)
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    return max(0.0, 1 - ready / wanted) if wanted else 0.0


def _pressed(room: ClusterRoom, deployment: Mapping[str, Any]) -> float:
    """Share of a Deployment's pods on nodes under pressure."""
    namespace, wanted = deployment["metadata"]["namespace"], replicas_of(deployment)
    labels = (deployment["spec"]["selector"].get("matchLabels") or {}).items()
    there = sum(space == namespace and labels <= each.items() for space, each in room.pressed) if labels else 0
    return min(there / wanted, 1.0) if wanted else 0.0


def _free(run: Run, names: Sequence[str], rooms: Mapping[str, ClusterRoom]) -> Floats:
    """(S, 2) cores and GiB that each cluster has free in all, less what runs that are under way have reserved there."""
    reserved = [run.journal.reserved(unit) for unit in (CORES, MEMORY)]
    return np.array([[max(rooms[name].free[key] - held.get(name, 0.0), 0.0)
                      for key, held in zip(("cpu", "memory_gb"), reserved, strict=True)] for name in names]
                    ).reshape(-1, 2)  # fmt: skip


def _move_costs(kept: Sequence[Movable], money: Floats) -> NDArray[np.float32]:
    """(W,) in slots of each workload's usual cost."""
    usual = np.nanmedian(np.where(np.isnan(money), 1.0, money), axis=1) if kept else np.ones(0)
    data = np.array([each.moved_gb for each in kept]) * TRANSFER_USD_PER_GB / np.maximum(usual, 1e-6) * MONEY_WEIGHT
    return np.asarray(data + DISRUPTION + COORDINATION, np.float32)
