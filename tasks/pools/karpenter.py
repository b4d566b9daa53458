"""Pools that Karpenter makes: no node-pool API knows them, so their nodes alone tell their state."""

from __future__ import annotations

from collections.abc import Mapping

from blocks.fleet import Autoscaler, NodePool
from blocks.kubernetes import PoolNodes
from blocks.node_pools import PoolState
from blocks.node_pools.guards import version_of


def is_karpenters(pool: NodePool, made: Mapping[str, PoolNodes]) -> bool:
    """Whether Karpenter sizes a pool: nodes of that NodePool are there, or the inventory says so."""
    return pool.name in made or pool.autoscaler is Autoscaler.KARPENTER


def karpenter_state(pool: NodePool, made: Mapping[str, PoolNodes]) -> PoolState:
    """The state of a pool that only Karpenter knows; its bounds are the inventory's.

    made: `count_by_label(nodes, KARPENTER_LABEL)`.
    """
    there = made.get(pool.name, PoolNodes(0, 0, 0))
    return PoolState(
        name=pool.name,
        min_nodes=pool.min_nodes,
        max_nodes=max(pool.max_nodes, there.nodes),
        desired=there.nodes,
        ready=there.schedulable,
        version=version_of(there),
        autoscaled=True,
        hands_off=pool.hands_off,
    )
