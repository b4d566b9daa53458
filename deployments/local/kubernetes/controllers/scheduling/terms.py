"""Compiled conditions of a pod: on nodes, on other pods near it, on how its like are spread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from deployments.local.kubernetes.selectors import Requirement, matches, of_selector
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]
Labels = dict[str, str]

_UNBOUNDED, _BOUNDED = ("In", "NotIn", "Exists", "DoesNotExist"), ("Gt", "Lt")
_INTEGER = re.compile(r"-?[0-9]+")
_NOTHING = Requirement("", "Exists")
"""No label has an empty key."""


def _requirements(expressions: Iterable[Json]) -> tuple[Requirement, ...] | None:
    """Requirements of a node selector's expressions; None when one is not valid, such as a bound that is no integer."""
    found = tuple(
        Requirement(entry.get("key", ""), entry.get("operator", ""), frozenset(entry.get("values", ())))
        for entry in expressions
    )
    return found if all(map(_is_valid, found)) else None


def _is_valid(entry: Requirement) -> bool:
    if entry.operator in _BOUNDED:
        return len(entry.values) == 1 and all(map(_INTEGER.fullmatch, entry.values))
    return entry.operator in _UNBOUNDED


class NodeTerm(NamedTuple):
    """One alternative of a node affinity: requirements on labels and on the name."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def holds(self, labels: Labels, name: str) -> bool:
        """Whether a node meets it."""
        return matches(self.labels, labels) and matches(self.fields, {"metadata.name": name})

    @property
    def names(self) -> tuple[str, ...] | None:
        """The only nodes it can mean; None when it names none."""
        found = [entry.values for entry in self.fields if entry.operator == "In" and entry.key == "metadata.name"]
        return tuple(sorted(frozenset.intersection(*found))) if found else None


def node_term(term: Json) -> NodeTerm | None:
    """A node selector term; None when it matches nothing, as an empty one does."""
    labels, fields = (_requirements(term.get(part, ())) for part in ("matchExpressions", "matchFields"))
    return NodeTerm(labels, fields) if labels is not None and fields is not None and (labels or fields) else None


class PodTerm(NamedTuple):
    """Which pods a pod (anti-)affinity is about, and the label that says what is near."""

    key: str
    requirements: tuple[Requirement, ...] | None
    namespaces: frozenset[str]
    namespace_requirements: tuple[Requirement, ...] | None

    def takes(self, namespace: str, labels: Labels, labels_of: Callable[[str], Labels]) -> bool:
        """Whether it is about a pod; `labels_of` gives a namespace's labels."""
        if self.requirements is None or not matches(self.requirements, labels):
            return False
        if namespace in self.namespaces:
            return True
        return self.namespace_requirements is not None and matches(self.namespace_requirements, labels_of(namespace))


def pod_term(term: Json, namespace: str, labels: Labels) -> PodTerm:
    """A pod affinity term of a pod with this namespace and these labels."""
    found = of_selector(term.get("labelSelector"))
    if found is not None:
        found += _label_keys(term.get("matchLabelKeys", ()), labels, "In")
        found += _label_keys(term.get("mismatchLabelKeys", ()), labels, "NotIn")
    named, chosen = term.get("namespaces", ()), of_selector(term.get("namespaceSelector"))
    spaces = frozenset(named) if named or chosen is not None else frozenset([namespace])
    return PodTerm(term.get("topologyKey", ""), None if found is None else tuple(found), spaces,
                   None if chosen is None else tuple(chosen))  # fmt: skip


def _label_keys(keys: Iterable[str], labels: Labels, operator: str) -> list[Requirement]:
    return [Requirement(key, operator, frozenset([labels[key]])) for key in keys if key in labels]


class Spread(NamedTuple):
    """A topology spread constraint."""

    key: str
    max_skew: int
    min_domains: int
    requirements: tuple[Requirement, ...]
    hard: bool
    honours_affinity: bool
    honours_taints: bool


def spread(entry: Json, labels: Labels) -> Spread:
    """A topology spread constraint of a pod with these labels; one without a selector counts no pod."""
    found = of_selector(entry.get("labelSelector"))
    wanted = [_NOTHING] if found is None else found
    wanted = wanted + _label_keys(entry.get("matchLabelKeys", ()), labels, "In")
    return Spread(
        entry.get("topologyKey", ""), entry.get("maxSkew", 1), entry.get("minDomains", 1), tuple(wanted),
        entry.get("whenUnsatisfiable") != "ScheduleAnyway",
        entry.get("nodeAffinityPolicy", "Honor") == "Honor", entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )  # fmt: skip


def weighted(affinity: Any, kind: str) -> list[tuple[int, Json]]:
    """Weight and term of each preference of a pod (anti-)affinity."""
    entries = dig(affinity, kind, "preferredDuringSchedulingIgnoredDuringExecution", default=())
    return [(entry.get("weight", 0), entry.get("podAffinityTerm", {})) for entry in entries]
