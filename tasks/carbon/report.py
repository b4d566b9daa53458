"""Shifted runs and caps told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision
from tasks.carbon.decide.caps import CAP
from tasks.carbon.scorecard import Marked
from tasks.sections import section

ROWS = 500
COLUMNS = ("run", "zone", "action", "was to start (UTC)", "starts (UTC)", "latest safe start", "saves", "why")

REASONS = {
    "no-slack": "its time leaves no room to wait",
    "no-data": "no carbon intensity is known for {zone} until it would end",
    "gain-too-small": "waiting would save {saved_ratio:.1%} only",
    "cleaner-then": "{saved_ratio:.1%} cleaner then than at once ({how})",
    "too-late": "where it stood it would have ended too late",
}


CAP_REASONS = {
    "no-intensity": "no carbon intensity of {zone} is known until the day ends: no cap is lowered",
    "running-unknown": "how much runs is not known: no cap is lowered",
    "hour-of-the-day": "{g_per_kwh:.0f} g/kWh now, {mean_g_per_kwh:.0f} in the mean until the day ends ({how})",
    "what-runs": "{running} run, and nothing that runs is ended",
}


def explain(record: Mapping[str, Any]) -> str:
    """One run's or cap's decision in one line."""
    if "cap" in record:
        seen, cap = (_cap(record[name]) for name in ("seen", "cap"))
        then = f"cap {seen} -> {cap} until {record['until']}" if record["action"] == CAP else f"cap {seen} stays"
        return f"{record['unique_id']}: {then} ({_why_capped(record)})"
    why = "; ".join(REASONS[each["code"]].format(**each) for each in record["reasons"])
    then = {"shift": f"starts at {record['start']} instead of {record['seen']}", "start-now": "starts now",
            "hold": f"starts at {record['seen']}"}[record["action"]]  # fmt: skip
    return f"{record['name']}: {then}" + (f" ({why})" if why else "")


EXPLAINERS = {"carbon-scheduling": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes that somebody is to approve."""
    return f"**{len(changes)} changes** of starts and caps:\n\n" + "\n".join(
        f"- {explain(row.content)}" for row in changes)  # fmt: skip


def shift_sections(records: Sequence[Mapping[str, Any]], marked: Sequence[Marked] = ()) -> list[dict[str, Any]]:
    """How many runs wait for a cleaner hour, what that is to save, and each of them; and what earlier ones saved."""
    caps, records = [each for each in records if "cap" in each], [each for each in records if "cap" not in each]
    baseline = sum(each["promised"].get("baseline_g") or 0.0 for each in records)
    planned = sum(each["promised"].get("planned_g") or 0.0 for each in records)
    moved = sum(each["action"] == "shift" for each in records)
    words = f"{moved} of {len(records)} flexible runs get another start."
    if not records:
        words = "No run that is scheduled carries the tag continuum.flexible: see tasks/carbon/README.md."
    if baseline > 0:
        words += (f" By the intensity known now the plan emits {planned / 1000:.3g} kg CO2e instead of "
                  f"{baseline / 1000:.3g} at once, {1 - planned / baseline:.1%} less.")  # fmt: skip
    rows = [
        [each["name"], each["zone"], each["action"], each["seen"], each["start"], each["latest"],
         f"{each['saved_ratio']:.1%}", "; ".join(REASONS[why["code"]].format(**why) for why in each["reasons"])]
        for each in records[:ROWS]
    ]  # fmt: skip
    return [section("Carbon-aware starts", [words], COLUMNS, rows), *([_capped(caps)] if caps else []),
            *([_scored(marked)] if marked else [])]  # fmt: skip


def _capped(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each cap, and its curve until the day ends."""
    words = [
        "Each UTC day keeps room for the hours that its owner asked for; the cleanest hours get the most of it. "
        "Nothing that runs is ended, and no cap is lowered where something is not known."
    ]
    rows = [
        [each["unique_id"], each["zone"], each["action"], _cap(each["seen"]), _cap(each["cap"]),
         f"{each['least']} to {each['most']}", f"{each['offered_h']:g} of {each['hours_a_day']:g}",
         " ".join(str(hour["cap"]) for hour in each["hours"]), _why_capped(each)]
        for each in records[:ROWS]
    ]  # fmt: skip
    columns = ["subject", "zone", "action", "cap now", "cap", "bounds", "hours of the day's", "by hour from now", "why"]
    return section("Caps by carbon", words, columns, rows)


def _cap(value: int | None) -> str:
    return "none" if value is None else str(value)


def _why_capped(record: Mapping[str, Any]) -> str:
    return "; ".join(CAP_REASONS[each["code"]].format(**each) for each in record["reasons"])


def _scored(marked: Sequence[Marked]) -> dict[str, Any]:
    """Ex post: what starts came to by the intensity that came."""
    at_once, planned, perfect = (
        sum(getattr(each.came, name) for each in marked) for name in ("baseline_g", "planned_g", "perfect_g")
    )
    share = f"{(at_once - planned) / (at_once - perfect):.0%}" if at_once > perfect else "-"
    words = [
        f"{len(marked)} runs whose time is over, by the intensity that came: {planned / 1000:.3g} kg CO2e at the "
        f"starts that were decided, {at_once / 1000:.3g} at once, {perfect / 1000:.3g} at the best starts: {share} of "
        "what a perfect forecast would have saved."
    ]
    rows = [
        [each.name, each.zone, each.mode, f"{each.promised_ratio:.1%}", _share(each.came.saved_ratio),
         _share(each.came.captured_ratio), _share(each.forecast_error), each.how]
        for each in marked[:ROWS]
    ]  # fmt: skip
    columns = ["run", "zone", "mode", "promised", "came", "of perfect", "error of the forecast", "by"]
    return section("Carbon-aware starts: what earlier ones came to", words, columns, rows)


def _share(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1%}"
