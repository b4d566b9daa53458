"""Who serves requests in the simulated fleet, how many are offered to it now, and with what it serves them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from blocks.fleet import Fleet, pool_id
from deployments.local import noise
from deployments.local.demand import NAMESPACE
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.store import Event
from deployments.local.kubernetes.trees import dig, is_true
from deployments.local.load import Service, service_of
from deployments.local.nodes import Object
from deployments.local.traces import Floats
from deployments.local.world import World

DEMAND_LABEL = "continuum.io/simulated-demand"
"""On a Deployment: the requests/s that its users ask for at peak, whatever cluster it is in."""
PEAK_RPS = (50.0, 200.0)
"""Peak of a workload of fleet.yaml without that label: drawn from this range."""
BARE_POD_CORES = 0.1
"""What a pod may use that names neither a limit nor a request."""
READY = {
    "Deployment": ("deployments.apps", "readyReplicas"),
    "StatefulSet": ("statefulsets.apps", "readyReplicas"),
    "DaemonSet": ("daemonsets.apps", "numberReady"),
}
"""Where each kind is stored, and the field of its status that counts Ready pods."""
_WATCHED = frozenset(resource for resource, _ in READY.values())

Place = tuple[str, str, str]
"""Cluster, namespace and name."""


@dataclass(frozen=True)
class Workload:
    """Something that users send requests to.

    Attributes
    ----------
    home: the site whose local week its users live by.
    pool: `pool_id` of the node pool whose demand it is; "" for one that people or flows deployed.
    peak_rps: requests/s at the 99th percentile of 30 days; of a pool's, its demand says.
    """

    namespace: str
    name: str
    home: str
    service: Service
    pool: str = ""
    peak_rps: float = math.nan

    @property
    def id(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    def rate(self, world: World, times_s: Floats) -> Floats:
        """(N,) requests/s offered to all its pods together, wherever they are: a function of time alone."""
        if self.pool:
            return world.demand("cpu_cores", self.pool, times_s) / self.service.cpu_s
        return self.peak_rps * world.wave(self.id, self.home, times_s)

    def rate_now(self, world: World) -> float:
        """`rate` at the last whole minute."""
        if self.pool:
            return world.demand_now("cpu_cores", self.pool) / self.service.cpu_s
        return self.peak_rps * world.wave_now(self.id, self.home)


@dataclass(frozen=True)
class Reading:
    """A workload in one cluster now.

    Attributes
    ----------
    rate: requests/s that come here: the workload's rate, split over clusters by Ready pods.
    pod_cores, pod_memory_bytes: what one pod may use at most; infinite memory where nothing limits it.
    """

    workload: Workload
    cluster: str
    rate: float
    replicas: int
    pod_cores: float
    pod_memory_bytes: float

    @property
    def cores(self) -> float:
        """What its pods may use together."""
        return self.replicas * self.pod_cores


class Workloads:
    """Every serving workload: each pool's demand, those of fleet.yaml, and every Deployment with `DEMAND_LABEL`.

    The demand belongs to the workload: a copy of it in another cluster takes its share of the same requests. Readings
    are made once a simulated minute, and again when the count of Ready pods changes.
    """

    def __init__(self, fleet: Fleet, world: World, clusters: Mapping[str, SimulatedCluster]) -> None:
        self._fleet, self._world, self._clusters = fleet, world, clusters
        self._pools: dict[Place, Workload] = {}
        for cluster, pool in fleet.pools():
            name = pool_id(cluster.name, pool.name)
            workload = Workload(NAMESPACE, pool.name, cluster.site, service_of(name, world.seed), name)
            self._pools[cluster.name, NAMESPACE, pool.name] = workload
        self._peaks: dict[Place, float] = {}
        self._stale, self._minute, self._outages = True, 0.0, [each.backend.outages for each in clusters.values()]
        self._readings: dict[Place, Reading] = {}
        for name, simulated in clusters.items():
            for entry in simulated.backend.store.sorted("deployments.apps"):
                self._note((name, *entry.key), entry.obj)
            simulated.backend.store.listen(lambda event, name=name: self._heard(name, event))  # type: ignore[misc]

    def readings(self) -> Mapping[Place, Reading]:
        """Every workload in every cluster that holds it, at the last whole minute."""
        minute = self._world.clock.now() // 60
        outages = [each.backend.outages for each in self._clusters.values()]
        if self._stale or minute != self._minute or outages != self._outages:
            self._stale, self._minute, self._outages = False, minute, outages
            self._readings = {
                (each.cluster, each.workload.namespace, each.workload.name): each for each in self._read()
            }
        return self._readings

    def deployed(self) -> list[Workload]:
        """Workloads beside the pools' own that run somewhere, or are meant to, by namespace and name."""
        return [workload for workload, _ in self._deployed()]

    def of(self, namespace: str, name: str, cluster: str) -> Workload:
        """The workload of that name in a cluster, whether it is there now or was."""
        if (pool := self._pools.get((cluster, namespace, name))) is not None:
            return pool
        listed = [each.cluster for each in self._fleet.workloads if (each.namespace, each.name) == (namespace, name)]
        sites = sorted(site.name for site in self._fleet.sites)
        key = f"workload {namespace}/{name}"
        drawn = sites[int(noise.fraction(self._world.seed, key, "home") * len(sites))]
        home = next((each.site for each in self._fleet.clusters if each.name in listed), drawn)
        low, high = PEAK_RPS
        peaks = [peak for (_, *place), peak in self._peaks.items() if place == [namespace, name]]
        peak = max(peaks, default=low + (high - low) * noise.fraction(self._world.seed, key, "peak"))
        return Workload(namespace, name, home, service_of(key, self._world.seed), peak_rps=peak)

    def _heard(self, cluster: str, event: Event) -> None:
        if event.resource in _WATCHED:
            self._stale = True
            if event.resource == "deployments.apps":
                self._note((cluster, *event.key), event.new.obj if event.new is not None else None)

    def _note(self, place: Place, deployment: Object | None) -> None:
        label = dig(deployment, "metadata", "labels", DEMAND_LABEL, default="")
        try:
            peak = float(label)
        except ValueError:
            peak = math.nan
        if math.isfinite(peak) and peak >= 0 and place not in self._pools:
            self._peaks[place] = peak
        else:
            self._peaks.pop(place, None)

    def _read(self) -> Iterator[Reading]:
        cut_off = {name: _cut_off(cluster) for name, cluster in self._clusters.items()}
        for place, workload in self._pools.items():
            counted = self._counted(place, "Deployment", cut_off) or (0, 0.0, math.inf)
            yield Reading(workload, place[0], workload.rate_now(self._world), *counted)
        for workload, kind in self._deployed():
            found = {}
            for cluster in self._clusters:
                place = (cluster, workload.namespace, workload.name)
                if place not in self._pools and (there := self._counted(place, kind, cut_off)) is not None:
                    found[cluster] = there
            rate, ready = workload.rate_now(self._world), sum(there[0] for there in found.values())
            for cluster, there in found.items():
                share = there[0] / ready if ready else 1 / len(found)
                yield Reading(workload, cluster, rate * share, *there)

    def _deployed(self) -> list[tuple[Workload, str]]:
        """With their kinds."""
        kinds = {(namespace, name): "Deployment" for _, namespace, name in self._peaks}
        for each in self._fleet.workloads:
            if (each.cluster, each.namespace, each.name) not in self._pools:
                kinds[each.namespace, each.name] = each.kind
        return [(self.of(*place, cluster=""), kind) for place, kind in sorted(kinds.items())]

    def _counted(
        self, place: Place, kind: str, cut_off: Mapping[str, Counter[tuple[str, str, str]]]
    ) -> tuple[int, float, float] | None:
        """Pods that serve, and what each may use; None where the cluster does not hold the workload."""
        cluster, namespace, name = place
        resource, field = READY[kind]
        entry = self._clusters[cluster].backend.store.get(resource, namespace, name)
        if entry is None:
            return None
        ready = dig(entry.obj, "status", field, default=0) - cut_off[cluster][kind, namespace, name]
        containers = dig(entry.obj, "spec", "template", "spec", "containers", default=())
        cores = sum(_allowed(container, "cpu") or BARE_POD_CORES for container in containers)
        memory = [dig(container, "resources", "limits", "memory") for container in containers]
        bounded = sum(float(quantity(limit)) for limit in memory if limit) if all(memory) else math.inf
        return max(ready, 0), cores, bounded


