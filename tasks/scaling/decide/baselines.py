"""Rules that every decision is held against, played over the same demand."""

from __future__ import annotations

import numpy as np

from tasks.scaling.decide.inputs import Float, Pools
from tasks.scaling.decide.policies import POLICIES
from tasks.scaling.decide.replay import Demand, play
from tasks.scaling.decide.scoring import BIN_MIN, Baseline, Span, Tally


def replayed(policy: str) -> Baseline:
    """A named policy without a forecast, deciding every five minutes, on the resource that needs most.

    It begins at the size that the pool had when a pass first saw it.
    """

    def tally(span: Span) -> Tally:
        known = np.isfinite(span.low).any(axis=1, keepdims=True)
        pools = _pools(span)
        begin = np.clip(_first(span.desired).astype(np.int64), pools.min_nodes, pools.max_nodes)
        demand = Demand(pools, span.start_s, span.load, np.arange(span.minutes) // BIN_MIN)
        score = play(demand, POLICIES[policy], every_min=BIN_MIN, begin_nodes=begin)
        minutes = np.where(known, score.minutes, 0.0)
        violations = np.where(known, score.violation_minutes, 0.0)
        return Tally(violations, score.node_minutes * minutes / BIN_MIN, minutes)

    return tally


def _pools(span: Span) -> Pools:
    """The pools with one resource, of which a node holds one."""
    count = len(span.unique_id)
    return Pools(
        unique_id=span.unique_id,
        min_nodes=_first(span.low[:, ::-1]).astype(np.int64),
        max_nodes=_first(span.high[:, ::-1]).astype(np.int64),
        node_cpu_cores=np.ones(count),
        node_memory_bytes=np.full(count, np.inf),
        boot_s=span.boot_min.astype(np.float64) * 60.0,
        price_usd_per_hour=np.full(count, np.nan),
        hands_off=np.zeros(count, np.bool_),
        owner=("",) * count,
        fixed=np.zeros(count, np.bool_),
    )


def _first(values: Float) -> Float:
    """(P,) the first known of each row; 0 where none is."""
    if not values.shape[1]:
        return np.zeros(len(values))
    known = np.isfinite(values).argmax(axis=1)
    return np.asarray(np.nan_to_num(values[np.arange(len(values)), known], nan=0.0))


# by name; each gives its sums by bin over a span, and has had two hours to settle where scoring begins
BASELINES: dict[str, Baseline] = {name: replayed(name) for name in ("seed", "target-tracking")}
