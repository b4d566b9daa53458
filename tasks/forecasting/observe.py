"""Bring the demand of every node pool from the metric sources into the series files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict, ContinuumError, NotFound
from blocks.fleet import Fleet, Metrics, pool_id
from blocks.inventory import resolve_secrets
from blocks.prometheus import PrometheusSource
from blocks.series import Series, utc
from blocks.store import Journal, Store
from blocks.store.series import SeriesStore
from tasks.forecasting.kinds import KINDS
from tasks.pools.observe import read_pools

STEP_S = 300
DAY_S = 86_400
OVERLAP_S = 4 * STEP_S  # read again: samples that came late

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """What a pass has brought in: the sources' time, the number of series, and one line for each source in trouble."""

    as_of: datetime
    series: int
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class DemandQuery:
    """One question to one metric source: the demand of one kind of some clusters' pools.

    Attributes
    ----------
    clusters: whose pools the answer may hold; what it tells of others is not this source's to tell.
    template: how a series is named `cluster/pool` by its labels.
    """

    metrics: Metrics
    clusters: tuple[str, ...]
    kind: str
    promql: str
    template: str

    def read(self, start_s: float, end_s: float, step_s: int) -> Series:
        """Demand on the grid, named `cluster/pool`, in the kind's own unit; NaN where there is no sample.

        Raises
        ------
        ContinuumError: the source does not answer, or only in part, or its credential is not there.
        """
        source = PrometheusSource.from_metrics(resolve_secrets(self.metrics))
        found = source.matrix(self.promql, start_s, end_s, step_s, label=self.template)
        rows = [row for row, name in enumerate(found.unique_id) if name.split("/", 1)[0] in self.clusters]
        return replace(found, unique_id=tuple(found.unique_id[row] for row in rows), values=found.values[rows])


def demand_queries(fleet: Fleet, kinds: Sequence[str] = KINDS, label: str = "/{node_pool}") -> Iterator[DemandQuery]:
    """Every question that gives the fleet's demand, or other fields of `Metrics`; one that is empty is not asked.

    A query with `$cluster` is asked once a cluster; any other once, for all clusters of its source.
    label: what names a series beside its cluster, e.g. "/{node_pool}/{namespace}".
    """
    shared = tuple(cluster.name for cluster in fleet.clusters if not cluster.metrics)
    sources = [(fleet.metrics, shared)] if shared else []
    sources += [(cluster.metrics, (cluster.name,)) for cluster in fleet.clusters if cluster.metrics]
    for metrics, clusters in sources:
        for kind in kinds:
            promql = str(getattr(metrics, kind))
            if not promql:
                continue
            if "$cluster" in promql:
                for name in clusters:
                    yield DemandQuery(metrics, (name,), kind, promql.replace("$cluster", name), f"{name}{label}")
            else:
                yield DemandQuery(metrics, clusters, kind, promql, f"{{cluster}}{label}")


def cpu_demand_of_fleet(fleet: Fleet, days: int, step_s: int) -> tuple[Series, list[str]]:
    """The CPU demand of every pool over the newest days, from the metric sources; one line for each in trouble.

    Raises
    ------
    ContinuumError: the sources' clock cannot be read, or no pool has a series.
    """
    end_s = source_time_s(fleet) // step_s * step_s
    parts: list[Series] = []
    trouble: list[str] = []
    for asked in demand_queries(fleet):
        if asked.kind == "cpu_cores":
            try:
                parts.append(asked.read(end_s - days * DAY_S, end_s, step_s))
            except ContinuumError as error:
                trouble.append(str(error))
    known = {pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools()}
    rows = [(part, row) for part in parts for row, name in enumerate(part.unique_id) if name in known]
    if not rows:
        raise NotFound(f"no pool has a CPU demand ({'; '.join(trouble) or 'the queries give none'})",
                       where="metrics", fix="look at metrics.cpu_cores in fleet.yaml")  # fmt: skip
    names = tuple(part.unique_id[row] for part, row in rows)
    values = np.stack([part.values[row] for part, row in rows])
    return Series(names, rows[0][0].start_s, step_s, values), trouble


def source_time_s(fleet: Fleet) -> float:
    """The present by the fleet's own metric source, epoch seconds: every question about "now" asks the data's clock."""
    return PrometheusSource.from_metrics(resolve_secrets(fleet.metrics)).now().timestamp()


@task(name="collect demand", cache_policy=NO_CACHE, persist_result=False)
def collect_demand(fleet: Fleet, history_days: int) -> Collected:
    """Append what is new since the last pass; a pool that is new gets its whole history.

    Parameters
    ----------
    history_days: how far back a first pass reads.

    Raises
    ------
    ContinuumError: the fleet's own metric source does not tell its time. Any other source's trouble is only noted.
    """
    as_of = utc(source_time_s(fleet))
    end_s = int(as_of.timestamp()) // STEP_S * STEP_S + STEP_S
    files, seen, trouble = SeriesStore.open(), set[str](), list[str]()
    for asked in demand_queries(fleet):
        try:
            seen |= _bring(fleet, asked, files, end_s, history_days)
        except ContinuumError as error:
            trouble.append(str(error))
            logger.warning("%s", error)
    _compact_yesterday(fleet, files, as_of)
    return Collected(as_of, len(seen), tuple(trouble))


