"""APIServices: which APIs other servers bring. We know one of them, metrics-server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.kinds import METRICS
from deployments.local.kubernetes.store import Event
from deployments.local.kubernetes.trees import with_condition

Json = dict[str, Any]

SERVICES = "apiservices.apiregistration.k8s.io"
METRICS_SERVICE: Json = {
    "metadata": {"name": "v1beta1.metrics.k8s.io", "labels": {"k8s-app": "metrics-server"}},
    "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": True, "versionPriority": 100,
             "groupPriorityMinimum": 100, "service": {"name": "metrics-server", "namespace": "kube-system"}},
}  # fmt: skip
"""As metrics-server's own manifest registers it."""


class ApiServices(Controller):
    """Serves metrics.k8s.io while it is registered; says of every other API that nobody brings it."""

    resources = frozenset({SERVICES})

    def keys(self, event: Event) -> Iterable[Work]:
        """The name, which is version and group."""
        yield event.key[1]

    def reconcile(self, key: Work) -> None:
        """Serve one API, or stop serving it."""
        service, known = self.store.get(SERVICES, "", str(key)), key == METRICS_SERVICE["metadata"]["name"]
        if known and service is not None:
            self.backend.registry.declare(METRICS)
        elif known:
            for kind in METRICS:
                self.backend.registry.withdraw(kind.resource)
        if service is None:
            return
        entry = {"type": "Available", "status": "True" if known else "False", "message": "",
                 "reason": "Passed" if known else "ServiceNotFound"}  # fmt: skip
        old = service.obj.get("status", {})
        conditions = with_condition(old.get("conditions", []), entry, self.backend.timestamp())
        self.set_status(SERVICES, service, {**old, "conditions": conditions})
