"""What the simulated Prometheus holds: series of the world, as if scraped once a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.fleet import pool_id
from deployments.local.faults.samples import ReadyNodes, SampleFaults, newest_scrape, reach_s, recorded
from deployments.local.promql import Matcher, Samples, stale
from deployments.local.world import HISTORY_S, World

SCRAPE_S = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Series:
    """One series: `read` gives its values at (N,) scrape times; `kept` is false where only the newest one is known."""

    labels: Mapping[str, str]
    read: Callable[[Floats], Floats]
    kept: bool = True


class Scrapes:
    """Every sample from 30 days before the world's start to the newest scrape, none after the simulated present.

    Scrapes fall on whole minutes. Demand and CPU seconds have their whole history; the ready nodes are asked for at the
    moment of the query and stand for the newest scrape alone, so a range over them has one point.
    """

    def __init__(self, world: World, ready_nodes: ReadyNodes, faults: SampleFaults) -> None:
        self._clock, self._faults = world.clock, faults
        self._first_s = np.ceil((world.start_s - HISTORY_S) / SCRAPE_S) * SCRAPE_S
        self._series = _series(world, ready_nodes)

    def now_s(self) -> float:
        """The simulated present, to the millisecond as Prometheus counts."""
        return round(self._clock.now(), 3)

    def __call__(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> list[Samples]:
        """Samples with start_s <= time <= end_s of every series that fits all matchers."""
        found = (self._samples(series, start_s, end_s) for series in self._matching(matchers))
        return [samples for samples in found if samples.times_s.size]

    def labels(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> list[Mapping[str, str]]:
        """Labels of every series that fits all matchers and has samples in that time."""
        return [series.labels for series in self._matching(matchers) if self._has_samples(series, start_s, end_s)]

    def _samples(self, series: _Series, start_s: float, end_s: float) -> Samples:
        disturbances = self._faults.of(series.labels)
        newest_s, around_s = self._newest_s(), reach_s(disturbances)
        if not series.kept:
            newest_s = newest_scrape(disturbances, newest_s, SCRAPE_S)
        first_s = max(start_s - around_s, self._first_s if series.kept else newest_s)
        first, last = np.ceil(first_s / SCRAPE_S), np.floor(min(end_s + around_s, newest_s) / SCRAPE_S)
        times = np.arange(first, last + 1) * SCRAPE_S
        if not disturbances or not times.size:
            return Samples(series.labels, times, series.read(times) if times.size else times)
        times, values = recorded(disturbances, times, series.read(times))
        within = (times >= start_s) & (times <= end_s)
        return Samples(series.labels, times[within], values[within])

    def _has_samples(self, series: _Series, start_s: float, end_s: float) -> bool:
        if self._faults.of(series.labels):
            return not bool(stale(self._samples(series, start_s, end_s).values).all())
        newest_s = self._newest_s()  # without faults nothing needs to be read
        return start_s <= newest_s and (self._first_s if series.kept else newest_s) <= end_s

    def _newest_s(self) -> float:
        return float(self._clock.now() // SCRAPE_S * SCRAPE_S)

    def _matching(self, matchers: Sequence[Matcher]) -> list[_Series]:
        return [series for series in self._series if all(matcher.matches(series.labels) for matcher in matchers)]


def _series(world: World, ready_nodes: ReadyNodes) -> list[_Series]:
    made = [
        _Series(
            {"__name__": "up", "cluster": cluster.name, "job": "node-pools", "instance": cluster.name}, np.ones_like
        )
        for cluster in world.fleet.clusters
    ]
    for cluster, pool in world.fleet.pools():
        made += _pool_series(world, ready_nodes, cluster.name, pool.name)
    return made


def _pool_series(world: World, ready_nodes: ReadyNodes, cluster: str, pool: str) -> list[_Series]:
    name = pool_id(cluster, pool)

    def labels(metric: str) -> dict[str, str]:
        return {"__name__": metric, "cluster": cluster, "node_pool": pool}

    return [
        _Series(labels("node_pool:cpu_usage:cores"), lambda times: world.demand("cpu_cores", name, times)),
        _Series(labels("node_pool:memory_usage:bytes"), lambda times: world.demand("memory_bytes", name, times)),
        _Series(labels("node_pool_cpu_seconds_total"), lambda times: world.cpu_seconds(name, times)),
        _Series(
            labels("node_pool:nodes_ready:count"),
            lambda times: np.full(times.size, float(ready_nodes(cluster, pool))),
            kept=False,
        ),
    ]
