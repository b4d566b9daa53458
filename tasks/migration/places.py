"""What each cluster's place is to a workload: round trips, prices, carbon, room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.fleet import Cluster, Fleet
from blocks.kubernetes.pod_requests import pod_requests
from tasks.migration.measured import Measured, key_of
from tasks.migration.movable import Movable
from tasks.migration.moves.closure import replicas_of
from tasks.placement.decide.latency_matrix import fibre_ms
from tasks.placement.new_workloads import GIB
from tasks.placement.observe import ClusterRoom, fitting_pods
from tasks.placement.site_terms import site_terms

Floats = NDArray[np.float64]

KWH_PER_CORE_H = 0.005  # a modelled server's share of a core (tasks/energy)


def rates_of(fleet: Fleet, workloads: Sequence[Movable], measured: Measured) -> Floats:
    """(W, Z) requests per second by the fleet's sites: as measured where a workload has an answer, else as given."""
    found = np.zeros((len(workloads), len(fleet.sites)))
    demand = measured.of("demand_rps") or {}
    for row, each in enumerate(workloads):
        keys = [key_of("demand_rps", namespace=each.namespace, workload=each.name, site=site.name)
                for site in fleet.sites]  # fmt: skip
        answers = [demand.get(key, 0.0) for key in keys] if demand else []
        found[row] = answers if any(answers) else [each.users.get(site.name, 0.0) for site in fleet.sites]
    return found


def rtt_of(fleet: Fleet, clusters: Sequence[Cluster], measured: Measured) -> Floats:
    """(Z, S) ms there and back from each of the fleet's sites to each cluster: as measured where that is asked for, NaN
    where it is not; else, and within a site of which nothing is measured, by distance.
    """
    at = {site.name: (site.latitude, site.longitude) for site in fleet.sites}
    there = np.array([at[cluster.site] for cluster in clusters]).reshape(-1, 2)
    found = np.array(fibre_ms(np.array(list(at.values())), there), np.float64)
    known = measured.of("rtt_ms")
    if known is None:
        return found
    for row, zone in enumerate(fleet.sites):
        for column, cluster in enumerate(clusters):
            within = found[row, column] if zone.name == cluster.site else np.nan
            found[row, column] = known.get(key_of("rtt_ms", site=cluster.site, to=zone.name), within)
    return found


def prices_of(fleet: Fleet, clusters: Sequence[Cluster], measured: Measured, as_of: datetime) -> tuple[Floats, Floats]:
    """(S,) USD and gCO2e of a core for an hour in each cluster; NaN where a price or a measured intensity lacks.

    Without a query for it, the intensity is that of the grid's typical day, and 0 where no grid is named.
    """
    terms = [site_terms(fleet.site(cluster.site), cluster.node_pools, as_of) for cluster in clusters]
    usd = np.array([(each.get("usd_per_unit") or {}).get("cpu", np.nan) for each in terms], np.float64)
    known = measured.of("carbon_g_per_kwh")
    grams = [each.get("carbon_g_per_kwh", 0.0) for each in terms] if known is None else [
        known.get(key_of("carbon_g_per_kwh", site=cluster.site), np.nan) for cluster in clusters]  # fmt: skip
    return usd, np.array(grams, np.float64) * [each["pue"] for each in terms] * KWH_PER_CORE_H


def size_of(deployment: Mapping[str, Any]) -> tuple[float, float, float]:
    """Pods, and what each requests: cores, GiB."""
    asked = pod_requests({"spec": deployment["spec"]["template"]["spec"]})
    return float(replicas_of(deployment)), asked.cpu_cores, asked.memory_bytes / GIB


def allowed_of(
    clusters: Sequence[Cluster], workloads: Sequence[Movable], place: Sequence[int], size: Floats,
    rooms: Mapping[str, ClusterRoom], standing: Mapping[str, Mapping[str, Any]], closed: frozenset[str],
) -> NDArray[np.bool_]:  # fmt: skip
    """(W, S) where a workload may stand: where it is, and where it is allowed and has room on the nodes.

    standing: Deployments and StatefulSets by cluster and `namespace/name`. closed: clusters that nobody goes to.
    """
    may = np.zeros((len(workloads), len(clusters)), bool)
    for column, cluster in enumerate(clusters):
        nodes = np.array(rooms[cluster.name].nodes).reshape(-1, 3)
        for row, each in enumerate(workloads):
            if cluster.name not in closed and (each.allowed is None or cluster.name in each.allowed):
                cores, memory = max(size[row, 1], 1e-3), max(size[row, 2], 1e-3)
                may[row, column] = len(nodes) > 0 and fitting_pods(nodes, cores, memory).sum() >= size[row, 0]
            if each.key in standing[cluster.name]:
                may[row, column] = place[row] == column
    return may
