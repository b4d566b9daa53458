"""Change the size of node pools: journal first, then the cloud, then a look at what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import settings
from blocks.errors import Conflict, ContinuumError, InvalidInput, OperationFailed, Refused, TimedOut
from blocks.files import write_atomically
from blocks.fleet import Cluster, Fleet, NodePool, pool_id
from blocks.inventory import load_stored_fleet, resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.node_pools import NodePools, Operation, PoolState, connect
from blocks.store.journal import Journal
from blocks.store.owner import is_gone
from blocks.store.tables import Decision, Intent, State, Verdict
from tasks.run import Run
from tasks.scaling.decide import Action

KIND = "set-node-pool-size"
LEASE_S = 120  # longer than any call's time-out
CLUSTERS_AT_ONCE = 16
POLL_S = (0.2, 5.0)  # first and longest wait between two looks at a pool

# What an intent's end makes of its decision; a change that was refused expires: the next pass decides anew.
OUTCOME: dict[str, Verdict] = {State.DONE: Verdict.ACTED, State.UNDONE: Verdict.UNDONE, State.FAILED: Verdict.ACTED}


def _cluster(decision: Decision) -> str:
    return decision.subject.split("/", 1)[0]


@dataclass(frozen=True)
class Result:
    """What became of a change: the intent's state, or `refused` where none was started; and why, in one line."""

    decision_id: str
    subject: str
    state: str
    detail: str


@dataclass(frozen=True)
class PoolAccess:
    """One pool, the API that sizes it, and the API that shows its nodes."""

    cluster: Cluster
    pool: NodePool
    pools: NodePools
    api: KubernetesApi

    def ready(self) -> int:
        """Nodes of the pool that are Ready and open for pods."""
        found = self.api.nodes_by_pool(self.cluster.provider).get(self.pool.name)
        return found.schedulable if found else 0

    @contextmanager
    def lease(self, owner: str) -> Iterator[None]:
        """Hold the cluster's Lease: the second guard, since the clouds do not check our journal.

        Raises
        ------
        Conflict: another live owner holds it.
        """
        name = f"continuum-{self.cluster.name}"
        held = self.api.lease(name)
        if held and held.holder and held.holder != owner and is_gone(held.holder):
            self.api.release_lease(held)  # its process has ended on this very host
        taken = self.api.acquire_lease(name, owner, LEASE_S)
        try:
            yield
        finally:
            with suppress(ContinuumError):  # it expires by itself
                self.api.release_lease(taken)


def open_pool(fleet: Fleet, subject: str) -> PoolAccess:
    """Connect to the APIs of `cluster/pool`.

    Raises
    ------
    InvalidInput: the inventory has no such pool.
    """
    for cluster, pool in fleet.pools():
        if pool_id(cluster.name, pool.name) == subject:
            access = resolve_secrets(cluster)
            return PoolAccess(cluster, pool, connect(access), KubernetesApi.connect(access))
    raise InvalidInput("the inventory has no such pool", where=f"pool {subject}", fix="see `continuum fleet show`")


@task(name="act on node pools", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], *, disruption_ratio: float, fleet_nodes: int) -> list[Result]:
    """Carry out changes, one at a time in a cluster, clusters side by side.

    Parameters
    ----------
    disruption_ratio: share of the fleet's nodes that may be out of service at once, 0-1.
    fleet_nodes: Ready nodes of the whole fleet.

    Returns
    -------
    One result a change, in the order given; a failure in one pool never stops the others.
    """
    limit = {"limit_ratio": disruption_ratio, "fleet_nodes": fleet_nodes}

    def in_cluster(group: list[Decision]) -> list[Result]:
        return [_one(run, decision, limit) for decision in group]

    ordered = sorted(approved, key=_cluster)
    groups = [list(group) for _, group in groupby(ordered, key=_cluster)]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        results = {result.subject: result for group in threads.map(in_cluster, groups) for result in group}
    for decision in approved:
        result = results[decision.subject]
        run.store.settle([decision], OUTCOME.get(result.state, Verdict.EXPIRED), detail=result.detail)
    return [results[decision.subject] for decision in approved]


