"""`continuum journal`, `undo`, `freeze`, `thaw`: what was done to the world, taking it back, and stopping it."""

from __future__ import annotations

import getpass
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

import tasks
from blocks.errors import InvalidInput, NotConfigured
from blocks.store import Journal, Store
from blocks.store.guards import covers
from blocks.store.owner import is_gone
from blocks.store.tables import UNFINISHED, Decision, Freeze, Intent, State
from blocks.store.undo import Applier, carry_out, undo_plan
from deployments.command.output import Json, err, out, print_json, refusals

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SCOPE = re.compile(r"\*|[a-z0-9][-a-z0-9.]*(/[a-z0-9][-a-z0-9.]*)?")

Scope = Annotated[str, typer.Argument(help="`*` (everything), a cluster, or cluster/pool", show_default=True)]

journal_app = typer.Typer(no_args_is_help=True, help="What was done to the world, step by step.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(journal_app, name="journal")
    app.command()(undo)
    app.command()(freeze)
    app.command()(thaw)


def appliers() -> dict[str, Applier]:
    """Every kind of intent that this release can carry out: the `APPLIERS` of each tasks/SUBJECT/act.py."""
    return _of_every_subject("act", "APPLIERS")


def explainers() -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """By flow, what puts its decisions into words: the `EXPLAINERS` of each tasks/SUBJECT/report.py."""
    return _of_every_subject("report", "EXPLAINERS")


def _of_every_subject(module: str, table: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for subject in pkgutil.iter_modules(tasks.__path__):
        name = f"tasks.{subject.name}.{module}"
        if subject.ispkg and importlib.util.find_spec(name):
            found |= getattr(importlib.import_module(name), table, {})
    return found


@journal_app.command("list")
def list_intents(
    state: Annotated[State | None, typer.Option(help="only intents in this state")] = None,
    subject: Annotated[str | None, typer.Option(help="only this cluster, or cluster/pool")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most this many, the newest")] = 50,
    as_json: Json = False,
) -> None:
    """List what was done, newest first, and what is frozen."""
    with refusals():
        journal = Journal(Store.open())
        intents, freezes = journal.intents(state=state, subject=subject, limit=limit), journal.freezes()
        if as_json:
            return print_json({"intents": intents, "freezes": freezes})
        for frozen in freezes:
            out.print(f"[bold]frozen[/bold] {_frozen_words(frozen)}", highlight=False)
        if not intents:
            out.print(
                "The journal holds no such intent."
                if state or subject
                else f"The journal in {journal.store.name} is empty.",
                soft_wrap=True,
            )
            return None
        table = Table("intent", "planned (UTC)", "subject", "state", "detail", "decision")
        for column in (1, 2):
            table.columns[column].overflow = "fold"  # whose it is must not be cut, however narrow the terminal
        for row in intents:
            table.add_row(row.id[:8], f"{row.created_at:%m-%d %H:%M:%S}", row.subject, row.state, escape(row.detail),
                          (row.decision_id or "")[:8])  # fmt: skip
        return out.print(table)


@journal_app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="id of an intent or a decision, or its beginning")],
    as_json: Json = False,
) -> None:
    """Show one intent or decision: its steps, its owner, and what to do next."""
    with refusals():
        store = Store.open()
        journal = Journal(store)
        found = store.find(identifier)
        intents = [found] if isinstance(found, Intent) else journal.intents(decision_id=found.id)[::-1]
        if as_json:
            return print_json({
                "decision": None if isinstance(found, Intent) else found,
                "outcome": None if isinstance(found, Intent) else store.outcomes([found.id]).get(found.id),
                "intents": [row.model_dump() | {"steps": journal.steps(row.id), "next": next_words(journal, row)}
                            for row in intents],
            })  # fmt: skip
        if isinstance(found, Decision):
            _print_decision(found)
            if not intents:
                out.print("Nothing was done for it.")
        for row in intents:
            _print_intent(journal, row)
        return None


