"""Edge clusters without a node-pool API: the nodes are fixed; a pool shrinks by draining and closing some of them."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Self

from blocks.errors import ContinuumError, NotFound, Refused
from blocks.fleet import Cluster, Provider
from blocks.kubernetes import POOL_LABEL, KubernetesApi, is_ready, is_schedulable, owner
from blocks.kubernetes.budgets import ALLOW_ONE, requested, room, stuck
from blocks.kubernetes.connection import Object, Objects
from blocks.kubernetes.nodes import must_leave
from blocks.node_pools import Operation, PoolState
from blocks.node_pools.guards import Inventory, version_of

LABEL = POOL_LABEL[Provider.K3S]
POWER_STATE = "continuum.io/power-state"
DRAINING, SLEEP, ON = "draining", "sleep", "on"
CLOSED = (DRAINING, SLEEP)  # by this class, not by a person
DRAIN_TIMEOUT_S = 300.0

_log = logging.getLogger(__name__)


class K3sNodePools:
    """`NodePools` of one edge cluster. `desired` is the number of nodes open for pods.

    A node that this class closes is annotated `continuum.io/power-state`: `draining` in the same write, `sleep` when
    its pods have left; whoever switches machines off and on may act on `sleep`. Only such nodes are opened again: one
    that a person cordoned stays closed. Writes are over when the call returns, so every operation it gives is done;
    asking for the same size again finishes the drains that a killed process left.
    """

    def __init__(self, cluster: Cluster, api: KubernetesApi, drain_timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        self._inventory, self._api, self._drain_timeout_s = Inventory.of(cluster), api, drain_timeout_s

    @classmethod
    def connect(cls, cluster: Cluster) -> Self:
        """Through the cluster's Kubernetes API."""
        return cls(cluster, KubernetesApi.connect(cluster))

    def list(self) -> list[PoolState]:
        """All pools that a node is labelled with, by name."""
        pools: dict[str, Objects] = {}
        for node in self._api.nodes(LABEL):
            pools.setdefault(node["metadata"]["labels"][LABEL], []).append(node)
        return [self._state(pool, pools[pool]) for pool in sorted(pools)]

    def describe(self, pool: str) -> PoolState:
        """One pool."""
        return self._state(pool, self._nodes(pool))

    def set_bounds(self, pool: str, min_nodes: int, max_nodes: int, if_match: str | None = None) -> Operation:
        """Always refused: no API keeps bounds for machines that are bolted to a wall."""
        del min_nodes, max_nodes, if_match
        raise Refused(
            "the bounds of fixed nodes live in the inventory only",
            where=self._inventory.where(pool),
            fix="change min_nodes and max_nodes in fleet.yaml",
        )

    def set_desired(self, pool: str, desired: int, if_match: str | None = None, token: str | None = None) -> Operation:
        """Open sleeping nodes, or drain and close the emptiest; blocks until the pods have left.

        Raises
        ------
        Refused: see `NodePools`; also where too few nodes sleep, or pods do not leave within the drain time-out:
            then every node that this call closed is open again.
        Conflict: a node changed while it was written; what this call closed is open again.
        """
        del token
        nodes = self._nodes(pool)
        state = self._state(pool, nodes)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_desired(state, desired)
        if desired > state.desired:
            self._open(pool, nodes, desired - state.desired)
        elif desired < state.desired:
            self._close(pool, nodes, state.desired - desired)
        else:
            self._put_to_sleep([node for node in nodes if not is_schedulable(node) and _power_state(node) == DRAINING])
        return Operation("", pool, "done")

    def check_close(self, pool: str, desired: int) -> None:
        """Refuse, before anything is touched, a size that closing nodes can never come to.

        Raises
        ------
        Refused: a disruption budget can never be met (it is named), or the nodes left have no room for the pods.
        """
        nodes = self._nodes(pool)
        surplus = sum(map(is_schedulable, nodes)) - desired
        if surplus > 0:
            pods = self._api.pods()
            self._refuse_undrainable(pool, nodes, _emptiest(nodes, pods)[:surplus], pods)

    def operation(self, op: Operation) -> Operation:
        """The operation itself: it was done when it was given."""
        return op

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """The operation itself: nothing goes on."""
        del timeout_s
        return op

    def _nodes(self, pool: str) -> Objects:
        nodes = self._api.nodes(f"{LABEL}={pool}")
        if not nodes:
            raise NotFound(
                "no node has its label", where=self._inventory.where(pool), fix=f"label its nodes {LABEL}={pool}"
            )
        return nodes

    def _state(self, pool: str, nodes: Objects) -> PoolState:
        desired = sum(map(is_schedulable, nodes))
        low, high = self._inventory.bounds(pool, desired)
        marks = self._inventory.marks(pool)
        # One node of another owner is enough: nobody closes nodes around it.
        owners = [found for found in map(owner, nodes) if found]
        hands_off = marks["hands_off"] or "hands-off" in owners
        return PoolState(
            name=pool,
            min_nodes=low,
            max_nodes=min(high, len(nodes)),
            desired=desired,
            ready=sum(is_schedulable(node) and is_ready(node) for node in nodes),
            version=version_of(
                sorted((node["metadata"]["name"], is_schedulable(node), _power_state(node)) for node in nodes),
                hands_off,
            ),
            autoscaled=self._inventory.autoscaled(pool),
            hands_off=hands_off,
            owner=next((found for found in owners if found != "hands-off"), None),
        )

    def _open(self, pool: str, nodes: Objects, number: int) -> None:
        """Open that many of the nodes that sleep, Ready ones first."""
        asleep = [node for node in nodes if not is_schedulable(node) and _power_state(node) in CLOSED]
        if len(asleep) < number:
            raise Refused(
                f"{number} more nodes are asked for and {len(asleep)} sleep",
                where=self._inventory.where(pool),
                fix="uncordon nodes that a person closed, or ask for fewer",
            )
        for node in sorted(asleep, key=lambda node: (not is_ready(node), node["metadata"]["name"]))[:number]:
            metadata = node["metadata"]
            self._api.uncordon(
                metadata["name"], resource_version=metadata["resourceVersion"], annotations={POWER_STATE: ON}
            )

    def _refuse_undrainable(self, pool: str, nodes: Objects, closing: Objects, pods: Objects) -> None:
        where, names = self._inventory.where(pool), {_name(node) for node in closing if is_ready(node)}
        leaving = [pod for pod in pods if pod["spec"].get("nodeName") in names and must_leave(pod)]
        if leaving and (what := stuck(self._api.list("poddisruptionbudgets"), leaving)):
            raise Refused(what, where=where, fix=ALLOW_ONE)
        gone = {_name(node) for node in closing}
        staying = [node for node in nodes if is_schedulable(node) and is_ready(node) and _name(node) not in gone]
        homes = {_name(node) for node in staying} | names
        needed = requested(pod for pod in pods if pod["spec"].get("nodeName") in homes and must_leave(pod))
        for wanted, there, unit in zip(needed, room(staying), ("cores", "bytes of memory"), strict=True):
            if leaving and wanted > there:
                what = f"its pods request {wanted:.1f} {unit}, the {len(staying)} nodes left have {there:.1f}"
                raise Refused(what, where=where, fix="ask for more nodes, or move some of its pods away first")

    def _close(self, pool: str, nodes: Objects, number: int) -> None:
        """Close that many of the open nodes, the emptiest first; drain what is Ready.

        Pods of a node that is silent cannot end; Kubernetes replaces them by itself.
        """
        pods = self._api.pods()
        emptiest = _emptiest(nodes, pods)[:number]
        self._refuse_undrainable(pool, nodes, emptiest, pods)
        try:
            for node in emptiest:  # all first, so that no pod moves to a node that is drained next
                version = node["metadata"]["resourceVersion"]
                self._api.cordon(_name(node), resource_version=version, annotations={POWER_STATE: DRAINING})
            self._put_to_sleep(emptiest)
        except ContinuumError:
            self._restore(emptiest)
            raise

    def _put_to_sleep(self, closed: Objects) -> None:
        """Drain what is Ready of closed nodes; only then do they say that they may be switched off."""
        for node in closed:
            if is_ready(node):
                self._api.drain(_name(node), timeout_s=self._drain_timeout_s)
            self._api.patch("nodes", _name(node), {"metadata": {"annotations": {POWER_STATE: SLEEP}}})

    def _restore(self, nodes: Objects) -> None:
        """Open again what this class closed; a cordon whose answer was lost counts, one of a person's does not."""
        for before in nodes:
            try:
                node = self._api.get("nodes", _name(before))
                if not is_schedulable(node) and _power_state(node) in CLOSED:
                    version = node["metadata"]["resourceVersion"]
                    marks = {POWER_STATE: _power_state(before)}
                    self._api.uncordon(_name(node), resource_version=version, annotations=marks)
            except ContinuumError as error:
                _log.warning("node %s stays asleep; the next scale-up opens it: %s", _name(before), error)


def _emptiest(nodes: Objects, pods: Objects) -> Objects:
    """Open nodes in the order in which they close: not Ready, fewest pods, oldest."""
    held = Counter(pod["spec"].get("nodeName") for pod in pods if must_leave(pod))
    open_nodes = [node for node in nodes if is_schedulable(node)]
    return sorted(open_nodes, key=lambda node: (is_ready(node), held[_name(node)], _born(node), _name(node)))


def _born(node: Object) -> str:
    return str(node["metadata"].get("creationTimestamp", ""))


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])


def _power_state(node: Object) -> str | None:
    found: str | None = (node["metadata"].get("annotations") or {}).get(POWER_STATE)
    return found