def owner(cluster: SimulatedCluster, pod: Object) -> tuple[str, str, str]:
    """Kind, namespace and name of what a pod belongs to: of the Deployment where its ReplicaSet has one."""
    namespace = pod["metadata"].get("namespace", "")
    kind, name = _controller(pod)
    if kind == "ReplicaSet" and (entry := cluster.backend.store.get("replicasets.apps", namespace, name)):
        kind, name = _controller(entry.obj) if _controller(entry.obj)[0] else (kind, name)
    return kind, namespace, name


def _controller(obj: Object) -> tuple[str, str]:
    for reference in obj["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            return reference["kind"], reference["name"]
    return "", ""


def _cut_off(cluster: SimulatedCluster) -> Counter[tuple[str, str, str]]:
    """Pods that count as Ready on nodes that a fault has silenced, by owner: their requests come to nothing."""
    store = cluster.backend.store
    pods = (entry.obj for node in cluster.backend.outages.silent_nodes for entry in store.pods_on(node))
    return Counter(owner(cluster, pod) for pod in pods if is_true(pod, "Ready"))


def _allowed(container: Object, resource: str) -> float:
    """What a container may use: its limit, else what it requests; 0 where it names neither."""
    for part in ("limits", "requests"):
        if (named := dig(container, "resources", part, resource)) is not None:
            return float(quantity(named))
    return 0.0
