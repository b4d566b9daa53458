"""Check targets every ten seconds until it is plain which of them are up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.placement.decide.traffic_health import DOWN_AFTER, UP_AFTER, Bools, Health, checked

INTERVAL_S = 10.0
STALE_S = 90.0
"""Checks of so long ago and checks of now are not "in a row"."""

Check = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class Rhythm:
    """The clock that checks go by."""

    clock: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)


def watch(urls: Sequence[str], before: Health, watch_s: float, check: Check, rhythm: Rhythm) -> tuple[Health, Bools]:
    """The state after some rounds of checks, and which targets did not answer well in the last of them (N,).

    One round where all is well; more, ten seconds apart, while a target that is up fails, and for `watch_s` in any
    case. It ends as soon as one goes down, or comes up again: others that failed in that round are looked at once more,
    so that a first failed check and the end of the watch are never more than two rounds (20 s, and the checks) apart.
    """
    begin, state, turned_at, rounds = rhythm.clock(), before, 0, 0
    longest = watch_s / INTERVAL_S + DOWN_AFTER + UP_AFTER  # one that fails every other time would be watched for ever
    while urls:
        told = np.array(check(urls), dtype=np.int64)
        state, rounds = checked(state, told), rounds + 1
        turned_at = turned_at or (rounds if (state.up != before.up).any() else 0)
        settled = not (state.up & (state.streak > 0)).any()
        over = rhythm.clock() - begin + INTERVAL_S > watch_s
        if (settled or rounds > turned_at) if turned_at else ((settled and over) or rounds >= longest):
            return state, np.asarray(told != 1)
        rhythm.sleep(max(begin + rounds * INTERVAL_S - rhythm.clock(), 0.0))
    return before, np.zeros(0, np.bool_)
