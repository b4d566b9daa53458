"""The series of the simulated Prometheus: what each is called, how it is labelled, where its values come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from blocks.fleet import Cluster, NodePool, pool_id
from blocks.tables import carbon_zones
from deployments.local import surroundings
from deployments.local.load import Served, served
from deployments.local.recorder import Recorder, Row
from deployments.local.sampling import CORES, NODES, POWER, RATE, REPLICAS
from deployments.local.traces import Floats
from deployments.local.workloads import Workload, Workloads
from deployments.local.world import World

J_PER_KWH = 3.6e6
# name of a series of workloads -> what clients meet
RESPONSES: dict[str, Callable[[Served], Floats]] = {
    "workload:errors:ratio": lambda each: each.errors,
    "workload:latency_seconds:mean": lambda each: each.mean_s,
    "workload:latency_seconds:p95": lambda each: each.p95_s,
    "workload:utilisation:ratio": lambda each: each.utilisation,
}

Read = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Series:
    """One series: `read` gives its values at (N,) scrape times, NaN where it has none.

    recorded: it reaches back only as far as the recorder; else it is a function of time, with 30 days of history.
    """

    labels: Mapping[str, str]
    read: Read
    recorded: bool = False


class Catalogue:
    """Every series that there is now: those of the fleet file once, those of deployed workloads as they come and go."""

    def __init__(self, world: World, recorder: Recorder, workloads: Workloads) -> None:
        self._world, self._recorder, self._workloads = world, recorder, workloads
        self._fixed = [*self._clusters(), *self._pools(), *self._sites()]

    def __call__(self) -> list[Series]:
        """All series."""
        return [*self._fixed, *self._served()]

    def _clusters(self) -> Iterator[Series]:
        for cluster in self._world.fleet.clusters:
            yield Series(
                {"__name__": "up", "cluster": cluster.name, "job": "node-pools", "instance": cluster.name}, np.ones_like
            )

    def _pools(self) -> Iterator[Series]:
        for cluster, pool in self._world.fleet.pools():
            name = pool_id(cluster.name, pool.name)
            at = {"cluster": cluster.name, "node_pool": pool.name}
            yield _named("node_pool:cpu_usage:cores", at, partial(self._world.demand, "cpu_cores", name))
            yield _named("node_pool:memory_usage:bytes", at, partial(self._world.demand, "memory_bytes", name))
            yield _named("node_pool_cpu_seconds_total", at, partial(self._world.cpu_seconds, name))
            nodes = partial(self._recorder.read, Row(NODES, cluster.name, pool.name))
            yield _named("node_pool:nodes_ready:count", at, nodes, recorded=True)
            yield from self._prices(cluster, pool, at)

    def _prices(self, cluster: Cluster, pool: NodePool, at: Mapping[str, str]) -> Iterator[Series]:
        if (usd := surroundings.on_demand_usd_per_hour(cluster, pool)) is None:
            return
        series, name, seed = "node_pool:price_usd_per_hour", pool_id(cluster.name, pool.name), self._world.seed
        yield _named(series, {**at, "purchase": "on-demand"}, partial(_constant, usd))
        spot = partial(surroundings.spot_usd_per_hour, usd, name, seed=seed)
        yield _named(series, {**at, "purchase": "spot"}, spot)

    def _sites(self) -> Iterator[Series]:
        sites, known = self._world.fleet.sites, carbon_zones()
        for site in sites:
            at, power = {"site": site.name}, Row(POWER, site.name)
            if site.grid_zone in known:
                carbon = partial(surroundings.carbon_g_per_kwh, site.grid_zone, seed=self._world.seed)
                yield _named("site:carbon_intensity:g_per_kwh", {**at, "zone": str(site.grid_zone)}, carbon)
            yield _named("site:power:watts", at, partial(self._recorder.read, power), recorded=True)
            yield _named("site:energy_kwh_total", at, partial(self._energy_kwh, power), recorded=True)
            for other in sites:
                if other is not site:
                    rtt = surroundings.site_rtt_ms(site, other)
                    yield _named("site:rtt_ms", {**at, "to": other.name}, partial(_constant, rtt))

    def _energy_kwh(self, power: Row, times_s: Floats) -> Floats:
        return self._recorder.total(power, times_s) / J_PER_KWH

    def _served(self) -> Iterator[Series]:
        """Series of every workload that was anywhere in the recorder's time."""
        for row in self._recorder.rows(REPLICAS):
            namespace, name = row.name.split("/")
            workload = self._workloads.of(namespace, name, row.place)
            at = {"cluster": row.place, **self._labels(workload, row.place)}
            rate = partial(workload.rate, self._world) if workload.pool else partial(self._read, RATE, row)
            yield _named("workload:requests:rate", at, rate, recorded=not workload.pool)
            yield _named("workload:replicas_ready:count", at, partial(self._read, REPLICAS, row), recorded=True)
            for series, pick in RESPONSES.items():
                yield _named(series, at, partial(self._response, pick, workload, row), recorded=True)
        for workload in self._workloads.deployed():
            at = {"namespace": workload.namespace, "workload": workload.name, "site": workload.home}
            yield _named("workload:demand:rate", at, partial(workload.rate, self._world))

    def _labels(self, workload: Workload, cluster: str) -> dict[str, str]:
        site = next(each.site for each in self._world.fleet.clusters if each.name == cluster)
        labels = {"namespace": workload.namespace, "workload": workload.name, "site": site}
        return labels | ({"node_pool": workload.name} if workload.pool else {})

    def _read(self, quantity: str, row: Row, times_s: Floats) -> Floats:
        return self._recorder.read(row._replace(quantity=quantity), times_s)

    def _response(self, pick: Callable[[Served], Floats], workload: Workload, row: Row, times_s: Floats) -> Floats:
        rate, replicas, cores = (self._read(quantity, row, times_s) for quantity in (RATE, REPLICAS, CORES))
        return pick(served(workload.service, rate, replicas, cores))


def _named(name: str, labels: Mapping[str, str], read: Read, *, recorded: bool = False) -> Series:
    return Series({"__name__": name, **labels}, read, recorded)


def _constant(value: float, times_s: Floats) -> Floats:
    return np.full(times_s.size, value)
