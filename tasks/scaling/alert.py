"""Tell the event bus of pools that are scaled blindly: lost metrics, stale forecasts, clusters that do not answer."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.events import ScalingBlinded
from blocks.store.tables import Decision
from tasks.publish import emit
from tasks.run import Run
from tasks.scaling.decide import ReasonCode
from tasks.scaling.reason_words import WORDS

# beside every reason that doubts data
ALERTS = {ReasonCode.UNREACHABLE, ReasonCode.FLEET_UNREACHABLE, ReasonCode.NODES_NOT_READY}


def alert(run: Run, rows: Sequence[Decision]) -> ScalingBlinded | None:
    """Emit at most one event for a pass; None where every pool was seen well."""
    causes: set[str] = set()
    pools: list[str] = []
    for row in rows:
        codes = {ReasonCode(reason["code"]) for reason in row.content["reasons"]}
        if found := {code for code in codes if WORDS[code].kind == "doubt" or code in ALERTS}:
            causes |= found
            pools.append(row.subject)
    if not pools:
        return None
    event = ScalingBlinded(
        fleet=run.fleet_name, as_of=rows[0].as_of, pools=sorted(pools), causes=sorted(map(str, causes))
    )
    emit(event)
    return event
