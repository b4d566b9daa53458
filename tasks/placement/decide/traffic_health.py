"""Whether a target takes traffic: down after failures in a row, up again after more successes in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UP_AFTER = 3
DOWN_AFTER = 2
"""With a check every 10 s a dead target is known after 20 s at most, in time for a failover within 30 s."""


@dataclass(frozen=True)
class Health:
    """N targets.

    Attributes
    ----------
    up: (N,) whether each takes traffic. streak: (N,) checks in a row that spoke against that.
    """

    up: Bools
    streak: Ints

    @classmethod
    def start(cls, count: int) -> Health:
        """All up: a fleet is not shut because nobody has looked yet."""
        return cls(np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.int64))


def checked(before: Health, answers: Ints) -> Health:
    """The state after one round of checks: `answers` (N,) is 1 well, 0 failed, -1 not known (changes nothing).

    >>> state = Health.start(1)
    >>> [bool((state := checked(state, np.array([answer]))).up[0]) for answer in (0, 0, 1, 1, 1)]
    [True, False, False, False, True]
    """
    known = answers >= 0
    against = known & ((answers == 1) != before.up)
    streak = np.where(known, np.where(against, before.streak + 1, 0), before.streak)
    turned = streak >= np.where(before.up, DOWN_AFTER, UP_AFTER)
    return Health(before.up ^ turned, np.where(turned, 0, streak))
