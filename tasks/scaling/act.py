"""Change the size of node pools: journal first, then the cloud, then a look at what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict, ContinuumError, OperationFailed, Refused, TimedOut
from blocks.fleet import Provider
from blocks.inventory import load_stored_fleet
from blocks.node_pools import Operation, PoolState
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from tasks.run import Run
from tasks.scaling.pool_access import PoolAccess, open_pool

KIND = "set-node-pool-size"
CLUSTERS_AT_ONCE = 16
POLL_S = (0.2, 5.0)  # first and longest wait between two looks at a pool

REFUSED = "refused"  # no intent was started: the decision expires, and the next pass decides anew
CALL_S = 40.0  # longer than any call's time-out: after it, a request that was cut off no longer arrives


@dataclass(frozen=True)
class Result:
    """What became of a change: the intent's state, or REFUSED where none was started; and why, in one line.

    The journal writes what the intent's end makes of its decision; one that is still started is settled by a later run.
    """

    decision_id: str
    subject: str
    state: str
    detail: str


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

    results: dict[str, Result] = {}

    def in_cluster(group: list[Decision]) -> None:
        for decision in group:
            result = _one(run, decision, limit)
            if result.state == REFUSED:
                run.store.settle([decision], Verdict.EXPIRED, detail=result.detail)
            results[decision.subject] = result

    groups = [list(group) for _, group in groupby(sorted(approved, key=_cluster), key=_cluster)]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        clusters = [threads.submit(in_cluster, group) for group in groups]
    for cluster in clusters:
        cluster.result()  # a fault of ours ends the run, but only when every other cluster has ended
    return [results[decision.subject] for decision in approved]


@task(name="finish what was left over", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run, mode: Mode) -> list[Result]:
    """Finish or undo what owners that are gone have left: look at each pool, and write down what is true of it.

    A run in shadow writes nothing: it only says what there is to be finished.
    """
    ours = (KIND, run.fleet_name)
    left = [intent for intent in run.journal.expired() if (intent.kind, intent.do.get("fleet")) == ours]
    if mode is Mode.SHADOW:
        return [_result(intent, "left by a run that ended; the next run in act mode finishes it") for intent in left]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        return [result for result in threads.map(partial(_adopt, run), left) if result]


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


def _one(run: Run, decision: Decision, limit: Mapping[str, Any]) -> Result:
    """One change, from intent to end."""
    intent: Intent | None = None
    current, target = int(decision.content["current"]), int(decision.content["target"])
    try:
        access = open_pool(run.fleet, decision.subject)
        state = access.state()
        _refuse_changed(decision.subject, current, target, state)
        intent = run.journal.plan(
            decision.id,
            decision.subject,
            KIND,
            do={"desired": target, "fleet": run.fleet_name},
            undo={"desired": current, "fleet": run.fleet_name},
            planned_against={"desired": current, "version": state.version, "ready": access.ready()},
            key=f"{decision.id}/{decision.subject}/{KIND}",
        )
        if intent.state != State.PLANNED:
            return _result(intent)
        if target < current:
            run.journal.disrupt(decision.subject, current - target, intent=intent, **limit)
        intent = run.journal.start(intent)
        return _carry_out(access, run.journal, intent)
    except ContinuumError as error:
        if intent is not None and intent.state == State.STARTED:
            return _result(intent, f"{error}; how it ended is not known yet, a later run looks again")
        if intent is not None:
            _drop(run.journal, intent, str(error))
        return Result(decision.id, decision.subject, REFUSED, str(error))


def _carry_out(access: PoolAccess, journal: Journal, intent: Intent) -> Result:
    """Make a started intent so, and end it; where nobody can tell how it ended, it stays for a later run to settle."""
    try:
        return _result(journal.done(intent, _make_so(access, journal, intent)))
    except ContinuumError as error:
        intent = journal.intent(intent.id)
        try:
            return _result(_settle(access, journal, intent, because=error))
        except ContinuumError as unknown:
            return _result(intent, f"{error}; how it ended is not known yet ({unknown}); a later run looks again")


def _make_so(access: PoolAccess, journal: Journal, intent: Intent) -> str:
    """Call the cloud, and stay until the nodes are there; what was seen then."""
    target, before = int(intent.do["desired"]), int(intent.undo["desired"])
    state = access.state()
    if state.desired not in (before, target) and not intent.planned_against.get("force"):
        raise Conflict(
            f"was changed to {state.desired} nodes by somebody else",
            where=f"pool {intent.subject}",
            fix="decide anew: run the flow again",
        )
    if state.desired != target:
        seen = intent.planned_against.get("version") or state.version
        with access.lease(journal.owner):
            for size in _steps(access, state.desired, target):
                journal.proceed(intent)
                operation = access.pools.set_desired(access.pool.name, size, if_match=seen, token=intent.id)
                seen = None  # our own step has changed it
                journal.note(intent, {"id": operation.id, "pool": operation.pool}, f"asked for {size} nodes")
        access.pools.wait(operation, timeout_s=access.patience_s())
    missing = _missing_nodes(access, intent, patience_s=2 * access.pool.boot_s + 60)
    if missing:
        raise TimedOut(missing, where=f"pool {intent.subject}", fix="look at the nodes of the pool")
    return f"{target} nodes are Ready"


def _steps(access: PoolAccess, current: int, target: int) -> Sequence[int]:
    """The sizes to ask for one after another: node by node where we drain them ourselves, so that a freeze is heard."""
    if access.cluster.provider is not Provider.K3S or target > current:
        return [target]
    return range(current - 1, target - 1, -1)


def _settle(access: PoolAccess, journal: Journal, intent: Intent, *, because: ContinuumError | None = None) -> Intent:
    """End a started intent by what the pool shows, never by what a call has answered.

    Raises
    ------
    Refused: a freeze covers the pool. Any other of our tree: the pool cannot be looked at. The intent stays started.
    """
    target, before, why = int(intent.do["desired"]), int(intent.undo["desired"]), f": {because}" if because else ""
    # Where we drain the nodes ourselves, a size on the way is a change of ours that was cut off, and is finished.
    by_us = access.cluster.provider is Provider.K3S
    state = _when_idle(access, journal, intent, patience_s=0 if isinstance(because, TimedOut) else access.patience_s())
    if state.desired == before:
        return journal.undone(intent, f"the pool still has {before} nodes{why}")
    if state.desired != target and not (by_us and min(before, target) < state.desired < max(before, target)):
        return journal.failed(intent, f"the pool has {state.desired} nodes, which was never asked for; left alone{why}")
    if by_us:
        seen: str | None = state.version
        with access.lease(journal.owner):
            for size in _steps(access, state.desired, target) or [target]:
                journal.proceed(intent)
                access.pools.set_desired(access.pool.name, size, if_match=seen)
                seen = None  # our own step has changed it
    missing = _missing_nodes(access, intent, patience_s=0 if because else 2 * access.pool.boot_s + 60)
    if missing:
        return journal.failed(intent, f"{missing}; the size was left as it is{why}")
    return journal.done(intent, f"{target} nodes are Ready")


def _adopt(run: Run, intent: Intent) -> Result | None:
    """Settle what an owner that is gone has left; None where it lives after all, or another run was quicker."""
    try:
        adopted = run.journal.adopt(intent)
    except Conflict:
        return None
    try:
        if adopted.state == State.PLANNED:
            return _result(run.journal.undone(adopted, "its run ended before the cloud was called"))
        return _result(_settle(open_pool(run.fleet, adopted.subject), run.journal, adopted))
    except ContinuumError as error:
        return _result(adopted, f"{error}; a later run looks again")


def _drop(journal: Journal, intent: Intent, why: str) -> None:
    current = journal.intent(intent.id)
    if current.state == State.PLANNED and current.owner == journal.owner:
        journal.undone(current, f"nothing was changed: {why}")


def _refuse_changed(subject: str, current: int, target: int, state: PoolState) -> None:
    """Refuse a change whose pool is no longer as it was decided on; the node-pool API's own guards come on top."""
    where = f"pool {subject}"
    if state.busy_operation:
        raise Conflict(f"is busy with operation {state.busy_operation}", where=where, fix="the next pass looks again")
    if state.desired != current:
        was = f"was decided at {current} nodes and now has {state.desired}"
        raise Conflict(was, where=where, fix="the next pass decides anew")
    if not state.min_nodes <= target <= state.max_nodes:
        bounds = f"{target} nodes are outside its bounds {state.min_nodes}-{state.max_nodes}"
        raise Refused(bounds, where=where, fix="make the bounds in the cloud and in fleet.yaml agree")


