"""Events are forgotten an hour after they were last written, as the real server's --event-ttl has it."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.store import Event, Key

TTL_S = 3600.0
MOST = 1000
"""Events that a cluster keeps at most: a limit of this simulation, for the sake of its memory."""
_OLDEST = "oldest"


class EventExpiry(Controller):
    """Deletes old Events; one timer waits for the oldest of all."""

    resources = frozenset({"events"})

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._written: dict[Key, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """The oldest Event, when there was none before or there are too many."""
        self._written.pop(event.key, None)
        if event.new is not None:
            self._written[event.key] = self.backend.now_s()
            if len(self._written) == 1 or len(self._written) > MOST:
                yield _OLDEST

    def reconcile(self, key: Work) -> None:
        """Delete what is too old or too much."""
        now_s, late = self.backend.now_s(), list[Key]()
        for place, written_s in self._written.items():
            if written_s + TTL_S > now_s and len(self._written) - len(late) <= MOST:
                self.again_at(written_s + TTL_S, key)
                break
            late.append(place)
        for place in late:
            del self._written[place]
            if self.store.get("events", *place) is not None:
                self.store.remove("events", *place)
