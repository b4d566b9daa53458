"""Kubernetes through the official client, which is imported on the first connection only."""

from __future__ import annotations

from blocks.kubernetes.leases import Lease, LeaseVerbs
from blocks.kubernetes.nodes import (
    KARPENTER_LABEL,
    POOL_LABEL,
    NodeVerbs,
    PoolNodes,
    count_by_label,
    count_by_pool,
    is_ready,
    is_schedulable,
    is_under_pressure,
)
from blocks.kubernetes.ownership import HANDS_OFF, MANAGED_BY, OURS, is_hands_off, owner
from blocks.kubernetes.pod_requests import NO_PODS, PoolPods, pods_by_pool
from blocks.kubernetes.room import PoolRoom, room_by_pool

__all__ = [
    "HANDS_OFF",
    "KARPENTER_LABEL",
    "MANAGED_BY",
    "NO_PODS",
    "OURS",
    "POOL_LABEL",
    "KubernetesApi",
    "Lease",
    "PoolNodes",
    "PoolPods",
    "PoolRoom",
    "count_by_label",
    "count_by_pool",
    "is_hands_off",
    "is_ready",
    "is_schedulable",
    "is_under_pressure",
    "owner",
    "pods_by_pool",
    "room_by_pool",
]


class KubernetesApi(NodeVerbs, LeaseVerbs):
    """One cluster's API: `KubernetesApi.connect(cluster)`, then verbs on nodes, pods and leases."""
