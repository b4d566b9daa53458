"""Sums of what flows decided, promised and brought; savings beside what would have been without us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

ACTED = ("acted", "undone")


@dataclass(frozen=True)
class Counted:
    """So many decisions of a flow with the same action, mode and state; `newest`: when the last was made."""

    flow: str
    action: str
    mode: str
    state: str
    count: int
    newest: datetime


@dataclass(frozen=True)
class FlowTotals:
    """What a flow decided.

    Attributes
    ----------
    mode: of its newest decision. decisions: how many. states: decisions by what became of them.
    actions: decisions by action.
    """

    flow: str
    mode: str
    newest: datetime
    decisions: int
    states: Mapping[str, int]
    actions: Mapping[str, int]

    @property
    def acted(self) -> int:
        """Changes that were made, those that were taken back since included."""
        return sum(self.states.get(state, 0) for state in ACTED)


def by_flow(counts: Iterable[Counted]) -> list[FlowTotals]:
    """One row a flow, by name.

    >>> at = datetime(2026, 3, 10)
    >>> (row,) = by_flow([Counted("f", "hold", "act", "recorded", 5, at), Counted("f", "up", "act", "acted", 2, at)])
    >>> row.decisions, row.acted, dict(row.actions)
    (7, 2, {'hold': 5, 'up': 2})
    """
    rows: dict[str, list[Counted]] = {}
    for each in counts:
        rows.setdefault(each.flow, []).append(each)
    found = []
    for flow, them in sorted(rows.items()):
        last = max(them, key=lambda each: each.newest)
        states, actions = Counter[str](), Counter[str]()
        for each in them:
            states[each.state] += each.count
            actions[each.action] += each.count
        found.append(FlowTotals(flow, last.mode, last.newest, sum(states.values()), states, actions))
    return found


@dataclass
class Kept:
    """Of one flow and one quantity: sums over the decisions where it was both promised and measured.

    `baselines`: what it would have been by other rules, over those decisions that have them all.
    """

    count: int = 0
    promised: float = 0.0
    happened: float = 0.0
    baselines: dict[str, float] = field(default_factory=dict)
    with_baseline: Counter[str] = field(default_factory=Counter)


Measured = tuple[Mapping[str, float], Mapping[str, float], Mapping[str, Mapping[str, float]]]


def promises(measured: Iterable[Measured]) -> dict[str, Kept]:
    """By quantity, of decisions as (promised, happened, baselines); a quantity that was not promised does not count.

    A baseline that some of the decisions lack is left out: its sum would be of fewer than the promise's.

    >>> found = promises([({"ms": 5.0}, {"ms": 6.0, "usd": 1.0}, {"stay": {"ms": 9.0}})])
    >>> found["ms"].promised, found["ms"].happened, found["ms"].baselines, list(found)
    (5.0, 6.0, {'stay': 9.0}, ['ms'])
    """
    found: dict[str, Kept] = {}
    for promised, happened, baselines in measured:
        for name in promised.keys() & happened.keys():
            kept = found.setdefault(name, Kept())
            kept.count += 1
            kept.promised += promised[name]
            kept.happened += happened[name]
            for rule, values in baselines.items():
                if name in values:
                    kept.baselines[rule] = kept.baselines.get(rule, 0.0) + values[name]
                    kept.with_baseline[rule] += 1
    for kept in found.values():
        kept.baselines = {rule: total for rule, total in kept.baselines.items()
                          if kept.with_baseline[rule] == kept.count}  # fmt: skip
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class PoolSums:
    """One pool over the scored time: violation minutes and node-hours as they were, and by the rule that is live."""

    violation_minutes: float
    node_hours: float
    live_violation_minutes: float
    live_node_hours: float
    usd_per_node_hour: float | None = None
    g_per_node_hour: float | None = None


@dataclass(frozen=True)
class Savings:
    """Beside the live rule; below 0 is a loss. None where nothing is known; `unpriced`, `unmetered`: pools left out."""

    violation_minutes: float
    node_hours: float
    usd: float | None
    carbon_g: float | None
    pools: int
    unpriced: int
    unmetered: int


def savings(pools: Iterable[PoolSums]) -> Savings | None:
    """Sums over pools; None without any.

    >>> savings([PoolSums(1, 10, 5, 12, 0.5, None)])
    Savings(violation_minutes=4, node_hours=2, usd=1.0, carbon_g=None, pools=1, unpriced=0, unmetered=1)
    """
    rows = list(pools)
    if not rows:
        return None
    saved = [row.live_node_hours - row.node_hours for row in rows]
    usd = [hours * row.usd_per_node_hour for row, hours in zip(rows, saved, strict=True)
           if row.usd_per_node_hour is not None]  # fmt: skip
    grams = [hours * row.g_per_node_hour for row, hours in zip(rows, saved, strict=True)
             if row.g_per_node_hour is not None]  # fmt: skip
    return Savings(
        sum(row.live_violation_minutes - row.violation_minutes for row in rows), sum(saved),
        sum(usd) if usd else None, sum(grams) if grams else None, len(rows), len(rows) - len(usd),
        len(rows) - len(grams),
    )  # fmt: skip
