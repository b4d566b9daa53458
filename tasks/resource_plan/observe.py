"""Read what a plan rests on: the pools from their clouds, GPUs and storage from Kubernetes, the stored forecast."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, StoreUnavailable
from blocks.fleet import Autoscaler, Cluster, Fleet, NodePool, pool_id
from blocks.fleet_values import to_bytes
from blocks.inventory import resolve_secrets
from blocks.kubernetes import POOL_LABEL, KubernetesApi, PoolRoom, room_by_pool
from blocks.series import Forecast, utc
from blocks.store.forecasts import load_forecast
from tasks.clusters import side_by_side
from tasks.forecasting.act import forecast_name
from tasks.forecasting.decide.plans import PLANS
from tasks.forecasting.observe import source_time_s
from tasks.pools.observe import PoolReading, read_pools
from tasks.resource_plan.decide import PlanPools
from tasks.run import Run

PLAN = PLANS["day-ahead"]
_AMOUNT = re.compile(r"\s*[\d.]+\s*[A-Za-z]+")  # of `4TB NVMe`: what kind of storage it is does not matter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlanView:
    """Everything that a plan looks at, at one moment; `trouble` has one line for each source that did not answer."""

    as_of: datetime
    pools: PlanPools
    forecast: Forecast | None
    trouble: tuple[str, ...]


@task(name="observe pools for a plan", cache_policy=NO_CACHE, persist_result=False)
def observe_for_plan(run: Run) -> PlanView:
    """The fleet's pools as arrays, in file order, and the newest day-ahead forecast.

    Raises
    ------
    ContinuumError: the metrics' clock cannot be read; a plan has to begin now.
    """
    as_of = utc(source_time_s(run.fleet))
    readings, trouble = read_pools(run.fleet)
    answered = {reading.cluster.name for reading in readings if reading.state is not None}
    room = _rooms(run.fleet, answered, trouble)
    forecast = None
    try:
        forecast = load_forecast(run.store, forecast_name(run.fleet_name, PLAN), not_after=as_of)
    except StoreUnavailable as error:
        trouble.append(str(error))
    return PlanView(as_of, pools_of(run.fleet, readings, room), forecast, tuple(trouble))


def _rooms(fleet: Fleet, answered: set[str], trouble: list[str]) -> dict[str, PoolRoom]:
    """GPUs and storage by pool, of the clusters that have answered before; what cannot be read is unknown, and told."""
    asked = [cluster for cluster in fleet.clusters if cluster.name in answered]
    answers = side_by_side(_room, asked)
    trouble += [line for _, lines in answers for line in lines]
    return {name: room for rooms, _ in answers for name, room in rooms.items()}


def _room(cluster: Cluster) -> tuple[dict[str, PoolRoom], list[str]]:
    pods, lines = None, []
    try:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        nodes = api.nodes(POOL_LABEL[cluster.provider])
    except ContinuumError as error:
        logger.warning("%s", error)
        return {}, [str(error)]
    try:
        pods = api.pods()
    except ContinuumError as error:
        logger.warning("%s", error)
        lines.append(f"{error}. Until then its GPU and storage requests are unknown")
    found = room_by_pool(nodes, pods, cluster.provider)
    return {pool_id(cluster.name, name): room for name, room in found.items()}, lines


def pools_of(fleet: Fleet, readings: Sequence[PoolReading], room: Mapping[str, PoolRoom]) -> PlanPools:
    """What the inventory and the clouds say of each pool, with the tighter of their bounds."""
    low = [max(reading.pool.min_nodes, reading.state.min_nodes if reading.state else 0) for reading in readings]
    high = [min(reading.pool.max_nodes, reading.state.max_nodes if reading.state else 10**6) for reading in readings]
    rooms = [_with_site(fleet, reading, room.get(reading.subject, PoolRoom())) for reading in readings]
    sizes = [(float(reading.pool.node_cpu), float(reading.pool.node_memory), told.gpus, told.storage_bytes)
             for reading, told in zip(readings, rooms, strict=True)]  # fmt: skip
    requested = [(None, None, told.gpus_requested, told.storage_bytes_requested) for told in rooms]
    return PlanPools(
        unique_id=tuple(reading.subject for reading in readings),
        current=np.array([reading.state.desired if reading.state else 0 for reading in readings], np.int64),
        ready=np.array([reading.ready for reading in readings], np.int64),
        min_nodes=np.minimum(low, high).astype(np.int64),
        max_nodes=np.array(high, np.int64),
        node_sizes=np.array(sizes, np.float64),  # None becomes NaN: unknown
        requested=np.array(requested, np.float64),
        boot_s=np.array([reading.pool.boot_s for reading in readings], np.float64),
        price_usd_per_hour=np.array([reading.pool.usd_per_hour for reading in readings], np.float64),
        paid_nodes=np.array([reading.pool.reserved_nodes for reading in readings], np.int64),
        multiple_of=np.array([r.state.multiple_of if r.state else 1 for r in readings], np.int64),
        reachable=np.array([reading.state is not None for reading in readings], np.bool_),
        owner=tuple(_owner(reading) for reading in readings),
    )


def _with_site(fleet: Fleet, reading: PoolReading, told: PoolRoom) -> PoolRoom:
    """What the cluster tells; of a site that has one pool alone, the inventory's own figures where it does not.

    The site's hardware is that of the pool at its largest.
    """
    capacity = fleet.site(reading.cluster.site).capacity
    here = [pool for cluster, pool in fleet.pools() if cluster.site == reading.cluster.site]
    if capacity is None or len(here) != 1:
        return told
    gpus, storage = told.gpus, told.storage_bytes
    if gpus is None and capacity.gpu:
        gpus = int(capacity.gpu.split("x", 1)[0]) / reading.pool.max_nodes
    if storage is None and capacity.storage:
        amount = _AMOUNT.match(capacity.storage)
        size = to_bytes(amount[0]) if amount else None
        storage = size / reading.pool.max_nodes if isinstance(size, int) else None
    return PoolRoom(gpus, storage, told.gpus_requested, told.storage_bytes_requested)


def _owner(reading: PoolReading) -> str:
    """Who else sizes the pool: found by looking, or as the inventory says."""
    pool: NodePool = reading.pool
    state = reading.state
    if pool.hands_off or (state and state.hands_off):
        return "hands-off"
    if state and (state.owner or state.autoscaled):
        return state.owner or Autoscaler.CLUSTER_AUTOSCALER.value
    return "" if pool.autoscaler is Autoscaler.NONE else pool.autoscaler.value
