"""Rules that every decision is held against, played over the same demand."""

from __future__ import annotations

import numpy as np

from tasks.scaling.decide.inputs import Float, Pools
from tasks.scaling.decide.policies import POLICIES
from tasks.scaling.decide.replay import Demand, play
from tasks.scaling.decide.scoring import BIN_MIN, Baseline, Span, Tally


def replayed(policy: str) -> Baseline:
    """A named policy without a forecast, deciding every five minutes, on the resource that needs most.

    It begins at the largest size; after two hours that no longer matters.
    """

    def tally(span: Span) -> Tally:
        known = np.isfinite(span.low).any(axis=1, keepdims=True)
        score = play(
            Demand(_pools(span), span.start_s, span.load, np.arange(span.minutes) // BIN_MIN),
            POLICIES[policy],
            every_min=BIN_MIN,
        )
        minutes = np.where(known, score.minutes, 0.0)
        violations = np.where(known, score.violation_minutes, 0.0)
        return Tally(violations, score.node_minutes * minutes / BIN_MIN, minutes)

    return tally


def _pools(span: Span) -> Pools:
    """The pools with one resource, of which a node holds one."""
    count = len(span.unique_id)
    return Pools(
        unique_id=span.unique_id,
        min_nodes=_newest(span.low).astype(np.int64),
        max_nodes=_newest(span.high).astype(np.int64),
        node_cpu_cores=np.ones(count),
        node_memory_bytes=np.full(count, np.inf),
        boot_s=span.boot_min.astype(np.float64) * 60.0,
        price_usd_per_hour=np.full(count, np.nan),
        hands_off=np.zeros(count, np.bool_),
        owner=("",) * count,
        fixed=np.zeros(count, np.bool_),
    )


def _newest(values: Float) -> Float:
    """(P,) the last known of each row; 0 where none is."""
    if not values.shape[1]:
        return np.zeros(len(values))
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    return np.asarray(np.nan_to_num(values[np.arange(len(values)), last], nan=0.0))


# by name; each gives its sums by bin over a span, from a beginning that no longer matters where scoring begins
BASELINES: dict[str, Baseline] = {name: replayed(name) for name in ("seed", "target-tracking")}
