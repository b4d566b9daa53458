"""The page that a team shows: health, map, what was decided and how far, what that promised, brought and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from blocks.fleet import Fleet
from tasks.monitoring.decide import Finding, Severity
from tasks.publish import publish
from tasks.run import Run
from tasks.scorecard.decide import FlowTotals, Kept, Savings, savings
from tasks.scorecard.observe import View
from tasks.sections import section, site_map

KEPT = ("flow", "quantity", "decisions measured", "promised", "brought", "brought / promised", "by other rules")
DECIDED = ("flow", "mode", "last decided", "decisions", "changes made", "taken back", "wait or lapsed", "rejected")


def publish_score(run: Run, view: View, days: int) -> dict[str, Any]:
    """Save and show the page, and return it."""
    saved = savings(view.pools.values())
    publish(run, sections(run.fleet, view, saved, days))
    return {
        "flow_run_id": run.id, "as_of": view.as_of.isoformat(), "days": days,
        "health": view.health[-1].scores if view.health else None,
        "flows": {each.flow: {"mode": each.mode, "decisions": each.decisions, "states": dict(each.states),
                              "actions": dict(each.actions)} for each in view.flows},
        "kept": {flow: {name: {"count": each.count, "promised": each.promised, "happened": each.happened,
                               "baselines": each.baselines} for name, each in by_name.items()}
                 for flow, by_name in view.kept.items()},
        "savings": asdict(saved) if saved else None, "trouble": list(view.trouble),
    }  # fmt: skip


def sections(fleet: Fleet, view: View, saved: Savings | None, days: int) -> list[dict[str, Any]]:
    """The fleet at a glance with its map; decisions by flow; promised against brought."""
    modes: dict[str, list[str]] = {}
    for each in view.flows:
        modes.setdefault(each.mode, []).append(each.flow)
    words = [
        _health_words(view),
        _savings_words(saved, days),
        "; ".join(f"{mode}: {', '.join(names)}" for mode, names in sorted(modes.items())) or "Nothing was decided yet.",
        *view.trouble,
    ]
    words = [f"{each[0].upper()}{each[1:]}" for each in words]
    plots = _map(fleet, view.findings)
    if len(view.health) > 1:
        times = [card.period_end.timestamp() for card in view.health]
        names = sorted({name for card in view.health for name in card.scores})
        plots.append({"title": "Health", "unit": "ratio", "free_y": True, "lines": [
            {"label": name, "t": times, "y": [card.scores.get(name, float("nan")) for card in view.health]}
            for name in names]})  # fmt: skip
    return [
        section("Fleet scorecard", words, plots=plots, meta=f"the last {days} days"),
        section("Fleet scorecard: decisions", [], DECIDED, map(_decided, view.flows), meta=f"the last {days} days"),
        section(
            "Fleet scorecard: promised against brought",
            ["Sums over the decisions whose time has passed, of what was both promised and measured. By other rules: "
             "what each baseline would have come to over the same decisions."],
            KEPT, [_kept(flow, name, each) for flow, by_name in sorted(view.kept.items())
                   for name, each in by_name.items()], meta=f"the last {days} days",
        ),
    ]  # fmt: skip


def _health_words(view: View) -> str:
    if not view.health:
        return "Health is not known: fleet-monitoring has not run."
    scores = view.health[-1].scores
    parts = ", ".join(f"{name} {value:.0%}" for name, value in sorted(scores.items()) if name != "overall")
    open_now = sum(each.severity is Severity.CRITICAL for each in view.findings)
    return f"health {scores['overall']:.0%} ({parts}); {open_now} critical findings are open."


def _savings_words(saved: Savings | None, days: int) -> str:
    if saved is None:
        return "Savings are not known: scaling-scorecard has scored no pool."
    usd = "USD not known (no price in fleet.yaml)" if saved.usd is None else f"{saved.usd:,.2f} USD"
    grams = "gCO2e not known (no energy report)" if saved.carbon_g is None else f"{saved.carbon_g:,.0f} gCO2e"
    lacking = [f"{count} without {what}" for count, what in ((saved.unpriced, "a price"), (saved.unmetered, "carbon"))
               if 0 < count < saved.pools]  # fmt: skip
    left_out = f" ({', '.join(lacking)})" if lacking else ""
    return (
        f"beside the rules that are live, our sizes of {saved.pools} pools came to {saved.violation_minutes:,.1f} "
        f"violation minutes, {saved.node_hours:,.1f} node-hours, {usd} and {grams} less over {days} days"
        f"{left_out}. Where nothing was acted upon, it is what ours would have been."
    )


def _decided(each: FlowTotals) -> list[Any]:
    states: Mapping[str, int] = each.states
    waits = sum(states.get(name, 0) for name in ("proposed", "approved", "expired"))
    return [each.flow, each.mode, f"{each.newest:%Y-%m-%d %H:%M} UTC", each.decisions, each.acted,
            states.get("undone", 0), waits, states.get("rejected", 0)]  # fmt: skip


def _kept(flow: str, name: str, each: Kept) -> list[Any]:
    ratio = f"{each.happened / each.promised:.2f}" if each.promised else ""
    others = ", ".join(f"{rule} {total:.4g}" for rule, total in sorted(each.baselines.items()))
    return [flow, name.replace("_", " "), each.count, f"{each.promised:.4g}", f"{each.happened:.4g}", ratio, others]


def _map(fleet: Fleet, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Sites by the worst that is found there."""
    rank = list(Severity)
    worst: dict[str, int] = {}
    for each in findings:
        worst[each.site] = max(worst.get(each.site, -1), rank.index(each.severity))
    kinds = (("sites that are well", {-1, 0}), ("with a warning", {1}), ("with something critical", {2}))
    return site_map((label, [(site.longitude, site.latitude) for site in fleet.sites
                             if worst.get(site.name, -1) in levels]) for label, levels in kinds)  # fmt: skip
