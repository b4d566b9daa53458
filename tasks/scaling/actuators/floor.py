"""`floor`: the least size that a cluster-autoscaler may give a pool (EKS, GKE, AKS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blocks.node_pools import Operation
from blocks.store.journal import Journal
from blocks.store.tables import Hold, Intent
from tasks.acting.actuator import Planned, Seen, Value, looks
from tasks.scaling.actuators.steering import Steering


class SetFloor(Steering):
    """Move a pool's minimum. Raised above the size, the cloud brings nodes; lowered, the autoscaler may take idle ones.

    No provider keeps an expiry with the bounds: it is in the store, and marked in the cluster.
    """

    kind = "set-node-pool-floor"

    def look(self) -> Seen:
        """The bounds. Their version leaves the size out: the autoscaler moves it as it likes."""
        state = self.access.state()
        return Seen({"min_nodes": state.min_nodes}, state.version, state.busy_operation)

    def base(self, seen: Seen, hold: Hold | None) -> Value:
        """What was there before us, and never below the inventory's minimum."""
        found = super().base(seen, hold)
        return {"min_nodes": max(found["min_nodes"], self.access.pool.min_nodes)}

    def back(self, hold: Hold) -> Planned | None:
        """Never below the inventory's minimum of today: where that is what we hold, there is nothing to take back."""
        least = max(int(hold.base["min_nodes"]), self.access.pool.min_nodes)
        return super().back(Hold(**hold.model_dump() | {"base": {"min_nodes": least}}))

    def wanted(self, content: Mapping[str, Any], seen: Seen, base: Value) -> Value:
        """The decided nodes as the minimum, inside the bounds of the cloud and of the inventory."""
        del seen
        high = min(self.access.state().max_nodes, self.access.pool.max_nodes)
        return {"min_nodes": max(min(int(content["target"]), high), base["min_nodes"])}

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Move the minimum alone."""
        low = max(value["min_nodes"], self.access.pool.min_nodes)
        journal.proceed(intent)
        high = self.access.state().max_nodes
        operation = self.access.pools.set_bounds(self.access.pool.name, low, high, if_match=seen.version)
        journal.note(intent, {"id": operation.id, "pool": operation.pool}, f"asked for a minimum of {low} nodes")

    def wait(self, operation: Mapping[str, Any], patience_s: float) -> None:
        """Wait for the provider's operation."""
        asked = Operation(str(operation.get("id") or ""), self.access.pool.name, "running")
        if asked.id:
            self.access.pools.wait(asked, timeout_s=patience_s)

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Which nodes the raised floor has not brought yet; those that lacked before are not waited for."""
        low, against, ready = int(intent.do["value"]["min_nodes"]), intent.planned_against, 0
        lacked = max(int(against.get("desired", low)) - int(against.get("ready", low)), 0)
        if low <= self.value(intent.undo)["min_nodes"]:
            return ""
        for _ in looks(patience_s):
            ready = self.access.ready()
            if ready >= low - lacked:
                return ""
        there = f"{ready} nodes are Ready after {patience_s:.0f} s where the floor is {low}"
        return there + self.access.trouble()

    def said(self, intent: Intent) -> str:
        """Where the floor is."""
        low = max(self.value(intent.do)["min_nodes"], self.access.pool.min_nodes)
        raised = low > self.value(intent.undo)["min_nodes"]
        return f"the floor is {low} nodes" + (", and they are Ready" if raised else "; the autoscaler does the rest")
