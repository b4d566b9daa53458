"""What a node pool does to Node objects: create, cordon, drain, delete; names and labels as each provider writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from blocks.fleet import Autoscaler, Cluster, NodePool, Provider
from deployments.local.kubernetes import SimulatedCluster, StatusError, eviction

Object = dict[str, Any]

KUBELET_LABEL = "continuum.io/simulated-kubelet"  # the simulated kubelet plays every node that carries it
HANDS_OFF = "continuum.io/hands-off"
KARPENTER_LABEL = "karpenter.sh/nodepool"  # of nodes that no node-pool API knows


@dataclass(frozen=True)
class ProviderRules:
    """How one provider's node pools behave.

    Attributes
    ----------
    pool_label: the label the provider puts on each Node with the pool's name.
    operation_s: seconds that an accepted operation takes at least.
    exclusive: one operation at a time per `pool` or per `cluster`.
    waits_for_nodes: whether the operation is over only when its nodes have joined or gone.
    drain_limit_s: seconds of evicting before the provider loses patience with a node.
    drain_forces: then the node goes anyway (True), or the operation fails and the node stays (False).
    fills_partly: whether an order that cannot be filled brings as many machines as there are, or none.
    replace_s: seconds from the death of a machine until the provider puts a new one in its place; None: it never does.
    """

    pool_label: str
    operation_s: float
    exclusive: str
    waits_for_nodes: bool
    drain_limit_s: float
    drain_forces: bool
    fills_partly: bool
    replace_s: float | None


# EKS: a scaling update is over once the group's size is set; a node whose pods resist goes after 15 minutes.
# GKE: one operation a cluster; a drain respects budgets for up to an hour. AKS: a drain that fails fails the operation,
# and a scale set allocates all machines of a request or none.
# Replacement: two failed EC2 status checks and the group's own look, about 5 min; GKE and AKS repair a node that was
# NotReady for about 10 min. All of it general knowledge.
RULES = {
    Provider.EKS: ProviderRules("eks.amazonaws.com/nodegroup", 20, "pool", False, 900, True, True, 300),
    Provider.GKE: ProviderRules("cloud.google.com/gke-nodepool", 30, "cluster", True, 3600, True, True, 600),
    Provider.AKS: ProviderRules("kubernetes.azure.com/agentpool", 40, "pool", True, 1800, False, False, 600),
    Provider.K3S: ProviderRules("continuum.io/node-pool", 0, "pool", False, 0, False, True, None),
}


def digest(*parts: object) -> str:
    """Hexadecimal digits that depend on nothing but the parts (40 of them)."""
    return hashlib.sha1("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def spread(*parts: object) -> float:
    """A number in [0.85, 1.15), always the same for the same parts: no two machines boot alike."""
    return 0.85 + 0.3 * int(digest(*parts)[:8], 16) / 2**32


def node_name(cluster: Cluster, pool: NodePool, number: int) -> str:
    """Name of the pool's node of that number, in the provider's manner.

    A number is never given out twice, so neither is a name.
    """
    unique = digest(cluster.name, pool.name)
    if cluster.provider is Provider.EKS:
        place = cluster.cloud.region or "us-east-1"
        names = [each.name for each in cluster.node_pools]
        address = names.index(pool.name) * (2**24 // len(names)) + number  # a part of 10.0.0.0/8 for each pool
        return f"ip-10-{address // 65536}-{address // 256 % 256}-{address % 256}.{place}.compute.internal"
    if cluster.provider is Provider.GKE:
        return f"gke-{cluster.name}-{pool.name}-{unique[:8]}-{digest(unique, number)[:4]}{number:02d}"
    if cluster.provider is Provider.AKS:
        return f"aks-{pool.name}-{int(unique[:8], 16) % 10**8:08d}-vmss{number:06x}"
    return f"{cluster.name}-{pool.name}-{number:02d}"


def group_name(cluster: Cluster, pool: NodePool) -> str:
    """Name of the provider's group of machines behind a pool: autoscaling group, instance group, scale set."""
    if cluster.provider is Provider.GKE:
        return f"gke-{cluster.name}-{pool.name}-{digest(cluster.name, pool.name)[:8]}-grp"
    if cluster.provider is Provider.AKS:
        return f"aks-{pool.name}-{int(digest(cluster.name, pool.name)[:8], 16) % 10**8:08d}-vmss"
    return f"eks-{pool.name}-simulated"


