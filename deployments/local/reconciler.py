"""What happens to node pools by itself: one look after another, each at its own time, until a pool rests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from blocks.fleet import Cluster, NodePool
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.machines import CHECK_S, Machines
from deployments.local.operations import AUTOSCALER, Operations
from deployments.local.pool_state import Operation, Pool

PATIENCE_S = 600.0  # an operation whose nodes are still not Ready so long after boot and drain has failed


class Reconciler:
    """Plays machines and ends operations; `tell` hears of every cluster whose pools changed."""

    def __init__(
        self,
        described: Mapping[str, tuple[Cluster, NodePool]],
        clusters: Mapping[str, SimulatedCluster],
        clock: SimulatedClock,
        log: Operations,
        machines: Machines,
        tell: Callable[[str], object],
    ) -> None:
        self._described, self._clusters, self._clock = described, clusters, clock
        self._log, self._machines, self._tell = log, machines, tell
        self._armed: dict[str, float] = {}

    def arm(self, pool: Pool) -> None:
        """See to it that the pool is looked at when it has something to do next."""
        now_s, due_s = self._clock.now(), self._machines.due_s(pool)
        times = [] if due_s is None else [due_s]
        for operation in self._log.unsettled(pool):
            over_s = operation.accepted_s + self._machines.rules(pool).operation_s
            if over_s > now_s:
                times.append(over_s)
            elif operation.state == "running" or due_s is None:
                times.append(now_s + CHECK_S)
        when_s = min(times, default=None)
        if when_s is None or self._armed.get(pool.id, float("inf")) <= when_s:
            return
        self._armed[pool.id] = when_s
        self._clock.at(when_s, f"node-pools/{pool.id}", lambda: self._due(pool, when_s))

    def _due(self, pool: Pool, when_s: float) -> None:
        if self._armed.get(pool.id) == when_s:  # an earlier look may have made this one superfluous
            del self._armed[pool.id]
            self._look(pool)

    def _look(self, pool: Pool) -> None:
        """Machines join, are replaced and drained, operations end."""
        before = asdict(pool)
        self._machines.join(pool)
        self._machines.repair(pool)
        stuck = self._machines.drain(pool)
        self._clusters[pool.cluster].step()  # what was just written has its effects at this very time
        ended = [self._settle(pool, operation, stuck) for operation in self._log.unsettled(pool)]
        self.arm(pool)
        if any(ended) or asdict(pool) != before:
            self._tell(pool.cluster)

    def _settle(self, pool: Pool, operation: Operation, stuck: str | None) -> bool:
        rules, now_s = self._machines.rules(pool), self._clock.now()
        if operation.state == "running" and now_s - operation.accepted_s >= rules.operation_s:
            late = (rules.waits_for_nodes or operation.kind == AUTOSCALER) and not pool.quiet()
            operation.error = operation.fault or self._trouble(pool, operation, stuck)
            if operation.error or not late:
                operation.state = "failed" if operation.error else "done"
                operation.finished_s = now_s
            if operation.error:
                self._put_back(pool, operation)
        if operation.state != "running" and pool.quiet() and pool.retry_s is None:
            operation.settled_s = now_s
        return operation.state != "running"

    def _trouble(self, pool: Pool, operation: Operation, stuck: str | None) -> str | None:
        """What went wrong with an operation, None for nothing; an EKS update ends well before its machines come."""
        rules = self._machines.rules(pool)
        if pool.lack and (rules.waits_for_nodes or operation.kind == AUTOSCALER):
            operation.code = pool.lack["code"]
            return pool.lack["message"]
        limit_s = self._described[pool.id][1].boot_s * 1.15 + rules.drain_limit_s + PATIENCE_S
        late = self._clock.now() - operation.accepted_s >= limit_s
        return stuck or ("nodes did not become Ready" if late and not pool.quiet() else None)

    def _put_back(self, pool: Pool, operation: Operation) -> None:
        """Undo what failed: a scale set is back where it was, an instance group stays as far as it came."""
        if operation.fault:
            pool.set(operation.before)
            return
        least = operation.before["desired"] if operation.kind == AUTOSCALER else 0
        pool.set({"desired": max(len(pool.staying()), least)})
        if len(pool.staying()) == pool.desired:
            pool.retry_s, pool.lack = None, {}
