"""Scaling decisions told to people: one line a pool, the sections of a report, patches for pools of other owners."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import fsum
from typing import Any

from tasks.scaling.actuator_words import SETTINGS, actuator_of, told_actuator
from tasks.scaling.decide import Action, ReasonCode
from tasks.scaling.reason_words import WAIT, WORDS, Record, count, duration, filled, nodes
from tasks.sections import section

_LABELS = {Action.REFUSE: "refused: ", Action.HOLD: "held: ", Action.UP: "limits: ", Action.DOWN: "limits: "}
_RANK = {Action.UP: 0, Action.DOWN: 1, Action.REFUSE: 2, Action.HOLD: 3}
_COLUMNS = (
    "pool", "action", "actuator", "nodes now", "nodes after", "nodes needed", "expected peak, full nodes",
    "violation minutes if not changed", "violation minutes if changed", "node-hours", "USD", "why",
)  # fmt: skip


def explain(record: Record) -> str:
    """One pool's decision in one line: what, where the need comes from, what stopped it, what to do about it.

    `eu-eks/web: desired 6 -> 9 nodes: CPU peak 31.2 cores expected at 14:35 UTC (p90) needs 8.7 nodes at 90 %; ...`
    """
    mends = _mends(record)
    return f"{record['unique_id']}: {_change(record)}: {_why(record)}" + (f". To mend it: {mends}" if mends else "")


EXPLAINERS = {"cluster-scaling": explain}


def sections(records: Sequence[Record], *, rows_limit: int = 300) -> list[dict[str, Any]]:
    """Report sections of one pass: what was decided for each pool, then each refusal and how to mend it.

    A section is `{"title", "paragraphs", "table": {"columns", "rows"}, "plots"}`; the flow adds plots. Changes come
    first in the table, then refusals, then holds; beyond `rows_limit` rows the rest is counted, not shown.
    """
    ranked = sorted(records, key=lambda record: (_RANK[Action(record["action"])], record["unique_id"]))
    refused = [record for record in ranked if record["action"] == Action.REFUSE]
    paragraphs = [_summary(ranked), _promise(ranked)]
    if len(ranked) > rows_limit:
        paragraphs.append(f"{count(len(ranked) - rows_limit, 'further pool')} not shown here; all are in the store.")
    found = [
        section("Cluster scaling: decisions", paragraphs, _COLUMNS, [_row(record) for record in ranked[:rows_limit]])
    ]
    if refused:
        told = f"{count(len(refused), 'change')} wanted but refused; nothing was written to these pools."
        rows = [[record["unique_id"], _change(record), _why(record), _mends(record)] for record in refused[:rows_limit]]
        found.append(section("Cluster scaling: refusals", [told], ("pool", "size", "why", "to mend it"), rows))
    return found


_PROPOSED = ("pool", "by", "nodes", "violation minutes", "USD")


def proposal(records: Sequence[Record]) -> str:
    """The changes that somebody is to approve: a Markdown table of what they promise, and why below it.

    Violation minutes are those expected over the promise's horizon without the change, and with it.
    """
    lines = ["| " + " | ".join(_PROPOSED) + " |", "|" + "---|" * len(_PROPOSED)]
    for record in records:
        promised = record["promised"]
        without, changed, usd = (
            "unknown" if promised[name] is None else f"{promised[name]:{form}}"
            for name, form in (("violation_minutes_if_not", ".1f"), ("violation_minutes_if_changed", ".1f"),
                               ("usd_delta", "+.2f"))
        )  # fmt: skip
        size, minutes = f"{record['current']} → {record['target']}", f"{without} → {changed}"
        cells = [record["unique_id"], actuator_of(record), size, minutes, usd]
        lines.append("| " + " | ".join(cells) + " |")
    whys = [f"- **{record['unique_id']}**: {_why(record)}" for record in records]
    return "\n".join([*lines, "", _promise(records), "", *whys])


def patch(record: Record) -> dict[str, Any] | None:
    """The change of a pool that somebody else owns, as a document for them to apply; None where there is none."""
    if record["action"] != Action.REFUSE or record["target"] == record["current"]:
        return None
    cluster, pool = record["unique_id"].split("/", 1)
    return {
        "cluster": cluster,
        "node_pool": pool,
        "owner": record["owner"],
        "desired_nodes": {"from": record["current"], "to": record["target"]},
        "decided_at": record["as_of"],
        "why": explain(record),
    }


def _row(record: Record) -> list[Any]:
    promised = record["promised"]
    figures = (
        "peak_nodes", "violation_minutes_if_not", "violation_minutes_if_changed", "node_hours_delta", "usd_delta",
    )  # fmt: skip
    known = ["unknown" if promised[name] is None else round(promised[name], 2) for name in figures]
    sizes = [record["current"], record["target"], record["want"]]
    return [record["unique_id"], record["action"], told_actuator(record), *sizes, *known, _why(record)]


def _summary(records: Sequence[Record]) -> str:
    if not records:
        return "No pool was looked at."
    counts = {action: sum(record["action"] == action for record in records) for action in Action}
    when = datetime.fromisoformat(records[0]["as_of"]).astimezone(UTC)
    return (
        f"{count(len(records), 'pool')} looked at for {when:%Y-%m-%d %H:%M} UTC with policy {records[0]['policy']}: "
        f"{counts[Action.UP]} to grow, {counts[Action.DOWN]} to shrink, {counts[Action.REFUSE]} refused, "
        f"{counts[Action.HOLD]} unchanged."
    )


def _promise(records: Sequence[Record]) -> str:
    """What the changes of the pass promise together; figures that are not known are left out, and how many is said."""
    changes = [record["promised"] for record in records if record["action"] in (Action.UP, Action.DOWN)]
    if not changes:
        return "No size changes, so nothing is promised."
    hours, usd, before, after = (
        [promised[name] for promised in changes if promised[name] is not None]
        for name in ("node_hours_delta", "usd_delta", "violation_minutes_if_not", "violation_minutes_if_changed")
    )
    longest_s = max(promised["horizon_s"] for promised in changes)
    pools = count(len(changes), "pool")
    return (
        f"Promised over the next {duration(longest_s)}: {fsum(hours):+.1f} node-hours, {fsum(usd):+.2f} USD (price "
        f"known for {len(usd)} of {pools}), expected violation minutes {fsum(before):.1f} -> {fsum(after):.1f} "
        f"(forecast known for {len(after)} of {pools})."
    )


def _change(record: Record) -> str:
    current, target, what = record["current"], record["target"], SETTINGS[actuator_of(record)]
    if current == target:
        return f"{what} stays at {nodes(current)}"
    return f"{what} {current} -> {nodes(target)}" + (" (as a patch)" if record["action"] == Action.REFUSE else "")


def _why(record: Record) -> str:
    """Where the need comes from, then what is doubted, stopped or limited it."""
    said: dict[str, list[str]] = {"need": [], "doubt": [], "guard": []}
    for reason in record["reasons"]:
        words = WORDS[ReasonCode(reason["code"])]
        said[words.kind].append(filled(words.text, reason, record))
    stops = "; ".join(said["doubt"] + said["guard"])
    return "; ".join(said["need"] + ([_LABELS[Action(record["action"])] + stops] if stops else []))


def _mends(record: Record) -> str:
    """What to do, each once, in the order of the reasons; waiting is told only where a change was refused."""
    mends = [filled(WORDS[ReasonCode(reason["code"])].mend, reason, record) for reason in record["reasons"]]
    wanted = [mend for mend in dict.fromkeys(mends) if mend and (mend != WAIT or record["action"] == Action.REFUSE)]
    return "; ".join(wanted)
