"""What is held up in pools that somebody else sizes, and until when: written down before the world is changed.

In the store, which is the authority, and as a mark in the pool's own cluster, for whoever has no such store.
"""

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


def hold_by(intent: Intent, payload: dict[str, Any]) -> Hold:
    """What an intent's `do`, or its `undo`, holds up."""
    until = datetime.fromisoformat(intent.do["until"])
    return Hold(
        subject=intent.subject, kind=intent.kind, fleet=str(intent.do["fleet"]), value=payload["value"],
        base=intent.do["base"], until=utc(until.timestamp()),
    )  # fmt: skip
