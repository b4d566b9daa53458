"""The node pools of one cluster, from its Node objects and its cloud's list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blocks.fleet import Autoscaler, Provider
from blocks.fleet_checks import Path
from blocks.fleet_values import POOL_NAME_PATTERN
from blocks.sightings import ListedPool, SeenNode

KARPENTER_LABEL = "karpenter.sh/nodepool"
TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
FIXED_POOL = "nodes"  # of nodes that no provider groups
UNEQUAL = 0.05  # nodes of one pool differ by more than this share: told, since the smallest one counts

GIB = 2**30
_EKS_SIZES = {"medium": 1, "large": 2, "xlarge": 4}
_EKS_MEMORY = {"c": 2, "m": 4, "r": 8}  # GiB for each vCPU, by the family's first letter
_GKE_MEMORY = {"standard": 4, "highmem": 8, "highcpu": 1}
_AKS_MEMORY = {"D": 4, "E": 8, "F": 2}

Pools = tuple[list[dict[str, Any]], dict[Path, str], list[str]]


def draft_pools(
    nodes: Sequence[SeenNode], listed: Sequence[ListedPool], provider: Provider, pool_labels: Mapping[Provider, str]
) -> Pools:
    """Pools in the shape of fleet.yaml by name, what to check of them by path in the cluster, and what is left out."""
    groups, left_out = group_nodes(nodes, provider, pool_labels[provider])
    by_name = {pool.name: pool for pool in listed}
    pools: list[dict[str, Any]] = []
    checks: dict[Path, str] = {}
    for name in sorted(groups.keys() | by_name.keys()):
        pool, found = _pool(provider, pool_labels[provider], name, groups.get(name, []), by_name.get(name))
        checks |= {("node_pools", len(pools), key): text for key, text in found.items()}
        pools.append(pool)
    return pools, checks, left_out


def group_nodes(
    nodes: Iterable[SeenNode], provider: Provider, label: str
) -> tuple[dict[str, list[SeenNode]], list[str]]:
    """Nodes by pool: Karpenter's, the provider's, or on k3s one pool of all; and why a node is in none."""
    groups: dict[str, list[SeenNode]] = {}
    left_out = []
    for node in nodes:
        name = node.labels.get(KARPENTER_LABEL) or node.labels.get(label)
        if not name and provider is Provider.K3S:
            name = FIXED_POOL
        if not name or not re.match(POOL_NAME_PATTERN, name):
            left_out.append(f"node {node.name} carries no pool label of {provider.value.upper()}")
        else:
            groups.setdefault(name, []).append(node)
    return groups, left_out


def nominal_capacity(provider: Provider, instance_type: str) -> tuple[int, int] | None:
    """Virtual CPUs and bytes that an instance type's name tells; None where it does not.

    The kubelet and the system take a share of both: allocatable is less.

    >>> nominal_capacity(Provider.EKS, "c5.2xlarge"), nominal_capacity(Provider.GKE, "n2-standard-4")
    ((8, 17179869184), (4, 17179869184))
    >>> nominal_capacity(Provider.AKS, "Standard_D4s_v3"), nominal_capacity(Provider.K3S, "industrial PC")
    ((4, 17179869184), None)
    """
    if provider is Provider.EKS and (match := re.fullmatch(r"([cmr])\w+\.(\d*)(medium|large|xlarge)", instance_type)):
        cpus = _EKS_SIZES[match[3]] * int(match[2] or 1)
        return cpus, cpus * _EKS_MEMORY[match[1]] * GIB
    if provider is Provider.GKE and (match := re.fullmatch(r"\w+-(standard|highmem|highcpu)-(\d+)", instance_type)):
        return int(match[2]), int(match[2]) * _GKE_MEMORY[match[1]] * GIB
    if provider is Provider.AKS and (match := re.fullmatch(r"Standard_([DEF])(\d+)[a-z]*_v\d", instance_type)):
        return int(match[2]), int(match[2]) * _AKS_MEMORY[match[1]] * GIB
    return None


def _pool(
    provider: Provider, label: str, name: str, nodes: list[SeenNode], listed: ListedPool | None
) -> tuple[dict[str, Any], Mapping[str, str]]:
    checks: dict[str, str] = {}
    types = {label: node.labels[label] for node in nodes for label in TYPE_LABELS if label in node.labels}
    instance_type = listed.instance_type if listed else next(iter(types.values()), "unknown")
    if instance_type == "unknown":
        checks["instance_type"] = "no instance type was seen"
    if any(label not in node.labels and KARPENTER_LABEL not in node.labels for node in nodes):
        checks["name"] = f"label its nodes, so that they are found again: {label}={FIXED_POOL}"
    pool: dict[str, Any] = {"name": name, "instance_type": instance_type}
    pool |= _bounds(nodes, listed, checks)
    pool |= _capacity(provider, instance_type, nodes, checks)
    if any(KARPENTER_LABEL in node.labels for node in nodes):
        pool["autoscaler"] = Autoscaler.KARPENTER.value
        checks["autoscaler"] = "Karpenter sizes it: continuum keeps headroom for it with pause pods"
    elif listed and listed.autoscaled:
        pool["autoscaler"] = Autoscaler.CLUSTER_AUTOSCALER.value
    if any(node.hands_off for node in nodes):
        pool["hands_off"] = True
    return pool, checks


def _bounds(nodes: list[SeenNode], listed: ListedPool | None, checks: dict[str, str]) -> dict[str, int]:
    if listed and listed.min_nodes is not None and listed.max_nodes is not None:
        high = max(1, listed.max_nodes)
        return {"min_nodes": min(listed.min_nodes, high), "max_nodes": high}
    present = listed.nodes if listed and listed.nodes is not None else len(nodes)
    high = max(1, present)
    checks["max_nodes"] = "the present size: set the bounds within which the pool may be scaled"
    return {"min_nodes": min(present, high), "max_nodes": high}


def _capacity(
    provider: Provider, instance_type: str, nodes: list[SeenNode], checks: dict[str, str]
) -> dict[str, str | int]:
    """Allocatable CPU and memory of the smallest node, else what the instance type's name tells."""
    cpus = [node.cpu for node in nodes if node.cpu]
    sizes = [node.memory for node in nodes if node.memory]
    if cpus and sizes:
        if min(cpus) < (1 - UNEQUAL) * max(cpus) or min(sizes) < (1 - UNEQUAL) * max(sizes):
            checks["node_cpu"] = "the nodes of this pool differ: this is the smallest one's"
        return {"node_cpu": f"{max(1, int(min(cpus) * 1000))}m", "node_memory": f"{max(1, min(sizes) // 2**20)}Mi"}
    nominal = nominal_capacity(provider, instance_type)
    if nominal:
        checks["node_cpu"] = "no node was seen: nominal size of the instance type, allocatable is a little less"
        return {"node_cpu": nominal[0], "node_memory": f"{nominal[1] // GIB}Gi"}
    checks["node_cpu"] = "not seen: give a node's allocatable CPU"
    checks["node_memory"] = "not seen: give a node's allocatable memory"
    return {"node_cpu": 1, "node_memory": "1Gi"}
