"""A plan told to people: what to do first, what is too much and too little, when what changes, what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tasks.resource_plan.chart import chart
from tasks.resource_plan.decide import RESOURCES, Code, Step
from tasks.resource_plan.words import QUIET, SHOWN, amount, mends, said
from tasks.sections import section

Document = Mapping[str, Any]

ROWS = 200  # of each table: all is in the stored plan
PICTURES = 8  # pools drawn
CHANGES_TOLD = 4  # of a pool in the table of actions; all are in the timeline
NOT_ACTED = (
    "This is a plan and nothing acts on it: cluster-scaling decides every five minutes by what it sees then. "
    "Sizes are {percentile} of the forecast at {target:.0f} % of the nodes, asked for a boot time ahead, lowered only "
    "for {hold:g} h or more."
)
WHY = {
    "new": "the pool is new in the inventory", "gone": "the inventory has the pool no longer",
    "no-plan": "it cannot be planned now ({what})", "plan-again": "it could not be planned then ({what})",
    "policy": "the plan's {what} is {after} (before: {before})", "bounds": "{what} is {after} (before: {before})",
    "node-size": "a node has {after} of {what} (before: {before})",
    "forecast": "the forecast peak of {what} needs {after} nodes (before: {before})",
    "requests": "what pods request of {what} needs {after} nodes (before: {before})",
    "size-now": "it has {after} nodes now (before: {before})",
    "unexplained": "the course of the day, not its peak: other hours are as high as before",
}  # fmt: skip
_ACTIONS = ("priority", "pool", "action", "nodes now", "planned sizes", "USD saved", "node-hours saved",
            "violation minutes if nothing is done", "violation minutes as planned", "to be known")  # fmt: skip
_AMOUNTS = ("pool", "resource", "over now", "over at its peak", "over, mean", "under now", "under at its peak",
            "under, mean")  # fmt: skip


def sections(document: Document) -> list[dict[str, Any]]:
    """Report sections of one plan, from the stored document (`record.document_of`)."""
    pools: Sequence[Document] = document["pools"]
    planned = [pool for pool in pools if pool["action"] != Step.UNKNOWN]
    todo = [pool for pool in planned if pool["action"] != Step.KEEP]
    unknown = [pool for pool in pools if pool["action"] == Step.UNKNOWN]
    found = [
        section(
            "Resource plan: actions", [*summary(document), *document["trouble"], *_more(len(todo))],
            _ACTIONS, [_action_row(pool) for pool in todo[:ROWS]],
            [_fleet_plot(document), *(_pool_plot(document, pool) for pool in todo[:PICTURES])] if planned else [],
            meta=f"as of {document['as_of'][:16].replace('T', ' ')} UTC, {document['total']['hours']:g} h in steps "
                 f"of {document['step_s'] // 60} min",
            chart=fleet_chart(document),
        ),
        section("Resource plan: provisioning", [_total_amounts(document)], _AMOUNTS,
                 [_amount_row(pool, resource) for pool in planned[: ROWS // 4] for resource in RESOURCES]),
        section("Resource plan: timeline", [_changes_told(document)], ("at (UTC)", "pool", "from", "to"),
                 _timeline(planned)[:ROWS]),
    ]  # fmt: skip
    if "changes" in document:
        found.append(_why_section(document))
    if unknown:
        words = f"{len(unknown)} pools have no plan; nothing is guessed in its place."
        rows = [[pool["pool"], _notes(pool), mends(pool["notes"])] for pool in unknown[:ROWS]]
        found.append(section("Resource plan: not planned", [words], ("pool", "why", "to mend it"), rows))
    return found


def _why_section(document: Document) -> dict[str, Any]:
    since, changes = document["changed_since"][:16].replace("T", " "), document["changes"]
    words = (
        f"Held against the plan of {since} UTC: {len(changes)} of {len(document['pools'])} pools are planned otherwise."
    )
    rows = [[each["pool"], *(" -> ".join(_known(value) for value in each[name]) for name in ("node_hours", "peak")),
             "; ".join(map(why_words, each["why"]))] for each in changes[:ROWS]]  # fmt: skip
    return section("Resource plan: why it changed", [words], ("pool", "node-hours", "highest size", "why"), rows)


def why_words(why: Document) -> str:
    """One cause in words.

    >>> why_words({"cause": "forecast", "what": "cpu_cores", "before": 3.2, "after": 5.0})
    'the forecast peak of CPU needs 5 nodes (before: 3.2)'
    """
    what = SHOWN[why["what"]][0] if why["what"] in SHOWN else why["what"]
    return WHY[why["cause"]].format(what=what, before=_known(why["before"]), after=_known(why["after"]))


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.1f}".removesuffix(".0")


def summary(document: Document) -> list[str]:
    """The plan in a few sentences: what it is, its total, what is not known."""
    total, policy = document["total"], document["policy"]
    percentile = "unknown" if document["quantile"] is None else f"p{100 * document['quantile']:g}"
    lines = [NOT_ACTED.format(percentile=percentile, target=100 * policy["target_ratio"],
                              hold=policy["least_hold_s"] / 3600)]  # fmt: skip
    if not total["pools_planned"]:
        return [*lines, f"None of {total['pools']} pools can be planned: {_why_none(document)}."]
    usd = total["usd_saved"]
    money = "no pool has a price" if usd is None else f"{usd:+,.2f} USD for {total['pools_with_price']} with a price"
    actions = Counter(pool["action"] for pool in document["pools"])
    counts = ", ".join(f"{count} {name}" for name, count in actions.most_common())
    lines.append(
        f"{total['pools_planned']} of {total['pools']} pools planned for {total['hours']:g} h ({counts}). "
        f"Saved against staying as it is: {total['node_hours_saved']:+,.1f} of {total['node_hours_as_is']:,.1f} "
        f"node-hours ({money}). Expected violation minutes {total['violation_minutes_as_is']:,.1f} -> "
        f"{total['violation_minutes_planned']:,.1f}. {total['changes']} changes of size."
    )
    if total["unmet_nodes"]:
        lines.append(f"{total['unmet_nodes']} nodes are needed beyond the pools' maxima at their peaks.")
    for resource in RESOURCES:
        known = total["resources"][resource]["pools_known"]
        if known < total["pools"]:
            lines.append(f"{SHOWN[resource][0]} is unknown for {total['pools'] - known} of {total['pools']} pools.")
    return lines


def fleet_chart(document: Document) -> str:
    """Planned nodes of the fleet over the day, with a line at the present number."""
    timeline = document["timeline"]
    if not timeline:
        return ""
    drawn = chart([step["nodes_planned"] for step in timeline], mark=timeline[0]["nodes_as_is"])
    first, last = (timeline[place]["at"][11:16] for place in (0, -1))
    return f"nodes of the fleet as planned, {first} to {last} UTC; the line: as it is now\n{drawn}"


def _action_row(pool: Document) -> list[Any]:
    """One pool in the table of actions."""
    usd, hours = pool["usd_saved"], pool["node_hours_saved"]
    changes = [f"{change['to']} at {change['at'][11:16]}" for change in pool["changes"]]
    rest = len(changes) - CHANGES_TOLD
    sizes = ", ".join(changes[:CHANGES_TOLD]) + (f" and {rest} more" if rest > 0 else "")
    return [pool["priority"], pool["pool"], pool["action"], pool["nodes_now"], sizes or "none",
            "unknown" if usd is None else round(usd, 2), round(hours, 1),
            round(pool["violation_minutes_as_is"], 1), round(pool["violation_minutes_planned"], 1),
            _notes(pool)]  # fmt: skip


def _more(count: int) -> list[str]:
    return [f"{count - ROWS} further pools with something to do are in the stored plan."] if count > ROWS else []


def _notes(pool: Document) -> str:
    return "; ".join(said(note, pool["owner"]) for note in pool["notes"] if Code(note["code"]) not in QUIET)


def _why_none(document: Document) -> str:
    codes = Counter(said(note, pool["owner"]) for pool in document["pools"] for note in pool["notes"]
                    if Code(note["code"]) not in QUIET)  # fmt: skip
    return "; ".join(f"{words} ({count})" for words, count in codes.most_common(3)) or "the fleet has no pools"


def _total_amounts(document: Document) -> str:
    parts = []
    for resource in RESOURCES:
        told = document["total"]["resources"][resource]
        over, under = (amount(told[side]["mean"], resource) for side in ("over", "under"))
        parts.append(f"{SHOWN[resource][0]}: {over} too much, {under} too little ({told['pools_known']} pools known)")
    return "The present nodes against the day, mean over the day, summed over the pools: " + "; ".join(parts) + "."


def _amount_row(pool: Document, resource: str) -> list[str]:
    cells = [amount(pool[side][resource][moment], resource) for side in ("over", "under")
             for moment in ("now", "peak", "mean")]  # fmt: skip
    return [pool["pool"], SHOWN[resource][0], *cells]


def _timeline(pools: Sequence[Document]) -> list[list[Any]]:
    rows = [[change["at"][:16].replace("T", " "), pool["pool"], change["from"], change["to"]]
            for pool in pools for change in pool["changes"]]  # fmt: skip
    return sorted(rows)


def _changes_told(document: Document) -> str:
    count = document["total"]["changes"]
    return f"{count} changes of size in order of time" + (f", the first {ROWS} of them." if count > ROWS else ".")


def _fleet_plot(document: Document) -> dict[str, Any]:
    timeline = document["timeline"]
    times = [datetime.fromisoformat(step["at"]).timestamp() for step in timeline]
    lines = [{"label": label, "t": times, "y": [step[key] for step in timeline]}
             for label, key in (("as it is", "nodes_as_is"), ("needed", "nodes_needed"))]  # fmt: skip
    steps = [{"label": "planned", "t": times, "y": [step["nodes_planned"] for step in timeline]}]
    return _plot("The fleet: nodes over the day", lines, steps)


def _pool_plot(document: Document, pool: Document) -> dict[str, Any]:
    begin, step_s = document["start_s"], document["step_s"]
    times = [begin + step * step_s for step in range(len(pool["nodes_planned"]))]
    lines = [{"label": "as it is", "t": times, "y": [pool["nodes_now"]] * len(times)}]
    lines += [
        {"label": f"needed by {SHOWN[resource][0]}", "t": times, "y": values}
        for resource, values in pool["nodes_needed_by"].items() if values is not None
    ]  # fmt: skip
    return _plot(f"{pool['pool']}: nodes over the day", lines,
                 [{"label": "planned", "t": times, "y": pool["nodes_planned"]}])  # fmt: skip


def _plot(title: str, lines: list[dict[str, Any]], steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "unit": "nodes", "lines": lines, "bands": [], "steps": steps, "marks": []}
