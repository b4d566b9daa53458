"""Whether a node takes a pod, by what stands on the node itself: the scheduler's filters in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from deployments.local.kubernetes.admission import UNSCHEDULABLE
from deployments.local.kubernetes.controllers.evictions import tolerates
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import ANY_ADDRESS, PodInfo, Port, compiled
from deployments.local.kubernetes.controllers.scheduling.resources import amounts
from deployments.local.kubernetes.store import Stored

Json = dict[str, Any]

_CORDON = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
_REPELLING = ("NoSchedule", "NoExecute")


class Refusal(NamedTuple):
    """Why a node does not take a pod.

    Attributes
    ----------
    plugin: the scheduler plugin that said so.
    reasons: in its words.
    resolvable: whether it may take the pod once others have left.
    """

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = False


_CORDONED = Refusal("NodeUnschedulable", ("node(s) were unschedulable",))
# Until v1.34 the text named the taint: "node(s) had untolerated taint {key: value}".
_TAINTED = Refusal("TaintToleration", ("node(s) had untolerated taint(s)",))
_UNSELECTED = Refusal("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",))
_PORT_TAKEN = Refusal("NodePorts", ("node(s) didn't have free ports for the requested pod ports",), resolvable=True)


def _node_unschedulable(info: PodInfo, node: NodeInfo) -> Refusal | None:
    tolerated = not node.unschedulable or any(tolerates(entry, _CORDON) for entry in info.tolerations)
    return None if tolerated else _CORDONED


def _taint_toleration(info: PodInfo, node: NodeInfo) -> Refusal | None:
    return None if tolerates_all(info, node.taints) else _TAINTED


def tolerates_all(info: PodInfo, taints: list[Json]) -> bool:
    """Whether pods of a class may be placed under these taints."""
    return all(
        taint["effect"] not in _REPELLING or any(tolerates(entry, taint) for entry in info.tolerations)
        for taint in taints
    )


def _node_affinity(info: PodInfo, node: NodeInfo) -> Refusal | None:
    return None if selects_node(info, node) else _UNSELECTED


def selects_node(info: PodInfo, node: NodeInfo) -> bool:
    """Whether a pod's node selector and required node affinity take a node."""
    labels = node.labels
    for key, value in info.selector.items():
        if labels.get(key) != value:
            return False
    return info.required is None or any(term.holds(labels, node.name) for term in info.required)


def _node_ports(info: PodInfo, node: NodeInfo) -> Refusal | None:
    return _PORT_TAKEN if any(_clash(one, other) for one in info.ports for other in node.ports) else None


def _clash(one: Port, other: Port) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or ANY_ADDRESS in (one[0], other[0]))


def _node_resources_fit(info: PodInfo, node: NodeInfo) -> Refusal | None:
    used, room = node.used, node.room
    short = [name for name, amount in info.wanted.items() if amount and used[name] + amount > room.get(name, 0)]
    if not short:
        return None
    # More than the whole node holds never fits; the number of pods always may.
    hopeless = any(info.wanted[name] > room.get(name, 0) for name in short if name != "pods")
    words = tuple("Too many pods" if name == "pods" else f"Insufficient {name}" for name in short)
    return Refusal("NodeResourcesFit", words, resolvable=not hopeless)


# In the order of the default profile (getDefaultPlugins in pkg/scheduler/apis/config/v1); the first refusal counts.
FILTERS: tuple[Callable[[PodInfo, NodeInfo], Refusal | None], ...] = (
    _node_unschedulable,
    _taint_toleration,
    _node_affinity,
    _node_ports,
    _node_resources_fit,
)


def refusal(info: PodInfo, node: NodeInfo) -> Refusal | None:
    """Why a node does not take pods of a class; None when it does. Other pods near it are not looked at."""
    for check in FILTERS:
        if (found := check(info, node)) is not None:
            return found
    return None


def unfit(spec: Json, wanted: dict[str, float], node: Json, used: dict[str, float]) -> list[str]:
    """Why a node does not take a pod; empty when it does. Other pods near it are not looked at.

    Parameters
    ----------
    wanted: what the pod asks for, as `requests` gives it.
    used: what the node's pods ask for together.
    """
    offer = NodeInfo(node["metadata"]["name"])
    offer.set_offer(Stored(node, 0))
    offer.used.update(amounts(used))
    found = refusal(replace(compiled("", {}, spec), wanted=amounts(wanted)), offer)
    return [] if found is None else list(found.reasons)
