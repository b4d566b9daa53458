"""Validation: what makes an object 422, per kind, as a list of causes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.status import Cause
from deployments.local.kubernetes.validation import changes, network, objects, storage, workloads
from deployments.local.kubernetes.validation.metadata import check_metadata, check_metadata_change

Json = dict[str, Any]

VALIDATORS: dict[str, Callable[[Json], list[Cause]]] = {
    "nodes": objects.node,
    "pods": workloads.pod,
    "services": network.service,
    "configmaps": objects.config_map,
    "secrets": objects.secret,
    "events": objects.event,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "statefulsets.apps": workloads.stateful_set,
    "daemonsets.apps": workloads.daemon_set,
    "jobs.batch": workloads.job,
    "cronjobs.batch": workloads.cron_job,
    "ingresses.networking.k8s.io": network.ingress,
    "networkpolicies.networking.k8s.io": network.network_policy,
    "persistentvolumeclaims": storage.claim,
    "persistentvolumes": storage.volume,
    "storageclasses.storage.k8s.io": storage.storage_class,
    "roles.rbac.authorization.k8s.io": objects.role,
    "clusterroles.rbac.authorization.k8s.io": objects.role,
    "horizontalpodautoscalers.autoscaling": objects.autoscaler,
    "poddisruptionbudgets.policy": objects.disruption_budget,
    "leases.coordination.k8s.io": objects.lease,
    "priorityclasses.scheduling.k8s.io": objects.priority_class,
    "rolebindings.rbac.authorization.k8s.io": objects.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": objects.role_binding,
}


def check_new(kind: Kind, obj: Json) -> list[Cause]:
    """Faults of an object about to be created."""
    return [*check_metadata(kind, obj["metadata"]), *_check(kind, obj)]


def check_change(kind: Kind, new: Json, old: Json) -> list[Cause]:
    """Faults of an object about to replace another.

    The general rules on metadata come twice for built-in kinds, as the real server runs them in its own update path
    and again in the kind's; clients compare the causes.
    """
    metadata = check_metadata_change(new["metadata"], old["metadata"])
    twice = 1 if kind.custom else 2
    return [
        *metadata * twice,
        *check_metadata(kind, new["metadata"], named=False),
        *_check(kind, new) * (2 if kind.resource == "nodes" else 1),
        *changes.check(kind, new, old),
    ]


def _check(kind: Kind, obj: Json) -> list[Cause]:
    validator = VALIDATORS.get(kind.storage)
    return validator(obj) if validator is not None else []