def undo(
    decision: Annotated[str, typer.Argument(help="id of the decision, or its beginning")],
    force: Annotated[bool, typer.Option("--force", help="also undo what a later act has changed since")] = False,
    as_json: Json = False,
) -> None:
    """Take back everything that was done for a decision, the last act first."""
    with refusals():
        store = Store.open()
        undone = undo_decision(store, Journal(store), decision, appliers(), force=force)
        if as_json:
            return print_json({"decision": undone[0].decision_id, "intents": undone})
        for row in undone:
            out.print(f"{row.subject}: {row.kind} undone; {row.detail}", highlight=False, markup=False)
        return None


def undo_decision(
    store: Store, journal: Journal, prefix: str, table: Mapping[str, Applier], *, force: bool
) -> list[Intent]:
    """Undo a decision through a table of appliers by kind of intent; returns the finished undo intents."""
    decision = store.decision(prefix)
    if not table:
        raise NotConfigured("no task of this release can act", where="continuum undo", fix="reinstall continuum")
    with journal.holding():
        return carry_out(journal, undo_plan(journal, decision.id, force=force), table)


def freeze(
    scope: Scope = "*",
    until: Annotated[str | None, typer.Option(help="`2h`, `30m` or `2026-01-31T18:00Z`; default: until thawed")] = None,
    unknown: Annotated[bool, typer.Option("--unknown", help="also a scope in which nothing was ever decided")] = False,
    reason: Annotated[str, typer.Option(help="shown wherever a flow is refused")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Stop all acting at the next step, also in runs that are under way."""
    with refusals():
        store = Store.open()
        journal = Journal(store)
        present = datetime.now(UTC)
        if scope != "*" and not unknown:
            _refuse_unknown(
                scope_of(scope), store.subjects() | {intent.subject for intent in journal.intents(limit=1000)}
            )
        frozen = journal.freeze(scope_of(scope), moment(until, present) if until else None, reason=reason, by=_person())
        if as_json:
            return print_json(frozen)
        out.print(f"Frozen: {_frozen_words(frozen)}", highlight=False)
        under_way = [row for row in journal.intents(state=State.STARTED) if journal.frozen(row.subject)]
        for row in under_way:
            err.print(f"under way: {row.subject} (intent {row.id[:8]}): what was asked already is seen through",
                      highlight=False)  # fmt: skip
        return None


def _refuse_unknown(scope: str, known: Collection[str]) -> None:
    """Refuse a freeze that would stop nothing: a misspelt name protects nobody. A fresh store knows no names."""
    if known and not any(covers(scope, subject) for subject in known):
        there = ", ".join(sorted({subject.partition("/")[0] for subject in known})[:8])
        raise InvalidInput("nothing that was ever decided on lies in it", where=f"freeze {scope}",
                           fix=f"known are {there}; to freeze it nevertheless add --unknown")  # fmt: skip


def thaw(scope: Scope = "*", as_json: Json = False) -> None:
    """End a freeze."""
    with refusals():
        journal = Journal(Store.open())
        journal.thaw(scope_of(scope))
        remaining = journal.freezes()
        if as_json:
            return print_json({"thawed": scope, "still_frozen": remaining})
        out.print(f"Thawed: {scope}", highlight=False)
        for frozen in remaining:
            err.print(f"still frozen: {_frozen_words(frozen)}", highlight=False)
        return None


def moment(text: str, present: datetime) -> datetime:
    """The UTC time of "2h" from now, or of an ISO time.

    >>> moment("90m", datetime(2026, 1, 31, 12, tzinfo=UTC)).isoformat()
    '2026-01-31T13:30:00+00:00'
    >>> moment("2026-01-31T18:00+02:00", datetime(2026, 1, 31, 12, tzinfo=UTC)).isoformat()
    '2026-01-31T16:00:00+00:00'
    """
    fix = "give e.g. 2h, 30m, 1d or 2026-01-31T18:00Z"
    if match := _DURATION.fullmatch(text.strip()):
        try:
            return present + timedelta(**{_UNIT[match[2]]: float(match[1])})
        except OverflowError as error:
            raise InvalidInput(f"{text!r} is too far away", where="--until", fix=fix) from error
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no time", where="--until", fix=fix) from error
    if given.tzinfo is None:
        raise InvalidInput(f"{text!r} has no time zone", where="--until", fix="end it with Z for UTC, or with +02:00")
    if given <= present:
        raise InvalidInput(f"{text!r} is over already", where="--until", fix=fix)
    return given.astimezone(UTC)


def next_words(journal: Journal, intent: Intent) -> str:
    """What a person can do about an intent, in words."""
    if intent.state == State.DONE:
        back = (
            f"To take it back: continuum undo {intent.decision_id[:8]}"
            if intent.decision_id and intent.undo and not intent.undoes
            else ""
        )
        return f"It is finished. {back}".strip()
    if intent.state == State.UNDONE:
        return "The world is as before; nothing is left to do."
    if intent.state == State.FAILED:
        return f"It ended half-way: look at {intent.subject}, then let the next run decide anew."
    if (frozen := journal.frozen(intent.subject)) is not None:
        return f"It waits for the end of a freeze: continuum thaw '{frozen.scope}'"
    if intent.lease_until <= journal.clock() or is_gone(intent.owner):
        return "Its owner is gone: the next run of its flow finishes or undoes it."
    return "Its owner is at work: wait."


def scope_of(scope: str) -> str:
    """A scope as it is written. InvalidInput: it cannot be one."""
    if not _SCOPE.fullmatch(scope):
        raise InvalidInput(f"{scope!r} is no scope", where="scope", fix="give `*`, a cluster, or cluster/pool")
    return scope


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _frozen_words(frozen: Freeze) -> str:
    until = f"until {frozen.until:%Y-%m-%d %H:%M} UTC" if frozen.until else f"until `continuum thaw '{frozen.scope}'`"
    reason = f" ({escape(frozen.reason)})" if frozen.reason else ""
    return f"{'everything' if frozen.scope == '*' else frozen.scope}, {until}, by {frozen.by}{reason}"


def _print_decision(decision: Decision) -> None:
    out.print(
        f"[bold]decision {decision.id}[/bold]  {decision.flow}: {decision.action} {decision.subject}", highlight=False
    )
    out.print(f"  {decision.mode}, {decision.state}; as of {decision.as_of:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    explain = explainers().get(decision.flow)
    if explain and decision.content:
        out.print(f"  {explain(decision.content)}", highlight=False, markup=False)
    elif decision.reasons:
        out.print(f"  reasons: {decision.reasons}", highlight=False, markup=False)
    if decision.detail:
        out.print(f"  {decision.detail}", highlight=False, markup=False)
    if decision.promised:
        promised = ", ".join(f"{name} {value:.4g}" for name, value in decision.promised.items())
        out.print(f"  promised: {promised}", highlight=False, markup=False)


def _print_intent(journal: Journal, intent: Intent) -> None:
    out.print(f"[bold]intent {intent.id}[/bold]  {intent.kind} {intent.subject}: {intent.state}", highlight=False)
    lines: dict[str, Any] = {"do": intent.do, "undo": intent.undo, "planned against": intent.planned_against,
                             "operation": intent.operation, "owner": intent.owner}  # fmt: skip
    if intent.state in UNFINISHED:
        left_s = (intent.lease_until - journal.clock()).total_seconds()
        lines["lease"] = f"{left_s:.0f} s left" if left_s > 0 else f"ended {-left_s:.0f} s ago"
    for label, content in lines.items():
        if content:
            out.print(f"  {label}: {content}", highlight=False, markup=False)
    for step in journal.steps(intent.id):
        out.print(
            f"  {step.at:%Y-%m-%d %H:%M:%S} UTC  {step.event}  {step.detail}".rstrip(), highlight=False, markup=False
        )
    out.print(f"  next: {next_words(journal, intent)}", highlight=False, markup=False)
