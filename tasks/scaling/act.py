"""Change node pools, each by its actuator: journal first, then the world, then a look at what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict, ContinuumError
from blocks.inventory import load_stored_fleet
from blocks.refusals import refusal_of
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from tasks.run import Run
from tasks.scaling.actuator_words import actuator_of
from tasks.scaling.actuators import BY_ACTUATOR, BY_KIND, Planned, PoolActuator, open_actuator
from tasks.scaling.actuators.size import SetSize
from tasks.scaling.holds import announce, conclude, expiry_after, hold_of

KIND = SetSize.kind
CLUSTERS_AT_ONCE = 16

REFUSED = "refused"  # no intent was started: the decision expires, and the next pass decides anew


@dataclass(frozen=True)
class Result:
    """What became of a change: the intent's state, or REFUSED where none was started; and why, in one line.

    The journal writes what the intent's end makes of its decision; one that is still started is settled by a later run.
    `refusal` names what the cloud would not give, "" where it gave everything or the reason is another one.
    """

    decision_id: str
    subject: str
    state: str
    detail: str
    refusal: str = ""


@task(name="act on node pools", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], *, disruption_ratio: float, fleet_nodes: int) -> list[Result]:
    """Carry out changes, one at a time in a cluster, clusters side by side.

    Parameters
    ----------
    disruption_ratio: share of the fleet's nodes that may be out of service at once, 0-1.
    fleet_nodes: Ready nodes of the whole fleet.

    Returns
    -------
    One result a change, in the order given, then one for each pool that took what a cloud had refused to another; a
    failure in one pool never stops the others.
    """
    limit = {"limit_ratio": disruption_ratio, "fleet_nodes": fleet_nodes}

    results: dict[str, list[Result]] = {}

    def in_cluster(group: list[Decision]) -> None:
        for decision in group:
            result = _one(run, decision, limit)
            results[decision.subject] = [result, *fall_back(run, decision, result)]
            if all(each.state == REFUSED for each in results[decision.subject]):
                run.store.settle([decision], Verdict.EXPIRED, detail=result.detail)

    groups = [list(group) for _, group in groupby(sorted(approved, key=_cluster), key=_cluster)]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        clusters = [threads.submit(in_cluster, group) for group in groups]
    for cluster in clusters:
        cluster.result()  # a fault of ours ends the run, but only when every other cluster has ended
    ends = [results[decision.subject] for decision in approved]
    return [end[0] for end in ends] + [taken for end in ends for taken in end[1:]]


@task(name="finish what was left over", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run, mode: Mode) -> list[Result]:
    """Finish or undo what owners that are gone have left: look at each pool, and write down what is true of it.

    A run in shadow writes nothing: it only says what there is to be finished.
    """
    left = [
        intent
        for intent in run.journal.expired()
        if intent.kind in BY_KIND and intent.do.get("fleet") == run.fleet_name
    ]
    if mode is Mode.SHADOW:
        return [_result(intent, "left by a run that ended; the next run in act mode finishes it") for intent in left]
    with run.journal.holding(), ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        return [result for result in threads.map(partial(_adopt, run), left) if result]


def undo_change(journal: Journal, intent: Intent) -> str:
    """Make the pool of a started intent as its `do` says: the applier that `continuum undo` uses.

    Raises
    ------
    Conflict: somebody else changed the pool since. Any other of our tree: the cloud, or a freeze, said no.
    """
    fleet = load_stored_fleet(str(intent.do["fleet"]))
    with journal.holding():
        actuator = open_actuator(fleet, intent.subject, intent.kind)
        announce(journal, intent, actuator)
        said = actuator.make_so(journal, intent)
        conclude(journal, intent, actuator, done=True)
        return said


APPLIERS = dict.fromkeys(BY_KIND, undo_change)


def carry_out(
    run: Run, actuator: PoolActuator, planned: Planned, *, subject: str, key: str, decision_id: str | None = None,
    limit: Mapping[str, Any] | None = None,
) -> Result:  # fmt: skip
    """Journal one planned change, start it, make it so, and end it. Nothing is raised for what the world refuses."""
    intent: Intent | None = None
    fleet = {"fleet": run.fleet_name}
    try:
        intent = run.journal.plan(
            decision_id,
            subject,
            actuator.kind,
            do=planned.do | fleet,
            undo=planned.undo | fleet,
            planned_against=planned.against,
            key=key,
        )
        if intent.state != State.PLANNED:
            return _result(intent)
        if planned.disrupts and limit is not None:
            run.journal.disrupt(subject, planned.disrupts, intent=intent, **limit)
        intent = run.journal.start(intent)
        return _make_so(actuator, run.journal, intent)
    except ContinuumError as error:
        if intent is not None and intent.state == State.STARTED:
            return _result(intent, f"{error}; how it ended is not known yet, a later run looks again")
        if intent is not None:
            _drop(run.journal, intent, str(error))
        return Result(decision_id or "", subject, REFUSED, str(error), _refusal(error))


def fall_back(run: Run, decision: Decision, result: Result) -> list[Result]:
    """See `tasks.scaling.fallback`, which is imported late: it acts by what is in here."""
    from tasks.scaling.fallback import take_missing_nodes

    ended = result.state != State.STARTED  # else the nodes may still come, and would be bought twice
    return take_missing_nodes(run, decision, result) if result.refusal and ended else []


def _one(run: Run, decision: Decision, limit: Mapping[str, Any]) -> Result:
    """One change, from intent to end."""
    kind = BY_ACTUATOR[actuator_of(decision.content)].kind
    try:
        actuator = open_actuator(run.fleet, decision.subject, kind)
        hold = hold_of(run.journal, run.fleet_name, decision.subject, kind)
        planned = actuator.plan(decision.content, hold, expiry_after(decision.as_of))
    except ContinuumError as error:
        return Result(decision.id, decision.subject, REFUSED, str(error), _refusal(error))
    key = f"{decision.id}/{decision.subject}/{kind}"
    return carry_out(
        run, actuator, planned, subject=decision.subject, key=key, decision_id=decision.id, limit=limit
    )  # fmt: skip


def _make_so(actuator: PoolActuator, journal: Journal, intent: Intent) -> Result:
    """Make a started intent so, and end it; where nobody can tell how it ended, it stays for a later run to settle."""
    try:
        announce(journal, intent, actuator)
        finished = journal.done(intent, actuator.make_so(journal, intent))
        conclude(journal, finished, actuator, done=True)
        return _result(finished)
    except ContinuumError as error:
        intent = journal.intent(intent.id)
        if intent.owner != journal.owner:  # a run that took us for gone has adopted it, and says how it ended
            return _result(intent, f"{error}; it was taken over")
        try:
            ended = _settle(actuator, journal, intent, because=error)
        except ContinuumError as unknown:
            detail = f"{error}; how it ended is not known yet ({unknown}); a later run looks again"
            return replace(_result(intent, detail), refusal=_refusal(error))
        refusal = _refusal(error) if ended.state != State.DONE else ""
        return replace(_result(ended), refusal=refusal)


def _settle(actuator: PoolActuator, journal: Journal, intent: Intent, because: ContinuumError | None = None) -> Intent:
    """End a started intent by what is seen, and write down what it holds up."""
    ended = actuator.settle(journal, intent, because)
    if ended.state in (State.DONE, State.UNDONE):
        conclude(journal, ended, actuator, done=ended.state == State.DONE)
    return ended


def _adopt(run: Run, intent: Intent) -> Result | None:
    """Settle what an owner that is gone has left; None where it lives after all, or another run was quicker."""
    try:
        adopted = run.journal.adopt(intent)
    except Conflict:
        return None
    try:
        if adopted.state == State.PLANNED:
            return _result(run.journal.undone(adopted, "its run ended before the cloud was called"))
        return _result(_settle(open_actuator(run.fleet, adopted.subject, adopted.kind), run.journal, adopted))
    except ContinuumError as error:
        return _result(adopted, f"{error}; a later run looks again")


def _drop(journal: Journal, intent: Intent, why: str) -> None:
    current = journal.intent(intent.id)
    if current.state == State.PLANNED and current.owner == journal.owner:
        journal.undone(current, f"nothing was changed: {why}")


def _refusal(error: ContinuumError) -> str:
    return str(refusal_of(error) or "")


def _cluster(decision: Decision) -> str:
    return decision.subject.split("/", 1)[0]


def _result(intent: Intent, detail: str = "") -> Result:
    return Result(intent.decision_id or "", intent.subject, intent.state, detail or intent.detail)
