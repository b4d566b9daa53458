"""One Deployment per node pool whose replicas follow the world's demand, so that nodes hold real pods."""

from __future__ import annotations

import math
from collections.abc import Mapping

from blocks.fleet import Cluster, Fleet, NodePool, pool_id
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster, StatusError
from deployments.local.nodes import HANDS_OFF, RULES, Object
from deployments.local.world import Kind, World

NAMESPACE = "default"
EVERY_S = 60.0
POD_SHARE = 0.45  # of a node that one pod asks for: two fit beside the usual overhead
FIRST_UTILISATION = 0.65  # of the nodes that a fresh fleet starts with


def units_needed(world: World, cluster: Cluster, pool: NodePool, now_s: float, unit: float) -> int:
    """How many pieces of `unit` nodes (0-1) present demand fills, in CPU or memory, whichever asks for more."""
    sizes: tuple[tuple[Kind, float], ...] = (("cpu_cores", pool.node_cpu), ("memory_bytes", float(pool.node_memory)))
    return max(math.ceil(_demand(world, kind, cluster, pool, now_s) / (size * unit)) for kind, size in sizes)


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
        now_s = self.clock.now()
        for cluster, pool in self.fleet.pools():
            wanted, verbs = units_needed(self.world, cluster, pool, now_s, POD_SHARE), self.clusters[cluster.name]
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


def _demand(world: World, kind: Kind, cluster: Cluster, pool: NodePool, now_s: float) -> float:
    return float(world.demand(kind, pool_id(cluster.name, pool.name), [now_s])[0])


def _deployment(cluster: Cluster, pool: NodePool) -> Object:
    labels = {"app": pool.name}
    marks = {"annotations": {HANDS_OFF: "true"}} if pool.hands_off else {}
    asks = {
        "cpu": f"{round(pool.node_cpu * POD_SHARE * 1000)}m",
        "memory": f"{round(pool.node_memory * POD_SHARE / 1024)}Ki",
    }
    container = {"name": "work", "image": "registry.example/simulated/work:1", "resources": {"requests": asks}}
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


def _budget(pool: NodePool) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": pool.name, "namespace": NAMESPACE},
        "spec": {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": pool.name}}},
    }
