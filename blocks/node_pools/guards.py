"""What every provider shares: the checks before a write, and waiting for an operation."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blocks.errors import Conflict, OperationFailed, Refused, Throttled, TimedOut, Unreachable
from blocks.fleet import Autoscaler, Cluster, NodePool
from blocks.kubernetes.ownership import is_hands_off, owner_of_marks
from blocks.node_pools import Operation, PoolState

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


@dataclass(frozen=True)
class Inventory:
    """What the fleet's own file says about a cluster's pools."""

    cluster: str
    pools: Mapping[str, NodePool]

    @classmethod
    def of(cls, cluster: Cluster) -> Inventory:
        """The inventory of a cluster."""
        return cls(cluster.name, {pool.name: pool for pool in cluster.node_pools})

    def where(self, pool: str) -> str:
        """How messages name a pool."""
        return f"pool {self.cluster}/{pool}"

    def bounds(self, pool: str, desired: int) -> tuple[int, int]:
        """Bounds of a pool whose API keeps none: the file's, or none but its present size for a pool not in it."""
        known = self.pools.get(pool)
        return (known.min_nodes, known.max_nodes) if known else (desired, desired)

    def marks(self, pool: str, *marks: Mapping[str, str] | None) -> dict[str, Any]:
        """`hands_off` and `owner` of a pool from its tags and labels and the file."""
        merged = {key: text for found in marks for key, text in (found or {}).items()}
        known = self.pools.get(pool)
        return {
            "hands_off": is_hands_off(merged) or bool(known and known.hands_off),
            "owner": owner_of_marks(merged),
        }

    def autoscaled(self, pool: str) -> bool:
        """Whether the file says that an autoscaler sets the size."""
        known = self.pools.get(pool)
        return bool(known and known.autoscaler is not Autoscaler.NONE)

    def check(self, state: PoolState, *, if_match: str | None) -> None:
        """Refuse to write a pool that is not ours, changed since it was read, or is busy.

        Raises
        ------
        Refused: hands-off, or another tool owns it.
        Conflict: its version is not `if_match`, or an operation is running.
        """
        where = self.where(state.name)
        if state.hands_off or state.owner:
            who = state.owner or "a hands-off mark"
            raise Refused(f"it belongs to {who}", where=where, fix="apply the patch file, or remove the mark")
        if if_match is not None and if_match != state.version:
            raise Conflict("it changed since it was read", where=where, fix="read it again and decide anew")
        if state.busy_operation:
            raise Conflict(f"operation {state.busy_operation} is still running", where=where, fix="wait for it to end")

    def check_desired(self, state: PoolState, desired: int) -> None:
        """Refuse a size an autoscaler would undo, outside the API's bounds or the file's, or between multiples."""
        known, where = self.pools.get(state.name), self.where(state.name)
        if state.autoscaled:
            raise Refused("an autoscaler sets its size", where=where, fix="move its bounds instead")
        low = max(state.min_nodes, known.min_nodes if known else 0)
        high = min(state.max_nodes, known.max_nodes if known else state.max_nodes)
        if desired < low:
            raise Refused(f"desired {desired} is below min_nodes {low}", where=where, fix="lower min_nodes first")
        if desired > high:
            raise Refused(f"desired {desired} is above max_nodes {high}", where=where, fix="raise max_nodes first")
        if desired % state.multiple_of:
            raise Refused(
                f"desired {desired} is no multiple of {state.multiple_of}, the number of its zones",
                where=where,
                fix=f"ask for {desired + -desired % state.multiple_of}",
            )

    def check_bounds(self, pool: str, min_nodes: int, max_nodes: int) -> None:
        """Refuse bounds that contradict each other or leave the file's."""
        known, where = self.pools.get(pool), self.where(pool)
        if not 0 <= min_nodes <= max_nodes or max_nodes < 1:
            raise Refused(
                f"bounds {min_nodes}-{max_nodes} are impossible", where=where, fix="give 0 <= min <= max, max >= 1"
            )
        if known and (min_nodes < known.min_nodes or max_nodes > known.max_nodes):
            raise Refused(
                f"bounds {min_nodes}-{max_nodes} leave the inventory's {known.min_nodes}-{known.max_nodes}",
                where=where,
                fix="change them in fleet.yaml first",
            )


def version_of(*parts: object) -> str:
    """A version for APIs that have none: equal parts, equal version.

    >>> version_of(1, "a") == version_of(1, "a"), version_of(1, "a") == version_of(1, "b")
    (True, False)
    """
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def clamp(desired: int, min_nodes: int, max_nodes: int) -> int:
    """The size nearest to `desired` inside the bounds.

    >>> clamp(1, 3, 9), clamp(12, 3, 9)
    (3, 9)
    """
    return max(min_nodes, min(desired, max_nodes))


@dataclass(frozen=True)
class Waiter:
    """Polls with exponential back-off from 0.1 s to 5 s, by an injected clock."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, op: Operation, read: Callable[[Operation], Operation], timeout_s: float, *, where: str) -> Operation:
        """The operation once it is done.

        A poll that finds the API unreachable or throttled is no verdict on the operation: it is asked again.

        Raises
        ------
        OperationFailed: it ended in failure; the provider's reason is in the message.
        TimedOut: it is still running after `timeout_s` seconds, and goes on.
        """
        deadline, wait_s = self.clock() + timeout_s, FIRST_WAIT_S
        last = "running"
        while True:
            pause_s = wait_s
            try:
                op = read(op)
                last = op.state
            except Throttled as busy:
                last, pause_s = str(busy), max(wait_s, busy.retry_after_s)
            except Unreachable as error:
                if not error.retryable:
                    raise
                last = str(error)
            if op.state == "failed":
                raise OperationFailed(
                    f"operation {op.id} failed: {op.error}", where=where, fix="read the pool, then decide anew"
                )
            if op.state == "done":
                return op
            if self.clock() + pause_s > deadline:
                raise TimedOut(
                    f"operation {op.id} is not done after {timeout_s:g} s ({last})",
                    where=where,
                    fix="it goes on: ask for it again, do not repeat it",
                )
            self.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
