"""A plan: arrays over pools and steps, and its form as JSON records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np

from blocks.series import utc
from tasks.reasons import Reason
from tasks.resource_plan.decide.inputs import RESOURCES, Float, Int
from tasks.resource_plan.decide.provision import MOMENTS


class Step(StrEnum):
    """What a pool's day asks of a person or of the scaling flow.

    `raise-max`: demand outgrows the maximum; `grow`, `shrink`, `follow` (both in one day), `keep`; `unknown`: no plan.
    """

    RAISE_MAX = "raise-max"
    GROW = "grow"
    SHRINK = "shrink"
    FOLLOW = "follow"
    KEEP = "keep"
    UNKNOWN = "unknown"


class Priority(StrEnum):
    """By the violation minutes of the day that an action takes away; `none` where there is nothing to do."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


@dataclass(frozen=True, eq=False)
class ResourcePlan:
    """The day of P pools over H steps.

    Attributes
    ----------
    as_of: what time it was planned for. start_s, step_s: of the first step, and of each.
    quantile: level of the forecast that nodes are planned for; NaN without a forecast.
    unique_id, current, ready, owner: the pools as they were.
    action, priority: P of each. order: (P,) pools by what is to be done: risk first, then saving, then name.
    nodes_by_resource: (R, P, H) nodes that each resource needs, not rounded; NaN unknown.
    needed: (P, H) whole nodes needed, within no bounds. sizes: (P, H) the planned sizes; `current` where unknown.
    unmet: (P,) nodes needed beyond the maximum at the day's peak.
    over, under: (P, R, 3) amounts in the resource's unit: now, at its peak, mean of the day; NaN unknown.
    saved_node_hours, saved_usd: (P,) against staying at `current` for the day; below zero it costs. NaN unknown.
    minutes_as_is, minutes_planned: (P,) expected violation minutes of the day; NaN unknown.
    notes: P lists of what is not known, and what limits the plan.
    """

    as_of: datetime
    start_s: int
    step_s: int
    quantile: float
    unique_id: tuple[str, ...]
    current: Int
    ready: Int
    owner: tuple[str, ...]
    action: tuple[Step, ...]
    priority: tuple[Priority, ...]
    order: Int
    nodes_by_resource: Float
    needed: Int
    sizes: Int
    unmet: Int
    over: Float
    under: Float
    saved_node_hours: Float
    saved_usd: Float
    minutes_as_is: Float
    minutes_planned: Float
    notes: tuple[tuple[Reason, ...], ...]

    @property
    def steps(self) -> int:
        """Steps of the day that are planned; 0 without a forecast."""
        return int(self.sizes.shape[1])

    def planned(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(P,) pools that have a plan."""
        return np.array([action is not Step.UNKNOWN for action in self.action], np.bool_)

    def changes(self, row: int) -> list[dict[str, Any]]:
        """The changes of one pool's size in order of time."""
        sizes = [int(self.current[row]), *self.sizes[row].tolist()]
        return [{"at": utc(self.start_s + step * self.step_s).isoformat(), "from": before, "to": after}
                for step, (before, after) in enumerate(pairwise(sizes)) if before != after]  # fmt: skip

    def timeline(self) -> list[dict[str, Any]]:
        """The fleet by step: nodes as is, needed and planned, summed over the pools that have a plan; changes."""
        known = self.planned()
        before = np.concatenate([self.current[:, None], self.sizes[:, :-1]], axis=1)[:, : self.steps]
        changed = (self.sizes != before).sum(axis=0).tolist()
        needed, sizes = self.needed[known].sum(axis=0).tolist(), self.sizes[known].sum(axis=0).tolist()
        now = int(self.current[known].sum())
        return [{"at": utc(self.start_s + step * self.step_s).isoformat(), "nodes_as_is": now,
                 "nodes_needed": needed[step], "nodes_planned": sizes[step], "changes": changed[step]}
                for step in range(self.steps)]  # fmt: skip

    def total(self) -> dict[str, Any]:
        """Sums over the fleet; each with the number of pools it is known for. A sum of nothing is None, never zero."""
        known = self.planned()
        return {
            "pools": len(self.unique_id),
            "pools_planned": int(known.sum()),
            "hours": self.steps * self.step_s / 3600,
            "node_hours_as_is": float(self.current[known].sum() * self.steps * self.step_s / 3600),
            "node_hours_saved": _sum(self.saved_node_hours),
            "usd_saved": _sum(self.saved_usd),
            "pools_with_price": int(np.isfinite(self.saved_usd).sum()),
            "violation_minutes_as_is": _sum(self.minutes_as_is),
            "violation_minutes_planned": _sum(self.minutes_planned),
            "changes": int((np.diff(self.sizes, axis=1, prepend=self.current[:, None]) != 0).sum()),
            "unmet_nodes": int(self.unmet.sum()),
            "resources": {
                resource: {
                    "pools_known": int(np.isfinite(self.over[:, column, 0]).sum()),
                    "over": _moments([_sum(self.over[:, column, at]) for at in range(len(MOMENTS))]),
                    "under": _moments([_sum(self.under[:, column, at]) for at in range(len(MOMENTS))]),
                }
                for column, resource in enumerate(RESOURCES)
            },
        }

    def to_records(self) -> Iterator[dict[str, Any]]:
        """One JSON-able dict a pool, by priority; what is not known is None."""
        start = utc(self.start_s)
        for rank, row in enumerate(self.order.tolist(), start=1):
            by_resource = self.nodes_by_resource[:, row]
            yield {
                "pool": self.unique_id[row], "rank": rank, "action": self.action[row].value,
                "priority": self.priority[row].value, "owner": self.owner[row], "start": start.isoformat(),
                "nodes_now": int(self.current[row]), "nodes_ready": int(self.ready[row]),
                "changes": self.changes(row), "unmet_nodes": int(self.unmet[row]),
                "node_hours_saved": _nullable(self.saved_node_hours[row]), "usd_saved": _nullable(self.saved_usd[row]),
                "violation_minutes_as_is": _nullable(self.minutes_as_is[row]),
                "violation_minutes_planned": _nullable(self.minutes_planned[row]),
                "over": self._amounts(self.over[row]), "under": self._amounts(self.under[row]),
                "nodes_needed": self.needed[row].tolist() if self.action[row] is not Step.UNKNOWN else None,
                "nodes_planned": self.sizes[row].tolist() if self.action[row] is not Step.UNKNOWN else None,
                "nodes_needed_by": {
                    resource: by_resource[column].round(3).tolist() if np.isfinite(by_resource[column]).all() else None
                    for column, resource in enumerate(RESOURCES)
                } if self.steps else dict.fromkeys(RESOURCES),
                "notes": [{"code": note.code.value, "resource": note.resource,
                           "numbers": {name: _nullable(value) for name, value in note.numbers.items()}}
                          for note in self.notes[row]],
            }  # fmt: skip

    @staticmethod
    def _amounts(amounts: Float) -> dict[str, dict[str, float | None]]:
        return {resource: _moments([_nullable(value) for value in amounts[column]])
                for column, resource in enumerate(RESOURCES)}  # fmt: skip


def _moments(values: list[float | None]) -> dict[str, float | None]:
    return dict(zip(MOMENTS, values, strict=True))


def _nullable(value: float) -> float | None:
    return None if isnan(value) else float(value)


def _sum(values: Float) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.sum()) if known.size else None
