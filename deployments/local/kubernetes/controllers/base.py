"""What a controller is, and the engine that runs all of them: work queues and timers instead of scanning."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from blocks.errors import OperationFailed
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Event, Stored

Json = dict[str, Any]
Work = Any
"""What a work queue holds: a key that means something to its controller, hashable."""

RETRY_S = 5.0
"""Simulated seconds until a controller tries again what the API server refused."""
_ROUNDS = 1_000_000
"""Reconciliations within one step after which controllers are taken to fight each other."""


class _Everything(frozenset[str]):
    """All resources, those of definitions to come included."""

    __slots__ = ()

    def __contains__(self, _resource: object) -> bool:
        return True


EVERYTHING = _Everything()


class Controller:
    """Brings objects nearer to what they ask for, one key at a time.

    Attributes
    ----------
    resources: whose writes it wants to hear of.
    component: who its Events say they come from.
    """

    resources: ClassVar[frozenset[str]] = frozenset()
    component: ClassVar[str] = "simulated-control-plane"

    def __init__(self, backend: Backend, after: Callable[[Controller, Work, float], None]) -> None:
        self.backend = backend
        self.store = backend.store
        self._after = after
        self.prepare()

    def prepare(self) -> None:
        """Set up what this controller remembers; nothing by default."""

    def keys(self, event: Event) -> Iterable[Work]:
        """Keys that a write makes worth a look."""
        yield event.key

    def affected(self) -> Iterable[Work]:
        """Keys to look at when outages begin or end; none by default."""
        return ()

    def reconcile(self, key: Work) -> None:
        """Look at one key and write what is missing."""
        raise NotImplementedError

    def again_in(self, seconds: float, key: Work) -> None:
        """Look at a key again after some simulated time."""
        self._after(self, key, self.backend.now_s() + seconds)

    def again_at(self, when_s: float, key: Work) -> None:
        """Look at a key again at a simulated time."""
        self._after(self, key, when_s)

    def set_status(self, resource: str, entry: Stored, status: Json, **more: Any) -> Stored:
        """Write an object's status (and further top-level parts) if that changes anything."""
        new = {**entry.obj, "status": status, **more}
        return entry if new == entry.obj else self.store.put(resource, new)

    def note(
        self, about: Stored, kind: str, api_version: str, *, reason: str, message: str, warning: bool, path: str = ""
    ) -> None:
        """Write an Event about an object, or about a part of it; a repeat of the same one is counted."""
        namespace, name = about.key
        event_name = f"{name}.{_fingerprint(about.uid, self.component, reason, path, message)}"
        now = self.backend.timestamp()
        old = self.store.get("events", namespace or "default", event_name)
        if old is not None:
            self.store.put("events", {**old.obj, "count": old.obj.get("count", 0) + 1, "lastTimestamp": now})
            return
        where = {"namespace": namespace} if namespace else {}
        self.store.put("events", {
            "metadata": {"name": event_name, "namespace": namespace or "default", "uid": self.backend.uid(),
                         "creationTimestamp": now},
            "involvedObject": {"kind": kind, "apiVersion": api_version, "name": name, "uid": about.uid, **where,
                               **({"fieldPath": path} if path else {})},
            "reason": reason, "message": message, "type": "Warning" if warning else "Normal", "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": self.component},
            "reportingComponent": self.component, "reportingInstance": "",
        })  # fmt: skip


def _fingerprint(*parts: str) -> str:
    return hashlib.sha1("\0".join(parts).encode(), usedforsecurity=False).hexdigest()[:16]


class Engine:
    """Runs controllers until nothing is left to do; with nothing to do a step costs next to nothing.

    Parameters
    ----------
    make: the controllers to run, in the order in which they hear of a write.
    clock_s: the simulated clock, epoch seconds.
    wake: called with the time of the next timer whenever that comes nearer.
    """

    def __init__(self, clock_s: Callable[[], float], wake: Callable[[float], None]) -> None:
        self._clock_s, self._wake = clock_s, wake
        self._controllers: Sequence[Controller] = ()
        self._pending: deque[Event] = deque()
        self._dirty: dict[tuple[Controller, Work], None] = {}
        self._timers: list[tuple[float, int, Controller, Work]] = []
        self._set: set[tuple[float, Controller, Work]] = set()
        self._order = itertools.count()
        self._playing_s: float | None = None

    def start(self, backend: Backend, kinds: Iterable[type[Controller]]) -> None:
        """Make the controllers and hear of every write from now on."""
        self._controllers = [kind(backend, self._set_timer) for kind in kinds]
        backend.store.listen(self._pending.append)

    def now_s(self) -> float:
        """The time being played: a timer's own time while it fires, else the clock's."""
        return self._clock_s() if self._playing_s is None else self._playing_s

    def see_all(self, backend: Backend) -> None:
        """Take every object for new, as after a restart."""
        for resource in backend.store.resources():
            for entry in backend.store.sorted(resource):
                self._pending.append(Event(resource, entry.version, entry.key, None, entry))

    def look_again(self) -> None:
        """Let every controller have another look at what outages may have changed for it."""
        for controller in self._controllers:
            for key in controller.affected():
                self._dirty[controller, key] = None

    def skip(self) -> None:
        """Let everything that should have happened by now happen now: nobody acted in between."""
        late, now_s = sorted(self._timers), self._clock_s()
        self._timers, self._set = [], set()
        for when_s, _, controller, key in late:
            self._set_timer(controller, key, max(when_s, now_s))

    def step(self) -> int:
        """Run up to the clock's present time; the number of reconciliations.

        Raises
        ------
        OperationFailed: the controllers never come to rest.
        """
        if self._playing_s is not None:
            return 0
        target_s, done = self._clock_s(), 0
        try:
            # What was written since the last step comes first: it happened at the earliest before the next timer.
            self._playing_s = min(target_s, self._timers[0][0]) if self._timers else target_s
            done = self._settle()
            while self._timers and self._timers[0][0] <= target_s:
                self._playing_s, _, controller, key = heapq.heappop(self._timers)
                self._set.discard((self._playing_s, controller, key))
                self._dirty[controller, key] = None
                if not (self._timers and self._timers[0][0] <= self._playing_s):
                    done += self._settle()
        finally:
            self._playing_s = None
        if self._timers:
            self._wake(self._timers[0][0])
        return done

    def _settle(self) -> int:
        done = 0
        while self._pending or self._dirty:
            while self._pending:
                event = self._pending.popleft()
                for controller in self._controllers:
                    if event.resource in controller.resources:
                        for key in controller.keys(event):
                            self._dirty[controller, key] = None
            if self._dirty:
                controller, key = next(iter(self._dirty))
                del self._dirty[controller, key]
                try:
                    controller.reconcile(key)
                except StatusError:  # refused by its own API server, e.g. in a namespace that is being emptied
                    controller.again_in(RETRY_S, key)
                done += 1
                if done > _ROUNDS:
                    raise OperationFailed("controllers do not come to rest", where=f"{type(controller).__name__} {key}")
        return done

    def _set_timer(self, controller: Controller, key: Work, when_s: float) -> None:
        if (when_s, controller, key) not in self._set:
            self._set.add((when_s, controller, key))
            heapq.heappush(self._timers, (when_s, next(self._order), controller, key))
