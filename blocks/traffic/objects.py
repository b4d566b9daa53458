"""Weights in objects of Kubernetes: Gateway API HTTPRoute, Istio VirtualService, nginx Ingress canary.

Only the weights are patched, each by its own JSON-patch operation behind a `test` of the version that was read, so that
whatever else people and controllers wrote stays as it is.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from blocks.errors import Conflict, InvalidInput, NotConfigured, Refused
from blocks.kubernetes import KubernetesApi, owner
from blocks.kubernetes.connection import PATCH_TYPES
from blocks.traffic import GATEWAY, INGRESS, ISTIO, RouteState, Session, check_weights, keeps_nobody

Found = list[tuple[str, str, int]]  # JSON pointer of the weight, backend, weight; of one rule
Operations = list[dict[str, Any]]

CANARY = "nginx.ingress.kubernetes.io/canary"
WEIGHT = f"{CANARY}-weight"
TOTAL = f"{CANARY}-weight-total"
WHOLE = 100  # what an Ingress' canary weight is a share of, unless it says otherwise
MAIN = "main"


def seconds_of(duration: str) -> int | None:
    """Whole seconds of a duration of Gateway API (GEP-2257); None where it is none.

    >>> seconds_of("1h30m"), seconds_of("90s"), seconds_of("")
    (5400, 90, None)
    """
    if not re.fullmatch(r"(\d{1,5}(h|m|s|ms)){1,4}", duration):
        return None
    unit_ms = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    return sum(int(number) * unit_ms[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", duration)) // 1000


class ObjectRoute(ABC):
    """A `WeightedRoute` in one object of one cluster."""

    group: ClassVar[str]
    plural: ClassVar[str]

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self.where = f"{self.plural} {api.name}/{namespace}/{name}"

    def read(self) -> RouteState:
        """See `WeightedRoute.read`."""
        found = self._get()
        session = self._session(found)
        return RouteState(self._weights(found), str(found["metadata"]["resourceVersion"]), None, session,
                          seconds_of(str((session or {}).get("absoluteTimeout", ""))))  # fmt: skip

    def write(self, weights: Mapping[str, int], session: Session | None, if_match: str) -> None:
        """See `WeightedRoute.write`."""
        found = self._get()
        if found["metadata"]["resourceVersion"] != if_match:
            raise self._changed()
        check_weights(weights, self._weights(found), self.where)
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": if_match}
        try:
            changes = [*self._operations(found, weights), *self._keeping(found, session)]
            self._api.request("PATCH", self._path(), body=[test, *changes], content_type=PATCH_TYPES["json"])
        except InvalidInput:  # a `test` that fails is a 422, as is a patch that its schema refuses
            if self._get()["metadata"]["resourceVersion"] != if_match:
                raise self._changed() from None
            raise

    @abstractmethod
    def _rules(self, found: Mapping[str, Any]) -> list[Found]:
        """Every rule that shares its requests out among two backends or more."""

    def _session(self, found: Mapping[str, Any]) -> Session | None:
        """What keeps users to their backend."""
        del found
        return None

    def _keeping(self, found: Mapping[str, Any], session: Session | None) -> Operations:
        """What sets the session."""
        if session != self._session(found):
            raise keeps_nobody(self.where)
        return []

    def _weights(self, found: Mapping[str, Any]) -> dict[str, int]:
        rules = self._rules(found)
        if not rules:
            raise Refused("no rule of it has two backends", where=self.where, fix="give it a backend for each site")
        told = [{backend: weight for _, backend, weight in rule} for rule in rules]
        if any(len(each) != len(rule) for each, rule in zip(told, rules, strict=True)):
            raise Refused("a rule names a backend twice", where=self.where, fix="name each once")
        if any(each != told[0] for each in told):
            raise Refused("its rules have other backends or weights than one another", where=self.where,
                          fix="make them the same, or a route of each")  # fmt: skip
        return told[0]

    def _operations(self, found: Mapping[str, Any], weights: Mapping[str, int]) -> Operations:
        return [{"op": "add", "path": pointer, "value": weights[backend]}
                for rule in self._rules(found) for pointer, backend, _ in rule]  # fmt: skip

    def _get(self) -> dict[str, Any]:
        found = self._api.request("GET", self._path())
        if whose := owner(found):
            raise Refused(f"it belongs to {whose}", where=self.where, fix="change it there, or take the mark away")
        return found

    def _path(self) -> str:
        version = self._api.preferred_version(self.group)
        if version is None:
            raise NotConfigured(f"the cluster does not serve {self.group}", where=self.where, fix="install its CRDs")
        names = f"{quote(self._namespace, safe='')}/{self.plural}/{quote(self._name, safe='')}"
        return f"/apis/{self.group}/{version}/namespaces/{names}"

    def _changed(self) -> Conflict:
        return Conflict("somebody wrote it since it was read", where=self.where, fix="the next pass decides anew")


class GatewayRoute(ObjectRoute):
    """`spec.rules[].backendRefs[].weight` of an HTTPRoute (gateway-api.sigs.k8s.io); a weight that is absent is 1.

    Users are kept by `spec.rules[].sessionPersistence` (GEP-1619, in the experimental channel of its CRDs).
    """

    group, plural = "gateway.networking.k8s.io", "httproutes"

    def _rules(self, found: Mapping[str, Any]) -> list[Found]:
        return [
            [(f"/spec/rules/{row}/backendRefs/{place}/weight", self._backend(each), int(each.get("weight", 1)))
             for place, each in enumerate(rule["backendRefs"])]
            for row, rule in self._shared(found)
        ]  # fmt: skip

    def _session(self, found: Mapping[str, Any]) -> Session | None:
        told = [rule.get("sessionPersistence") for _, rule in self._shared(found)]
        if any(each != told[0] for each in told):
            raise Refused("its rules keep users in other ways than one another", where=self.where,
                          fix="make their sessionPersistence the same, or a route of each")  # fmt: skip
        return told[0] if told else None

    def _keeping(self, found: Mapping[str, Any], session: Session | None) -> Operations:
        seen = self._session(found)
        if session == seen:
            return []
        change = {"op": "remove"} if session is None else {"op": "add", "value": session}
        return [change | {"path": f"/spec/rules/{row}/sessionPersistence"} for row, _ in self._shared(found)]

    def _shared(self, found: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
        """Rules that share their requests out, with their places."""
        rules = (found.get("spec") or {}).get("rules") or ()
        return [(row, rule) for row, rule in enumerate(rules) if len(rule.get("backendRefs") or ()) > 1]

    def _backend(self, each: Mapping[str, Any]) -> str:
        namespace = each.get("namespace") or self._namespace
        return str(each["name"]) if namespace == self._namespace else f"{namespace}/{each['name']}"


class IstioRoute(ObjectRoute):
    """`spec.http[].route[].weight` of a VirtualService (istio.io); a weight that is absent is 0."""

    group, plural = "networking.istio.io", "virtualservices"

    def _rules(self, found: Mapping[str, Any]) -> list[Found]:
        rules = (found.get("spec") or {}).get("http") or ()
        return [
            [(f"/spec/http/{row}/route/{place}/weight", _destination(each), int(each.get("weight", 0)))
             for place, each in enumerate(rule["route"])]
            for row, rule in enumerate(rules) if len(rule.get("route") or ()) > 1
        ]  # fmt: skip


def _destination(each: Mapping[str, Any]) -> str:
    """A destination's host, and its subset where it names one.

    >>> _destination({"destination": {"host": "web", "subset": "munich"}})
    'web/munich'
    """
    told = each["destination"]
    return f"{told['host']}/{told['subset']}" if told.get("subset") else str(told["host"])


class CanaryRoute(ObjectRoute):
    """The canary weight of an nginx Ingress: its share goes to backend `canary`, the rest of 100 to `main`."""

    group, plural = "networking.k8s.io", "ingresses"

    def _rules(self, found: Mapping[str, Any]) -> list[Found]:
        marks = found["metadata"].get("annotations") or {}
        weight = str(marks.get(WEIGHT, "0"))
        if str(marks.get(CANARY)) != "true" or not weight.isdecimal() or str(marks.get(TOTAL, WHOLE)) != str(WHOLE):
            raise Refused(f"it is no canary with a weight out of {WHOLE}", where=self.where,
                          fix=f"set {CANARY} to true, and leave {TOTAL} out")  # fmt: skip
        canary = min(int(weight), WHOLE)
        return [[("", MAIN, WHOLE - canary), (f"/metadata/annotations/{WEIGHT.replace('/', '~1')}", "canary", canary)]]

    def _operations(self, found: Mapping[str, Any], weights: Mapping[str, int]) -> Operations:
        if sum(weights.values()) != WHOLE:
            raise Refused(f"its weights must sum to {WHOLE}", where=self.where, fix="give shares in per cent")
        (((_, _, _), (pointer, backend, _)),) = self._rules(found)
        return [{"op": "add", "path": pointer, "value": str(weights[backend])}]


ROUTES: dict[str, type[ObjectRoute]] = {GATEWAY: GatewayRoute, ISTIO: IstioRoute, INGRESS: CanaryRoute}
