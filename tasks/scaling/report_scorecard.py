"""The scorecard told to people: what was promised against what came, and our sizes beside the rules they could be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tasks.publish import publish
from tasks.run import Run
from tasks.scaling.decide import Totals
from tasks.scaling.decide.baselines import BASELINES
from tasks.scaling.decide.gate import beats
from tasks.scaling.scorecard import FLOW, Scored, totals
from tasks.sections import section

ROWS = 300
PROMISE = ("decisions", "promised_violation_minutes", "realised_violation_minutes", "promised_node_hours",
           "realised_node_hours")  # fmt: skip
METHODS = ("ours", "live", *BASELINES)
Sums = Mapping[tuple[str, str], Totals]


def publish_scorecard(run: Run, scored: Scored, days: int) -> dict[str, Any]:
    """Save the report's sections and artifacts; the score of the last days by pool for whoever called the flow."""
    since = scored.as_of - timedelta(days=days)
    pools = [f"{cluster.name}/{pool.name}" for cluster, pool in run.fleet.pools()]
    sums = totals(run, since, METHODS, pools)
    kept = run.store.score_sums(FLOW, PROMISE, since, methods=["promise"], subjects=pools)
    promised = {pool: values for (pool, _), values in kept.items()}
    publish(run, sections(sums, promised, days, scored))
    return {
        "flow_run_id": run.id,
        "as_of": scored.as_of.isoformat(),
        "scored_until": scored.until.isoformat() if scored.until else None,
        "hours": scored.hours,
        "decisions": scored.decisions,
        "pools": {
            pool: {
                "promise": promised.get(pool),
                "rules": {name: vars(sums[pool, name]) for name in METHODS if (pool, name) in sums},
                "beats_live": beats(sums[pool, "ours"], sums[pool, "live"]),
            }
            for pool in pools if (pool, "ours") in sums
        },
    }  # fmt: skip


def sections(
    sums: Sums, promised: Mapping[str, Mapping[str, float]], days: int, scored: Scored
) -> list[dict[str, Any]]:
    """Two sections: the rules beside each other, and promises against what came; pools with most violations first."""
    pools = sorted({pool for pool, _ in sums}, key=lambda pool: (-sums[pool, "live"].violation_minutes, pool))
    until = f"{scored.until:%Y-%m-%d %H:%M} UTC" if scored.until else "never yet"
    better = sum(beats(sums[pool, "ours"], sums[pool, "live"]) for pool in pools)
    words = [
        f"Scored until {until}; {scored.decisions} decisions of {scored.hours} hours in this run. Over the last {days} "
        f"days ours beats the live rule in {better} of {len(pools)} pools (fewer violations at no more node-hours, or "
        "fewer node-hours at no more violations).",
        "Live is what sizes the pool without us; where we act, staying at the size of before. Where we do not act, "
        "ours follows our recorded decisions. Where an autoscaler sizes the pool, our floor or headroom is part of "
        "what is live. Violation minutes are per day, nodes are the mean.",
    ]
    return [
        section(
            "Scorecard: our sizes beside the rule that is live", words,
            ["pool", "days scored", "ours beats live", *_columns()], [_rules(pool, sums) for pool in pools[:ROWS]],
            meta=f"the last {days} days",
        ),
        section(
            "Scorecard: promised against realised",
            ["Expected violation minutes and node-hours over each decision's horizon, summed."],
            ["pool", *(name.replace("_", " ") for name in PROMISE)],
            [[pool, *(round(promised[pool][name], 1) for name in PROMISE)]
             for pool in pools[:ROWS] if pool in promised],
        ),
    ]  # fmt: skip


def _columns() -> list[str]:
    return [f"{name}: {what}" for name in METHODS for what in ("violation minutes", "nodes")]


def _rules(pool: str, sums: Sums) -> list[Any]:
    cells: list[Any] = [pool, round(sums[pool, "ours"].minutes / 1440, 1),
                        "yes" if beats(sums[pool, "ours"], sums[pool, "live"]) else "no"]  # fmt: skip
    for name in METHODS:
        found = sums.get((pool, name), Totals())
        if found.minutes:
            cells += [round(1440 * found.violation_minutes / found.minutes, 1),
                      round(60 * found.node_hours / found.minutes, 2)]  # fmt: skip
        else:
            cells += ["unknown", "unknown"]
    return cells
