"""May a pool be acted upon? Only where our own score of the last days beats that of the rule that is live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.reasons import Reason
from tasks.scaling.decide.decisions import CHANGES, ScalingDecisions
from tasks.scaling.decide.reasons import ReasonCode

LEAST_SHARE = 0.8  # of the days' minutes that must have been scored: flows rest now and then
GATES = (ReasonCode.GATE_UNSCORED, ReasonCode.GATE_NOT_BETTER)
_SAME = 1e-9  # relative: sums of the same numbers in another order


@dataclass(frozen=True)
class Totals:
    """Sums of one rule on one pool over the same minutes as those it is held against."""

    violation_minutes: float = 0.0
    node_hours: float = 0.0
    minutes: float = 0.0


def beats(ours: Totals, live: Totals) -> bool:
    """Fewer violation minutes at no more node-hours, or fewer node-hours at no more violation minutes.

    >>> beats(Totals(3, 40, 99), Totals(5, 40, 99)), beats(Totals(5, 39, 99), Totals(5, 40, 99))
    (True, True)
    >>> beats(Totals(5, 40, 99), Totals(5, 40, 99)), beats(Totals(3, 41, 99), Totals(5, 40, 99))
    (False, False)
    """
    pairs = ((ours.violation_minutes, live.violation_minutes), (ours.node_hours, live.node_hours))
    better = any(mine < theirs * (1 - _SAME) for mine, theirs in pairs)
    return better and all(mine <= theirs * (1 + _SAME) for mine, theirs in pairs)


def gate(
    decisions: ScalingDecisions, ours: Mapping[str, Totals], live: Mapping[str, Totals], days: int
) -> ScalingDecisions:
    """The decisions; each change of a pool that has not earned it carries a reason of `GATES`, with the numbers.

    The decision itself stays what it is: in act mode it is recorded as in shadow.

    Parameters
    ----------
    ours, live:
        by pool, over the last `days`; a pool without an entry has no score.
    """
    more: list[tuple[Reason, ...]] = []
    for name, action in zip(decisions.unique_id, decisions.action, strict=True):
        reason = _why_not(ours.get(name, Totals()), live.get(name, Totals()), days) if action in CHANGES else None
        more.append((reason,) if reason else ())
    return replace(decisions, reasons=tuple(own + added for own, added in zip(decisions.reasons, more, strict=True)))


def _why_not(ours: Totals, live: Totals, days: int) -> Reason | None:
    scored_days = min(ours.minutes, live.minutes) / 1440
    if scored_days < LEAST_SHARE * days:
        numbers = {"scored_s": 86_400 * scored_days, "needed_s": 86_400.0 * LEAST_SHARE * days}
        return Reason(ReasonCode.GATE_UNSCORED, "", numbers)
    if beats(ours, live):
        return None
    return Reason(ReasonCode.GATE_NOT_BETTER, "", {
        "window_s": 86_400.0 * days,
        "our_violation_minutes": ours.violation_minutes, "live_violation_minutes": live.violation_minutes,
        "our_node_hours": ours.node_hours, "live_node_hours": live.node_hours,
    })  # fmt: skip
