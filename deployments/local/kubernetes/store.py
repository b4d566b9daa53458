"""Objects in memory: one counter of versions, indexes, and a bounded history for watches and pages."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""

FIRST_VERSION = 1000
"""A new cluster begins here: what came before is forgotten, as on a server that has run for a while."""
HISTORY = 2048
"""Events remembered for each resource."""


class Stored:
    """An object as the store keeps it: never changed in place, without `kind` and `apiVersion`."""

    __slots__ = ("_body", "obj", "version")

    def __init__(self, obj: Json, version: int) -> None:
        self.obj, self.version = obj, version
        self._body: bytes | None = None

    @property
    def key(self) -> Key:
        """Namespace and name."""
        metadata = self.obj["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    @property
    def uid(self) -> str:
        """Identity."""
        return str(self.obj["metadata"]["uid"])

    @property
    def body(self) -> bytes:
        """The object as JSON, encoded once."""
        if self._body is None:
            self._body = json.dumps(self.obj, separators=(",", ":"), ensure_ascii=False).encode()
        return self._body


class Event(NamedTuple):
    """One write: what was there before, what is there now. For a deletion `new` is None and `old` the last state."""

    resource: str
    version: int
    key: Key
    old: Stored | None
    new: Stored | None

    @property
    def state(self) -> Stored:
        """The object that the event is about: its new state, or its last one."""
        found = self.new or self.old
        if found is None:
            raise LookupError("an event without an object")
        return found


class Forgotten(LookupError):
    """History does not reach back that far."""

    def __init__(self, asked: int, oldest: int) -> None:
        self.asked, self.oldest = asked, oldest
        super().__init__(f"version {asked} is forgotten; the oldest known is {oldest}")


class Store:
    """All objects of one cluster.

    Parameters
    ----------
    version: the resourceVersion to go on from.
    """

    def __init__(self, version: int = FIRST_VERSION) -> None:
        self.version = version
        self._begin = version
        self._tables: dict[str, dict[str, dict[str, Stored]]] = {}
        self._history: dict[str, deque[Event]] = {}
        self._listeners: list[Callable[[Event], None]] = []
        self._owned: dict[str, dict[tuple[str, Key], None]] = {}
        self._by_uid: dict[str, tuple[str, Key]] = {}
        self._pods_by_node: dict[str, dict[Key, None]] = {}

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every write from now on; the result stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, resource: str, namespace: str, name: str) -> Stored | None:
        """The object, or None."""
        return self._tables.get(resource, {}).get(namespace, {}).get(name)

    def all(self, resource: str, namespace: str | None = None) -> Iterator[Stored]:
        """Objects of a resource (in one namespace), in no order that means anything."""
        table = self._tables.get(resource, {})
        spaces: Iterable[dict[str, Stored]] = table.values() if namespace is None else (table.get(namespace, {}),)
        for space in spaces:
            yield from space.values()

    def count(self, resource: str) -> int:
        """How many objects of a resource there are."""
        return sum(map(len, self._tables.get(resource, {}).values()))

    def resources(self) -> list[str]:
        """Resources that have objects."""
        return [resource for resource, table in self._tables.items() if any(table.values())]

    def sorted(self, resource: str, namespace: str | None = None) -> list[Stored]:
        """Objects of a resource, by namespace and name."""
        return sorted(self.all(resource, namespace), key=lambda entry: entry.key)

    def list_at(self, resource: str, version: int, namespace: str | None = None) -> list[Stored]:
        """What `sorted` gave at an earlier version.

        Raises
        ------
        Forgotten: history does not reach back that far.
        """
        state = {entry.key: entry for entry in self.all(resource, namespace)}
        for event in reversed(self.since(resource, version)):
            if namespace is not None and event.key[0] != namespace:
                continue
            if event.old is None:
                state.pop(event.key, None)
            else:
                state[event.key] = event.old
        return [state[key] for key in sorted(state)]

    def since(self, resource: str, version: int) -> list[Event]:
        """Writes to a resource after a version, in order.

        Raises
        ------
        Forgotten: history does not reach back that far.
        """
        events = self._history.get(resource)
        full = events is not None and len(events) == HISTORY
        oldest = events[0].version - 1 if full and events else self._begin
        if version < oldest:
            raise Forgotten(version, oldest)
        return [event for event in events or () if event.version > version]

    def owned(self, uid: str) -> list[tuple[str, Key]]:
        """Resource and key of every object with an owner of that uid."""
        return list(self._owned.get(uid, ()))

    def owned_objects(self, uid: str, resource: str) -> list[Stored]:
        """Objects of one resource with an owner of that uid."""
        keys = [key for kind, key in self._owned.get(uid, ()) if kind == resource]
        return [entry for key in keys if (entry := self.get(resource, *key)) is not None]

    def knows(self, uid: str) -> bool:
        """Whether an object with that uid exists."""
        return uid in self._by_uid

    def place(self, uid: str) -> tuple[str, Key] | None:
        """Resource and key of the object with that uid."""
        return self._by_uid.get(uid)

    def pods_on(self, node: str) -> list[Stored]:
        """Pods bound to a node."""
        keys = self._pods_by_node.get(node, ())
        return [entry for key in keys if (entry := self.get("pods", *key)) is not None]

    def put(self, resource: str, obj: Json) -> Stored:
        """Create or replace an object; it gets the next version. `obj` belongs to the store from now on."""
        self.version += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.version)}
        new = Stored(obj, self.version)
        namespace, name = new.key
        space = self._tables.setdefault(resource, {}).setdefault(namespace, {})
        old = space.get(name)
        space[name] = new
        self._record(Event(resource, self.version, new.key, old, new))
        return new

    def remove(self, resource: str, namespace: str, name: str, last: Json | None = None) -> Stored:
        """Delete an object; the result is its last state, with the version of the deletion."""
        self.version += 1
        space = self._tables[resource][namespace]
        old = space.pop(name)
        if not space:
            del self._tables[resource][namespace]
        state = last or old.obj
        final = Stored({**state, "metadata": {**state["metadata"], "resourceVersion": str(self.version)}}, self.version)
        self._unindex(resource, old)
        event = Event(resource, self.version, final.key, final, None)
        self._history.setdefault(resource, deque(maxlen=HISTORY)).append(event._replace(old=final))
        self._tell(event)
        return final

    def restore(self, resource: str, objects: Iterable[Json]) -> None:
        """Take objects of a snapshot as they are, without events."""
        for obj in objects:
            entry = Stored(obj, int(obj["metadata"]["resourceVersion"]))
            namespace, name = entry.key
            self._tables.setdefault(resource, {}).setdefault(namespace, {})[name] = entry
            self._index(resource, entry)

    def _record(self, event: Event) -> None:
        if event.old is not None:
            self._unindex(event.resource, event.old)
        if event.new is not None:
            self._index(event.resource, event.new)
        self._history.setdefault(event.resource, deque(maxlen=HISTORY)).append(event)
        self._tell(event)

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def _index(self, resource: str, entry: Stored) -> None:
        metadata = entry.obj["metadata"]
        self._by_uid[metadata["uid"]] = (resource, entry.key)
        for owner in metadata.get("ownerReferences", ()):
            self._owned.setdefault(owner["uid"], {})[resource, entry.key] = None
        if resource == "pods" and (node := dig(entry.obj, "spec", "nodeName")):
            self._pods_by_node.setdefault(node, {})[entry.key] = None

    def _unindex(self, resource: str, entry: Stored) -> None:
        metadata = entry.obj["metadata"]
        self._by_uid.pop(metadata["uid"], None)
        for owner in metadata.get("ownerReferences", ()):
            owned = self._owned.get(owner["uid"], {})
            owned.pop((resource, entry.key), None)
            if not owned:
                self._owned.pop(owner["uid"], None)
        if resource == "pods" and (node := dig(entry.obj, "spec", "nodeName")):
            on_node = self._pods_by_node.get(node, {})
            on_node.pop(entry.key, None)
            if not on_node:
                self._pods_by_node.pop(node, None)
