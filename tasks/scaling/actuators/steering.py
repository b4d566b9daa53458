"""What the actuators share that steer somebody else's autoscaler: what they hold up, and how it is taken back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from blocks.errors import Conflict
from blocks.store.tables import Hold
from tasks.scaling.actuators import hold_marks
from tasks.scaling.actuators.base import Planned, PoolActuator, Seen, Value, refuse_busy, told

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

    def mark(self, hold: Hold) -> None:
        """Leave what is held up, and until when, where the pool is: a lost store must not keep it high for ever."""
        hold_marks.leave(self.access.api, hold)

    def unmark(self, hold: Hold) -> None:
        """Take the mark away: nothing is held up any more."""
        hold_marks.remove(self.access.api, hold)

    def _planned(self, seen: Seen, value: Value, base: Value, *, nodes: int, until: datetime) -> Planned:
        common = {"base": base, "until": until.isoformat()}
        do, undo = {"value": value, "nodes": nodes, **common}, {"value": dict(seen.value), "nodes": 0, **common}
        return Planned(do, undo, {"seen": dict(seen.value), "version": seen.version, **self.against()})
