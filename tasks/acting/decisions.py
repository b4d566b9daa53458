"""Keep decisions in the store, and load what a suspended run decided before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from blocks.store.tables import Decision, Mode, Verdict
from tasks.run import Run

STATE_BY_MODE = {Mode.SHADOW: Verdict.RECORDED, Mode.PROPOSE: Verdict.PROPOSED, Mode.ACT: Verdict.APPROVED}


def decided_before(run: Run) -> tuple[Decision, ...]:
    """What this very flow run stored before it was suspended; empty on its first way through."""
    return tuple(run.store.proposals(run.id))


def keep_decisions(
    run: Run, entries: Iterable[dict[str, Any]], *, as_of: datetime, ttl_s: float, changes: Collection[str],
    held_back: Callable[[dict[str, Any]], bool] | None = None,
) -> tuple[Decision, ...]:  # fmt: skip
    """One row a subject. The content is the same in every mode; only the state of a change differs.

    Parameters
    ----------
    entries: records of decisions, each with `unique_id`, `action`, `reasons`, and what it promises in `promised`.
    ttl_s: seconds after which a change is too old to be made. changes: the actions that change the world.
    held_back: whether a change is, in act mode, kept as shadow keeps it; a person may approve it all the same.
    """
    run.store.expire_proposals(as_of, fleet=run.fleet_name)
    rows = []
    for ordinal, entry in enumerate(entries):
        change = entry["action"] in changes
        how_far = Mode.SHADOW if run.mode is Mode.ACT and held_back and held_back(entry) else run.mode
        rows.append(Decision(
            flow_run_id=run.id, flow=run.flow, fleet=run.fleet_name, subject=entry["unique_id"],
            action=entry["action"], mode=how_far,
            state=STATE_BY_MODE[how_far] if change else Verdict.RECORDED, ordinal=ordinal, as_of=as_of,
            expires_at=as_of + timedelta(seconds=ttl_s) if change else None, content=entry, reasons=entry["reasons"],
            promised={name: value for name, value in entry.get("promised", {}).items() if value is not None},
        ))  # fmt: skip
    run.store.record_decisions(rows)
    return tuple(rows)
