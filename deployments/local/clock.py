"""Simulated time: runs at a set speed beside the wall clock, can be advanced, and fires what is due in order."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable

from blocks.errors import InvalidInput, Refused

Callback = Callable[[], object]
LONGEST_PASS_S = 0.5  # of wall time


class SimulatedClock:
    """Time of the simulated fleet, and the one queue of what happens in it.

    now = start + speed * (wall time since then); `advance` adds to it. Where firing what is due takes longer than
    LONGEST_PASS_S, time waits for the rest of it: on a machine that cannot keep the speed the fleet slows down, and
    does not fall ever further behind. Two clocks with the same start that are
    advanced alike fire the same callbacks in the same order: by due time, then key, then order of registration.
    It belongs to one thread: no lock guards the queue.

    Parameters
    ----------
    start_s: simulated time at birth, seconds since 1970 UTC.
    speed: simulated seconds per wall second; 0 holds time still until `advance`.
    wall: a clock that never goes backwards, seconds; tests hand in their own.

    >>> clock, seen = SimulatedClock(1000.0, speed=0), []
    >>> clock.at(1030.0, "b", lambda: seen.append(clock.now()))
    >>> clock.at(1020.0, "a", lambda: clock.at(clock.now() + 5, "a", lambda: seen.append(clock.now())))
    >>> clock.advance(60)
    3
    >>> seen, clock.now()
    ([1025.0, 1030.0], 1060.0)
    """

    def __init__(self, start_s: float, speed: float = 1.0, wall: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._speed = _checked("speed", speed, least=0.0)
        self._base = (_checked("start_s", start_s), wall())  # one tuple, so that a reader never sees half a change
        self._callback_time_s: float | None = None
        self._order = itertools.count()
        self._due: list[tuple[float, str, int, Callback]] = []

    def now(self) -> float:
        """Seconds since 1970 UTC, simulated; inside a callback: the time the callback was due."""
        return self._flowing_s() if self._callback_time_s is None else self._callback_time_s

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second. Setting it changes the pace from now on, never the time itself."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        speed = _checked("speed", speed, least=0.0)
        self._base = (self._flowing_s(), self._wall())
        self._speed = speed

    def at(self, when_s: float, key: str, callback: Callback) -> None:
        """Fire `callback` once at `when_s` (simulated seconds); a time already past means now.

        Callbacks due at the same time fire in the order of their keys, then of registration.
        """
        when_s = max(_checked("when_s", when_s), self.now())
        heapq.heappush(self._due, (when_s, key, next(self._order), callback))

    def next_due(self) -> float | None:
        """Simulated time of the earliest waiting callback; None when nothing waits."""
        return self._due[0][0] if self._due else None

    def run_due(self) -> int:
        """Fire everything that is due by now, in time order; return how many fired.

        What a callback registers for a time already reached fires in the same pass. An error in a callback ends the
        pass and reaches the caller; what was not fired stays queued. Called from inside a callback it fires nothing:
        the pass that runs the callback goes on to whatever is due.
        """
        return 0 if self._callback_time_s is not None else self._fire_until(self._flowing_s())

    def advance(self, seconds: float) -> int:
        """Move time on by `seconds`, firing everything due on the way at its own time; return how many fired.

        Raises
        ------
        InvalidInput: `seconds` is negative or not finite.
        Refused: called from inside a callback.
        """
        seconds = _checked("seconds", seconds, least=0.0)
        if self._callback_time_s is not None:
            raise Refused(
                "time cannot be advanced from inside a callback", where="simulated clock", fix="register with at()"
            )
        wall_s = self._wall()
        target_s = self._base[0] + (wall_s - self._base[1]) * self._speed + seconds
        self._base = (target_s, wall_s)
        return self._fire_until(target_s)

    def _flowing_s(self) -> float:
        simulated_s, wall_s = self._base
        return simulated_s + (self._wall() - wall_s) * self._speed

    def _fire_until(self, horizon_s: float) -> int:
        fired, begun_s = 0, self._wall()
        try:
            while self._due and self._due[0][0] <= horizon_s:
                self._callback_time_s, _, _, callback = heapq.heappop(self._due)
                callback()
                fired += 1
        finally:
            self._callback_time_s = None
        if (ended_s := self._wall()) - begun_s > LONGEST_PASS_S:
            self._base = (horizon_s + LONGEST_PASS_S * self._speed, ended_s)
        return fired


def _checked(name: str, value: float, least: float = -math.inf) -> float:
    if not math.isfinite(value) or value < least:
        bound = "a finite number" if least == -math.inf else f"a finite number >= {least:g}"
        raise InvalidInput(f"{name} is {value}", where="simulated clock", fix=f"give {bound}")
    return value
