"""Anomalies, and forecasts that nothing supports, told to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blocks.events import Anomaly
from tasks.forecasting.decide.forecast_checks import ForecastCode, ForecastReason
from tasks.forecasting.decide.residuals import Cause
from tasks.forecasting.kinds import SHOWN, kind_of
from tasks.forecasting.shards import Doubt, ShardMade
from tasks.sections import section

ROWS = 200

CAUSE_WORDS = {
    Cause.STEP: "a jump from the values just before",
    Cause.LEVEL: "an hour unlike the hours before and the same hour of two days",
    Cause.DAY: "six hours unlike the last two days",
    Cause.ACTIVITY: "larger changes from step to step",
    Cause.STUCK: "the same value again and again",
}
CODE_WORDS = {
    ForecastCode.NOT_FINITE: "{steps:.0f} steps have no number",
    ForecastCode.IMPOSSIBLE_LEVEL: "the median reaches {value} at step {step:.0f}; measured were {measured_low} to "
    "{measured_high}",
    ForecastCode.IMPOSSIBLE_BAND: "the band reaches {value} at step {step:.0f}; measured were {measured_low} to "
    "{measured_high}",
    ForecastCode.RUNAWAY_TREND: "it moves by {change}; the largest measured move in that time is "
    "{largest_measured_change}",
}
_COUNTS = ("step", "steps", "span_s")  # of the numbers of a reason, those without the series' unit


def anomaly_sections(recent: Sequence[Anomaly], shards: Sequence[ShardMade]) -> list[dict[str, Any]]:
    """Sections of the anomalies of the last two days, newest first, and of the doubtful forecasts of this pass.

    Each is absent where there is nothing to tell.
    """
    doubts, doubtful = [doubt for shard in shards for doubt in shard.doubts], sum(shard.doubtful for shard in shards)
    found = []
    if recent:
        found.append(section(
            "Anomalies of the last two days",
            [f"{len(recent)} values are unlike their series' own last days; single outliers are not learned from."],
            ["series", "at", "value", "expected", "what it is unlike"],
            [[anomaly.series, f"{anomaly.at:%Y-%m-%d %H:%M} UTC", _amount(anomaly.series, anomaly.value),
              "" if anomaly.expected is None else _amount(anomaly.series, anomaly.expected),
              CAUSE_WORDS[Cause(anomaly.cause)]] for anomaly in recent[:ROWS]],
        ))  # fmt: skip
    if doubtful:
        found.append(section(
            "Doubtful forecasts",
            [f"{doubtful} forecasts go where nothing in their series' history has been."],
            ["series", "why"],
            [[doubt.series, "; ".join(_why(doubt, reason) for reason in doubt.reasons)] for doubt in doubts[:ROWS]],
        ))  # fmt: skip
    return found


def _why(doubt: Doubt, reason: ForecastReason) -> str:
    numbers = {name: value if name in _COUNTS else _amount(doubt.series, value)
               for name, value in reason.numbers.items()}  # fmt: skip
    return f"{reason.code}: {CODE_WORDS[reason.code].format(**numbers)}"


def _amount(name: str, value: float) -> str:
    _, unit, one = SHOWN[kind_of(name)]
    return f"{value / one:.2f} {unit}"