def _bring(fleet: Fleet, asked: DemandQuery, files: SeriesStore, end_s: int, days: int) -> set[str]:
    """Bring one question's series up to `end_s`; the names `cluster/pool/kind` of those that have a sample lately."""
    metric, begin_s = _metric(fleet.name, asked.kind), (end_s - days * DAY_S) // DAY_S * DAY_S
    newest = asked.read(end_s - OVERLAP_S, end_s, STEP_S)
    if not newest.unique_id:
        return set()
    stored = _read(files, metric, end_s - DAY_S, end_s, newest.unique_id)
    known = dict(zip(stored.unique_id, _last_known_s(stored), strict=True))
    last_s = min(known.get(name, 0) for name in newest.unique_id)
    first_s = max(begin_s, last_s - OVERLAP_S) if last_s else begin_s
    for day_s in range(first_s // DAY_S * DAY_S, end_s, DAY_S):
        window = max(day_s, first_s), min(day_s + DAY_S, end_s)
        files.append(metric, asked.read(*window, STEP_S), shard=asked.clusters[0])
    return {f"{name}/{asked.kind}" for name in newest.unique_id}


def _metric(fleet_name: str, kind: str) -> str:
    """Under which name the series files keep a kind of demand: fleets in one store may have pools of one name."""
    return f"{kind} of {fleet_name}"


def _compact_yesterday(fleet: Fleet, files: SeriesStore, as_of: datetime) -> None:
    """Merge the small files that yesterday's passes left; one listing where there is nothing to merge."""
    journal, day = Journal(Store.open()), (as_of - timedelta(days=1)).date()
    for kind in KINDS:
        metric = _metric(fleet.name, kind)
        with suppress(Conflict, NotFound):  # another run is at it; nothing was ever kept
            journal.acquire(f"compact/{metric}", 600)
            files.compact(metric, day)
            journal.release(f"compact/{metric}")


def _last_known_s(series: Series) -> list[int]:
    """(S) time of each row's last sample, epoch seconds; 0 where the row has none."""
    known = ~np.isnan(series.values)
    last = series.values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1) if known.size else np.zeros(0, np.int64)
    return [int(series.times()[column]) if row.any() else 0 for column, row in zip(last, known, strict=True)]


def present_capacity(fleet: Fleet, *, full_ratio: float = 0.90) -> dict[str, float]:
    """What each series `cluster/pool/kind` may reach on the nodes its pool has now, in cores or bytes.

    full_ratio: share of the nodes' allocatable that counts as full, 0-1. Pools that do not answer are absent.
    """
    capacity: dict[str, float] = {}
    for reading in read_pools(fleet)[0]:
        if reading.state is not None:
            nodes = reading.state.desired * full_ratio
            capacity[f"{reading.subject}/cpu_cores"] = nodes * reading.pool.node_cpu
            capacity[f"{reading.subject}/memory_bytes"] = nodes * reading.pool.node_memory
    return capacity


def read_demand(files: SeriesStore, fleet: Fleet, as_of: datetime, history_days: int) -> Series:
    """Both kinds of demand of the fleet's pools on one grid, named `cluster/pool/kind`; NaN where nothing is known."""
    return read_pool_demand(files, fleet.name, pools_of(fleet), as_of, history_days)


def pools_of(fleet: Fleet) -> list[str]:
    """Every pool of the fleet, `cluster/pool`, in file order."""
    return [pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools()]


def read_pool_demand(
    files: SeriesStore, metrics_of: str, pools: Sequence[str], as_of: datetime, history_days: int
) -> Series:
    """The same of some pools. `metrics_of`: the fleet's own name, under which its series are kept."""
    end_s = int(as_of.timestamp()) // STEP_S * STEP_S + STEP_S
    begin_s = end_s - history_days * DAY_S
    parts = [_read(files, _metric(metrics_of, kind), begin_s, end_s, pools) for kind in KINDS]
    names = tuple(f"{name}/{kind}" for kind, part in zip(KINDS, parts, strict=True) for name in part.unique_id)
    return Series(names, begin_s, STEP_S, np.concatenate([part.values for part in parts]))


def _read(files: SeriesStore, metric: str, begin_s: int, end_s: int, names: Sequence[str]) -> Series:
    """The named series; all of them missing where nothing was ever kept."""
    try:
        return files.read(metric, begin_s, end_s, names, step_s=STEP_S)
    except NotFound:
        return Series(
            tuple(names), begin_s, STEP_S, np.full((len(names), (end_s - begin_s) // STEP_S), np.nan, np.float32)
        )
