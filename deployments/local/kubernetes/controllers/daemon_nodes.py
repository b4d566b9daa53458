"""Which nodes a DaemonSet's pods belong on, and how a pod is tied to one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.admission import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from deployments.local.kubernetes.controllers.evictions import tolerates
from deployments.local.kubernetes.controllers.nodes import PRESSURES
from deployments.local.kubernetes.selectors import Requirement, matches
from deployments.local.kubernetes.trees import dig, with_value

Json = dict[str, Any]

_TERMS = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
_ON_EVERY_HOST = "NetworkUnavailable"
_NAME = "metadata.name"
TOLERATED = (
    *((key, "NoExecute") for key in (NOT_READY, UNREACHABLE)),
    *((key, "NoSchedule") for kind, key in PRESSURES.items() if kind != _ON_EVERY_HOST),
    (UNSCHEDULABLE, "NoSchedule"),
)
"""Taints that every pod of a DaemonSet tolerates, by key and effect (AddOrUpdateDaemonPodTolerations)."""


def tolerations(spec: Json) -> list[Json]:
    """A template's tolerations, and those that every pod of a DaemonSet gets."""
    more = [*TOLERATED, *([(PRESSURES[_ON_EVERY_HOST], "NoSchedule")] if spec.get("hostNetwork") else [])]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in more]
    return [*(entry for entry in spec.get("tolerations", ()) if entry not in added), *added]


def tied(spec: Json, node: str) -> Json:
    """A pod's spec that only one node fits; the scheduler binds it as any other."""
    terms = [{"matchFields": [{"key": _NAME, "operator": "In", "values": [node]}]}]
    return {**with_value(spec, _TERMS, terms), "tolerations": tolerations(spec)}


def node_of(spec: Json) -> str:
    """The node that a DaemonSet's pod is bound or tied to; "" for none."""
    if name := spec.get("nodeName"):
        return str(name)
    for term in dig(spec, *_TERMS, default=()):
        for field in term.get("matchFields", ()):
            if field["key"] == _NAME:
                return str(field["values"][0])
    return ""


def fits(spec: Json, node: Json) -> tuple[bool, bool]:
    """Whether a node should run a pod of a template, and whether one that is there may stay.

    A taint without effect on what runs already (NoSchedule) keeps pods away, and lets those that are there stay.
    """
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()) or not _selected(
        spec, node
    ):
        return False, False
    entries = tolerations(spec)
    untolerated = [taint["effect"] for taint in dig(node, "spec", "taints", default=())
                   if not any(tolerates(entry, taint) for entry in entries)]  # fmt: skip
    return not {"NoSchedule", "NoExecute"} & set(untolerated), "NoExecute" not in untolerated


def _selected(spec: Json, node: Json) -> bool:
    terms = dig(spec, *_TERMS)
    if terms is None:
        return True
    labels, name = node["metadata"].get("labels", {}), {_NAME: node["metadata"]["name"]}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and matches(_requirements(term.get("matchExpressions", ())), labels)
        and matches(_requirements(term.get("matchFields", ())), name)
        for term in terms
    )


def _requirements(expressions: Iterable[Json]) -> list[Requirement]:
    return [Requirement(entry["key"], entry["operator"], frozenset(entry.get("values", ()))) for entry in expressions]
