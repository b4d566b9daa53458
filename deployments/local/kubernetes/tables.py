"""Tables and bare metadata: the forms in which a client may ask for objects instead of the objects themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes import conversion
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.printing import columns_of
from deployments.local.kubernetes.printing.columns import Column
from deployments.local.kubernetes.reading import Page, encoded, metadata_of
from deployments.local.kubernetes.store import Stored

Json = dict[str, Any]

META = "meta.k8s.io/v1"
_TABLE: Json = {"kind": "Table", "apiVersion": META}
_PARTIAL: Json = {"kind": "PartialObjectMetadata", "apiVersion": META}


def table(kind: Kind, page: Page, now_s: float, include: str = "Metadata", *, titles: bool = True) -> Json:
    """A page of objects as a Table.

    Parameters
    ----------
    include: what comes with each row: "None", "Metadata" or "Object".
    titles: whether columns are described; in a watch only the first event does it.
    """
    columns = columns_of(kind)
    rows = [_row(kind, columns, entry, now_s, include) for entry in page.entries]
    described = [_definition(column) for column in columns] if titles else []
    return {**_TABLE, "metadata": metadata_of(page), "columnDefinitions": described, "rows": rows}


def _definition(column: Column) -> Json:
    return {"name": column.title, "type": column.type, "format": column.format, "description": "",
            "priority": int(column.wide)}  # fmt: skip


def _row(kind: Kind, columns: list[Column], entry: Stored, now_s: float, include: str) -> Json:
    row: Json = {"cells": [column.cell(entry.obj, now_s) for column in columns]}
    if include == "Object":
        row["object"] = {"kind": kind.kind, "apiVersion": kind.api_version, **conversion.shown(kind, entry.obj)}
    elif include != "None":
        row["object"] = partial(entry)
    return row


def partial(entry: Stored) -> Json:
    """An object's metadata and no more."""
    return {**_PARTIAL, "metadata": entry.obj["metadata"]}


def partial_list(page: Page) -> Json:
    """The metadata of a page of objects."""
    head = {"kind": "PartialObjectMetadataList", "apiVersion": META, "metadata": metadata_of(page)}
    return {**head, "items": [partial(entry) for entry in page.entries]}


def watched(kind: Kind, form: str, include: str, now_s: Callable[[], float]) -> tuple[Json, Callable[[Stored], bytes]]:
    """How a watch shows objects in a form: `kind` and `apiVersion` of what it sends, and how an object is encoded."""
    if form == "metadata":
        return _PARTIAL, lambda entry: _bytes(partial(entry))
    if form != "table":
        return {"kind": kind.kind, "apiVersion": kind.api_version}, lambda entry: encoded(kind, entry)
    titled = False

    def row(entry: Stored) -> bytes:
        nonlocal titled
        shown = table(kind, Page([entry], entry.version), now_s(), include, titles=not titled)
        titled = True
        return _bytes(shown)

    return _TABLE, row


def _bytes(body: Json) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
