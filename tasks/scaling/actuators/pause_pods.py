"""The objects of headroom: a Deployment of pause pods, its PriorityClass, a CapacityBuffer. Pure, plain API objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from blocks.fleet import NodePool
from blocks.kubernetes import MANAGED_BY, OURS
from blocks.kubernetes.budgets import requested, room
from blocks.kubernetes.nodes import is_ready, must_leave

Object = dict[str, Any]

NAMESPACE = "continuum"
HEADROOM_LABEL = "continuum.io/headroom"
EXPIRES_AT = "continuum.io/expires-at"

# Not lower: cluster-autoscaler neither brings nor keeps a node for pods of a priority below -10
# (--expendable-pods-priority-cutoff), and headroom must do both.
PRIORITY = -10
PRIORITY_CLASS = "continuum-headroom"
IMAGE = "registry.k8s.io/pause:3.10"

# One pod fills a node, so that pods and nodes are one count: headroom is whole nodes, whatever the pods of the pool
# ask for. A twentieth stays free, or a DaemonSet that comes later would leave a new node too small for its pod.
NODE_SHARE = 0.95
UNKNOWN_NODE_SHARE = 0.90  # where no node of the pool shows what its daemons take

BUFFER_GROUP = "autoscaling.x-k8s.io"
ACTIVE_CAPACITY = "buffer.x-k8s.io/active-capacity"


def object_name(pool: str) -> str:
    """Name of a pool's headroom objects: a pool's name may hold capitals and `_`, an object's may not.

    >>> object_name("Batch_1")
    'headroom-batch-1'
    """
    return "headroom-" + re.sub(r"[^a-z0-9.-]", "-", pool.lower())


def busy_nodes(nodes: Iterable[Object], pods: Iterable[Object]) -> int:
    """How many of the nodes hold at least one pod of somebody's work: no daemon, no pause pod."""
    names = {node["metadata"]["name"] for node in nodes}
    working = {pod["spec"].get("nodeName") for pod in pods if must_leave(pod) and not _is_headroom(pod)}
    return len(names & working)


def _is_headroom(pod: Object) -> bool:
    """Whether it is a pause pod of ours."""
    return HEADROOM_LABEL in (pod["metadata"].get("labels") or {})


def pod_size(pool: NodePool, nodes: Iterable[Object], pods: Iterable[Object]) -> tuple[float, float]:
    """CPU cores and memory bytes of a pause pod: a node of the pool, less its daemons and a little room.

    A Ready node of the pool is measured; without one, the inventory's figures are taken with a larger margin.
    """
    for node in nodes:
        cores, memory = room([node])
        if is_ready(node) and cores and memory:
            name = node["metadata"]["name"]
            taken = requested(pod for pod in pods if pod["spec"].get("nodeName") == name and not must_leave(pod))
            return max(cores - taken[0], 0.0) * NODE_SHARE, max(memory - taken[1], 0.0) * NODE_SHARE
    return pool.node_cpu * UNKNOWN_NODE_SHARE, pool.node_memory * UNKNOWN_NODE_SHARE


def tolerations(nodes: Iterable[Object]) -> list[Object]:
    """What lets a pod onto the pool's nodes: its own taints, none of those that say that a node is out of order."""
    found = {
        (taint["key"], taint.get("value", ""), taint["effect"])
        for node in nodes
        for taint in (node.get("spec") or {}).get("taints") or ()
        if not taint["key"].startswith(("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"))
        and "ClusterAutoscaler" not in taint["key"] and not taint["key"].startswith("karpenter.sh/")
    }  # fmt: skip
    return [
        {"key": key, "operator": "Equal", "value": value, "effect": effect}
        if value
        else {"key": key, "operator": "Exists", "effect": effect}
        for key, value, effect in sorted(found)
    ]


def priority_class() -> Object:
    """Below every pod that has not been given less: pause pods make room at once, and push nobody away."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS, "labels": {MANAGED_BY: OURS}},
        "value": PRIORITY,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": "Room that continuum keeps free ahead of demand; any pod may take its place.",
    }


def deployment(
    pool: str, selector: Mapping[str, str], size: tuple[float, float], takes: list[Object], *, replicas: int
) -> Object:
    """Pause pods of one pool, one a node; whoever needs their place may have it at once."""
    labels = {HEADROOM_LABEL: object_name(pool), MANAGED_BY: OURS}
    requests = {"cpu": f"{int(size[0] * 1000)}m", "memory": f"{int(size[1] / 2**20)}Mi"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": object_name(pool), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {HEADROOM_LABEL: object_name(pool)}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
                },
                "spec": {
                    "priorityClassName": PRIORITY_CLASS,
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    "nodeSelector": dict(selector),
                    "tolerations": takes,
                    "containers": [{"name": "pause", "image": IMAGE, "resources": {"requests": requests}}],
                },
            },
        },
    }


def capacity_buffer(pool: str, version: str, *, replicas: int) -> Object:
    """As much room as so many pause pods would take, kept by the autoscaler itself; the pods are only its measure.

    Source: kubernetes/autoscaler, CapacityBuffer API: `scalableRef` takes the pod template of a Deployment.
    """
    return {
        "apiVersion": f"{BUFFER_GROUP}/{version}",
        "kind": "CapacityBuffer",
        "metadata": {"name": object_name(pool), "namespace": NAMESPACE, "labels": {MANAGED_BY: OURS}},
        "spec": {
            "provisioningStrategy": ACTIVE_CAPACITY,
            "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": object_name(pool)},
            "replicas": replicas,
        },
    }


def expiry(until: datetime | str) -> Object:
    """The annotation that tells until when an object of ours is wanted."""
    return {EXPIRES_AT: until if isinstance(until, str) else until.isoformat()}
