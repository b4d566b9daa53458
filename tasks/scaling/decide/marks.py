"""One hour marked: an outcome for each of its decisions, a card for each of its pools and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.scaling.decide.inputs import Float
from tasks.scaling.decide.policies import Policy
from tasks.scaling.decide.scoring import (
    BIN_MIN,
    Baseline,
    Live,
    Span,
    Tally,
    by_minute,
    counted,
    live_sizes,
    own_sizes,
    play_all,
    ready_of,
    stay,
)

Scores = dict[str, float]
WHOLE = 0.9  # of a horizon's minutes that must be known for its promise to be held against what came


@dataclass(frozen=True)
class HourScored:
    """Of one hour: (happened, baselines) of each decision in the order given, and scores by method and pool."""

    outcomes: list[tuple[Scores, dict[str, Scores]]]
    cards: dict[str, dict[str, Scores]]


def score_hour(
    span: Span, decisions: Sequence[Mapping[str, Any]], policy: Policy, baselines: Mapping[str, Baseline],
    held: Float, set_to: Float, *, hour: tuple[int, int],
) -> HourScored:  # fmt: skip
    """Score the decisions of one hour and its pools.

    Parameters
    ----------
    span:
        from well before the hour until a horizon after it.
    decisions:
        of the hour: `pool` (row of the span), `minute`, `acted`, `current`, and what each promised, by name.
    policy:
        whose habits our sizes follow, and from which load on a minute is a violation.
    baselines:
        rules to be played, by name.
    held, set_to:
        (P,) carried on from the hour before (`scoring.Live`).
    hour:
        its first minute and the minute after its last, in the span.
    """
    full = float(np.max(policy.violation_ratio))
    live = live_sizes(span, held, set_to, carry_min=hour[1] - hour[0])
    there, mine, theirs = _tallies(span, live, policy, full)
    rules = {"ours": mine} | play_all(span, baselines)
    outcomes = _outcomes(span, decisions, there, rules, full)
    cut = hour[0] // BIN_MIN, hour[1] // BIN_MIN
    cards = {name: _by_pool(span, tally.between(*cut)) for name, tally in ({"live": theirs} | rules).items()}
    for row, name in enumerate(span.unique_id):
        carried = {"held_nodes": live.held[row], "set_nodes": live.set_to[row]}
        cards["live"][name] |= {key: float(value) for key, value in carried.items() if np.isfinite(value)}
    return HourScored(outcomes, cards | {"promise": _promises(span, decisions, outcomes)})


def _tallies(span: Span, live: Live, policy: Policy, full: float) -> tuple[Tally, Tally, Tally]:
    """What was there, our sizes, and those of the live rule; the last two over the very same minutes."""
    asked = np.where(np.isfinite(span.acted_to), span.acted_to, span.desired)
    desired, ready = by_minute(span, asked), by_minute(span, span.ready)
    own = by_minute(span, np.where(live.acting, asked, own_sizes(span, live.acting, policy)))
    ours_now = by_minute(span, live.acting.astype(np.float64)) == 1
    own_ready = np.where(ours_now, ready, ready_of(own, span.boot_min))
    alone = by_minute(span, live.nodes)
    alone_ready = np.where(ours_now, alone, ready)
    everywhere = np.ones(span.load.shape, np.bool_)
    both = np.isfinite(own) & np.isfinite(own_ready) & np.isfinite(alone) & np.isfinite(alone_ready)
    return (
        counted(span, desired, ready, everywhere, full),
        counted(span, own, own_ready, both, full),
        counted(span, alone, alone_ready, both, full),
    )


def _outcomes(
    span: Span, decisions: Sequence[Mapping[str, Any]], there: Tally, rules: Mapping[str, Tally], full: float
) -> list[tuple[Scores, dict[str, Scores]]]:
    """What happened over each decision's horizon, in whole bins, and what would have."""
    sums = {name: _running(tally) for name, tally in ({"": there} | dict(rules)).items()}
    stays: dict[tuple[int, int], tuple[Float, Float, Float]] = {}
    found = []
    for decision in decisions:
        row, first = int(decision["pool"]), int(decision["minute"]) // BIN_MIN
        last = min(first + int(-(-decision["horizon_s"] // (60 * BIN_MIN))), span.minutes // BIN_MIN)
        column = int(np.searchsorted(span.at_min, decision["minute"]))
        if (column, last) not in stays:
            stays[column, last] = stay(span, column, last * BIN_MIN, full)
        scores = {name: _scores(*(column_sum[row, last] - column_sum[row, first] for column_sum in running))
                  for name, running in sums.items()}  # fmt: skip
        happened = scores.pop("")
        found.append((happened, {"stay": _scores(*(part[row] for part in stays[column, last]))} | scores))
    return found


def _promises(
    span: Span, decisions: Sequence[Mapping[str, Any]], outcomes: Sequence[tuple[Scores, dict[str, Scores]]]
) -> dict[str, Scores]:
    """By pool, over the decisions whose horizon is known nearly whole: what was promised, and what came."""
    found: dict[str, Scores] = {}
    for decision, (happened, _) in zip(decisions, outcomes, strict=True):
        acted, horizon_s = decision["acted"], decision["horizon_s"]
        minutes = decision.get("violation_minutes_if_changed" if acted else "violation_minutes_if_not")
        if minutes is None or happened["minutes"] * 60 < WHOLE * horizon_s:
            continue
        hours = decision["current"] * horizon_s / 3600 + (decision.get("node_hours_delta", 0.0) if acted else 0.0)
        sums = found.setdefault(span.unique_id[decision["pool"]], {})
        for name, value in (
            ("decisions", 1.0), ("promised_violation_minutes", minutes), ("promised_node_hours", hours),
            ("realised_violation_minutes", happened["violation_minutes"]),
            ("realised_node_hours", happened["node_hours"]),
        ):  # fmt: skip
            sums[name] = sums.get(name, 0.0) + float(value)
    return found


def _by_pool(span: Span, tally: Tally) -> dict[str, Scores]:
    columns = (tally.violation_minutes, tally.node_minutes, tally.minutes)
    return {name: _scores(*(column[row, 0] for column in columns)) for row, name in enumerate(span.unique_id)}


def _running(tally: Tally) -> tuple[Float, Float, Float]:
    """(P, G + 1) each: the sums of all bins before."""
    columns = (tally.violation_minutes, tally.node_minutes, tally.minutes)
    summed = [np.concatenate([np.zeros((len(column), 1)), column.cumsum(axis=1)], axis=1) for column in columns]
    return summed[0], summed[1], summed[2]


def _scores(violation_minutes: float, node_minutes: float, minutes: float) -> Scores:
    return {"violation_minutes": float(violation_minutes), "node_hours": float(node_minutes) / 60,
            "minutes": float(minutes)}  # fmt: skip
