"""What is held up in pools that somebody else sizes, and until when: written down before the world is changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from blocks.series import utc
from blocks.store import Journal
from blocks.store.tables import Hold, Intent

# Twelve passes of five minutes: a scheduler that is away for less loses nothing.
HOLD_S = 3600.0


def hold_of(journal: Journal, fleet: str, subject: str, kind: str) -> Hold | None:
    """What is held up there by one kind of actuator."""
    found = (hold for hold in journal.holds(fleet) if (hold.subject, hold.kind) == (subject, kind))
    return next(found, None)


def expiry_after(as_of: datetime) -> datetime:
    """Until when a hold lasts that is wanted now, by the fleet's own time."""
    return as_of + timedelta(seconds=HOLD_S)


def announce(journal: Journal, intent: Intent) -> None:
    """Before a change: write down what it is going to hold up, so that no crash leaves a hold that nobody knows."""
    if "base" in intent.do and intent.do["value"] != intent.do["base"]:
        journal.keep_hold(_hold(intent, intent.do))


def conclude(journal: Journal, intent: Intent, *, done: bool) -> None:
    """After a change: what is held up is what was done, or what was there before it; what is back at its base is none.

    A change that ended neither way leaves the hold as it was announced: the reaper looks at what there is.
    """
    if "base" not in intent.do:
        return
    payload = intent.do if done else intent.undo
    if payload["value"] == intent.do["base"]:
        journal.drop_hold(_hold(intent, payload))
    else:
        journal.keep_hold(_hold(intent, payload))


def _hold(intent: Intent, payload: dict[str, Any]) -> Hold:
    until = datetime.fromisoformat(intent.do["until"])
    return Hold(
        subject=intent.subject, kind=intent.kind, fleet=str(intent.do["fleet"]), value=payload["value"],
        base=intent.do["base"], until=utc(until.timestamp()),
    )  # fmt: skip
