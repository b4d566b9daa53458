"""Create, replace, patch and apply: one path from a body to the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes import admission, conversion, custom, defaults, ownership, status, validation
from deployments.local.kubernetes.backend import Backend, Options
from deployments.local.kubernetes.decoding import DecodeError
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.shapes import schema_of, shaped
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone, with_value

Json = dict[str, Any]

LONGEST_PREFIX = 58
"""Letters of generateName that go into a name; five more make it 63."""
_KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace",
         "name", "generateName", "selfLink")  # fmt: skip
GENERATIONS: dict[str, Callable[[Json, Json], bool]] = {
    "": lambda _new, _old: False,
    "spec": lambda new, old: new.get("spec") != old.get("spec"),
    "annotated": lambda new, old: new.get("spec") != old.get("spec") or _annotations(new) != _annotations(old),
    "all": lambda new, old: _content(new) != _content(old),
}


def _annotations(obj: Json) -> Json:
    return dict(obj["metadata"].get("annotations", {}))


def _content(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def create(backend: Backend, kind: Kind, namespace: str, body: Json, options: Options) -> Stored:
    """Create an object.

    Raises
    ------
    StatusError: 400, 403, 404, 409 or 422, as the real server answers.
    """
    try:
        obj = shaped(kind, body, options)
    except DecodeError as error:
        raise status.undecodable(kind, str(error)) from error
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise status.StatusError(500, "", "resourceVersion should not be set on objects to be created")
    _check_namespace(kind, metadata, namespace)
    for field in _KEPT[:5]:
        metadata.pop(field, None)
    metadata |= {"uid": backend.uid(), "creationTimestamp": backend.timestamp()}
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = _free_name(backend, kind, namespace, metadata["generateName"])
    metadata.pop("managedFields", None)
    return _insert(backend, kind, obj, options)


def _insert(backend: Backend, kind: Kind, obj: Json, options: Options, managed: list[Json] | None = None) -> Stored:
    metadata = obj["metadata"]
    admission.admit(backend, kind, obj)
    defaults.fill(kind.storage, obj)
    if kind.generation or kind.custom is not None:
        metadata["generation"] = 1
    _refuse(kind, metadata.get("name", ""), [*custom.check(kind, obj), *validation.check_new(kind, obj)])
    namespace = metadata.get("namespace", "")
    if (taken := backend.store.get(kind.storage, namespace, metadata["name"])) is not None:
        terminating = "deletionTimestamp" in taken.obj["metadata"]
        raise status.already_exists(kind, metadata["name"], terminating=terminating)
    if managed is None and options.manager:
        managed = ownership.after_update([], {}, obj, schema_of(kind), manager=options.manager, subresource="",
                                         api_version=kind.api_version, now=backend.timestamp())  # fmt: skip
    if managed:
        metadata["managedFields"] = managed
    if options.guard is not None:
        options.guard(obj, None)
    return Stored(obj, 0) if options.dry_run else backend.store.put(kind.storage, obj)


def _free_name(backend: Backend, kind: Kind, namespace: str, prefix: str) -> str:
    """A generated name that is not taken, as far as eight attempts find one."""
    for _ in range(8):
        name = prefix[:LONGEST_PREFIX] + backend.suffix()
        if backend.store.get(kind.storage, namespace, name) is None:
            break
    return name


def _check_namespace(kind: Kind, metadata: Json, namespace: str) -> None:
    if not kind.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", namespace) != namespace:
        raise status.bad_request("the namespace of the object does not match the namespace on the request")


def _refuse(kind: Kind, name: str, causes: list[status.Cause]) -> None:
    if causes:
        raise status.invalid(kind, name, causes)


def existing(backend: Backend, kind: Kind, namespace: str, name: str) -> Stored:
    """The object of that name.

    Raises
    ------
    StatusError: 404.
    """
    found = backend.store.get(kind.storage, namespace, name)
    if found is None:
        raise status.not_found(kind, name)
    return found


def replace(
    backend: Backend, kind: Kind, namespace: str, name: str, body: Json, options: Options
) -> tuple[Stored, bool]:
    """PUT an object: what the body leaves out is gone; also whether it created the object.

    Raises
    ------
    StatusError: as for `create`; 409 when the body's resourceVersion is not the present one.
    """
    try:
        new = shaped(kind, body, options)
    except DecodeError as error:
        raise status.undecodable(kind, str(error)) from error
    metadata = new["metadata"]
    _check_name(metadata, name)
    _check_namespace(kind, metadata, namespace)
    if kind.created_by_put and not options.subresource and backend.store.get(kind.storage, namespace, name) is None:
        return create(backend, kind, namespace, body, options), True
    current = existing(backend, kind, namespace, name)
    if not metadata.get("resourceVersion") and not _unconditional(kind):
        cause = status.Cause(status.INVALID, "metadata.resourceVersion", "0: must be specified for an update")
        raise status.invalid(kind, name, [cause], label=kind.plural)
    if metadata.get("uid") and metadata["uid"] != current.uid:
        key = "/".join(part for part in ("/registry", kind.plural, namespace, name) if part)
        why = (
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {current.uid}"
        )
        raise status.conflict(kind, name, why)
    return update(backend, kind, current, new, options), False


def _unconditional(kind: Kind) -> bool:
    return kind.unconditional and kind.custom is None


def _check_name(metadata: Json, name: str) -> None:
    if metadata.setdefault("name", name) != name:
        why = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(why)


def patch(
    backend: Backend, kind: Kind, namespace: str, name: str, change: Callable[[Json], Any], options: Options
) -> Stored:
    """Change an object by a function of its present state.

    Raises
    ------
    StatusError: as for `replace`; 422 when the result no longer has the kind's shape.
    """
    current = existing(backend, kind, namespace, name)
    result = change({"kind": kind.kind, "apiVersion": kind.api_version, **conversion.shown(kind, current.obj)})
    if not isinstance(result, dict):
        raise status.bad_request("error decoding patch: the result is no JSON object")
    metadata = result.get("metadata")
    if isinstance(metadata, dict):
        _check_name(metadata, name)
        if "resourceVersion" not in metadata:
            result = with_value(result, ("metadata", "resourceVersion"), str(current.version))
    try:
        new = shaped(kind, result, options)
    except DecodeError as error:
        raise status.invalid_patch(str(error)) from error
    return update(backend, kind, current, new, options)


def update(
    backend: Backend, kind: Kind, current: Stored, new: Json, options: Options, managed: list[Json] | None = None
) -> Stored:
    """Put a new state in the place of the present one; the present one when nothing changes.

    Parameters
    ----------
    new: decoded and the caller's own.
    managed: managedFields to store; None works them out as for an ordinary write.

    Raises
    ------
    StatusError: 409 on a stale resourceVersion, 422 when the new state is not allowed.
    """
    old = current.obj
    _check_version(kind, current, new["metadata"])
    new = _within_subresource(kind, new, old, options.subresource)
    metadata = new["metadata"]
    _refuse(kind, current.key[1], _identity(metadata, old["metadata"], kind))
    for field in _KEPT:
        if field in old["metadata"]:
            metadata[field] = old["metadata"][field]
        else:
            metadata.pop(field, None)
    defaults.fill(kind.storage, new)
    conversion.keep_allocated(kind, new, old)
    _refuse(kind, current.key[1], [*custom.check(kind, new), *validation.check_change(kind, new, old)])
    if options.guard is not None:
        options.guard(new, old)
    if _raises_generation(kind, new, old):
        metadata["generation"] = metadata.get("generation", 0) + 1
    explicit = metadata.pop("managedFields", None)
    if managed is None:
        managed = _managed(backend, kind, old, new, options, explicit)
    if managed:
        metadata["managedFields"] = managed
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    if new == old:
        return current
    if options.dry_run:
        return Stored(new, current.version)
    if _finally_gone(kind, new):
        return backend.store.remove(kind.storage, *current.key, last=new)
    return backend.store.put(kind.storage, new)


def _managed(backend: Backend, kind: Kind, old: Json, new: Json, options: Options, explicit: Any) -> list[Json]:
    before = old["metadata"].get("managedFields", [])
    if explicit in ([], [{}]):  # how a client asks to forget all owners
        return []
    if explicit is not None and explicit != before:
        before = [entry for entry in explicit if isinstance(entry, dict) and "manager" in entry and "fieldsV1" in entry]
    return ownership.after_update(before, _bare(old), _bare(new), schema_of(kind), manager=options.manager,
                                  subresource=options.subresource, api_version=kind.api_version,
                                  now=backend.timestamp())  # fmt: skip


def _bare(obj: Json) -> Json:
    metadata = {key: obj["metadata"][key] for key in ("labels", "annotations", "ownerReferences", "finalizers")
                if key in obj["metadata"]}  # fmt: skip
    return {**obj, "metadata": metadata}


def _check_version(kind: Kind, current: Stored, metadata: Json) -> None:
    version = metadata.get("resourceVersion")
    if version and not version.isdigit():
        raise status.bad_request(f"resourceVersion: {version!r} is no number")
    if version and version != "0" and int(version) != current.version:
        raise status.conflict(kind, current.key[1])


def _identity(new: Json, old: Json, kind: Kind) -> list[status.Cause]:
    twice = 1 if kind.custom else 2
    return [
        status.Cause(status.INVALID, f"metadata.{field}", f'"{new[field]}": field is immutable')
        for field in ("uid",)
        if new.get(field, old[field]) != old[field]
    ] * twice


def _within_subresource(kind: Kind, new: Json, old: Json, subresource: str) -> Json:
    """The part of a new state that may be written here: all but status, or status and a little metadata."""
    if kind.resource == "namespaces" and subresource != "finalize":
        new = {**new, "spec": clone(old.get("spec", {}))}
    if subresource == "status":
        metadata = new["metadata"] if kind.custom is None else {**old["metadata"]}
        result = {**{key: clone(value) for key, value in old.items() if key != "status"}, "metadata": metadata}
        return {**result, "status": new["status"]} if "status" in new else result
    if "status" not in kind.subresources or subresource == "scale":
        return new
    rest = {key: value for key, value in new.items() if key != "status"}
    return {**rest, "status": clone(old["status"])} if "status" in old else rest


def _raises_generation(kind: Kind, new: Json, old: Json) -> bool:
    if kind.custom is not None:
        before, after = ({key: value for key, value in obj.items() if key != "metadata"} for obj in (old, new))
        return (_content(new) != _content(old)) if "status" in kind.subresources else before != after
    if "generation" not in old["metadata"] and kind.generation:
        return False
    if "status" in kind.subresources and new.get("spec") is old.get("spec"):
        return False
    return GENERATIONS[kind.generation](new, old)


def _finally_gone(kind: Kind, obj: Json) -> bool:
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if kind.resource == "namespaces":
        return not obj.get("spec", {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def apply(
    backend: Backend, kind: Kind, namespace: str, name: str, body: Json, options: Options, *, force: bool
) -> tuple[Stored, bool]:
    """Server-side apply; also whether it created the object.

    Raises
    ------
    StatusError: 400 and 422 on bad bodies, 409 on fields of other managers.
    """
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict) and body["metadata"].get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    unknown = Options()
    try:
        wanted = shaped(kind, body, unknown, filled=False)
    except DecodeError as error:
        raise status.untyped(str(error)) from error
    if unknown.warnings:
        path = unknown.warnings[0].removeprefix("unknown field ").strip('"')
        raise status.untyped(f".{path}: field not declared in schema")
    _check_name(wanted["metadata"], name)
    _check_namespace(kind, wanted["metadata"], namespace)
    current = backend.store.get(kind.storage, namespace, name)
    common: dict[str, Any] = {"manager": options.manager, "api_version": kind.api_version, "force": force,
                              "subresource": options.subresource, "now": backend.timestamp()}  # fmt: skip
    schema = schema_of(kind)
    if current is None:
        _, managed = ownership.apply([], {}, wanted, schema, **common)
        created = shaped(kind, wanted, Options())
        created["metadata"] |= {"uid": backend.uid(), "creationTimestamp": backend.timestamp()}
        return _insert(backend, kind, created, options, managed), True
    _check_version(kind, current, wanted["metadata"])
    wanted["metadata"].pop("resourceVersion", None)
    before = current.obj["metadata"].get("managedFields", [])
    merged, managed = ownership.apply(before, current.obj, wanted, schema, **common)
    new = shaped(kind, clone(merged), Options())
    return update(backend, kind, current, new, options, managed), False
