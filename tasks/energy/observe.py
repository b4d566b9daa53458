"""How many machines each pool had and what they did, from the metric sources into the series files, and from there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, NotFound
from blocks.fleet import Cluster, Fleet, NodePool, Provider, Site, pool_id
from blocks.series import Series
from blocks.store.series import SeriesStore
from blocks.store.tables import now
from tasks.energy.decide.instance_types import machine_of
from tasks.energy.decide.lines import Usage
from tasks.energy.decide.power import Machine
from tasks.energy.decide.samples import HOUR_S, Pool, Samples, Shares, hourly_means
from tasks.energy.meters import read_bmcs
from tasks.energy.usage import QUERIES, usage_of_series
from tasks.forecasting.observe import demand_queries

STEP_S = 300
DAY_S = 86_400
POOLS, NAMESPACES = (
    ("cpu_cores", "nodes_ready", "watts", "sensor_watts"),
    ("namespace_cpu_cores", "namespace_cpu_requests"),
)
# What measures, the most trusted first: where it is kept, and what reports call it.
METERS = (
    ("bmc_watts", "BMC (Redfish)"),
    ("watts", "query metrics.watts"),
    ("sensor_watts", "query metrics.sensor_watts"),
)
# Where an instance type is not known by name: what clouds bought most lately; small servers as edge sites have them.
CLOUD_FAMILY, EDGE_FAMILY = "icelake", "coffeelake"
GIB = 2.0**30

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observed:
    """What is known of a span, and one line for each source in trouble."""

    samples: Samples
    shares: Shares | None
    usage: Usage | None
    trouble: tuple[str, ...]


@task(name="collect use", cache_policy=NO_CACHE, persist_result=False)
def collect_use(fleet: Fleet, begin_s: int, end_s: int) -> tuple[str, ...]:
    """Append what the sources tell of [begin, end) to the series files; one line for each source in trouble.

    Metric stores forget after weeks: what a month's report rests on is kept here, hour by hour.
    """
    files, trouble = SeriesStore.open(), []
    by_namespace = [*demand_queries(fleet, NAMESPACES, "/{node_pool}/{namespace}"),
                    *demand_queries(fleet, tuple(QUERIES), "/{namespace}")]  # fmt: skip
    for asked in [*demand_queries(fleet, POOLS), *by_namespace]:
        try:
            for day_s in range(begin_s // DAY_S * DAY_S, end_s, DAY_S):
                window = max(day_s, begin_s), min(day_s + DAY_S, end_s)
                files.append(_metric(fleet.name, asked.kind), asked.read(*window, STEP_S), shard=asked.clusters[0])
        except ContinuumError as error:
            trouble.append(str(error))
            logger.warning("%s", error)
    measured, silent = read_bmcs(fleet, int(now().timestamp()), STEP_S)
    if measured is not None:
        files.append(_metric(fleet.name, "bmc_watts"), measured)
    return tuple(trouble + silent)


def observe_use(fleet: Fleet, begin_s: int, end_s: int, trouble: Sequence[str] = ()) -> Observed:
    """What the series files hold of [begin, end), whole hours; nothing is known where they hold nothing."""
    files, names = SeriesStore.open(), [pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools()]
    kinds = {"cpu_cores", "nodes_ready", *(kind for kind, _ in METERS)}
    found = {kind: _read(files, fleet.name, kind, begin_s, end_s, names).values.astype(np.float64) for kind in kinds}
    sites = {site.name: site for site in fleet.sites}
    cores = np.array([float(pool.node_cpu) for _, pool in fleet.pools()])[:, None]
    machines = found["nodes_ready"]
    with np.errstate(invalid="ignore", divide="ignore"):  # a pool without nodes uses nothing
        used = np.clip(found["cpu_cores"] / (machines * cores), 0.0, 1.0)
    watched = Counter(each.node_pool for each in fleet.bmcs)
    more = machines > np.array([[watched[name]] for name in names])  # than are measured: a part is not the whole
    unwatched = [name for name, row in zip(names, more & np.isfinite(found["bmc_watts"]), strict=True) if row.any()]
    found["bmc_watts"][more] = np.nan
    watts, meters = np.full(machines.shape, np.nan), [list[str]() for _ in names]
    for kind, called in METERS:
        taken = np.isnan(watts) & np.isfinite(found[kind])
        watts[taken] = found[kind][taken]
        for row in np.flatnonzero(taken.any(axis=1)):
            meters[row].append(called)
    pools = tuple(_pool(cluster, pool, sites[cluster.site], ", ".join(called))
                  for (cluster, pool), called in zip(fleet.pools(), meters, strict=True))  # fmt: skip
    samples = Samples(begin_s, STEP_S, pools, np.arange(len(pools)), machines, np.where(machines > 0, used, np.nan),
                      watts if np.isfinite(watts).any() else None)  # fmt: skip
    lines = [
        f"pool {name}: it has more machines than `bmcs` names, and is not taken for measured" for name in unwatched
    ]
    usage = usage_of_series({kind: _read(files, fleet.name, kind, begin_s, end_s, None) for kind in QUERIES})
    return Observed(samples, _shares(files, fleet.name, begin_s, end_s, names), usage, (*trouble, *lines))


def nodes_ready(fleet: Fleet, begin_s: int, end_s: int) -> Series:
    """Ready nodes of every pool in file order, as kept hour by hour; NaN where nobody counted."""
    names = [pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools()]
    return _read(SeriesStore.open(), fleet.name, "nodes_ready", begin_s, end_s, names)


def _shares(files: SeriesStore, fleet_name: str, begin_s: int, end_s: int, pools: Sequence[str]) -> Shares | None:
    """Mean cores by namespace and hour; None where no query of a namespace is set."""
    place = {name: number for number, name in enumerate(pools)}
    parts = {kind: _read(files, fleet_name, kind, begin_s, end_s, None) for kind in NAMESPACES}
    names = sorted({name for part in parts.values() for name in part.unique_id if name.rpartition("/")[0] in place})
    if not names:
        return None
    hours = (end_s - begin_s) // HOUR_S
    found = []
    for part in parts.values():
        row_of = {name: row for row, name in enumerate(part.unique_id)}
        values = np.full((len(names), hours), np.nan)
        for number, name in enumerate(names):
            if name in row_of:
                values[number] = hourly_means(part.values[row_of[name]].astype(np.float64), part.step_s)
        found.append(values)
    owner = np.array([place[name.rpartition("/")[0]] for name in names], np.int64)
    return Shares(owner, tuple(name.rpartition("/")[2] for name in names), *found)


def _pool(cluster: Cluster, pool: NodePool, site: Site, meter: str) -> Pool:
    """A pool's machines by their instance type; by their size alone where the type is not known by name."""
    try:
        machine, assumed = replace(machine_of(pool.instance_type), pue=1.0), ""
    except ContinuumError:
        family = EDGE_FAMILY if cluster.provider is Provider.K3S else CLOUD_FAMILY
        machine = Machine(family, ceil(pool.node_cpu), float(pool.node_memory) / GIB)
        assumed = f"{pool.instance_type} is not known by name: {machine.threads:g} threads as of {family}"
    zone = site.grid_zone or ""
    return Pool(cluster.name, pool.name, machine, zone, float(site.pue), "fleet.yaml", assumed, meter)


def _metric(fleet_name: str, kind: str) -> str:
    return f"energy {kind} of {fleet_name}"


def _read(
    files: SeriesStore, fleet_name: str, kind: str, begin_s: int, end_s: int, names: Sequence[str] | None
) -> Series:
    """The named series (all that are known for None); all of them missing where nothing was ever kept."""
    try:
        return files.read(_metric(fleet_name, kind), begin_s, end_s, names, step_s=STEP_S)
    except NotFound:
        width = (end_s - begin_s) // STEP_S
        return Series(tuple(names or ()), begin_s, STEP_S, np.full((len(names or ()), width), np.nan, np.float32))
