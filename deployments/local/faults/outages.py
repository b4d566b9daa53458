"""What the active faults switch off in each cluster: their union, so lifting one leaves the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from blocks.fleet import Fleet
from deployments.local.faults.fault import Fault
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.outages import Outages

KILLS = frozenset({"cluster-kill", "site-kill"})
HALTS = KILLS | {"cluster-freeze", "site-freeze"}
SILENCES = frozenset({"node-kill", "node-freeze"})


def apply(
    active: Sequence[Fault],
    fleet: Fleet,
    clusters: Mapping[str, SimulatedCluster],
    dead_nodes: Callable[[str], frozenset[str]],
) -> None:
    """Bring every cluster in line; `dead_nodes(cluster)` are those without a machine."""
    for name, cluster in clusters.items():
        here = [fault for fault in active if name in (fault.concerns(fleet) or ())]
        wanted = _outages(here, cluster, dead_nodes(name))
        if wanted != cluster.backend.outages:
            cluster.set_outages(wanted)


def _outages(here: Sequence[Fault], cluster: SimulatedCluster, dead: frozenset[str]) -> Outages:
    silent = {fault.parameters["node"] for fault in here if fault.kind in SILENCES}
    if any(fault.kind in KILLS for fault in here):
        silent |= {node["metadata"]["name"] for node in cluster.list("nodes")}
    unready = [fault.parameters for fault in here if fault.kind == "pod-never-ready"]
    return Outages(
        halted=any(fault.kind in HALTS for fault in here),
        silent_nodes=dead | silent,
        full_disks=frozenset(fault.parameters["node"] for fault in here if fault.kind == "disk-full"),
        unready_pods=tuple((pods["namespace"], pods["name"]) for pods in unready),
    )
