"""Which of the nodes that take a pod suits best: the scores of the default profile, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deployments.local.kubernetes.controllers.evictions import tolerates
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo

# Weights of getDefaultPlugins; LeastAllocated and BalancedAllocation have 1.
TAINTS, AFFINITY, SPREADING, COMPANY = 3, 2, 2, 2


class Suitability(NamedTuple):
    """What a node is worth to pods of a class, before nodes are compared.

    Attributes
    ----------
    resources: room that is left, and in balance; 0 to 200.
    shunned: PreferNoSchedule taints that the pods do not tolerate.
    liked: weights of the node preferences that it meets.
    """

    resources: int
    shunned: int
    liked: int


def suitability(info: PodInfo, node: NodeInfo) -> Suitability:
    """What a node is worth by itself."""
    shunned = sum(
        1 for taint in node.taints
        if taint["effect"] == "PreferNoSchedule" and not any(tolerates(entry, taint) for entry in info.tolerations)
    )  # fmt: skip
    liked = sum(weight for weight, term in info.preferred if term.holds(node.labels, node.name))
    return Suitability(_least_allocated(info, node) + _balanced_allocation(info, node), shunned, liked)


def _least_allocated(info: PodInfo, node: NodeInfo) -> int:
    """Mean share of CPU and memory that stays free, in percent."""
    total = kinds = 0
    for name, asked in (("cpu", node.weight_cpu + info.weight[0]), ("memory", node.weight_memory + info.weight[1])):
        room = node.room.get(name, 0)
        if room:
            kinds += 1
            total += max(room - asked, 0) * 100 // room
    return total // kinds if kinds else 0


def _balanced_allocation(info: PodInfo, node: NodeInfo) -> int:
    """100 when CPU and memory are used in the same proportion; pods that ask for neither get no such score."""
    cpu, memory, room = info.wanted.get("cpu", 0), info.wanted.get("memory", 0), node.room
    if not cpu and not memory:
        return 0
    if not room.get("cpu") or not room.get("memory"):
        return 100
    shares = (
        min((node.used["cpu"] + cpu) / room["cpu"], 1.0),
        min((node.used["memory"] + memory) / room["memory"], 1.0),
    )
    return int((1 - abs(shares[0] - shares[1]) / 2) * 100)


def totals(worth: Sequence[Suitability], spreading: Sequence[int] | None, company: Sequence[int] | None) -> list[int]:
    """The weighted sum for each node. A score that is the same for all is left out: it decides nothing."""
    sums = [entry.resources for entry in worth]
    most_shunned, most_liked = max(entry.shunned for entry in worth), max(entry.liked for entry in worth)
    if most_shunned:
        sums = [total + TAINTS * (100 - 100 * entry.shunned // most_shunned)
                for total, entry in zip(sums, worth, strict=True)]  # fmt: skip
    if most_liked:
        sums = [total + AFFINITY * (100 * entry.liked // most_liked) for total, entry in zip(sums, worth, strict=True)]
    for weight, scores in ((SPREADING, spreading), (COMPANY, company)):
        if scores is not None:
            sums = [total + weight * score for total, score in zip(sums, scores, strict=True)]
    return sums
