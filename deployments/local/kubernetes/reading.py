"""Lists: selected, paged in one snapshot, ready to send."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from deployments.local.kubernetes import conversion, resource_metrics, status, writing
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.selectors import Selection
from deployments.local.kubernetes.store import Forgotten, Key, Stored

Json = dict[str, Any]

_NOW = -1
"""Version in the token of a list that goes on in the present state, its own being forgotten."""


class Page(NamedTuple):
    """Part of a list.

    Parameters
    ----------
    version: resourceVersion of the whole list; 0 where the objects are computed.
    token: where the next page begins; "" on the last.
    remaining: how many objects follow; None where the list is selected or complete.
    """

    entries: list[Stored]
    version: int
    token: str = ""
    remaining: int | None = None


def listed(
    backend: Backend, kind: Kind, wanted: Selection, limit: int = 0, token: str = "", at: int | None = None
) -> Page:
    """The objects that a selection takes, by namespace and name; further pages come from the first page's snapshot.

    Parameters
    ----------
    at: resourceVersion to list at; None for now.

    Raises
    ------
    StatusError: 400 on a token that is none, 410 when its snapshot or version is forgotten.
    """
    if kind.computed:
        return Page([entry for entry in resource_metrics.computed(backend, kind, wanted.namespace) if
                     wanted.takes(entry.obj)], 0)  # fmt: skip
    version, start = _opened(token) if token else (at, None)
    if version is None or version == _NOW:
        version, entries = backend.store.version, backend.store.sorted(kind.storage, wanted.namespace)
    else:
        try:
            entries = backend.store.list_at(kind.storage, version, wanted.namespace)
        except Forgotten as error:
            raise _expired(start) from error
    if wanted.filtered or wanted.namespace is not None:
        entries = [entry for entry in entries if wanted.takes(entry.obj)]
    if start is not None:
        entries = [entry for entry in entries if entry.key > start]
    if not limit or len(entries) <= limit:
        return Page(entries, version)
    page, rest = entries[:limit], len(entries) - limit
    return Page(page, version, _token(version, page[-1].key), None if wanted.filtered else rest)


def _expired(start: Key | None) -> status.StatusError:
    """410; for a page with a token to go on from the same place in the present state."""
    if start is None:
        return status.StatusError(410, "Expired", "The resourceVersion for the provided list is too old.")
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list."
    )
    return status.StatusError(410, "Expired", message, token=_token(_NOW, start))


def found(backend: Backend, kind: Kind, namespace: str, name: str) -> Stored:
    """The object of that name, stored or computed.

    Raises
    ------
    StatusError: 404.
    """
    if kind.computed:
        return resource_metrics.computed_one(backend, kind, namespace, name)
    return writing.existing(backend, kind, namespace, name)


def _token(version: int, last: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *last]).encode()).decode().rstrip("=")


def _opened(token: str) -> tuple[int, Key]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(version), (str(namespace), str(name))
    except (binascii.Error, ValueError, TypeError) as error:
        raise status.bad_request("continue key is not valid") from error


def encoded(kind: Kind, entry: Stored) -> bytes:
    """One object as JSON, with `kind` and `apiVersion`."""
    return _head(kind) + _body(kind, entry)[1:]


def _head(kind: Kind) -> bytes:
    return f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'.encode()


def _body(kind: Kind, entry: Stored) -> bytes:
    if not kind.stored_as:
        return entry.body
    return json.dumps(conversion.shown(kind, entry.obj), separators=(",", ":"), ensure_ascii=False).encode()


def metadata_of(page: Page) -> Json:
    """`metadata` of a list that a page is part of."""
    metadata: Json = {"resourceVersion": str(page.version)} if page.version else {}
    return {**metadata, "continue": page.token} if page.token else metadata


def encoded_list(kind: Kind, page: Page) -> bytes:
    """A list as JSON. Items of built-in kinds carry no `kind` of their own, custom ones do."""
    metadata = metadata_of(page)
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    encode = encoded if kind.custom is not None else _body
    items = b",".join(encode(kind, entry) for entry in page.entries)
    head = f'{{"kind":"{kind.listed_as}","apiVersion":"{kind.api_version}","metadata":{json.dumps(metadata)},"items":['
    return head.encode() + items + b"]}"