@task(name="finish what was left over", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """Finish or undo what owners that are gone have left: look at each pool, and write down what is true of it."""
    mine = [intent for intent in run.journal.expired() if intent.kind == KIND]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        results = [result for result in threads.map(partial(_adopt, run), mine) if result]
    for result in results:
        if result.state in OUTCOME and result.decision_id:
            run.store.settle([result.decision_id], OUTCOME[result.state], detail=result.detail)
    return results


def undo_size(journal: Journal, intent: Intent) -> str:
    """Make the pool of a started intent as its `do` says: the applier that `continuum undo` uses.

    Raises
    ------
    Conflict: somebody else changed the pool since. Any other of our tree: the cloud, or a freeze, said no.
    """
    fleet = load_stored_fleet(str(intent.do["fleet"]))
    with journal.holding():
        return _make_so(open_pool(fleet, intent.subject), journal, intent)


APPLIERS = {KIND: undo_size}


def write_patches(rows: Sequence[Decision]) -> list[Path]:
    """A patch file for every change that is somebody else's to make; the paths, in the order of `rows`."""
    written: list[Path] = []
    for row in rows:
        current, target = int(row.content["current"]), int(row.content["target"])
        if row.action == Action.REFUSE and target != current:
            path = settings.home() / "patches" / f"{row.subject.replace('/', '--')}.yaml"
            cluster, pool = row.subject.split("/", 1)
            words = (
                f"# Continuum would change {row.subject} from {current} to {target} nodes; that is its owner's to do.\n"
            )
            patch = {"decision": row.id, "as_of": row.as_of.isoformat(), "cluster": cluster, "node_pool": pool,
                     "owner": row.content["owner"] or "hands-off", "desired_nodes": target}  # fmt: skip
            write_atomically(path, words + yaml.safe_dump(patch, sort_keys=False))
            written.append(path)
    return written


def _one(run: Run, decision: Decision, limit: Mapping[str, Any]) -> Result:
    intent: Intent | None = None
    current, target = int(decision.content["current"]), int(decision.content["target"])
    try:
        access = open_pool(run.fleet, decision.subject)
        state = access.pools.describe(access.pool.name)
        _refuse_changed(decision.subject, current, target, state)
        intent = run.journal.plan(
            decision.id, decision.subject, KIND,
            do={"desired": target, "fleet": run.fleet_name}, undo={"desired": current, "fleet": run.fleet_name},
            planned_against={"desired": current, "version": state.version},
            key=f"{decision.id}/{decision.subject}/{KIND}",
        )  # fmt: skip
        if intent.state != State.PLANNED:
            return _result(intent)
        if target < current:
            run.journal.disrupt(decision.subject, current - target, intent=intent, **limit)
        intent = run.journal.start(intent)
        return _result(_carry_out(access, intent, run.journal))
    except ContinuumError as error:
        if intent is not None and intent.state == State.PLANNED:
            _drop(intent, run.journal, str(error))
        return Result(decision.id, decision.subject, "refused", str(error))


def _carry_out(access: PoolAccess, intent: Intent, journal: Journal) -> Intent:
    """Make a started intent so, and finish it whatever happens."""
    try:
        return journal.done(intent, _make_so(access, journal, intent))
    except ContinuumError as error:
        return _settle(access, journal.intent(intent.id), journal, because=error)


def _make_so(access: PoolAccess, journal: Journal, intent: Intent) -> str:
    """Call the cloud, and stay until the nodes are there."""
    target, before = int(intent.do["desired"]), int(intent.undo["desired"])
    state = access.pools.describe(access.pool.name)
    if state.desired not in (before, target) and not intent.planned_against.get("force"):
        raise Conflict(
            f"was changed to {state.desired} nodes by somebody else", where=f"pool {intent.subject}",
            fix="decide anew: run the flow again",
        )  # fmt: skip
    if state.desired != target:
        with access.lease(journal.owner):
            journal.proceed(intent)
            operation = access.pools.set_desired(access.pool.name, target, if_match=state.version, token=intent.id)
            journal.note(intent, {"id": operation.id, "pool": operation.pool}, f"asked for {target} nodes")
        access.pools.wait(operation, timeout_s=_patience_s(access.pool))
    _wait_for_nodes(access, intent, target)
    return f"{target} nodes are Ready"


def _settle(access: PoolAccess, intent: Intent, journal: Journal, *, because: ContinuumError | None = None) -> Intent:
    """Write down how a started intent ended, by looking at the pool; never by what a call has answered."""
    target, why = int(intent.do["desired"]), f": {because}" if because else ""
    try:
        state = _when_idle(access, intent)
        if state.desired == target:
            # Nothing for a cloud; where nodes are drained by us, it finishes a drain that was cut off.
            access.pools.wait(access.pools.set_desired(access.pool.name, target), timeout_s=_patience_s(access.pool))
            _wait_for_nodes(access, intent, target)
            return journal.done(intent, f"{target} nodes are Ready{why}")
    except ContinuumError as error:
        return journal.failed(intent, f"{error}; the size was left as it is")
    if state.desired == intent.undo.get("desired"):
        return journal.undone(intent, f"the pool still has {state.desired} nodes{why}")
    return journal.failed(
        intent, f"the pool has {state.desired} nodes, which this flow never asked for; left alone{why}"
    )


def _adopt(run: Run, intent: Intent) -> Result | None:
    try:
        adopted = run.journal.adopt(intent)
    except Conflict:  # its owner lives after all, or another run took it
        return None
    try:
        if adopted.state == State.PLANNED:
            return _result(run.journal.undone(adopted, "its run ended before the cloud was called"))
        return _result(_settle(open_pool(run.fleet, adopted.subject), adopted, run.journal))
    except ContinuumError as error:  # unreachable: the intent stays unfinished, the next run looks again
        return Result(adopted.decision_id or "", adopted.subject, adopted.state, str(error))


def _drop(intent: Intent, journal: Journal, why: str) -> None:
    current = journal.intent(intent.id)
    if current.state == State.PLANNED and current.owner == journal.owner:
        journal.undone(current, f"nothing was changed: {why}")


def _refuse_changed(subject: str, current: int, target: int, state: PoolState) -> None:
    where = f"pool {subject}"
    if state.hands_off:
        raise Refused("is marked hands-off", where=where, fix="apply the patch file, or remove the mark")
    if state.busy_operation:
        raise Conflict(f"is busy with operation {state.busy_operation}", where=where, fix="the next pass looks again")
    if state.desired != current:
        raise Conflict(
            f"was decided at {current} nodes and now has {state.desired}",
            where=where,
            fix="the next pass decides anew",
        )
    if not state.min_nodes <= target <= state.max_nodes:
        raise Refused(
            f"{target} nodes are outside its bounds {state.min_nodes}-{state.max_nodes}", where=where,
            fix="make the bounds in the cloud and in fleet.yaml agree",
        )  # fmt: skip


def _when_idle(access: PoolAccess, intent: Intent) -> PoolState:
    """The pool's state once no operation runs on it."""
    for waited_s in _looks(_patience_s(access.pool)):
        state = access.pools.describe(access.pool.name)
        if not state.busy_operation:
            return state
        operation_id = intent.operation.get("id")
        if operation_id == state.busy_operation and waited_s == 0:
            try:
                access.pools.wait(
                    Operation(operation_id, access.pool.name, "running", ""), timeout_s=_patience_s(access.pool)
                )
            except OperationFailed:
                continue  # the next look tells what it left
    raise TimedOut(f"an operation still runs after {_patience_s(access.pool):.0f} s", where=f"pool {intent.subject}")


def _wait_for_nodes(access: PoolAccess, intent: Intent, target: int) -> None:
    patience_s = 2 * access.pool.boot_s + 60
    ready = 0
    for _ in _looks(patience_s):
        ready = access.ready()
        if ready == target or (ready > target > int(intent.undo["desired"])):
            return
    raise TimedOut(f"{ready} of {target} nodes are Ready after {patience_s:.0f} s", where=f"pool {intent.subject}",
                   fix="look at the nodes of the pool")  # fmt: skip


def _looks(patience_s: float) -> Iterable[float]:
    """Seconds waited so far, again and again with growing pauses, until patience ends."""
    begin, pause_s = time.monotonic(), POLL_S[0]
    while (waited_s := time.monotonic() - begin) <= patience_s:
        yield 0.0 if pause_s == POLL_S[0] else waited_s
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, POLL_S[1])


def _patience_s(pool: NodePool) -> float:
    """How long a cloud operation may take; real clouds answer long after the nodes are there."""
    return 600 + 2 * pool.boot_s


def _result(intent: Intent) -> Result:
    return Result(intent.decision_id or "", intent.subject, intent.state, intent.detail)
