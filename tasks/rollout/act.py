"""Carry a version out wave by wave: the wish is journalled, the edges fetch it themselves, and a check follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict, ContinuumError, InvalidInput
from blocks.fleet import Fleet
from blocks.store import Journal, Store
from blocks.store import undo as undoing
from blocks.store.edges import edges, edges_with, set_wanted
from blocks.store.rollouts import DONE, ROLLED_BACK, ROLLING_BACK, begin, rollouts, settle
from blocks.store.tables import UNFINISHED, Decision, Intent, Mode, Rollout, State, Verdict, now
from tasks.acting import REFUSED, Planned, Result, Seen, SubjectActuator, carry_out, looks, settle_left_over, undo_with
from tasks.acting.actuator import Value
from tasks.rollout.decide import LATE, Pace, count, decide_check, surely_worse
from tasks.rollout.observe import seen_edges
from tasks.run import Run

LEASE_S = 120.0  # renewed while the run lives


class SetWanted(SubjectActuator):
    """What the edges of one wave are to run: {"digests": {edge: digest}}, without edges that are gone."""

    kind = "set-wanted-model"
    noun = "wave"

    def __init__(self, store: Store, model: str, names: Sequence[str]) -> None:
        self._store, self._model, self._names = store, model, frozenset(names)
        self._there = {edge.name for edge in edges(store)} & self._names

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{len(self._there)} edges, model {self._model}"

    def look(self) -> Seen:
        """What they are to run now."""
        rows = edges_with(self._store, self._model)
        return Seen({"digests": {name: rows[name].wanted if name in rows else "" for name in sorted(self._there)}})

    def value(self, payload: Any) -> Value:
        """A setting without the edges that are gone."""
        digests = payload["value"]["digests"]
        return {"digests": {name: digests[name] for name in sorted(self._there)}}

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Say it to all of them in one transaction."""
        del seen
        journal.proceed(intent)
        set_wanted(self._store, self._model, value["digests"])
        journal.note(intent, {}, self.told(value))

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Nothing: the edges fetch it when they ask, and the check that follows tells how that went."""
        del intent, patience_s
        return ""

    def said(self, intent: Intent) -> str:
        """What they are to run, in words."""
        return self.told(self.value(intent.do))

    def told(self, value: Value) -> str:
        """A setting in words."""
        digests = list(value["digests"].values())
        return ", ".join(f"{digests.count(each)} edges are to run {each[:12] or 'nothing'}"
                         for each in dict.fromkeys(digests)) or "no edge is left"  # fmt: skip


def _subject_of(decision: Decision, wave: int) -> str:
    """Name of a wave in the journal: `continuum freeze MODEL` covers it."""
    return f"{decision.subject}/{decision.id[:16]}-{wave}"


def open_wave(_fleet: Fleet, subject: str, _kind: str) -> SubjectActuator:
    """The actuator of a wave, from the decision that its subject names."""
    store = Store.open()
    model, _, rest = subject.rpartition("/")
    decision, _, wave = rest.rpartition("-")
    waves = store.decision(decision).content.get("waves", [])
    if not wave.isdigit() or int(wave) >= len(waves):
        raise InvalidInput("names no wave of its decision", where=subject, fix="see `continuum journal show`")
    return SetWanted(store, model, waves[int(wave)]["edges"])


APPLIERS = {SetWanted.kind: undo_with(open_wave)}


@task(name="roll out", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], pace: Pace) -> list[Result]:
    """Carry the approved roll-out out; what a check refuses is taken back from every edge that was asked."""
    results: list[Result] = []
    for decision in approved:
        waves = roll_out(run, decision, pace)
        if waves and all(each.state == REFUSED for each in waves):
            run.store.settle([decision], Verdict.EXPIRED, detail=waves[0].detail)
        results += [*waves, _whole(decision, waves)]
    return results


def _whole(decision: Decision, waves: Sequence[Result]) -> Result:
    """What the waves come to."""
    for each in waves:
        if each.state != State.DONE:
            return Result(decision.id, decision.subject, each.state, each.detail)
    words = (
        f"{decision.content['version']} is wanted on {decision.content['edges']} edges, {len(waves)} waves went well"
    )
    return Result(decision.id, decision.subject, State.DONE, words)


@task(name="finish left-over roll-outs", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """Settle waves that a killed run was about to ask, and go on with what one was taking back."""
    results = settle_left_over(run, APPLIERS, open_wave)
    if run.mode is Mode.ACT:
        for left in rollouts(run.store):
            if left.state == ROLLING_BACK:
                results += _take_back(run, left, left.detail)
    return results


def roll_out(
    run: Run, decision: Decision, pace: Pace, *, clock: Callable[[], float] = time.monotonic
) -> list[Result]:  # fmt: skip
    """The waves of a decision in their order, each asked only after the check of all before it."""
    model, digest, waves = (decision.content[name] for name in ("model", "digest", "waves"))
    lease = f"rollout/{model}"
    try:
        run.journal.acquire(lease, LEASE_S)
    except Conflict as error:
        return [Result(decision.id, decision.subject, State.FAILED, f"another run rolls it out: {error}")]
    try:
        with run.journal.holding():
            row = begin(run.store, model, digest, decision.id)
            results: list[Result] = []
            if len(row.decisions) > 1 and (why := _why_not(run, model, digest, pace, canary=False, clock=clock)):
                return _turn_round(run, row, why)  # it is carried on: what was asked before comes first
            for number, wave in enumerate(waves or [{"name": "rest", "edges": []}]):
                if wave["edges"]:
                    results.append(_ask(run, decision, number, wave["edges"]))
                    if results[-1].state != State.DONE:
                        return results
                if wave["name"] == LATE:
                    continue
                why = _why_not(run, model, digest, pace, canary=wave["name"] == "canary", clock=clock)
                if why:
                    return results + _turn_round(run, row, why)
            settle(run.store, row.id, DONE, f"{decision.content['edges']} edges")
            return results
    finally:
        run.journal.release(lease)


def _ask(run: Run, decision: Decision, number: int, names: Sequence[str]) -> Result:
    model, digest = decision.content["model"], decision.content["digest"]
    actuator = SetWanted(run.store, model, names)
    before = actuator.look().value
    wanted = {"digests": dict.fromkeys(before["digests"], digest)}
    subject = _subject_of(decision, number)
    return carry_out(run, actuator, Planned({"value": wanted}, {"value": before}), subject=subject,
                     key=f"{decision.id}/{subject}/{actuator.kind}", decision_id=decision.id)  # fmt: skip


def _why_not(
    run: Run, model: str, digest: str, pace: Pace, *, canary: bool, clock: Callable[[], float]
) -> str:  # fmt: skip
    """Wait for the edges that were asked so far; why the version is taken back, or "" where the next may be asked."""
    began, heard_s = clock(), pace.heard_s + pace.patience_s
    for _ in looks(pace.patience_s + 10):
        seen = {edge.name: edge for edge in seen_edges(run.store, model, now())}
        asked = [name for name, edge in seen.items()
                 if edge.wanted == digest and edge.silent_s is not None and edge.silent_s <= heard_s]  # fmt: skip
        found, waited_s = count(asked, seen, digest), clock() - began
        verdict = decide_check(found, waited_s, pace, canary=canary)
        if verdict == "go on":
            return ""
        if verdict == "roll back":
            break
    if surely_worse(found, pace.worse_ratio):
        return (f"of edges' own rows {found.right[0]} of {found.right[1]} are answered rightly, and "
                f"{found.right_before[0]} of {found.right_before[1]} were by the version before")  # fmt: skip
    return (f"of {found.asked} edges {found.failed} could not load it and {found.silent} did not answer "
            f"in {waited_s:.0f} s")  # fmt: skip


def _turn_round(run: Run, row: Rollout, why: str) -> list[Result]:
    """Write down first that it is taken back: a run that is killed in here must not be carried on forwards."""
    return _take_back(run, settle(run.store, row.id, ROLLING_BACK, why), why)


def _take_back(run: Run, row: Rollout, why: str) -> list[Result]:
    """Undo every wave of a roll-out, the last first, as `continuum undo` would; it is over when none is left."""
    results: list[Result] = []
    for decision in reversed(row.decisions):
        acts = [act.state for act in run.journal.intents(decision_id=decision) if act.undoes is None]
        if not {State.DONE, *UNFINISHED} & set(acts):
            continue
        try:
            ended = undoing.carry_out(run.journal, undoing.undo_plan(run.journal, decision), APPLIERS)
        except ContinuumError as error:
            results.append(Result(decision, row.model, State.FAILED, f"{why}; not taken back yet: {error}"))
            continue
        results += [Result(decision, each.subject, State.UNDONE, f"taken back, as {why}; {each.detail}")
                    for each in ended]  # fmt: skip
    if not any(each.state == State.FAILED for each in results):
        settle(run.store, row.id, ROLLED_BACK, why)
    return results
