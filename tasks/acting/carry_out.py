"""Change the world: journal first, then the world, then a look at what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from opentelemetry.trace import StatusCode

from blocks.errors import Conflict, ContinuumError
from blocks.fleet import Fleet
from blocks.inventory import load_stored_fleet
from blocks.refusals import refusal_of
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from blocks.store.undo import Applier
from blocks.tracing import TRACER
from tasks.acting.actuator import Planned, SubjectActuator
from tasks.clusters import cluster_by_cluster, side_by_side
from tasks.run import Run

REFUSED = "refused"  # no intent was started: the decision expires, and the next pass decides anew

# The actuator of a subject that carries out intents of a kind; it raises an error of our tree where there is none.
Opener = Callable[[Fleet, str, str], SubjectActuator]


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


def carry_out_all(
    run: Run, approved: Sequence[Decision], change_of: Callable[[Decision], tuple[SubjectActuator, Planned]], *,
    limit: Mapping[str, Any] | None = None, then: Callable[[Decision, Result], list[Result]] | None = None,
    apart: bool = False,
) -> list[Result]:  # fmt: skip
    """Carry out changes, one at a time in a cluster, clusters side by side; a failure in one never stops the others.

    Parameters
    ----------
    change_of: the actuator and the change that a decision asks for; what it raises of our tree refuses the change.
    limit: the fleet-wide disruption budget, as `Journal.disrupt` takes it.
    then: what else is done for a decision whose change has ended so.
    apart: changes of one cluster have nothing to do with each other: all of them side by side.

    Returns
    -------
    One result a change, in the order given, then those of `then`.
    """

    def one(decision: Decision) -> list[Result]:
        result = _one(run, decision, change_of, limit)
        results = [result, *(then(decision, result) if then else ())]
        if all(each.state == REFUSED for each in results):
            run.store.settle([decision], Verdict.EXPIRED, detail=result.detail)
        return results

    with run.journal.holding():
        ended = side_by_side(one, approved) if apart else cluster_by_cluster(one, approved, attrgetter("subject"))
    place = {decision.id: row for row, decision in enumerate(approved)}
    ended.sort(key=lambda results: place[results[0].decision_id])
    return [results[0] for results in ended] + [more for results in ended for more in results[1:]]


def carry_out(
    run: Run, actuator: SubjectActuator, planned: Planned, *, subject: str, key: str, decision_id: str | None = None,
    limit: Mapping[str, Any] | None = None,
) -> Result:  # fmt: skip
    """Journal one planned change, start it, make it so, and end it. Nothing is raised for what the world refuses.

    Nothing is changed in shadow, whatever the flow asks for.
    """
    told = {"continuum.subject": subject, "continuum.fleet": run.fleet_name, "continuum.decision": decision_id or ""}
    with TRACER.start_as_current_span(f"act {actuator.kind}", attributes=told) as span:
        result = _carried_out(run, actuator, planned, subject, key, decision_id, limit)
        span.set_attribute("continuum.state", result.state)
        if result.state != State.DONE:
            span.set_status(StatusCode.ERROR, result.detail)
    return result


def _carried_out(
    run: Run, actuator: SubjectActuator, planned: Planned, subject: str, key: str, decision_id: str | None,
    limit: Mapping[str, Any] | None,
) -> Result:  # fmt: skip
    if run.mode is Mode.SHADOW:
        return Result(decision_id or "", subject, REFUSED, "the run is in shadow mode: nothing may be changed")
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


def settle_left_over(run: Run, kinds: Collection[str], open_actuator: Opener) -> list[Result]:
    """Finish or undo what owners that are gone have left: look at each subject, and write down what is true of it.

    A run in shadow writes nothing: it only says what there is to be finished.
    """
    left = [
        intent for intent in run.journal.expired() if intent.kind in kinds and intent.do.get("fleet") == run.fleet_name
    ]
    if run.mode is Mode.SHADOW:
        return [_result(intent, "left by a run that ended; the next run in act mode finishes it") for intent in left]
    with run.journal.holding():
        ended = cluster_by_cluster(lambda intent: _adopt(run, intent, open_actuator), left, attrgetter("subject"))
    return [result for result in ended if result]


def undo_with(open_actuator: Opener) -> Applier:
    """How `continuum undo` makes a subject of a started intent as its `do` says.

    It raises `Conflict` where somebody else changed the subject since, any other of our tree where the API, or a
    freeze, said no.
    """

    def undo(journal: Journal, intent: Intent) -> str:
        with journal.holding():
            actuator = open_actuator(load_stored_fleet(str(intent.do["fleet"])), intent.subject, intent.kind)
            actuator.announce(journal, intent)
            said = actuator.make_so(journal, intent)
            actuator.conclude(journal, intent, done=True)
            return said

    return undo


def _one(
    run: Run, decision: Decision, change_of: Callable[[Decision], tuple[SubjectActuator, Planned]],
    limit: Mapping[str, Any] | None,
) -> Result:  # fmt: skip
    """One change, from intent to end."""
    try:
        actuator, planned = change_of(decision)
    except ContinuumError as error:
        return Result(decision.id, decision.subject, REFUSED, str(error), _refusal(error))
    key = f"{decision.id}/{decision.subject}/{actuator.kind}"
    return carry_out(
        run, actuator, planned, subject=decision.subject, key=key, decision_id=decision.id, limit=limit
    )  # fmt: skip


def _make_so(actuator: SubjectActuator, journal: Journal, intent: Intent) -> Result:
    """Make a started intent so, and end it; where nobody can tell how it ended, it stays for a later run to settle."""
    try:
        actuator.announce(journal, intent)
        finished = journal.done(intent, actuator.make_so(journal, intent))
        actuator.conclude(journal, finished, done=True)
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


def _settle(
    actuator: SubjectActuator, journal: Journal, intent: Intent, because: ContinuumError | None = None
) -> Intent:
    """End a started intent by what is seen, and write down what stays of it."""
    ended = actuator.settle(journal, intent, because)
    if ended.state in (State.DONE, State.UNDONE):
        actuator.conclude(journal, ended, done=ended.state == State.DONE)
    return ended


def _adopt(run: Run, intent: Intent, open_actuator: Opener) -> Result | None:
    """Settle what an owner that is gone has left; None where it lives after all, or another run was quicker."""
    try:
        adopted = run.journal.adopt(intent)
    except Conflict:
        return None
    try:
        if adopted.state == State.PLANNED:
            return _result(run.journal.undone(adopted, "its run ended before anything was asked for"))
        return _result(_settle(open_actuator(run.fleet, adopted.subject, adopted.kind), run.journal, adopted))
    except ContinuumError as error:
        return _result(adopted, f"{error}; a later run looks again")


def _drop(journal: Journal, intent: Intent, why: str) -> None:
    current = journal.intent(intent.id)
    if current.state == State.PLANNED and current.owner == journal.owner:
        journal.undone(current, f"nothing was changed: {why}")


def _refusal(error: ContinuumError) -> str:
    return str(refusal_of(error) or "")


def _result(intent: Intent, detail: str = "") -> Result:
    return Result(intent.decision_id or "", intent.subject, intent.state, detail or intent.detail)
