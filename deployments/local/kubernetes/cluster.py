"""One simulated cluster: objects, controllers, an HTTP API, and the same verbs for the rest of this process."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol, Self

from deployments.local.kubernetes import patches, reading, shapes, writing
from deployments.local.kubernetes.access import Access, bootstrap
from deployments.local.kubernetes.backend import Backend, DeleteOptions, Options
from deployments.local.kubernetes.controllers import CONTROLLERS
from deployments.local.kubernetes.controllers.api_services import METRICS_SERVICE
from deployments.local.kubernetes.controllers.base import Engine
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.kinds import Kind, Registry
from deployments.local.kubernetes.outages import Outages
from deployments.local.kubernetes.selectors import selection
from deployments.local.kubernetes.store import FIRST_VERSION, Store
from deployments.local.kubernetes.validation.objects import SYSTEM_CLASSES

Json = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_SYSTEM_PRIORITY = 2_000_000_000


class Clock(Protocol):
    """Simulated time."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def at(self, when_s: float, key: str, callback: Any) -> None:
        """Call back at a simulated time."""
        ...


class SimulatedCluster:
    """A Kubernetes cluster in memory.

    Parameters
    ----------
    name: the cluster's name.
    clock: simulated time; controllers ask it to wake them when their next timer is due.
    seed: equal seeds and equal calls give equal objects, down to uids and names.
    tokens: role (admin, operator, viewer) by bearer token.
    metrics_server: whether metrics.k8s.io is served. GKE, AKS and k3s bring it; a plain cluster, and the recorded one,
        has none.

    The verbs answer with copies that the caller may change, and raise StatusError as the HTTP API does. They do not
    run controllers: call `step` for that.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        seed: int = 0,
        tokens: Mapping[str, str] | None = None,
        *,
        metrics_server: bool = False,
    ) -> None:
        source = random.Random(f"{seed} {name}")
        self._open(name, clock, source, tokens, FIRST_VERSION)
        for namespace in NAMESPACES:
            self.create("namespaces", {"metadata": {"name": namespace}})
        for resource, obj in bootstrap():
            self.create(resource, obj)
        for index, class_name in enumerate(SYSTEM_CLASSES):
            value = _SYSTEM_PRIORITY + 1000 * index
            self.create("priorityclasses", {"metadata": {"name": class_name}, "value": value})
        if metrics_server:
            self.create("apiservices", METRICS_SERVICE)
        self.step()

    def _open(
        self, name: str, clock: Clock, source: random.Random, tokens: Mapping[str, str] | None, version: int
    ) -> None:
        self.name, self._clock = name, clock
        self._woken_s = float("inf")
        self._engine = Engine(clock.now, self._wake)
        self.backend = Backend(Store(version), Registry(), self._engine.now_s, source)
        self.access = Access(self.backend, tokens or {})
        self._engine.start(self.backend, CONTROLLERS)

    def _wake(self, when_s: float) -> None:
        if when_s < self._woken_s:
            self._woken_s = when_s
            self._clock.at(when_s, f"kubernetes {self.name}", self._woken)

    def _woken(self) -> None:
        self._woken_s = float("inf")
        self.step()

    def step(self) -> int:
        """Run the controllers up to the clock's present time, until nothing changes; the number of looks they took."""
        return 0 if self.backend.outages.halted else self._engine.step()

    def set_outages(self, outages: Outages) -> None:
        """Switch parts of the cluster off, or on again: what is not named works."""
        if self.backend.outages.halted and not outages.halted:
            self._engine.skip()
        self.backend.outages = outages
        self._engine.look_again()
        self.step()

    def kind(self, resource: str) -> Kind:
        """The kind of `pods` or `deployments.apps`.

        Raises
        ------
        KeyError: no such resource.
        """
        return self.backend.registry.of(resource)

    def create(self, resource: str, obj: Json, namespace: str | None = None) -> Json:
        """Create an object."""
        kind = self.kind(resource)
        place = _namespace(kind, namespace, obj)
        return shapes.presented(kind, writing.create(self.backend, kind, place, obj, Options()))

    def get(self, resource: str, name: str, namespace: str | None = None) -> Json:
        """The object of that name."""
        kind = self.kind(resource)
        return shapes.presented(kind, reading.found(self.backend, kind, _namespace(kind, namespace), name))

    def list(
        self, resource: str, namespace: str | None = None, label_selector: str | None = None, field_selector: str = ""
    ) -> list[Json]:
        """Objects by namespace and name; over all namespaces without one."""
        kind = self.kind(resource)
        wanted = selection(kind, namespace if kind.namespaced else None, label_selector or "", field_selector)
        return [shapes.presented(kind, entry) for entry in reading.listed(self.backend, kind, wanted).entries]

    def patch(
        self,
        resource: str,
        name: str,
        body: Any,
        patch_type: str = "merge",
        namespace: str | None = None,
        subresource: str = "",
    ) -> Json:
        """Change an object. `patch_type`: merge, strategic or json."""
        kind = self.kind(resource)
        change = patches.function(patch_type, body, shapes.schema_of(kind))
        options = Options(subresource=subresource)
        return shapes.presented(
            kind, writing.patch(self.backend, kind, _namespace(kind, namespace), name, change, options)
        )

    def delete(self, resource: str, name: str, namespace: str | None = None, grace_s: int | None = None) -> None:
        """Delete an object; dependents follow with the next step."""
        kind = self.kind(resource)
        delete(self.backend, kind, _namespace(kind, namespace), name, DeleteOptions("Background", grace_s))

    def snapshot(self) -> Json:
        """Everything that `restore` needs, as JSON. Timers start anew: a starting pod starts from the beginning."""
        store = self.backend.store
        version, state, gauss = self.backend.random.getstate()
        objects = {resource: [entry.obj for entry in store.sorted(resource)] for resource in store.resources()}
        return {
            "name": self.name,
            "version": store.version,
            "random": [version, list(state), gauss],
            "outages": self.backend.outages.snapshot(),
            "objects": objects,
        }

    @classmethod
    def restore(cls, snapshot: Json, clock: Clock, seed: int = 0, tokens: Mapping[str, str] | None = None) -> Self:
        """A cluster that goes on where a snapshot was taken. Watches from before it answer 410."""
        cluster = cls.__new__(cls)
        version, state, gauss = snapshot["random"]
        source = random.Random(seed)
        source.setstate((version, tuple(state), gauss))
        cluster._open(snapshot["name"], clock, source, tokens, snapshot["version"])
        cluster.backend.outages = Outages.restore(snapshot["outages"])
        for resource, objects in snapshot["objects"].items():
            cluster.backend.store.restore(resource, objects)
        cluster._engine.see_all(cluster.backend)
        cluster.step()
        return cluster


def _namespace(kind: Kind, namespace: str | None, obj: Json | None = None) -> str:
    if not kind.namespaced:
        return ""
    return namespace or ((obj or {}).get("metadata") or {}).get("namespace") or "default"
