"""The part of PromQL that the simulated Prometheus answers; anything else is refused by name."""

from deployments.local.promql.evaluator import STALE, Row, Samples, Storage, evaluate, stale
from deployments.local.promql.parser import SUPPORTED, parse, parse_duration
from deployments.local.promql.tree import Expression, Matcher, Selector

__all__ = [
    "STALE",
    "SUPPORTED",
    "Expression",
    "Matcher",
    "Row",
    "Samples",
    "Selector",
    "Storage",
    "evaluate",
    "parse",
    "parse_duration",
    "stale",
]
