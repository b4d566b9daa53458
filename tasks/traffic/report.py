"""Routing told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.events import TrafficDiverted
from blocks.store.tables import Decision, State
from tasks.acting import Result
from tasks.publish import emit
from tasks.run import Run
from tasks.sections import section
from tasks.traffic.act import weights_told

ROWS = 500
COLUMNS = ("route", "function", "action", "now", "wanted", "ms by these weights", "95 % served within ms", "why")

REASONS = {
    "site-down": "{site} is down",
    "unread": "it could not be read",
    "all-down": "no site of it is up: the last weights are held",
    "backends-differ": "its backends are others: not known {foreign}, lacking {lacking}",
    "users-kept": "users keep to the site that they get now for {seconds} s",
    "users-stay": "its own session persistence holds users at a site that is down; give `keep_users_s` to end it",
    "saturated": "its servers at {site} are {ratio:.0%} busy: no response time can be told",
    "demand-unknown": "demand is not known: only what is down loses requests",
    "on-the-way": "{points} points are left for later passes",
    "beyond-capacity": "{rps:.4g} requests/s are beyond what its sites may take",
}


def explain(record: Mapping[str, Any]) -> str:
    """One route's decision in one line."""
    why = "; ".join(REASONS[each["code"]].format(**each) for each in record["reasons"])
    then = f" -> {weights_told(record['weights'])}" if record["weights"] != record["seen"] else ""
    told = f"{record['action']}, {weights_told(record['seen']) or 'weights not known'}{then}"
    return f"{record['unique_id']}: {told}" + (f" ({why})" if why else "")


EXPLAINERS = {"traffic-routing": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes that somebody is to approve."""
    return f"**{len(changes)} routes** would get other weights:\n\n" + "\n".join(
        f"- {explain(row.content)}" for row in changes)  # fmt: skip


def traffic_sections(records: Sequence[Mapping[str, Any]], strategy: str) -> list[dict[str, Any]]:
    """How many routes change, and each of them."""
    count = {name: sum(each["action"] == name for each in records) for name in ("failover", "shift", "hold", "refuse")}
    words = (
        f"Strategy {strategy}: {count['failover']} of {len(records)} routes leave a site that is down, "
        f"{count['shift']} move towards the optimum, {count['hold']} stay, {count['refuse']} are refused."
    )
    rows = [
        [
            each["unique_id"],
            each["function"],
            each["action"],
            weights_told(each["seen"]),
            weights_told(each["weights"]) if each["weights"] != each["seen"] else "",
            "" if each["promised"]["latency_ms"] is None else f"{each['promised']['latency_ms']:.3g}",
            ", ".join(f"{told['site']} {told['p95_ms']:.3g}" for told in each["responses"]),
            "; ".join(REASONS[why["code"]].format(**why) for why in each["reasons"]),
        ]
        for each in records[:ROWS]
    ]
    return [section("Traffic routing", [words], COLUMNS, rows)]


def announce(
    run: Run, rows: Sequence[Decision], results: Sequence[Result], turned: Sequence[str]
) -> TrafficDiverted | None:
    """Emit at most one event for a pass: a site went down just now, or requests were taken from one; else None."""
    left = {row.subject: row for row in rows if any(each["code"] == "site-down" for each in row.reasons)}
    moved = [end.subject for end in results if end.state == State.DONE and left.get(end.subject)
             and left[end.subject].action == "failover"]  # fmt: skip
    down = sorted({f"{row.content['function']}/{each['site']}" for row in left.values() for each in row.reasons
                   if each["code"] == "site-down"})  # fmt: skip
    if not down or not (moved or set(turned) & set(down)):
        return None
    event = TrafficDiverted(fleet=run.fleet_name, as_of=rows[0].as_of, down=down, routes=sorted(left),
                            moved=sorted(moved))  # fmt: skip
    emit(event)
    return event
