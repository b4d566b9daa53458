"""What the machines of a node pool draw."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from blocks.fleet import Cluster, NodePool, Provider
from blocks.tables import watts_per_thread
from deployments.local.traces import Floats

# CPU family of an instance type, by how its name begins (AWS, GCP and Azure documentation of each series).
FAMILIES = {
    "m5.": "skylake", "c5.": "skylake", "r5.": "skylake", "m5a.": "epyc-gen1", "c5a.": "epyc-gen2",
    "m6i.": "icelake", "c6i.": "icelake", "r6i.": "icelake", "m6a.": "epyc-gen3", "c6a.": "epyc-gen3",
    "n1-": "skylake", "n2-": "cascadelake", "n2d-": "epyc-gen2", "c2-": "cascadelake",
    "Standard_D4s_v3": "skylake", "Standard_D4s_v4": "cascadelake", "Standard_D4s_v5": "icelake",
}  # fmt: skip
CLOUD_FAMILY, EDGE_FAMILY = "icelake", "coffeelake"
"""Where the table does not know the type: what clouds bought most lately; small servers as edge sites have them."""


def cpu_family(cluster: Cluster, pool: NodePool) -> str:
    """CPU family of a pool's machines."""
    default = EDGE_FAMILY if cluster.provider is Provider.K3S else CLOUD_FAMILY
    return next((family for start, family in FAMILIES.items() if pool.instance_type.startswith(start)), default)


def threads(pool: NodePool) -> int:
    """Hardware threads of one machine: its allocatable CPU and the fraction that Kubernetes keeps for itself."""
    return math.ceil(pool.node_cpu)


def it_watts(cluster: Cluster, pool: NodePool, nodes_ready: ArrayLike, cores: ArrayLike) -> Floats:
    """W of a pool's Ready nodes with `cores` in use, without PUE: threads x W per thread at their mean load."""
    nodes, used = np.asarray(nodes_ready, dtype=np.float64), np.asarray(cores, dtype=np.float64)
    load = used / np.maximum(nodes * pool.node_cpu, 1e-9)
    return nodes * threads(pool) * watts_per_thread(cpu_family(cluster, pool), load)
