"""A cluster-autoscaler in a simulated cluster: pools with `autoscaled` grow for pending pods and lose idle nodes.

Its defaults are those of kubernetes/autoscaler, release 1.3x. It looks every ten seconds on the simulated clock while
something is going on, else it sleeps until a pod, node or budget changes. Pools below their minimum are left there
(`--enforce-node-group-min-size=false`): each cloud's API decides what a raised floor does.
"""

from __future__ import annotations

import math
from typing import Any

from blocks.fleet import Cluster
from deployments.local.clock import SimulatedClock
from deployments.local.cluster_autoscaler import scale_up, status
from deployments.local.cluster_autoscaler.drains import Drains
from deployments.local.cluster_autoscaler.events import note
from deployments.local.cluster_autoscaler.scale_down import Budgets, to_move, unneeded
from deployments.local.cluster_autoscaler.state import SCAN_S, State
from deployments.local.cluster_autoscaler.view import View
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.eviction import BUDGETS
from deployments.local.kubernetes.store import Event, Store
from deployments.local.kubernetes.trees import epoch_s
from deployments.local.node_pools import NodePools
from deployments.local.nodes import group_name, is_ready
from deployments.local.pool_state import Pool

YOUNG_S = 2.0
"""While all waiting pods are younger, more may be coming: the scale-up waits for them."""
UNNEEDED_S, UNREADY_S = 600.0, 1200.0
"""How long a node must be unneeded, Ready or not, before it goes (`--scale-down-unneeded-time`, `-unready-time`)."""
AFTER_ADD_S, AFTER_FAILURE_S = 600.0, 180.0
"""No node goes so soon after a scale-up or a failed drain (`--scale-down-delay-after-add`, `-after-failure`)."""
EMPTY_AT_ONCE = 10
"""Empty nodes that may go in one look (`--max-empty-bulk-delete`)."""
UNREADY_OK, UNREADY_SHARE = 3, 0.45
"""With more nodes than that and a larger share of all not Ready, nothing is done."""