def _when_idle(access: PoolAccess, journal: Journal, intent: Intent, *, patience_s: float) -> PoolState:
    """The pool's state once no operation runs on it, and no call of ours can still be on its way."""
    operation_id, before = intent.operation.get("id"), int(intent.undo["desired"])
    since = intent.updated_at
    for _ in _looks(max(patience_s, CALL_S)):
        state = access.state()
        answered = bool(intent.operation) or (journal.clock() - since).total_seconds() > CALL_S
        if not state.busy_operation and (answered or state.desired != before):
            return state
        if state.busy_operation and operation_id and patience_s:
            started = Operation(operation_id, access.pool.name, "running")
            operation_id = None  # asked once; what it left is read from the pool
            with suppress(OperationFailed):
                access.pools.wait(started, timeout_s=patience_s)
    raise TimedOut(f"an operation still runs after {max(patience_s, CALL_S):.0f} s", where=f"pool {intent.subject}")


def _missing_nodes(access: PoolAccess, intent: Intent, *, patience_s: float) -> str:
    """Which of the wanted nodes are still not there, in words; "" as soon as none is missing.

    Nodes that were not Ready before the change are not waited for: they are not the change's.
    """
    target, before = int(intent.do["desired"]), int(intent.undo["desired"])
    joined = int(intent.planned_against.get("ready", before)) + target - before
    ready = 0
    for _ in _looks(patience_s):
        ready = access.ready()
        if ready >= min(joined, target) if target > before else ready <= target:
            return ""
    return f"{ready} nodes are Ready after {patience_s:.0f} s where {target} were asked for"


def _looks(patience_s: float) -> Iterator[None]:
    """Look once, then again and again with growing pauses until patience ends."""
    begin, pause_s = time.monotonic(), POLL_S[0]
    yield
    while time.monotonic() - begin + pause_s <= patience_s:
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, POLL_S[1])
        yield


def _cluster(decision: Decision) -> str:
    return decision.subject.split("/", 1)[0]


def _result(intent: Intent, detail: str = "") -> Result:
    return Result(intent.decision_id or "", intent.subject, intent.state, detail or intent.detail)
