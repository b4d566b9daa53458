"""Waves of moves: cluster by cluster, checked one by one, a person asked between; one that fails is taken back.

That a wave is to be checked is written down before it is begun: a run that is killed leaves the check to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby

from blocks.errors import Conflict, Refused
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from tasks.acting import REFUSED, Result
from tasks.acting.approval import OPEN, approve_rest
from tasks.migration.act import move_wave, take_back
from tasks.migration.check import Checks, check_wave, refuse_unknown_check
from tasks.migration.moves import Pace
from tasks.migration.observe import present
from tasks.run import Run

CHECK = "check-wave"  # an intent that is open until a wave has been checked, or taken back


def check_left_over(run: Run, pace: Pace) -> list[Result]:
    """Check the waves that a killed run had begun and not checked yet; one that fails is taken back.

    Moves that the run left have to be at their ends, or waiting. What is left of a plan whose wave fails is not begun.
    """
    if run.mode is Mode.SHADOW:
        return []
    results: list[Result] = []
    for left in run.journal.expired():
        if left.kind != CHECK or left.do.get("fleet") != run.fleet_name:
            continue
        with suppress(Conflict):  # another run was quicker
            owed = run.journal.adopt(left)
            rows = [run.store.decision(each) for each in owed.do["decisions"]]
            begun = [(row, moves[0]) for row in rows if (moves := run.journal.intents(decision_id=row.id))]
            ended = [Result(row.id, row.subject, str(each.state), each.detail) for row, each in begun]
            ended, why = _judged(run, [row for row, _ in begun], ended, pace, Checks.model_validate(owed.do["checks"]))
            _settle(run, owed, ended, why)
            if why:
                rest = [row for row in run.store.proposals(rows[0].flow_run_id) if row.state in OPEN]
                run.store.settle(rest, Verdict.EXPIRED, detail=_not_begun(rows[0], why))
            results += ended
    return results


def move_in_waves(
    run: Run, rows: Sequence[Decision], approved: Sequence[Decision], pace: Pace, checks: Checks, timeout_s: float
) -> list[Result]:
    """Move wave by wave, each to one cluster; what a resumed run has done before it was suspended is told too.

    rows: all of the run's decisions. timeout_s: until a question between waves lapses.

    Raises
    ------
    InvalidInput: there is no such deployment to check with; nothing was moved.
    """
    if approved:
        refuse_unknown_check(checks.deployment)
    results, rest = _done_before(run, rows), sorted(approved, key=_target)
    while rest:
        if results and checks.pause:
            until = present(run.fleet)[0] + timedelta(seconds=timeout_s)
            rest = approve_rest(run, rest, key=f"before-{_target(rest[0])}", plan=_so_far(results, rest),
                                expires_at=until, timeout_s=timeout_s)  # fmt: skip
        wave = list(next((group for _, group in groupby(rest, key=_target)), ()))
        rest = rest[len(wave) :]
        ended, why = _moved_and_judged(run, wave, pace, checks) if wave else ([], "")
        if why:
            said = _not_begun(wave[0], why)
            run.store.settle(rest, Verdict.EXPIRED, detail=said)
            ended += [Result(row.id, row.subject, REFUSED, said) for row in rest]
            rest = []
        results += ended
    return results


def _moved_and_judged(run: Run, wave: Sequence[Decision], pace: Pace, checks: Checks) -> tuple[list[Result], str]:
    owed = None
    with suppress(Refused):  # a freeze covers the target: it refuses the moves too
        do = {"fleet": run.fleet_name, "decisions": [row.id for row in wave], "checks": checks.model_dump()}
        planned = run.journal.plan(None, f"{_target(wave[0])}/wave-{wave[0].id[:8]}", CHECK, do=do, undo={},
                                   planned_against={}, key=f"{wave[0].id}/{CHECK}")  # fmt: skip
        owed = run.journal.start(planned)
    with run.journal.holding():
        ended, why = _judged(run, wave, move_wave(run, wave, pace, checks.objectives), pace, checks)
    if owed is not None:
        _settle(run, owed, ended, why)
    return ended, why


def _judged(
    run: Run, wave: Sequence[Decision], ended: list[Result], pace: Pace, checks: Checks
) -> tuple[list[Result], str]:
    """What became of a wave, once it was checked and, where that fails, taken back; and why it failed."""
    why = _failure(ended) or (check_wave(run, wave, checks) if ended else "")
    return (take_back(run, wave, ended, pace, why), why) if why else (ended, "")


def _settle(run: Run, owed: Intent, ended: Sequence[Result], why: str) -> None:
    if ended and not why:
        run.journal.done(owed, "checked")
    else:
        run.journal.undone(owed, f"taken back: {why}" if why else "its run ended before anything was moved")


def _not_begun(row: Decision, why: str) -> str:
    return f"the wave to {_target(row)} failed ({why}), so later ones were not begun"


def _target(row: Decision) -> str:
    return str(row.content["target"])


def _failure(ended: Sequence[Result]) -> str:
    return next((f"{each.subject}: {each.detail}" for each in ended if each.state != State.DONE), "")


def _done_before(run: Run, rows: Sequence[Decision]) -> list[Result]:
    """What became of this run's moves before it was suspended between two waves."""
    over = [row for row in rows if row.expires_at is not None and row.state not in OPEN]
    return [Result(row.id, row.subject, *((State.UNDONE, row.detail) if row.state == Verdict.UNDONE else
                                          (str(each.state), each.detail)))
            for row in over for each in run.journal.intents(decision_id=row.id)]  # fmt: skip


def _so_far(results: Sequence[Result], rest: Sequence[Decision]) -> str:
    """What a person reads before the next wave, Markdown."""
    after = [f"{row.content['workload']}: {row.content['source']} -> {_target(row)}" for row in rest]
    return "\n".join([
        "**Done so far:**\n", *(f"- {each.subject}: {each.state}: {each.detail}" for each in results),
        f"\n**Next, to {_target(rest[0])}, then the others:**\n", *(f"- {each}" for each in after),
    ])  # fmt: skip