class ClusterAutoscaler:
    """The autoscaler of one cluster. It costs nothing while none of the cluster's pools is autoscaled."""

    def __init__(
        self, description: Cluster, cluster: SimulatedCluster, pools: NodePools, clock: SimulatedClock
    ) -> None:
        self._description, self._cluster, self._pools, self._clock = description, cluster, pools, clock
        self._armed_s = math.inf
        self._seen: tuple[Store, int, View] | None = None
        self.state = State()
        cluster.backend.store.listen(self._heard)
        pools.listen(lambda name: self._arm(0) if name == description.name else None)

    def snapshot(self) -> dict[str, Any]:
        """Its memory, JSON-able."""
        return self.state.snapshot()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.state = State.restored(saved)
        self._arm(0)

    def _heard(self, event: Event) -> None:
        if event.resource in ("pods", "nodes", BUDGETS) and self._clock.now() + SCAN_S < self._armed_s:
            self._arm(0)

    def _arm(self, when_s: float) -> None:
        """Look again at the first whole scan after now that is not before a time, if any pool is autoscaled."""
        when_s = max(math.ceil(when_s / SCAN_S), self._clock.now() // SCAN_S + 1) * SCAN_S
        if when_s < self._armed_s and self._mine():
            self._armed_s = when_s
            self._clock.at(when_s, f"cluster-autoscaler/{self._description.name}", lambda: self._due(when_s))

    def _due(self, when_s: float) -> None:
        if self._armed_s == when_s:
            self._armed_s = math.inf
            self._look()

    def _mine(self) -> list[Pool]:
        return [pool for pool in self._pools.pools_of(self._description.name) if pool.autoscaled]

    def _view(self) -> View:
        """The cluster as it is now; made anew where something was written since the last one."""
        store = self._cluster.backend.store
        if self._seen is None or self._seen[:2] != (store, store.version):
            self._seen = store, store.version, View(store)
        return self._seen[2].copy()

    def _look(self) -> None:
        pools, now_s = self._mine(), self._clock.now()
        if not pools or self._cluster.backend.outages.halted:
            self._arm(now_s)
            return
        self._cluster.step()
        self._end_scale_ups(now_s)
        healthy = _healthy(self._view())
        if healthy and not self._grow(pools, now_s):
            self._shrink(pools, now_s)
        self._cluster.step()
        groups = {group_name(self._description, self._pools.described(pool)): pool for pool in pools}
        told = status.content(self._view(), groups, self.state, healthy=healthy, now_s=now_s)
        status.write(self._cluster, told, now_s)
        self._sleep(self._view(), now_s)

    def _end_scale_ups(self, now_s: float) -> None:
        state = self.state
        for operation_id, pool in list(state.growing.items()):
            operation, last = self._pools.operation(operation_id), state.backoffs.get(pool)
            if operation.state == "failed":
                state.back_off(pool, now_s, operation.code or "timeout", operation.error or "")
            elif operation.state == "done" and last is not None and last.failed_s <= operation.accepted_s:
                del state.backoffs[pool]
            if operation.state != "running":
                del state.growing[operation_id]

    def _grow(self, pools: list[Pool], now_s: float) -> bool:
        """Help pods that find no node; whether a pool grew."""
        view = self._view()
        every = self._pools.pools_of(self._description.name)
        templates = {pool.name: scale_up.template_of(self._description, self._pools.described(pool), pool, view)
                     for pool in every} if view.waiting else {}  # fmt: skip
        helpless = scale_up.expect(view, templates.values(), set(self.state.growing.values()))
        if all(now_s - epoch_s(pod.obj["metadata"]["creationTimestamp"]) < YOUNG_S for pod in helpless):
            return False
        mine = [templates[pool.name] for pool in pools]
        held_off = {pool.name for pool in pools if self.state.held_off(pool.name, now_s)}
        options = [scale_up.estimate(template, helpless, template.pool.max_nodes - template.pool.desired)
                   for template in mine if template.pool.name not in held_off]  # fmt: skip
        option = scale_up.best(options)
        if option is not None:
            self._execute(option, now_s)
        hopeful = {pod.key for one in options for pod in one.pods}
        for pod in helpless:
            if pod.key not in hopeful:
                words = scale_up.objections(pod, mine, held_off)
                note(self._cluster.backend, "Pod", pod, "NotTriggerScaleUp", words)
        return option is not None

    def _execute(self, option: scale_up.Option, now_s: float) -> None:
        pool, before = option.template.pool, option.template.pool.desired
        operation = self._pools.autoscale(pool.cluster, pool.name, before + option.size)
        self.state.growing[operation.id], self.state.grown_s = pool.name, now_s
        words = (
            f"pod triggered scale-up: [{{{option.template.group} {before}->{pool.desired} (max: {pool.max_nodes})}}]"
        )
        for pod in option.pods:
            note(self._cluster.backend, "Pod", pod, "TriggeredScaleUp", words)

    def _shrink(self, pools: list[Pool], now_s: float) -> None:
        """Go on with drains, see which nodes are unneeded, and begin to remove those that were for long enough."""
        drains, store = Drains(self._cluster, self._pools, self.state), self._cluster.backend.store
        drains.go_on(self._view(), now_s)
        view = self._view()
        found = unneeded(view, pools, Budgets(store), self.state.unneeded)
        self.state.unneeded = {name: self.state.unneeded.get(name, now_s) for name in found}
        if now_s < self._cool_s():
            return
        ripe = [name for name in found if now_s >= self._ripe_s(view, name)]
        empty = [name for name in ripe if not to_move(view.pods[name])]
        for name in empty[:EMPTY_AT_ONCE]:
            drains.remove_empty(name)
        occupied = [name for name in ripe if name not in empty]
        if occupied and not empty and not self.state.draining:
            drains.begin(occupied[0], now_s)

    def _cool_s(self) -> float:
        """Until when no node may go."""
        return max(self.state.grown_s + AFTER_ADD_S, self.state.drain_failed_s + AFTER_FAILURE_S)

    def _ripe_s(self, view: View, name: str) -> float:
        return self.state.unneeded[name] + (UNNEEDED_S if is_ready(view.nodes[name]) else UNREADY_S)

    def _sleep(self, view: View, now_s: float) -> None:
        """Look again when something will have happened; whatever changes before that wakes it too."""
        times = [max(self._ripe_s(view, name), self._cool_s()) for name in self.state.unneeded if name in view.nodes]
        if view.waiting:
            times += [backoff.until_s for backoff in self.state.backoffs.values() if backoff.until_s > now_s]
            young = [pod for pod in view.waiting if now_s - epoch_s(pod.obj["metadata"]["creationTimestamp"]) < YOUNG_S]
            times += [now_s] if young else []
        if self.state.growing or self.state.draining:
            times.append(now_s)
        if times:
            self._arm(min(times))


def _healthy(view: View) -> bool:
    unready = sum(not is_ready(node) for node in view.nodes.values())
    return unready <= UNREADY_OK or unready <= UNREADY_SHARE * len(view.nodes)
