"""managedFields: who owns which fields, by ordinary writes and by server-side apply."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes import fields, status
from deployments.local.kubernetes.fields import Fields
from deployments.local.kubernetes.schemas import Schema
from deployments.local.kubernetes.status import StatusError

Json = dict[str, Any]

APPLY, UPDATE = "Apply", "Update"


def _entry(manager: str, operation: str, api_version: str, subresource: str, now: str, owned: Fields) -> Json:
    entry = {"manager": manager, "operation": operation, "apiVersion": api_version, "time": now,
             "fieldsType": "FieldsV1", "fieldsV1": owned}  # fmt: skip
    return {**entry, "subresource": subresource} if subresource else entry


def _is(entry: Json, manager: str, operation: str, subresource: str) -> bool:
    return (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, operation, subresource)


def after_update(
    managed: list[Json], old: Json, new: Json, schema: Schema | None, *,
    manager: str, api_version: str, subresource: str, now: str,
) -> list[Json]:  # fmt: skip
    """ManagedFields after an ordinary write: what it changed is its own, and nobody else's any more.

    Without a manager nobody gains, but those who owned what changed still lose it.
    """
    changed = fields.without_system(fields.changed(old, new, schema) or {})
    gone = fields.without_system(fields.removed(old, new, schema) or {})
    if not changed and not gone:
        return managed
    result, mine = [], {}
    for entry in managed:
        if manager and _is(entry, manager, UPDATE, subresource):
            mine = entry["fieldsV1"]
            continue
        left = fields.minus(fields.minus(entry["fieldsV1"], changed), gone)
        if left:
            result.append(entry if left == entry["fieldsV1"] else {**entry, "fieldsV1": left})
    owned = fields.union(fields.minus(mine, gone), changed)
    if manager and owned:
        result.append(_entry(manager, UPDATE, api_version, subresource, now, owned))
    return result


def apply(
    managed: list[Json], live: Json, applied: Json, schema: Schema | None, *,
    manager: str, api_version: str, subresource: str, force: bool, now: str,
) -> tuple[Json, list[Json]]:  # fmt: skip
    """Server-side apply: the object and the managedFields that come out.

    Parameters
    ----------
    live: the object now; `applied`: the fields that the manager wants, without defaults.
    force: take fields from other managers instead of refusing.

    Raises
    ------
    StatusError: 409 with one cause for each field that another manager wants otherwise.
    """
    wanted = fields.of_object(applied, schema)
    merged = _merge(live, applied, schema)
    changed = fields.without_system(fields.changed(live, merged, schema) or {})
    others = [entry for entry in managed if not _is(entry, manager, APPLY, subresource)]
    mine = next((entry for entry in managed if _is(entry, manager, APPLY, subresource)), None)
    clashes = [(entry, clash) for entry in others if (clash := fields.common(entry["fieldsV1"], changed))]
    if clashes and not force:
        raise _conflict(clashes)
    given_up = fields.minus(mine["fieldsV1"], wanted) if mine else {}
    for entry in others:
        given_up = fields.minus(given_up, entry["fieldsV1"])
    merged = fields.drop(merged, given_up, schema)
    result = []
    for entry in others:
        left = fields.minus(entry["fieldsV1"], changed)
        if left:
            result.append(entry if left == entry["fieldsV1"] else {**entry, "fieldsV1": left})
    if wanted:
        same = mine is not None and mine["fieldsV1"] == wanted
        since = mine["time"] if same and mine else now
        result.append(_entry(manager, APPLY, api_version, subresource, since, wanted))
    return merged, result


def _merge(live: Any, applied: Any, schema: Schema | None) -> Any:
    if fields.granular_map(applied, schema) and isinstance(live, dict):
        result = dict(live)
        for key, value in applied.items():
            below = fields.child(schema, key)
            result[key] = _merge(live[key], value, below) if key in live else value
        return result
    if fields.granular_list(applied, schema) and isinstance(live, list) and schema is not None:
        wanted = {fields.element(entry, schema): entry for entry in applied}
        present = {fields.element(entry, schema) for entry in live}
        kept = [
            _merge(entry, wanted[name], schema.items) if (name := fields.element(entry, schema)) in wanted else entry
            for entry in live
        ]
        return kept + [entry for name, entry in wanted.items() if name not in present]
    return applied


def _conflict(clashes: list[tuple[Json, Fields]]) -> StatusError:
    causes, lines = [], []
    for entry, clash in clashes:
        who = f'conflict with "{entry["manager"]}"'
        if entry.get("subresource"):
            who += f' with subresource "{entry["subresource"]}"'
        if entry["operation"] == UPDATE:
            who += f" using {entry['apiVersion']}"
        found = list(fields.paths(clash))
        causes += [{"reason": "FieldManagerConflict", "message": who, "field": path} for path in found]
        several = who.replace("conflict", "conflicts", 1) + ":" + "".join(f"\n- {path}" for path in found)
        lines.append(f"{who}: {found[0]}" if len(found) == 1 else several)
    count = len(causes)
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: " + "\n".join(lines)
    return status.StatusError(409, "Conflict", message, {"causes": causes})
