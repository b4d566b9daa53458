"""The log of operations on node pools: which run, which were asked for before, which are over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blocks.errors import NotFound
from blocks.fleet import pool_id
from deployments.local.clock import SimulatedClock
from deployments.local.pool_state import Operation, Pool, uuid_of

LOG_LENGTH = 2000  # operations kept in the log
AUTOSCALER = "autoscaler"
_MARKS = ("labels", "taints", "update_config")


class Operations:
    """Operations by id, oldest first; `faults` holds the failure that the next one of a pool (by id) is to end in."""

    def __init__(self, clock: SimulatedClock, seed: int) -> None:
        self._clock, self._seed = clock, seed
        self.all: dict[str, Operation] = {}
        self.faults: dict[str, str] = {}
        self._accepted = 0

    def get(self, operation_id: str) -> Operation:
        """One operation. NotFound: never accepted, or long ago."""
        try:
            return self.all[operation_id]
        except KeyError:
            raise NotFound(f"no operation {operation_id}", where="simulated cloud", fix="list the operations") from None

    def running(self, cluster: str, pool: str | None = None) -> Operation | None:
        """The operation that holds a pool, or any pool of the cluster; an autoscaler holds none."""
        for operation in reversed(self.all.values()):
            mine = operation.cluster == cluster and pool in (None, operation.pool)
            if mine and operation.state == "running" and operation.kind != AUTOSCALER:
                return operation
        return None

    def last(self, pool: Pool) -> Operation | None:
        """The latest operation that was asked for on a pool."""
        mine = (o for o in reversed(self.all.values()) if o.kind != AUTOSCALER)
        return next((o for o in mine if pool_id(o.cluster, o.pool) == pool.id), None)

    def known(self, pool: Pool, token: str) -> Operation | None:
        """The operation that a client's idempotency token belongs to."""
        same = (o for o in self.all.values() if o.token == token and pool_id(o.cluster, o.pool) == pool.id)
        return next(same, None)

    def unsettled(self, pool: Pool) -> list[Operation]:
        """Operations of a pool whose last node has not yet joined or gone."""
        mine = (o for o in self.all.values() if pool_id(o.cluster, o.pool) == pool.id)
        return [operation for operation in mine if operation.settled_s is None]

    def open(
        self, pool: Pool, after: dict[str, Any], changes: Mapping[str, Any], *, kind: str = "", token: str = ""
    ) -> Operation:
        """Write down an accepted change; its fault, if one is waiting, goes with it. An autoscaler's never fails so."""
        self._accepted += 1
        before = pool.settings()
        found = Operation(
            uuid_of(self._seed, self._accepted, pool.id), pool.cluster, pool.name, kind or _kind(before, after),
            before, after, dict(changes), self._clock.now(), token,
        )  # fmt: skip
        found.fault = None if kind == AUTOSCALER else self.faults.pop(pool.id, None)
        self.all[found.id] = found
        self._forget()
        return found

    def snapshot(self) -> dict[str, Any]:
        """The whole log, JSON-able."""
        return {
            "operations": [asdict(operation) for operation in self.all.values()],
            "faults": self.faults,
            "accepted": self._accepted,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.all = {saved["id"]: Operation(**saved) for saved in snapshot["operations"]}
        self.faults, self._accepted = dict(snapshot["faults"]), snapshot["accepted"]

    def _forget(self) -> None:
        for operation in list(self.all.values())[: max(len(self.all) - LOG_LENGTH, 0)]:
            if operation.settled_s is not None:
                del self.all[operation.id]


def _kind(before: dict[str, Any], after: dict[str, Any]) -> str:
    if after == before | {"desired": after["desired"]}:
        return "set_desired"
    return "set_marks" if after == before | {name: after[name] for name in _MARKS} else "set_bounds"