def node_object(cluster: Cluster, pool: NodePool, name: str, labels: dict[str, str], taints: list[Object]) -> Object:
    """Node object as the machine would register it, with capacity, the provider's labels and the pool's own marks."""
    place = cluster.cloud.region or cluster.site
    room = {"cpu": f"{round(pool.node_cpu * 1000)}m", "memory": f"{pool.node_memory // 1024}Ki", "pods": "110"}
    labels = {
        **labels,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": pool.instance_type.replace(" ", "-"),
        "topology.kubernetes.io/region": place,
        RULES[cluster.provider].pool_label: pool.name,
        KUBELET_LABEL: "true",
    }
    if pool.autoscaler is Autoscaler.KARPENTER:
        labels[KARPENTER_LABEL] = pool.name
    metadata: Object = {"name": name, "labels": labels}
    if pool.hands_off:
        metadata["annotations"] = {HANDS_OFF: "true"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"providerID": f"simulated:///{cluster.name}/{name}"} | ({"taints": taints} if taints else {}),
        "status": {"capacity": room, "allocatable": room},
    }


def is_ready(node: Object) -> bool:
    """Whether a Node says that it is Ready."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def is_closed(node: Object) -> bool:
    """Whether a Node is cordoned."""
    return bool(node.get("spec", {}).get("unschedulable"))


def cordon(cluster: SimulatedCluster, name: str, *, unschedulable: bool = True) -> None:
    """Close a node to new pods, or open it again; a node that is gone is left alone."""
    with _tolerating(404):
        cluster.patch("nodes", name, {"spec": {"unschedulable": unschedulable or None}}, "merge")


def mark(cluster: SimulatedCluster, name: str, before: Object, after: Object) -> None:
    """Bring the labels and taints of a node from what its pool gave it to what it gives now; others' stay."""
    with _tolerating(404):
        present = cluster.get("nodes", name).get("spec", {}).get("taints", [])
        gone = {(taint["key"], taint["effect"]) for taint in before["taints"] + after["taints"]}
        taints = [taint for taint in present if (taint["key"], taint["effect"]) not in gone] + after["taints"]
        labels = dict.fromkeys(before["labels"]) | after["labels"]
        cluster.patch("nodes", name, {"metadata": {"labels": labels}, "spec": {"taints": taints}}, "merge")


def pods_by_node(cluster: SimulatedCluster) -> dict[str, list[Object]]:
    """Pods that hold a node back, by its name: those of DaemonSets stay until the node itself goes."""
    held: dict[str, list[Object]] = {}
    for pod in cluster.list("pods"):
        owners = pod["metadata"].get("ownerReferences", [])
        if (node := pod.get("spec", {}).get("nodeName")) and not any(owner["kind"] == "DaemonSet" for owner in owners):
            held.setdefault(node, []).append(pod)
    return held


def least_useful(cluster: SimulatedCluster, names: list[str]) -> list[str]:
    """Nodes in the order in which they are given up: not there yet, cordoned, fewest pods; else in the order given."""
    found = {node["metadata"]["name"]: node for node in cluster.list("nodes")}
    held = pods_by_node(cluster)
    return sorted(
        names, key=lambda name: (name in found, name in found and not is_closed(found[name]), len(held.get(name, [])))
    )


def evict(cluster: SimulatedCluster, pods: list[Object]) -> None:
    """Ask once for the eviction of each pod; what a disruption budget keeps stays for the next time."""
    for pod in pods:
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            with _tolerating(404, 409, 429):
                eviction.evict(cluster.backend, metadata["namespace"], metadata["name"], {})


def remove(cluster: SimulatedCluster, name: str, pods: list[Object]) -> None:
    """Take the machine away: its Node object and whatever was still on it."""
    for pod in pods:
        with _tolerating(404):
            cluster.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
    with _tolerating(404):
        cluster.delete("nodes", name)


@contextmanager
def _tolerating(*codes: int) -> Iterator[None]:
    """Somebody else may have been quicker (404, 409), or a budget is spent for now (429)."""
    try:
        yield
    except StatusError as error:
        if error.code not in codes:
            raise
