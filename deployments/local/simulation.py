"""The simulated fleet put together: one clock, the world's demand, the clusters, the clouds above them."""

from __future__ import annotations

from typing import Any, Self

from blocks.errors import InvalidInput
from blocks.fleet import Fleet, Provider, pool_id
from deployments.local.clock import SimulatedClock
from deployments.local.cluster_autoscaler import ClusterAutoscaler
from deployments.local.demand import FIRST_UTILISATION, DemandPods, units_needed
from deployments.local.faults.samples import SampleFaults
from deployments.local.faults.schedule import Faults
from deployments.local.files import Tokens, new_tokens
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.node_pools import NodePools
from deployments.local.pod_usage import pod_usage
from deployments.local.recorder import Recorder
from deployments.local.sampling import Sampling
from deployments.local.scrapes import Scrapes
from deployments.local.series import Catalogue
from deployments.local.workloads import Workloads
from deployments.local.world import World

HAVE_METRICS_SERVER = (Provider.GKE, Provider.AKS, Provider.K3S)  # on EKS it is an add-on that people install
SETTLING_S = 120.0  # a fresh fleet begins so long before its start, so that its first pods run when it is met


class Simulation:
    """Everything that has a state, and nothing that has a socket.

    Time stands still until somebody sets `clock.speed` or advances it.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        seed: int,
        start_s: float,
        tokens: Tokens,
        clock: SimulatedClock,
        clusters: dict[str, SimulatedCluster],
    ) -> None:
        self.fleet, self.seed, self.start_s, self.tokens = fleet, seed, start_s, tokens
        self.clock, self.clusters = clock, clusters
        self.world = World(fleet, clock, start_s, seed)
        self.changed = True
        self.node_pools = NodePools(fleet, clock, clusters, seed=seed, on_change=self._pools_changed)
        self.faults = Faults(
            fleet, clock, clusters, self.node_pools, seed=seed, start_s=start_s, on_change=self.mark_changed
        )
        self.autoscalers = {
            cluster.name: ClusterAutoscaler(cluster, clusters[cluster.name], self.node_pools, clock)
            for cluster in fleet.clusters
        }
        self.demand = DemandPods(fleet, self.world, clock, clusters)
        self.workloads = Workloads(fleet, self.world, clusters)
        for cluster in clusters.values():
            cluster.backend.usage = pod_usage(cluster, self.world, self.workloads)
        self.sampling = Sampling(self.world, self.workloads, self.node_pools)
        self.recorder = Recorder(clock, self.sampling)
        self.scrapes = Scrapes(
            self.world, Catalogue(self.world, self.recorder, self.workloads), SampleFaults(fleet, self.faults)
        )

    @classmethod
    def fresh(cls, fleet: Fleet, *, seed: int, start_s: float) -> Self:
        """A fleet at `start_s` (seconds since 1970 UTC) whose pools hold what demand needs then."""
        tokens = new_tokens(fleet)
        clock = SimulatedClock(start_s - SETTLING_S, speed=0)
        clusters = {
            cluster.name: SimulatedCluster(
                cluster.name,
                clock,
                seed,
                tokens=_roles(tokens[cluster.name]),
                metrics_server=cluster.provider in HAVE_METRICS_SERVER,
            )
            for cluster in fleet.clusters
        }
        simulation = cls(fleet, seed=seed, start_s=start_s, tokens=tokens, clock=clock, clusters=clusters)
        simulation.node_pools.populate(simulation._first_sizes())
        simulation.demand.start()
        clock.advance(SETTLING_S)
        simulation.recorder.begin(simulation.sampling.past)
        return simulation

    @classmethod
    def restored(cls, fleet: Fleet, snapshot: dict[str, Any], now_s: float) -> Self:
        """The fleet of a snapshot, played on to `now_s`.

        Raises
        ------
        InvalidInput: the snapshot is of another fleet.
        """
        if snapshot["fleet"] != fleet.model_dump(mode="json"):
            raise InvalidInput("the state is of another fleet", fix="start with another --state folder")
        seed, tokens = snapshot["seed"], snapshot["tokens"]
        clock = SimulatedClock(snapshot["now_s"], speed=0)
        clusters = {
            name: SimulatedCluster.restore(snapshot["clusters"][name], clock, seed, tokens=_roles(held))
            for name, held in tokens.items()
        }
        simulation = cls(fleet, seed=seed, start_s=snapshot["start_s"], tokens=tokens, clock=clock, clusters=clusters)
        simulation.node_pools.restore(snapshot["node_pools"])
        simulation.faults.restore(snapshot["faults"])
        for name, autoscaler in simulation.autoscalers.items():
            autoscaler.restore(snapshot["autoscalers"][name])
        simulation.demand.resume()
        simulation.recorder.restore(snapshot["recorder"])
        clock.advance(now_s - clock.now())
        return simulation

    def snapshot(self) -> dict[str, Any]:
        """The whole state, JSON-able."""
        return {
            "now_s": self.clock.now(),
            "start_s": self.start_s,
            "seed": self.seed,
            "fleet": self.fleet.model_dump(mode="json"),
            "tokens": self.tokens,
            "node_pools": self.node_pools.snapshot(),
            "recorder": self.recorder.snapshot(),
            "faults": self.faults.snapshot(),
            "autoscalers": {name: autoscaler.snapshot() for name, autoscaler in self.autoscalers.items()},
            "clusters": {name: cluster.snapshot() for name, cluster in self.clusters.items()},
        }

    def mark_changed(self) -> None:
        """Note that the saved state is no longer the present one."""
        self.changed = True

    def _pools_changed(self) -> None:
        self.mark_changed()
        self.faults.look_at_pools()

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.clock.run_due()
        for cluster in self.clusters.values():
            cluster.step()

    def _first_sizes(self) -> dict[str, int]:
        """Nodes of each pool (by `pool_id`) at the start: what demand needs; edge sites have all their machines."""
        return {
            pool_id(cluster.name, pool.name): pool.max_nodes
            if cluster.provider is Provider.K3S
            else int(units_needed(self.world, cluster, pool, self.start_s, FIRST_UTILISATION))
            for cluster, pool in self.fleet.pools()
        }


def _roles(tokens: dict[str, str]) -> dict[str, str]:
    """Role of each bearer token."""
    return {token: role for role, token in tokens.items()}
