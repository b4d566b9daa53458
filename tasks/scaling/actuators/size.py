"""`desired` and `power`: the number of nodes itself, where nobody else sets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from blocks.errors import Conflict, Refused
from blocks.fleet import Provider
from blocks.kubernetes.budgets import ALLOW_ONE, stuck
from blocks.kubernetes.nodes import must_leave
from blocks.node_pools import Operation
from blocks.node_pools.k3s import K3sNodePools
from blocks.store.journal import Journal
from blocks.store.tables import Hold, Intent
from tasks.acting.actuator import Planned, Seen, Value, looks, refuse_busy
from tasks.scaling.actuators.pool import PoolActuator


class SetSize(PoolActuator):
    """Ask the node-pool API for a number of nodes; edge nodes are drained and closed, or opened, one by one."""

    kind = "set-node-pool-size"

    def look(self) -> Seen:
        """The size asked for so far."""
        state = self.access.state()
        return Seen({"desired": state.desired}, state.version, state.busy_operation)

    def value(self, payload: Mapping[str, Any]) -> Value:
        """The size of a payload."""
        return {"desired": int(payload["desired"])}

    def plan(self, content: Mapping[str, Any], hold: Hold | None, until: datetime) -> Planned:
        """Refuse a pool that is busy, resized, out of bounds, or whose nodes can never be drained."""
        del hold, until
        current, target, state = int(content["current"]), int(content["target"]), self.access.state()
        refuse_busy(Seen({}, busy=state.busy_operation), self.where)
        if state.desired != current:
            was = f"was decided at {current} nodes and now has {state.desired}"
            raise Conflict(was, where=self.where, fix="the next pass decides anew")
        if not state.min_nodes <= target <= state.max_nodes:
            bounds = f"{target} nodes are outside its bounds {state.min_nodes}-{state.max_nodes}"
            raise Refused(bounds, where=self.where, fix="make the bounds in the cloud and in fleet.yaml agree")
        if target < current:
            self._refuse_undrainable(target)
        against = {"desired": current, "version": state.version, "ready": self.access.ready()}
        return Planned({"desired": target}, {"desired": current}, against, disrupts=max(current - target, 0))

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Ask for the size; guarded by the version that it was planned against."""
        version = intent.planned_against.get("version") or seen.version
        for size in self._steps(seen.value["desired"], value["desired"]):
            journal.proceed(intent)
            operation = self.access.pools.set_desired(self.access.pool.name, size, if_match=version, token=intent.id)
            version = None  # our own step has changed it
            journal.note(intent, {"id": operation.id, "pool": operation.pool}, f"asked for {size} nodes")

    def wait(self, operation: Mapping[str, Any], patience_s: float) -> None:
        """Wait for the provider's operation."""
        asked = Operation(str(operation.get("id") or ""), self.access.pool.name, "running")
        if asked.id:
            self.access.pools.wait(asked, timeout_s=patience_s)

    def resumes(self, before: Value, value: Value, target: Value) -> bool:
        """Where we drain the nodes ourselves, a size on the way is a change of ours that was cut off."""
        low, high = sorted((before["desired"], target["desired"]))
        return self._by_us and low < value["desired"] < high

    def finish(self, journal: Journal, intent: Intent, seen: Seen) -> None:
        """Go on closing and opening edge nodes; asking for the size that there is finishes its drains."""
        if not self._by_us:
            return
        target, version = int(intent.do["desired"]), seen.version
        with self.lease(journal.owner):
            for size in self._steps(seen.value["desired"], target) or [target]:
                journal.proceed(intent)
                self.access.pools.set_desired(self.access.pool.name, size, if_match=version)
                version = None  # our own step has changed it

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Which nodes are not there yet; those that were not Ready before the change are not waited for."""
        target, before = int(intent.do["desired"]), int(intent.undo["desired"])
        joined = int(intent.planned_against.get("ready", before)) + target - before
        ready = 0
        for _ in looks(patience_s):
            ready = self.access.ready()
            if ready >= min(joined, target) if target > before else ready <= target:
                return ""
        there = f"{ready} nodes are Ready after {patience_s:.0f} s where {target} were asked for"
        return there + self.access.trouble()

    def said(self, intent: Intent) -> str:
        """How many nodes there are."""
        return f"{intent.do['desired']} nodes are Ready"

    @property
    def _by_us(self) -> bool:
        return self.access.cluster.provider is Provider.K3S

    def _refuse_undrainable(self, target: int) -> None:
        """Refuse fewer nodes that no drain comes to.

        A cloud chooses the nodes that go, and drains them by force in the end: no pod on any of them may be held.
        """
        access = self.access
        if isinstance(access.pools, K3sNodePools):
            access.pools.check_close(access.pool.name, target)
            return
        names = {node["metadata"]["name"] for node in access.node_objects()}
        pods = [pod for pod in access.api.pods() if pod["spec"].get("nodeName") in names and must_leave(pod)]
        if what := stuck(access.api.list("poddisruptionbudgets"), pods):
            raise Refused(what, where=self.where, fix=ALLOW_ONE)

    def _steps(self, current: int, target: int) -> Sequence[int]:
        """The sizes to ask for in turn: node by node where we drain them ourselves, so that a freeze is heard."""
        if not self._by_us or target > current:
            return [target] if target != current else []
        return range(current - 1, target - 1, -1)
