"""Deletion: at once, or marked and waited for by finalizers, a grace period, a namespace's content."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.backend import Backend, DeleteOptions, merged_finalizers
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.selectors import Selection
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import timestamp
from deployments.local.kubernetes.writing import existing

Json = dict[str, Any]

POLICIES = ("Foreground", "Background", "Orphan")
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_FINALIZER = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": "", "": ""}


def options_of(body: Json, query: dict[str, str]) -> DeleteOptions:
    """Options of a DELETE, from its body (a DeleteOptions object) or, where there is none, from its query.

    Raises
    ------
    StatusError: 400 on a grace period that is no number, 422 on a policy or dry run that does not exist.
    """
    policy = str(body.get("propagationPolicy", "") if body else query.get("propagationPolicy", ""))
    orphan = body.get("orphanDependents", {"true": True, "false": False}.get(query.get("orphanDependents", "")))
    if policy and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise status.invalid_options("DeleteOptions", [status.Cause(status.INVALID, "propagationPolicy", why)])
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy and policy not in POLICIES:
        cause = status.Cause(status.NOT_SUPPORTED, "propagationPolicy", f'"{policy}": supported: {", ".join(POLICIES)}')
        raise status.invalid_options("DeleteOptions", [cause])
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    if dry_run and dry_run != ["All"]:
        cause = status.Cause(status.NOT_SUPPORTED, "dryRun", f'{dry_run}: supported values: "All"')
        raise status.invalid_options("DeleteOptions", [cause])
    grace = body.get("gracePeriodSeconds") if body else query.get("gracePeriodSeconds")
    if grace is not None and not str(grace).lstrip("-").isdigit():
        raise status.bad_request(f"gracePeriodSeconds: {grace!r} is no number")
    guard = body.get("preconditions") or {}
    return DeleteOptions(policy, None if grace is None else _not_negative(int(grace)), guard.get("uid", ""),
                         guard.get("resourceVersion", ""), bool(dry_run))  # fmt: skip


def _not_negative(grace: int) -> int:
    """A negative grace period stands for the shortest one."""
    return 1 if grace < 0 else grace


def delete(backend: Backend, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> tuple[Stored, bool]:
    """Delete an object; its last or marked state, and whether it is gone.

    Raises
    ------
    StatusError: 404, or 409 when a precondition does not hold.
    """
    current = existing(backend, kind, namespace, name)
    _check_guards(kind, current, options)
    grace = _grace_s(kind, current.obj, options)
    marked = _marked(backend, kind, current.obj, options, grace)
    waits = marked["metadata"].get("finalizers") or grace or (kind.resource == "namespaces" and _unfinished(marked))
    if not waits:
        if options.dry_run:
            return current, True
        return backend.store.remove(kind.storage, namespace, name, last=marked), True
    if options.dry_run or marked == current.obj:
        return (Stored(marked, current.version) if options.dry_run else current), False
    return backend.store.put(kind.storage, marked), False


def _check_guards(kind: Kind, current: Stored, options: DeleteOptions) -> None:
    if options.uid and options.uid != current.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({current.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise status.conflict(kind, current.key[1], why, label=kind.kind)
    if options.version and options.version != str(current.version):
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in "
            f"record ({current.version}). The object might have been modified"
        )
        raise status.conflict(kind, current.key[1], why, label=kind.kind)


def _grace_s(kind: Kind, obj: Json, options: DeleteOptions) -> int:
    """Seconds until a pod must be gone; 0 for everything else and for pods that nobody runs."""
    if kind.resource != "pods":
        return 0
    if not obj["spec"].get("nodeName") or obj["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    wanted = options.grace_s if options.grace_s is not None else obj["spec"].get("terminationGracePeriodSeconds", 30)
    running = obj["metadata"].get("deletionGracePeriodSeconds")
    if running is not None and options.grace_s is None:
        return int(running)
    return int(wanted) if running is None else min(int(wanted), int(running))


def _marked(backend: Backend, kind: Kind, obj: Json, options: DeleteOptions, grace: int) -> Json:
    metadata = dict(obj["metadata"])
    finalizers = list(metadata.get("finalizers", ()))
    if options.propagation:
        finalizers = [entry for entry in finalizers if entry not in (FOREGROUND, ORPHAN)]
        if extra := _FINALIZER[options.propagation]:
            finalizers = merged_finalizers(finalizers, extra)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if "deletionTimestamp" not in metadata or metadata.get("deletionGracePeriodSeconds", 0) > grace:
        if "deletionTimestamp" not in metadata and "generation" in metadata:
            metadata["generation"] += 1
        metadata["deletionTimestamp"] = timestamp(backend.now_s() + grace)
        if kind.resource != "namespaces":
            metadata["deletionGracePeriodSeconds"] = grace
    marked = {**obj, "metadata": metadata}
    if kind.resource == "namespaces":
        marked["status"] = {**obj.get("status", {}), "phase": "Terminating"}
    return marked


def _unfinished(namespace: Json) -> bool:
    return bool(namespace.get("spec", {}).get("finalizers"))


def delete_all(backend: Backend, kind: Kind, wanted: Selection, options: DeleteOptions) -> list[Stored]:
    """Delete every object of a selection; their states before."""
    entries = [entry for entry in backend.store.sorted(kind.storage, wanted.namespace) if wanted.takes(entry.obj)]
    for entry in entries:
        delete(backend, kind, *entry.key, options)
    return entries
