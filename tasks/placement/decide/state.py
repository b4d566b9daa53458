"""A placement while it is being improved: what stands where, what is left, and single moves that keep it valid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.placement.decide.compiled import Compiled, Int
from tasks.placement.decide.construct import NOWHERE


class State:
    """Picks of all units (index of the candidate, `NOWHERE` for none) and the room left at each site.

    Kept as lists: single moves on them are ten times as fast as on arrays.
    """

    def __init__(self, problem: Compiled, picks: Int) -> None:
        self.problem = problem
        self.picks: list[int] = picks.tolist()
        self.sites: list[list[int]] = problem.site.tolist()
        self.cost: list[list[float]] = problem.cost.tolist()
        self.requests: list[list[float]] = problem.requests.tolist()
        self.rivals = problem.rivals()
        self.columns = range(len(problem.resources))
        self.free: list[list[float]] = problem.room.tolist()
        self.members: list[set[int]] = [set() for _ in problem.sites]
        for unit, pick in enumerate(self.picks):
            if pick != NOWHERE:
                self._take(unit, self.sites[unit][pick])

    def array(self) -> Int:
        """(W,) the picks."""
        return np.array(self.picks, dtype=np.int64)

    def site_of(self, unit: int) -> int:
        """The unit's site, `NOWHERE` for none."""
        pick = self.picks[unit]
        return NOWHERE if pick == NOWHERE else self.sites[unit][pick]

    def cost_of(self, unit: int) -> float:
        """What the unit costs where it stands; 0 where it does not."""
        pick = self.picks[unit]
        return 0.0 if pick == NOWHERE else self.cost[unit][pick]

    def put(self, unit: int, pick: int) -> None:
        """Move a unit to a candidate, or away with `NOWHERE`; whether it fits is the caller's business."""
        old = self.site_of(unit)
        if old != NOWHERE:
            self.members[old].discard(unit)
            free, asked = self.free[old], self.requests[unit]
            for r in self.columns:
                free[r] += asked[r]
        self.picks[unit] = pick
        if pick != NOWHERE:
            self._take(unit, self.sites[unit][pick])

    def _take(self, unit: int, site: int) -> None:
        self.members[site].add(unit)
        free, asked = self.free[site], self.requests[unit]
        for r in self.columns:
            free[r] -= asked[r]

    def fits(self, unit: int, site: int) -> bool:
        """Whether a site has room for a unit that is not there."""
        free, asked = self.free[site], self.requests[unit]
        return all(free[r] >= asked[r] for r in self.columns)

    def fits_without(self, unit: int, site: int, gone: int) -> bool:
        """Whether a site has room for a unit once another has left it."""
        free, asked, back = self.free[site], self.requests[unit], self.requests[gone]
        return all(free[r] + back[r] >= asked[r] for r in self.columns)

    def at_peace(self, unit: int, site: int, ignoring: int = -1) -> bool:
        """Whether no rival of the unit stands at the site or, for replicas by region, in its region."""
        for other, key in self.rivals[unit]:
            at = self.site_of(other)
            if other != ignoring and at != NOWHERE and key[at] == key[site]:
                return False
        return True

    def candidates(self, unit: int) -> Iterator[tuple[int, int, float]]:
        """The unit's candidates: index, site, cost; cheapest first."""
        for k, (site, cost) in enumerate(zip(self.sites[unit], self.cost[unit], strict=True)):
            if cost == np.inf:
                return
            yield k, site, cost
