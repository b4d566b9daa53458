"""What the pods of a simulated cluster consume, told to its metrics API and its autoscalers."""

from __future__ import annotations

from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.trees import is_true
from deployments.local.kubernetes.usage import PodUsage, Usage, of_requests
from deployments.local.nodes import Object
from deployments.local.workloads import Workloads, owner
from deployments.local.world import World


def pod_usage(cluster: SimulatedCluster, world: World, workloads: Workloads) -> PodUsage:
    """Usage by pod of one cluster.

    A Ready pod of a serving workload takes its part of the load, up to its limit; of a pool's own workload also its
    part of the memory demand. Until it is Ready it takes no CPU. Other pods use a share of their requests.
    """

    def usage(pod: Object) -> Usage:
        _, namespace, name = owner(cluster, pod)
        reading = workloads.readings().get((cluster.name, namespace, name))
        if reading is None:
            return of_requests(pod)
        memory = of_requests(pod).memory_bytes
        if reading.workload.pool and reading.replicas:
            share = world.demand_now("memory_bytes", reading.workload.pool) / reading.replicas
            memory = min(share, reading.pod_memory_bytes)
        serves = reading.replicas > 0 and is_true(pod, "Ready")
        cores = (
            min(reading.rate * reading.workload.service.cpu_s / reading.replicas, reading.pod_cores) if serves else 0
        )
        return Usage(cores, memory)

    return usage
