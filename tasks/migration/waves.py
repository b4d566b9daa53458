"""Waves of moves: cluster by cluster, checked one by one, a person asked between; one that fails is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from blocks.store.tables import Decision, State, Verdict
from tasks.acting import REFUSED, Result
from tasks.acting.approval import OPEN, approve_rest
from tasks.migration.act import move_wave, take_back
from tasks.migration.check import Checks, check_wave, refuse_unknown_check
from tasks.migration.moves import Pace
from tasks.migration.observe import present
from tasks.run import Run


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
        ended = move_wave(run, wave, pace) if wave else []
        why = _failure(ended) or (check_wave(run, wave, checks) if ended else "")
        if why:
            said = f"the wave to {_target(wave[0])} failed ({why}), so later ones were not begun"
            run.store.settle(rest, Verdict.EXPIRED, detail=said)
            ended = take_back(run, wave, ended, pace, why)
            ended += [Result(row.id, row.subject, REFUSED, said) for row in rest]
            rest = []
        results += ended
    return results


def _target(row: Decision) -> str:
    return str(row.content["target"])


def _failure(ended: Sequence[Result]) -> str:
    return next((f"{each.subject}: {each.detail}" for each in ended if each.state != State.DONE), "")


def _done_before(run: Run, rows: Sequence[Decision]) -> list[Result]:
    """What became of this run's moves before it was suspended between two waves."""
    over = [row for row in rows if row.expires_at is not None and row.state not in OPEN]
    return [Result(row.id, row.subject, str(each.state), each.detail)
            for row in over for each in run.journal.intents(decision_id=row.id)]  # fmt: skip


def _so_far(results: Sequence[Result], rest: Sequence[Decision]) -> str:
    """What a person reads before the next wave, Markdown."""
    after = [f"{row.content['workload']}: {row.content['source']} -> {_target(row)}" for row in rest]
    return "\n".join([
        "**Done so far:**\n", *(f"- {each.subject}: {each.state}: {each.detail}" for each in results),
        f"\n**Next, to {_target(rest[0])}, then the others:**\n", *(f"- {each}" for each in after),
    ])  # fmt: skip
