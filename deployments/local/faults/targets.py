"""Whether what a fault is to strike is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from blocks.errors import InvalidInput, NotFound
from blocks.fleet import Fleet, Provider
from deployments.local.faults.kinds import Shape
from deployments.local.kubernetes import SimulatedCluster


def check(shape: Shape, fleet: Fleet, clusters: Mapping[str, SimulatedCluster], where: str) -> None:
    """Refuse a fault of something unknown. A node is asked for only where the fault begins at once: it may yet join.

    Raises
    ------
    NotFound: no such site, cluster, node pool or node.
    InvalidInput: a fault of a cloud for a cluster that has none.
    """
    named = {name: value for name, value in shape if name in ("site", "cluster", "pool", "node") and value is not None}
    if "site" in named:
        _one_of("site", named["site"], [site.name for site in fleet.sites], where)
    if "cluster" not in named:
        return
    _one_of("cluster", named["cluster"], clusters, where)
    cluster = next(each for each in fleet.clusters if each.name == named["cluster"])
    if shape.kind.startswith("cloud-") and cluster.provider is Provider.K3S:
        raise InvalidInput(f"{cluster.name} has no cloud", where=where, fix="name a cluster of EKS, GKE or AKS")
    if "pool" in named:
        _one_of("node pool", named["pool"], [pool.name for pool in cluster.node_pools], where)
    if "node" in named and shape.after_s == 0:
        nodes = [node["metadata"]["name"] for node in clusters[cluster.name].list("nodes")]
        _one_of("node", named["node"], nodes, where)


def _one_of(noun: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in known:
        raise NotFound(f"there is no {noun} {name}", where=where, fix=f"use one of {', '.join(known)}")
