"""The review told to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.forecasting.kinds import SHOWN
from tasks.performance.decide.advice import Advice, Breach, Step
from tasks.performance.decide.bottlenecks import CONFIDENT, Bottleneck, Rule
from tasks.performance.decide.review import Review, Trend
from tasks.performance.decide.week import RESOURCES, Week
from tasks.performance.observe import View
from tasks.publish import publish
from tasks.run import Run
from tasks.sections import section

ROWS = 100  # of each table: the surest first; all is in what the run returns
PICTURES = 4

RULES = {
    Rule.AT_MAXIMUM: "over 80 % in use with as many nodes as the pool may have",
    Rule.SATURATED: "over 90 % in use",
    Rule.QUEUEING: "work finds every core busy with a chance of over 20 %",
}
STEPS = {
    Step.RAISE_MAXIMUM: "raise max_nodes from {0} to {1}, and the cloud's quota with it",
    Step.RAISE_FLOOR: "raise min_nodes from {0} to {1}, or let cluster-scaling act",
    Step.LOWER_FLOOR: "lower min_nodes from {0} to {1}",
}


def publish_review(run: Run, view: View, review: Review) -> dict[str, Any]:
    """Save and show the review, and return it."""
    publish(run, sections(view, review))
    return {
        "flow_run_id": run.id, "as_of": view.week.as_of.isoformat(), "days": view.week.demand.shape[2],
        "summary": summary(view, review), "trouble": list(view.trouble), "known_ratio": review.known_ratio,
        "bottlenecks": [asdict(each) | {"words": words_of(each)} for each in review.bottlenecks],
        "advice": [asdict(each) | {"words": _advice_words(each)} for each in review.advice],
        "trends": [asdict(each) for each in review.trends], "breaches": [asdict(each) for each in review.breaches],
    }  # fmt: skip


def sections(view: View, review: Review) -> list[dict[str, Any]]:
    """Bottlenecks, advice, trends, breaches: each a section, the first with the summary and pictures."""
    week = view.week
    meta = f"the {week.demand.shape[2]} days until {week.as_of:%Y-%m-%d %H:%M} UTC"
    drawn = list(dict.fromkeys(each.pool for each in review.bottlenecks))[:PICTURES]
    return [
        section(
            "Performance review: bottlenecks", [summary(view, review), *view.trouble],
            ("pool", "resource", "what", "bad days", "minutes a day", "worst", "confidence"),
            [[each.pool, SHOWN[each.resource][0], words_of(each), f"{each.bad_days} of {each.days}",
              round(each.minutes), f"{each.worst:.0%}", f"{each.confidence:.2f}"]
             for each in review.bottlenecks[:ROWS]],
            [_plot(week, pool) for pool in drawn], meta=meta,
        ),
        section(
            "Performance review: what to do", ["Effects a day, by playing the week again. Nothing acts on this."],
            ("pool", "what to do", "bad minutes", "node-hours", "USD"),
            [[each.pool, _advice_words(each), f"{each.minutes_before:.0f} -> {each.minutes_after:.0f}",
              f"{each.node_hours:+.1f}", "no price" if each.usd is None else f"{each.usd:+.2f}"]
             for each in review.advice[:ROWS]], meta=meta,
        ),
        section(
            "Performance review: trends", ["The busy level (95th percentile) of each day, and the mean health. What "
                                           "changes by less than 5 % a week, or not surely, is left out."],
            ("subject", "what", "now", "a week", "confidence"), map(_trend, review.trends[:ROWS]), meta=meta,
        ),
        section(
            "Performance review: what will not fit",
            ["Demand that is to pass 90 % of all nodes that the pool may have: within a day by the forecast, within 30 "
             "by the trend."],
            ("pool", "resource", "in", "by", "demand", "limit", "confidence"), map(_breach, review.breaches[:ROWS]),
            meta=meta,
        ),
    ]  # fmt: skip


def summary(view: View, review: Review) -> str:
    """The review in two sentences."""
    week, soon = view.week, len(review.breaches)
    counted = np.isfinite(week.nodes).mean() if week.nodes.size else 0.0
    usd = [each.usd for each in review.advice if each.usd is not None]
    money = f" for {sum(usd):+,.2f} USD a day" if usd else ""
    return (
        f"{len(review.bottlenecks)} bottlenecks (confidence over {CONFIDENT:g}), "
        f"{len(review.advice)} things to do{money}, {len(review.trends)} trends, {soon} predicted breaches, of "
        f"{len(week.unique_id)} pools. {review.known_ratio:.0%} of their days are known; Ready nodes were counted for "
        f"{counted:.0%} of the time{'' if counted > 0.995 else ', elsewhere the present number stands in'}."
    )


def words_of(each: Bottleneck) -> str:
    """Why it is one."""
    return RULES[each.rule] + ("" if each.counted_ratio >= 0.5 else ", at its present size")


def _advice_words(each: Advice) -> str:
    """What to do."""
    return STEPS[each.step].format(each.from_nodes, each.nodes)


def _trend(each: Trend) -> Sequence[Any]:
    word, unit, one = SHOWN.get(each.what, (each.what, "", 1.0))
    now = f"{each.level:.0%}" if each.subject == "health" else f"{each.level / one:,.1f} {unit}"
    return [each.subject, word, now, f"{each.change_ratio:+.0%}", f"{each.confidence:.2f}"]


def _breach(each: Breach) -> Sequence[Any]:
    word, unit, one = SHOWN[each.resource]
    when = f"{each.in_days * 24:.0f} h" if each.in_days < 2 else f"{each.in_days:.0f} days"
    return [each.pool, word, when, each.by, f"{each.demand / one:,.1f} {unit}", f"{each.capacity / one:,.1f} {unit}",
            f"{each.confidence:.2f}"]  # fmt: skip


def _plot(week: Week, pool: str) -> dict[str, Any]:
    """The pool's use over the week."""
    row = week.unique_id.index(pool)
    used = week.used()[row].reshape(len(RESOURCES), -1)
    begin_s = week.as_of.timestamp() - used.shape[1] * week.step_s
    times = [begin_s + step * week.step_s for step in range(used.shape[1])]
    lines = [{"label": SHOWN[kind][0], "t": times, "y": [None if np.isnan(each) else round(float(each), 3)
                                                         for each in used[column]]}
             for column, kind in enumerate(RESOURCES)]  # fmt: skip
    return {"title": f"{pool}: share in use", "unit": "ratio", "lines": lines, "bands": [], "steps": [], "marks": []}
