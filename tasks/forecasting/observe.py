"""Bring the demand of every node pool from the metric sources into the series files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, NotFound
from blocks.fleet import Fleet, Metrics
from blocks.inventory import resolve_secrets
from blocks.prometheus import PrometheusSource
from blocks.series import Series, utc
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


def metrics_of(fleet: Fleet) -> list[tuple[Metrics, tuple[str, ...]]]:
    """Each metric source with the clusters that it is asked for."""
    own: list[tuple[Metrics, tuple[str, ...]]] = [
        (cluster.metrics, (cluster.name,)) for cluster in fleet.clusters if cluster.metrics
    ]
    shared = tuple(cluster.name for cluster in fleet.clusters if not cluster.metrics)
    return [(fleet.metrics, shared), *own] if shared else own


def demand_query(metrics: Metrics, kind: str, clusters: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """The queries for one kind of demand: PromQL, template of the series' names `cluster/pool`, name of the part.

    A query with `$cluster` is asked once a cluster; any other once, for all clusters of the source.
    """
    query = str(getattr(metrics, kind))
    if "$cluster" in query:
        for cluster in clusters:
            yield query.replace("$cluster", cluster), f"{cluster}/{{node_pool}}", cluster
    else:
        yield query, "{cluster}/{node_pool}", clusters[0]


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
    as_of = PrometheusSource.from_metrics(resolve_secrets(fleet.metrics)).now()
    end_s = int(as_of.timestamp()) // STEP_S * STEP_S + STEP_S
    files, seen, trouble = SeriesStore.open(), set[str](), list[str]()
    for kind in KINDS:
        for metrics, clusters in metrics_of(fleet):
            source = PrometheusSource.from_metrics(resolve_secrets(metrics))
            for query, label, part in demand_query(metrics, kind, clusters):
                try:
                    seen |= _bring(source, query, label, kind, files, part, end_s, history_days)
                except ContinuumError as error:
                    trouble.append(str(error))
                    logger.warning("%s", error)
    return Collected(utc(as_of.timestamp()), len(seen), tuple(trouble))


def _bring(
    source: PrometheusSource, query: str, label: str, kind: str, files: SeriesStore, part: str, end_s: int, days: int
) -> set[str]:
    """Bring one query's series up to `end_s`; the names `cluster/pool/kind` of those that have a sample lately."""
    begin_s = (end_s - days * DAY_S) // DAY_S * DAY_S
    newest = source.matrix(query, end_s - OVERLAP_S, end_s, STEP_S, label=label)
    if not newest.unique_id:
        return set()
    stored = _read(files, kind, end_s - DAY_S, end_s, newest.unique_id)
    known = dict(zip(stored.unique_id, _last_known_s(stored), strict=True))
    last_s = min(known.get(name, 0) for name in newest.unique_id)
    first_s = max(begin_s, last_s - OVERLAP_S) if last_s else begin_s
    for day_s in range(first_s // DAY_S * DAY_S, end_s, DAY_S):
        window = max(day_s, first_s), min(day_s + DAY_S, end_s)
        files.append(kind, source.matrix(query, *window, STEP_S, label=label), shard=part)
    return {f"{name}/{kind}" for name in newest.unique_id}


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
    end_s = int(as_of.timestamp()) // STEP_S * STEP_S + STEP_S
    begin_s = end_s - history_days * DAY_S
    wanted = [f"{cluster.name}/{pool.name}" for cluster, pool in fleet.pools()]
    parts = [_read(files, kind, begin_s, end_s, wanted) for kind in KINDS]
    names = tuple(f"{name}/{kind}" for kind, part in zip(KINDS, parts, strict=True) for name in part.unique_id)
    return Series(names, begin_s, STEP_S, np.concatenate([part.values for part in parts]))


def _read(files: SeriesStore, kind: str, begin_s: int, end_s: int, names: Sequence[str]) -> Series:
    """The named series; all of them missing where nothing was ever kept."""
    try:
        return files.read(kind, begin_s, end_s, names, step_s=STEP_S)
    except NotFound:
        return Series(
            tuple(names), begin_s, STEP_S, np.full((len(names), (end_s - begin_s) // STEP_S), np.nan, np.float32)
        )
