"""What is held up in pools that somebody else sizes, and until when: written down before the world is changed.

In the store, which is the authority, and as a mark in the pool's own cluster, for whoever has no such store.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from blocks.series import utc
from blocks.store import Journal
from blocks.store.tables import Hold, Intent
from tasks.scaling.actuators import PoolActuator, Steering

# Twelve passes of five minutes: a scheduler that is away for less loses nothing.
HOLD_S = 3600.0


def hold_of(journal: Journal, fleet: str, subject: str, kind: str) -> Hold | None:
    """What is held up there by one kind of actuator."""
    found = (hold for hold in journal.holds(fleet) if (hold.subject, hold.kind) == (subject, kind))
    return next(found, None)


def expiry_after(as_of: datetime) -> datetime:
    """Until when a hold lasts that is wanted now, by the fleet's own time."""
    return as_of + timedelta(seconds=HOLD_S)


def announce(journal: Journal, intent: Intent, actuator: PoolActuator) -> None:
    """Before a change: write down what it is going to hold up, so that no crash leaves a hold that nobody knows."""
    if "base" in intent.do and intent.do["value"] != intent.do["base"]:
        keep(journal, _hold(intent, intent.do), actuator)


def conclude(journal: Journal, intent: Intent, actuator: PoolActuator, *, done: bool) -> None:
    """After a change: what is held up is what was done, or what was there before it; what is back at its base is none.

    A change that ended neither way leaves the hold as it was announced: the reaper looks at what there is.
    """
    if "base" not in intent.do:
        return
    payload = intent.do if done else intent.undo
    if payload["value"] == intent.do["base"]:
        drop(journal, _hold(intent, payload), actuator)
    else:
        keep(journal, _hold(intent, payload), actuator)


def keep(journal: Journal, hold: Hold, actuator: PoolActuator) -> None:
    """Write a hold down, or its later expiry."""
    journal.keep_hold(hold)
    if isinstance(actuator, Steering):
        actuator.mark(hold)


def drop(journal: Journal, hold: Hold, actuator: PoolActuator) -> None:
    """Nothing is held up there any more."""
    journal.drop_hold(hold)
    if isinstance(actuator, Steering):
        actuator.unmark(hold)


def _hold(intent: Intent, payload: dict[str, Any]) -> Hold:
    until = datetime.fromisoformat(intent.do["until"])
    return Hold(
        subject=intent.subject, kind=intent.kind, fleet=str(intent.do["fleet"]), value=payload["value"],
        base=intent.do["base"], until=utc(until.timestamp()),
    )  # fmt: skip
