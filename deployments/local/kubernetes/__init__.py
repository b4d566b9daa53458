"""A simulated Kubernetes API server with its controllers, scheduler and kubelets: in memory, on a simulated clock."""

from deployments.local.kubernetes.cluster import SimulatedCluster
from deployments.local.kubernetes.status import StatusError

CLAIMED_TAGS = frozenset(
    {"controllers", "scheduler", "kubelet", "eviction", "crd", "ssa", "authz", "watchlist", "compacted"}
)
"""Parts of a cluster that this simulation claims to have, in the words of the conformance suite."""

__all__ = ["CLAIMED_TAGS", "SimulatedCluster", "StatusError"]
