"""What to change where not everything can be placed: the smallest set of constraints, by name, and by how much.

Small problems: an elastic program in which every named constraint may be given up, and as few as possible are
(Chinneck 2008, Feasibility and Infeasibility in Optimization). Large ones: capacities at few sites
that are enough for what is left over, not always the fewest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from tasks.placement.decide.compiled import BY_REGION
from tasks.placement.decide.construct import NOWHERE
from tasks.placement.decide.explain import BARRIERS, Situation
from tasks.placement.decide.outcome import Barrier, Relaxation
from tasks.placement.decide.scores import Bar

LEAST = 1e-6


def smallest_relaxation(situation: Situation, cells: int, time_limit_s: float) -> tuple[Relaxation, ...]:
    """Constraints to relax so that everything is placed; up to `cells` pairs of unit and site their least number."""
    compiled = situation.compiled
    if len(compiled.members) * len(compiled.sites) <= cells:
        found = _Elastic(situation).solve(time_limit_s)
        if found is not None:
            return found
    return _sufficient(situation)


@dataclass
class _Rows:
    """Rows of a sparse program, `low <= a x <= high`, as they come."""

    row: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, entries: list[tuple[int, float]], low: float, high: float) -> None:
        for column, value in entries:
            self.row.append(len(self.low))
            self.column.append(column)
            self.value.append(value)
        self.low.append(low)
        self.high.append(high)

    def constraint(self, columns: int) -> LinearConstraint:
        shape = (len(self.low), columns)
        return LinearConstraint(sp.csr_matrix((self.value, (self.row, self.column)), shape=shape), self.low, self.high)


class _Elastic:
    """The elastic program of a small problem: cells (unit, site), then one switch for each named constraint."""

    def __init__(self, situation: Situation) -> None:
        self.situation, self.compiled = situation, situation.compiled
        self.units, self.sites = len(self.compiled.members), len(self.compiled.sites)
        self.names: list[tuple[str, tuple[str, ...]]] = []  # of the switches
        self.switch: dict[tuple[str, tuple[str, ...]], int] = {}
        self.excess: dict[int, int] = {}  # column of the amount above a capacity, by switch
        self.columns = self.units * self.sites
        self.rows = _Rows()

    def solve(self, time_limit_s: float) -> tuple[Relaxation, ...] | None:
        """The relaxations, by name; None where HiGHS found nothing in the time."""
        for unit in range(self.units):
            self.rows.add([(self._cell(unit, site), 1.0) for site in range(self.sites)], 1, 1)
        self._bars()
        self._conflicts()
        self._capacities()
        switches = np.array(sorted(self.switch.values()), np.int64)
        amounts = np.array(sorted(self.excess.values()), np.int64)
        cost, whole, most = np.zeros(self.columns), np.ones(self.columns), np.ones(self.columns)
        cost[switches] = 1.0
        cost[amounts] = 0.5 / max(len(amounts), 1)  # among sets of one size that which asks for least
        whole[amounts] = 0
        found = milp(cost, constraints=self.rows.constraint(self.columns), integrality=whole, bounds=Bounds(0, most),
                     options={"time_limit": time_limit_s})  # fmt: skip
        return None if found.x is None else self._told(found.x)

    def _cell(self, unit: int, site: int) -> int:
        return unit * self.sites + site

    def _new_switch(self, kind: str, subject: tuple[str, ...]) -> int:
        if (kind, subject) not in self.switch:
            self.switch[kind, subject] = self.columns
            self.names.append((kind, subject))
            self.columns += 1
        return self.switch[kind, subject]

    def _bars(self) -> None:
        """A unit may stand at a site that its workload is barred from only if that bar is given up."""
        for unit, members in enumerate(self.compiled.members):
            for member in members:
                bars = self.situation.scores.bars(self.situation.workloads[member.workload])
                for site in np.flatnonzero(bars).tolist():
                    switch = self._new_switch(BARRIERS[Bar(int(bars[site]))], (member.workload,))
                    self.rows.add([(self._cell(unit, site), 1.0), (switch, -1.0)], -np.inf, 0)

    def _conflicts(self) -> None:
        compiled = self.compiled
        for a, b, level in compiled.conflicts:
            names = sorted({compiled.members[unit][0].workload for unit in (a, b)})
            kind = Barrier.APART if len(names) == 2 else ("spread by region" if level == BY_REGION else "spread")
            switch = self._new_switch(kind, tuple(names))
            keys = compiled.keys[level] if compiled.keys is not None else np.arange(self.sites)
            for key in np.unique(keys).tolist():
                at = np.flatnonzero(keys == key).tolist()
                cells = [(self._cell(unit, site), 1.0) for unit in (a, b) for site in at]
                self.rows.add([*cells, (switch, -1.0)], -np.inf, 1)

    def _capacities(self) -> None:
        compiled = self.compiled
        for r, resource in enumerate(compiled.resources):
            asked = compiled.requests[:, r]
            total = float(asked.sum())
            if total <= 0:
                continue
            for site, name in enumerate(compiled.sites):
                switch = self._new_switch(Barrier.CAPACITY, (name, resource))
                excess = self.excess[switch] = self.columns
                self.columns += 1
                loads = [(self._cell(unit, site), float(each) / total) for unit, each in enumerate(asked) if each > 0]
                self.rows.add([*loads, (excess, -1.0)], -np.inf, float(compiled.capacity[site, r]) / total)
                self.rows.add([(excess, 1.0), (switch, -1.0)], -np.inf, 0)

    def _told(self, x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Relaxation, ...]:
        found = []
        for (kind, subject), column in self.switch.items():
            if x[column] > 0.5:
                lacking = 0.0
                if column in self.excess:
                    r = self.compiled.resources.index(subject[1])
                    lacking = float(x[self.excess[column]] * self.compiled.requests[:, r].sum())
                    if lacking <= LEAST:
                        continue
                found.append(Relaxation(str(kind), subject, lacking))
        return tuple(sorted(found, key=lambda each: (each.constraint, each.subject)))


def _sufficient(situation: Situation) -> tuple[Relaxation, ...]:
    """Capacities that are enough for what is left over: each unit at the site that lacks least, few sites in all."""
    compiled, free = situation.compiled, situation.free.copy()
    scale = np.maximum(compiled.requests.mean(axis=0), 1e-12)
    grown: set[int] = set()
    barred, apart = [], set()
    for unit in np.flatnonzero(situation.picks == NOWHERE).tolist():
        sites = compiled.site[unit][np.isfinite(compiled.cost[unit])]
        if not len(sites):
            barred += [member.workload for member in compiled.members[unit]]
            continue
        rivals = [situation.rivals_at(unit, site) for site in sites.tolist()]
        if all(rivals):
            names = {compiled.members[each][0].workload for each in (unit, *min(rivals, key=len))}
            apart.add(tuple(sorted(names)))
            continue
        sites = sites[[not each for each in rivals]]
        short = (np.maximum(compiled.requests[unit] - np.maximum(free[sites], 0.0), 0.0) / scale).sum(axis=1)
        new = np.array([site not in grown for site in sites.tolist()])
        at = int(sites[np.lexsort((sites, short, new))[0]])
        grown.add(at)
        free[at] -= compiled.requests[unit]
    found = [Relaxation(str(Barrier.CAPACITY), (compiled.sites[site], compiled.resources[r]), float(-free[site, r]))
             for site in sorted(grown) for r in range(len(scale)) if free[site, r] < -LEAST]  # fmt: skip
    found += [Relaxation(str(Barrier.APART), names, 0.0) for names in sorted(apart)]
    if barred:
        found.append(Relaxation("no site allowed", tuple(sorted(set(barred))), 0.0))
    return tuple(found)
