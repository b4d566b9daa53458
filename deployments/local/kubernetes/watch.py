"""Watches: history first, then every write as it happens, one line of JSON each."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.selectors import Selection
from deployments.local.kubernetes.store import Event, Forgotten, Store, Stored

Json = dict[str, Any]

DEFAULT_TIMEOUT_S = 1800.0
BOOKMARK_S = 60.0
"""Wall seconds between two bookmarks; one more comes before the end."""


class WatchOptions(NamedTuple):
    """What a watch asks for.

    Parameters
    ----------
    version: resourceVersion to start after; None to be told what exists first.
    timeout_s: wall seconds until the server ends the stream.
    initial_end: whether a bookmark marks the end of what existed before.
    """

    version: int | None
    timeout_s: float = DEFAULT_TIMEOUT_S
    bookmarks: bool = False
    initial_end: bool = False


class Shape(NamedTuple):
    """How a watch shows objects: `kind` and `apiVersion` of what it sends, and the JSON of one object."""

    head: Json
    encode: Callable[[Stored], bytes]


def line(shape: Shape, what: str, entry: Stored) -> bytes:
    """One event of a watch."""
    return b'{"type":"' + what.encode() + b'","object":' + shape.encode(entry) + b"}\n"


def _bookmark(shape: Shape, version: int, *, initial_end: bool = False) -> bytes:
    metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return json.dumps({"type": "BOOKMARK", "object": {**shape.head, "metadata": metadata}}).encode() + b"\n"


def seen(shape: Shape, wanted: Selection, event: Event) -> bytes | None:
    """What a watcher sees of a write: an object that stops matching is DELETED, one that starts is ADDED."""
    before = event.old is not None and wanted.takes(event.old.obj)
    after = event.new is not None and wanted.takes(event.new.obj)
    if after and event.new is not None:
        return line(shape, "MODIFIED" if before else "ADDED", event.new)
    if before and event.old is not None:
        last = event.old if event.new is None else _at(event.old, event.version)
        return line(shape, "DELETED", last)
    return None


def _at(entry: Stored, version: int) -> Stored:
    """An object's old state under the version of the write that took it out of view."""
    metadata = {**entry.obj["metadata"], "resourceVersion": str(version)}
    return Stored({**entry.obj, "metadata": metadata}, version)


async def stream(
    store: Store, kind: Kind, wanted: Selection, options: WatchOptions, shape: Shape
) -> AsyncIterator[bytes]:
    """Lines of one watch, until its time is over or the client goes."""
    live: deque[Event] = deque()
    news = asyncio.Event()

    def hear(event: Event) -> None:
        if event.resource == kind.storage and event.version > (options.version or 0):
            live.append(event)
            news.set()

    stop = store.listen(hear)
    try:
        try:
            for past in _past(store, kind, wanted, options, shape):
                yield past
        except Forgotten as error:
            gone = status.expired(error.asked, error.oldest).body()
            yield json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"
            return
        end, bookmark = time.monotonic() + options.timeout_s, time.monotonic() + BOOKMARK_S
        while (now := time.monotonic()) < end:
            while live:
                if (part := seen(shape, wanted, live.popleft())) is not None:
                    yield part
            news.clear()
            if options.bookmarks and now >= bookmark:
                bookmark = now + BOOKMARK_S
                yield _bookmark(shape, store.version)
            try:
                await asyncio.wait_for(news.wait(), min(end, bookmark) - now)
            except TimeoutError:
                continue
        if options.bookmarks:
            yield _bookmark(shape, store.version)
    finally:
        stop()


def _past(store: Store, kind: Kind, wanted: Selection, options: WatchOptions, shape: Shape) -> list[bytes]:
    """What happened, or what exists, before the stream was opened."""
    if options.version is not None:
        parts = [seen(shape, wanted, event) for event in store.since(kind.storage, options.version)]
        return [part for part in parts if part is not None]
    entries = store.sorted(kind.storage, wanted.namespace)
    found = [line(shape, "ADDED", entry) for entry in entries if wanted.takes(entry.obj)]
    return [*found, _bookmark(shape, store.version, initial_end=True)] if options.initial_end else found
