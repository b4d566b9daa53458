"""Rules that every decision is held against, played over the same demand."""

from __future__ import annotations

from tasks.scaling.decide.scoring import Baseline

# by name; each gives its sums by bin over a span, from a beginning that no longer matters where scoring begins
BASELINES: dict[str, Baseline] = {}
