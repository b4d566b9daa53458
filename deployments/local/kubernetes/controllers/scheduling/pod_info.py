"""What of a pod matters to the scheduler, worked out once for all pods that are alike."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass
from typing import Any

from deployments.local.kubernetes.controllers.scheduling.resources import amounts, requests
from deployments.local.kubernetes.controllers.scheduling.terms import (
    NodeTerm,
    PodTerm,
    Spread,
    node_term,
    pod_term,
    spread,
    weighted,
)
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]
Port = tuple[str, str, int]
"""Host address ("0.0.0.0" for all), protocol and number."""

ANY_ADDRESS = "0.0.0.0"  # nothing listens there: what a hostPort without hostIP means  # nosec B104
DEFAULT_CPU_M, DEFAULT_MEMORY = 100, 200 * 2**20
"""What a pod without requests counts for in scores (schedutil.DefaultMilliCPURequest, DefaultMemoryRequest)."""
HARD_AFFINITY_WEIGHT = 1
"""How much a placed pod's required affinity draws others (InterPodAffinityArgs.hardPodAffinityWeight)."""
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PodInfo:
    """A class of pods that are the same to the scheduler: equal in all but name. One object stands for all of them.

    Attributes
    ----------
    wanted: requests as whole numbers (CPU in thousandths), one pod place included.
    weight: CPU and memory that scores count, with defaults where nothing is requested.
    node_names: the only nodes it may go to, None for any.
    attracts: what the pod, once placed, adds to the scores of others that its terms are about.
    owner: kind and name of the controller.
    """

    namespace: str
    labels: dict[str, str]
    priority: int
    preempts: bool
    wanted: dict[str, int]
    weight: tuple[int, int]
    tolerations: list[Json]
    selector: dict[str, str]
    required: tuple[NodeTerm, ...] | None
    preferred: tuple[tuple[int, NodeTerm], ...]
    node_names: tuple[str, ...] | None
    ports: tuple[Port, ...]
    affinity: tuple[PodTerm, ...]
    anti_affinity: tuple[PodTerm, ...]
    preferences: tuple[tuple[int, PodTerm], ...]
    attracts: tuple[tuple[int, PodTerm], ...]
    spreads: tuple[Spread, ...]
    owner: tuple[str, str]

    @property
    def social(self) -> bool:
        """Whether it says anything about other pods near it."""
        return bool(self.affinity or self.anti_affinity or self.attracts)


class PodInfos:
    """One PodInfo for all equal pods, kept as long as somebody holds it."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[str, PodInfo] = weakref.WeakValueDictionary()

    def of(self, pod: Json) -> PodInfo:
        """The class of a pod."""
        metadata = pod["metadata"]
        spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
        labels, owner = metadata.get("labels", {}), _owner(metadata)
        key = json.dumps([metadata.get("namespace"), labels, owner, spec], sort_keys=True)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = compiled(metadata.get("namespace", ""), labels, spec, owner)
        return found


def _owner(metadata: Json) -> tuple[str, str]:
    found: Json = next((entry for entry in metadata.get("ownerReferences", ()) if entry.get("controller")), {})
    return found.get("kind", ""), found.get("name", "")


def compiled(namespace: str, labels: dict[str, str], spec: Json, owner: tuple[str, str] = ("", "")) -> PodInfo:
    """What a pod's spec says to the scheduler."""
    wanted, rules = amounts(requests(spec)), spec.get("affinity", {})
    required = dig(rules, "nodeAffinity", _REQUIRED, "nodeSelectorTerms")
    terms = None if required is None else tuple(term for entry in required if (term := node_term(entry)) is not None)
    near, apart = (tuple(pod_term(entry, namespace, labels) for entry in dig(rules, kind, _REQUIRED, default=()))
                   for kind in ("podAffinity", "podAntiAffinity"))  # fmt: skip
    likes = tuple((sign * weight, pod_term(entry, namespace, labels))
                  for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
                  for weight, entry in weighted(rules, kind))  # fmt: skip
    return PodInfo(
        namespace, labels, spec.get("priority", 0), spec.get("preemptionPolicy") != "Never", wanted,
        (wanted.get("cpu") or DEFAULT_CPU_M, wanted.get("memory") or DEFAULT_MEMORY), spec.get("tolerations", []),
        spec.get("nodeSelector", {}), terms, _node_preferences(rules), _node_names(terms), _ports(spec), near, apart,
        likes, (*likes, *((HARD_AFFINITY_WEIGHT, term) for term in near)),
        tuple(spread(entry, labels) for entry in spec.get("topologySpreadConstraints", ())), owner,
    )  # fmt: skip


def _node_preferences(rules: Json) -> tuple[tuple[int, NodeTerm], ...]:
    entries = dig(rules, "nodeAffinity", _PREFERRED, default=())
    found = ((entry.get("weight", 0), node_term(entry.get("preference", {}))) for entry in entries)
    return tuple((weight, term) for weight, term in found if term is not None)


def _node_names(terms: tuple[NodeTerm, ...] | None) -> tuple[str, ...] | None:
    """Nodes that the terms name, when each of them names some."""
    if not terms:
        return None
    names: dict[str, None] = {}
    for term in terms:
        if term.names is None:
            return None
        names |= dict.fromkeys(term.names)
    return tuple(names)


def _ports(spec: Json) -> tuple[Port, ...]:
    """Ports of the node that a pod takes: those of its containers and sidecars with a hostPort."""
    sidecars = [entry for entry in spec.get("initContainers", ()) if entry.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("hostIP") or ANY_ADDRESS, port.get("protocol", "TCP"), number)
        for container in [*spec.get("containers", ()), *sidecars] for port in container.get("ports", ())
        if (number := port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") else 0))
    )  # fmt: skip
