"""What the actuators share that steer somebody else's autoscaler: what they hold up, and how it is taken back."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from blocks.errors import Conflict, ContinuumError
from blocks.store import Journal
from blocks.store.tables import Hold, Intent
from tasks.acting.actuator import Planned, Seen, Value, refuse_busy
from tasks.scaling.actuators import hold_marks
from tasks.scaling.actuators.pool import PoolActuator, told
from tasks.scaling.holds import hold_by

logger = logging.getLogger(__name__)

WRITES = 4  # of one setting, while only its status goes on changing


def rewrite(actuator: PoolActuator, seen: Seen, write: Callable[[], None]) -> None:
    """Write an object whose version also changes with its status: again, as long as its setting is still the one seen.

    Raises
    ------
    Conflict: somebody has changed the setting.
    """
    for attempt in range(WRITES):
        try:
            write()
            return
        except Conflict:
            if attempt == WRITES - 1 or actuator.look().value != seen.value:
                raise


@contextmanager
def _store_is_enough(hold: Hold) -> Iterator[None]:
    """A mark that cannot be written is told of: the store is the authority, and a change that is done stays done."""
    try:
        yield
    except ContinuumError as error:
        logger.warning("the mark of what is held up in %s is not as our store has it: %s", hold.subject, error)


class Steering(PoolActuator):
    """An actuator whose setting stays until it is taken back: a hold, with an expiry."""

    @abstractmethod
    def wanted(self, content: Mapping[str, Any], seen: Seen, base: Value) -> Value:
        """The setting for the decided number of nodes, never below what was there before us.

        Raises
        ------
        Refused: no setting can bring them.
        """

    def against(self) -> dict[str, Any]:
        """What else is compared when the change is made."""
        return {"desired": self.access.nodes(), "ready": self.access.ready()}

    def base(self, seen: Seen, hold: Hold | None) -> Value:
        """What was there before us; the present setting where it is not the one that we hold."""
        return dict(hold.base) if hold is not None and hold.value == seen.value else dict(seen.value)

    def plan(self, content: Mapping[str, Any], hold: Hold | None, until: datetime) -> Planned:
        """Refuse a setting that somebody has changed since it was decided on."""
        seen = self.look()
        refuse_busy(seen, self.where)
        if told(seen.value) != content["seen"]:
            was = f"was decided at {content['seen']} and now has {told(seen.value)}"
            raise Conflict(was, where=self.where, fix="the next pass decides anew")
        base = self.base(seen, hold)
        value = self.wanted(content, seen, base)
        return self._planned(seen, value, base, nodes=int(content["target"]), until=until)

    def back(self, hold: Hold) -> Planned | None:
        """What takes an expired hold back; None where somebody has changed the setting since: then it is not ours."""
        seen = self.look()
        refuse_busy(seen, self.where)
        if seen.value != hold.value or hold.value == hold.base:
            return None
        return self._planned(seen, dict(hold.base), dict(hold.base), nodes=0, until=hold.until)

    def announce(self, journal: Journal, intent: Intent) -> None:
        """Write down what is going to be held up, so that no crash leaves a hold that nobody knows."""
        if intent.do["value"] != intent.do["base"]:
            self.keep(journal, hold_by(intent, intent.do))

    def conclude(self, journal: Journal, intent: Intent, *, done: bool) -> None:
        """What is held up is what was done, or what was there before it; what is back at its base is none.

        A change that ended neither way leaves the hold as it was announced: the reaper looks at what there is.
        """
        payload = intent.do if done else intent.undo
        hold = hold_by(intent, payload)
        if payload["value"] == intent.do["base"]:
            self.drop(journal, hold)
        else:
            self.keep(journal, hold)

    def keep(self, journal: Journal, hold: Hold) -> None:
        """Write a hold down, or its later expiry."""
        journal.keep_hold(hold)
        with _store_is_enough(hold):
            self.mark(hold)

    def drop(self, journal: Journal, hold: Hold) -> None:
        """Nothing is held up there any more."""
        journal.drop_hold(hold)
        with _store_is_enough(hold):
            hold_marks.remove(self.access.api, hold)

    def mark(self, hold: Hold) -> None:
        """Leave what is held up, and until when, where the pool is: people see it there when our store is lost."""
        hold_marks.leave(self.access.api, hold)

    def _planned(self, seen: Seen, value: Value, base: Value, *, nodes: int, until: datetime) -> Planned:
        common = {"base": base, "until": until.isoformat()}
        do, undo = {"value": value, "nodes": nodes, **common}, {"value": dict(seen.value), "nodes": 0, **common}
        return Planned(do, undo, {"seen": dict(seen.value), "version": seen.version, **self.against()})
