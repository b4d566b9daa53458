"""One Deployment per node pool whose replicas follow the world's demand, so that nodes hold real pods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from blocks.fleet import Cluster, Fleet, NodePool, pool_id
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster, StatusError
from deployments.local.nodes import HANDS_OFF, RULES, Object
from deployments.local.traces import Floats
from deployments.local.world import SHAPES, Kind, World

NAMESPACE = "default"
EVERY_S = 60.0
POD_SHARE = 0.45  # of a node that one pod asks for: two fit beside the usual overhead
POD_LIMIT = 0.5  # of a node that one pod may use: its half
FIRST_UTILISATION = 0.65  # of the nodes that a fresh fleet starts with


def units_needed(world: World, cluster: Cluster, pool: NodePool, times_s: ArrayLike, unit: float) -> Floats:
    """(N,) pieces of `unit` nodes (0-1) that demand fills, in CPU or memory, whichever asks for more."""
    name = pool_id(cluster.name, pool.name)
    return _pieces({kind: world.demand(kind, name, times_s) for kind in SHAPES}, pool, unit)


def _pieces(demand: Mapping[Kind, Floats | float], pool: NodePool, unit: float) -> Floats:
    cores, memory = demand["cpu_cores"] / pool.node_cpu, demand["memory_bytes"] / pool.node_memory
    return np.asarray(np.ceil(np.maximum(cores, memory) / unit))


class DemandPods:
    """Keeps the Deployments in step with demand, at every whole simulated minute.

    A pool's pods only run on its own nodes and each asks for `POD_SHARE` of one, so demand beyond the pool's nodes is
    seen as pending pods. A budget lets a quarter of them be evicted at a time.
    """

    def __init__(
        self, fleet: Fleet, world: World, clock: SimulatedClock, clusters: Mapping[str, SimulatedCluster]
    ) -> None:
        self.fleet, self.world, self.clock, self.clusters = fleet, world, clock, clusters

    def start(self) -> None:
        """Create what is not there yet, and follow demand from now on."""
        for cluster, pool in self.fleet.pools():
            for resource, obj in (("deployments", _deployment(cluster, pool)), ("poddisruptionbudgets", _budget(pool))):
                try:
                    self.clusters[cluster.name].create(resource, obj, NAMESPACE)
                except StatusError as error:
                    if error.code != 409:
                        raise
        self._follow()

    def resume(self) -> None:
        """Follow demand from the next whole minute on, after a restart."""
        self.clock.at((self.clock.now() // EVERY_S + 1) * EVERY_S, "demand", self._follow)

    def _follow(self) -> None:
        for cluster, pool in self.fleet.pools():
            name, verbs = pool_id(cluster.name, pool.name), self.clusters[cluster.name]
            wanted = int(_pieces({kind: self.world.demand_now(kind, name) for kind in SHAPES}, pool, POD_SHARE))
            try:
                deployment = verbs.get("deployments", pool.name, NAMESPACE)
            except StatusError as error:
                if error.code != 404:
                    raise
                continue  # somebody deleted it: that pool then holds no demand pods
            if deployment["spec"]["replicas"] != wanted:
                verbs.patch("deployments", pool.name, {"spec": {"replicas": wanted}}, "merge", NAMESPACE)
                verbs.step()
        self.resume()


def _deployment(cluster: Cluster, pool: NodePool) -> Object:
    labels = {"app": pool.name}
    marks = {"annotations": {HANDS_OFF: "true"}} if pool.hands_off else {}
    resources = {"requests": _share(pool, POD_SHARE), "limits": _share(pool, POD_LIMIT)}
    container = {"name": "work", "image": "registry.example/simulated/work:1", "resources": resources}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": pool.name, "namespace": NAMESPACE, "labels": labels} | marks,
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "nodeSelector": {RULES[cluster.provider].pool_label: pool.name},
                    "terminationGracePeriodSeconds": 5,
                },
            },
        },
    }


def _share(pool: NodePool, share: float) -> Object:
    return {"cpu": f"{round(pool.node_cpu * share * 1000)}m", "memory": f"{round(pool.node_memory * share / 1024)}Ki"}


def _budget(pool: NodePool) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": pool.name, "namespace": NAMESPACE},
        "spec": {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": pool.name}}},
    }
