"""What scaling decides: one row a pool, and its exact form as JSON records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np

from blocks.errors import InvalidInput
from blocks.fleet import Actuator
from tasks.reasons import Reason
from tasks.scaling.decide.actuators import Why
from tasks.scaling.decide.inputs import Float, Int
from tasks.scaling.decide.reasons import ReasonCode


class Action(StrEnum):
    """What is to be done with a pool.

    `hold`: no change is wanted, or the pool rests. `refuse`: a change is wanted and a guard says no; where the target
    differs from the current size nevertheless, somebody else owns the pool and the change is theirs to make (a patch).
    """

    UP = "up"
    DOWN = "down"
    HOLD = "hold"
    REFUSE = "refuse"


CHANGES = (Action.UP, Action.DOWN)  # the only actions that are to be carried out


@dataclass(frozen=True, eq=False)
class Promised:
    """What P decisions promise; compared later with what happened. NaN where it cannot be said.

    Attributes
    ----------
    horizon_s: (P,) time that the promise is about, from the decision on.
    peak_nodes: (P,) forecast peak at the policy's quantile until new nodes could be Ready, in full nodes.
    violation_minutes_if_changed, violation_minutes_if_not: (P,) expected minutes in violation over the horizon.
    node_hours_delta: (P,) node-hours more over the horizon if the change is made; booting nodes are paid.
    usd_delta: (P,) the same in USD.
    """

    horizon_s: Float
    peak_nodes: Float
    violation_minutes_if_changed: Float
    violation_minutes_if_not: Float
    node_hours_delta: Float
    usd_delta: Float


@dataclass(frozen=True, eq=False)
class ScalingDecisions:
    """Decisions over P pools, in the order of the pools.

    Attributes
    ----------
    policy, as_of: name of the policy; the time it was decided for.
    unique_id: P names `cluster/pool`.
    action: P actions; only `up` and `down` are to be carried out.
    current: (P,) what the actuator was set to, in nodes (the size itself, the floor, ...); an undo goes back to it.
    ready: (P,) Ready nodes at that time.
    want: (P,) raw need in nodes, before bounds and guards.
    target: (P,) nodes after the guards: what the actuator is to be set to.
    min_nodes, max_nodes: (P,) bounds that it was decided within.
    owner: P names of who else sizes the pool, "" nobody.
    actuator, actuator_why: P actuators by which the change is to be made, and why those.
    seen: P settings of the actuators in their own terms, compared before anything is changed.
    reasons: P lists of reasons: doubts about the data, where the need comes from, guards, in this order.
    forecast_age_s: (P,) NaN without a forecast.
    promise: gives `promised`.
    """

    policy: str
    as_of: datetime
    unique_id: tuple[str, ...]
    action: tuple[Action, ...]
    current: Int
    ready: Int
    want: Int
    target: Int
    min_nodes: Int
    max_nodes: Int
    owner: tuple[str, ...]
    actuator: tuple[Actuator, ...]
    actuator_why: tuple[Why, ...]
    seen: tuple[str, ...]
    reasons: Sequence[tuple[Reason, ...]]
    forecast_age_s: Float
    promise: Callable[[], Promised]

    @cached_property
    def promised(self) -> Promised:
        """What the decisions promise; worked out when it is first read (a replay never reads it)."""
        return self.promise()

    def to_records(self) -> list[dict[str, Any]]:
        """One JSON-able dict a pool; NaN becomes None. `from_records` gives the same decisions back, bit for bit."""
        columns = {name: getattr(self, name).tolist() for name in _INTEGERS}
        ages = _nullable(self.forecast_age_s)
        promised = {name: _nullable(getattr(self.promised, name)) for name in _PROMISED}
        as_of = self.as_of.isoformat()
        return [
            {
                "unique_id": name,
                "policy": self.policy,
                "as_of": as_of,
                "action": self.action[row].value,
                **{key: values[row] for key, values in columns.items()},
                "owner": self.owner[row],
                "actuator": self.actuator[row].value,
                "actuator_why": self.actuator_why[row].value,
                "seen": self.seen[row],
                "forecast_age_s": ages[row],
                "reasons": [_reason_record(reason) for reason in self.reasons[row]],
                "promised": {key: values[row] for key, values in promised.items()},
            }
            for row, name in enumerate(self.unique_id)
        ]

    @classmethod
    def from_records(cls, records: Sequence[dict[str, Any]]) -> ScalingDecisions:
        """Decisions from stored records of one pass.

        Raises
        ------
        InvalidInput: no record, records of different passes, or a record that lacks a field or holds an unknown code.
        """
        passes = {(record.get("policy"), record.get("as_of")) for record in records}
        if len(passes) != 1:
            raise InvalidInput(
                f"the records come from {len(passes)} passes",
                where="scaling decisions",
                fix="load the records of one pass",
            )
        try:
            promised = Promised(**{name: _floats(record["promised"][name] for record in records) for name in _PROMISED})
            return cls(
                policy=records[0]["policy"],
                as_of=datetime.fromisoformat(records[0]["as_of"]),
                unique_id=tuple(record["unique_id"] for record in records),
                action=tuple(Action(record["action"]) for record in records),
                owner=tuple(record["owner"] for record in records),
                actuator=tuple(Actuator(record["actuator"]) for record in records),
                actuator_why=tuple(Why(record["actuator_why"]) for record in records),
                seen=tuple(record["seen"] for record in records),
                reasons=tuple(tuple(_reason(entry) for entry in record["reasons"]) for record in records),
                forecast_age_s=_floats(record["forecast_age_s"] for record in records),
                promise=lambda: promised,
                **{name: np.array([record[name] for record in records], dtype=np.int64) for name in _INTEGERS},
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise InvalidInput(
                f"a stored decision cannot be read ({type(problem).__name__}: {problem})",
                where="scaling decisions",
                fix="decide again: this record was written by another version",
            ) from problem


_INTEGERS = ("current", "ready", "want", "target", "min_nodes", "max_nodes")
_PROMISED = tuple(field.name for field in fields(Promised))


def _nullable(values: Float) -> list[float | None]:
    return [None if isnan(value) else value for value in values.tolist()]


def _floats(values: Any) -> Float:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _reason_record(reason: Reason) -> dict[str, Any]:
    numbers = {name: None if isnan(value) else value for name, value in reason.numbers.items()}
    return {"code": reason.code.value, "resource": reason.resource, "numbers": numbers}


def _reason(record: dict[str, Any]) -> Reason:
    numbers = {name: float("nan") if value is None else value for name, value in record["numbers"].items()}
    return Reason(ReasonCode(record["code"]), record["resource"], numbers)
