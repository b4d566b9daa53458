"""The scale subresource: one small object that stands for a workload's replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes import custom, status, writing
from deployments.local.kubernetes.backend import Backend, Options
from deployments.local.kubernetes.decoding import DecodeError, decode
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.schemas import parse
from deployments.local.kubernetes.selectors import as_text
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone, dig, with_value

Json = dict[str, Any]

_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_SCALE = Kind("autoscaling", "v1", "scales", "Scale")


def _paths(kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Where replicas are wanted, where they are counted, where the selector's text stands."""
    declared = dig(kind.custom, "subresources", "scale", default={})
    texts = (declared.get("specReplicasPath", ".spec.replicas"), declared.get("statusReplicasPath", ".status.replicas"),
             declared.get("labelSelectorPath", ""))  # fmt: skip
    wanted, counted, selector = (tuple(part for part in text.split(".") if part) for text in texts)
    return wanted, counted, selector


def shown(kind: Kind, entry: Stored) -> Json:
    """The Scale of an object."""
    wanted, counted, selector_path = _paths(kind)
    metadata = {key: entry.obj["metadata"][key] for key in _IDENTITY if key in entry.obj["metadata"]}
    replicas = dig(entry.obj, *wanted)
    if kind.custom is None:
        selector = as_text(dig(entry.obj, "spec", "selector"))
    else:
        selector = dig(entry.obj, *selector_path, default="") if selector_path else ""
    count: Json = {"replicas": dig(entry.obj, *counted, default=0)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": replicas} if replicas else {},
            "status": {**count, "selector": selector} if selector else count}  # fmt: skip


def change(
    backend: Backend,
    kind: Kind,
    namespace: str,
    name: str,
    make: Callable[[Json], Any],
    options: Options,
    *,
    patch: bool,
) -> Stored:
    """Write a Scale: `make` gives the new one from the present one.

    Raises
    ------
    StatusError: 404, 409 on a stale resourceVersion, 400 or 422 on a bad body.
    """
    current = writing.existing(backend, kind, namespace, name)
    scale = make(shown(kind, current))
    try:
        if not isinstance(scale, dict):
            raise DecodeError("a Scale is a JSON object")
        decoded = decode({k: v for k, v in scale.items() if k not in ("kind", "apiVersion")}, parse("Scale"))
    except DecodeError as error:
        raise status.invalid_patch(str(error)) if patch else status.undecodable(_SCALE, str(error)) from error
    replicas = dig(decoded, "spec", "replicas", default=0)
    if replicas < 0 and kind.custom is None:
        cause = status.Cause(status.INVALID, "spec.replicas", f"{replicas}: must be greater than or equal to 0")
        raise status.invalid(_SCALE, name, [cause])
    wanted = _paths(kind)[0]
    new = with_value(clone(current.obj), wanted, replicas)
    version = dig(decoded, "metadata", "resourceVersion")
    new["metadata"] = {**new["metadata"], "resourceVersion": version or str(current.version)}
    if replicas < 0:
        _refuse_negative(kind, name, new, wanted, replicas)
    return writing.update(backend, kind, current, new, options)


def _refuse_negative(kind: Kind, name: str, new: Json, wanted: tuple[str, ...], replicas: int) -> None:
    causes = custom.check(kind, new)
    path = "." + ".".join(wanted)
    causes.append(status.Cause(status.INVALID, path, f"{replicas}: should be a non-negative integer"))
    raise status.invalid(kind, name, causes)
