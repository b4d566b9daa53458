"""Pools in closed loop over demand that has been: what a policy would have decided, minute by minute, and its price."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from blocks.series import Forecast, utc
from tasks.scaling.decide.inputs import Float, Int, Observed, Pools
from tasks.scaling.decide.policies import Policy
from tasks.scaling.decide.scaling import decide_scaling

MINUTE_S = 60
FORESIGHT_MIN = 15  # of the oracle
LOADS = np.linspace(0.0, 1.0, 11)
Progress = Callable[[], None]


@dataclass(frozen=True)
class Energy:
    """What P pools' nodes draw, and how dirty it is.

    Attributes
    ----------
    threads: (P,) hardware threads of a node. watts: (11,) W of one of them at loads of 0, 0.1 .. 1, the server's share.
    zone: (P,) row of `g_per_kwh`, (Z, M) by the minute, data centre overhead included, g CO2e/kWh.
    """

    threads: Float
    watts: Float
    zone: Int
    g_per_kwh: Float

    def grams(self, nodes: Int, load: Float, minute: int) -> Float:
        """(P,) g CO2e of the nodes in one minute."""
        watts = nodes * self.threads * np.interp(load, LOADS, self.watts)
        return np.asarray(watts * self.g_per_kwh[self.zone, minute] / (1000 * 60))


@dataclass(frozen=True)
class Demand:
    """CPU demand of S series by the minute, and the P pools that meet it.

    Attributes
    ----------
    pools: P rows; CPU is the only resource, boot times in whole minutes.
    start_s: time of the first minute, seconds since 1970 UTC.
    cpu_cores: (S, M) NaN where it was not measured: then nothing is a violation, and the policy sees no sample.
    parts: (M,) which part of the score each minute belongs to; -1 none (a time to settle in).
    energy: None: not counted.
    series: (P,) whose demand each pool meets; None: each its own.
    """

    pools: Pools
    start_s: int
    cpu_cores: Float
    parts: Int
    energy: Energy | None = None
    series: Int | None = None

    def at(self, minute: int) -> Float:
        """(P,) the demand of each pool in one minute."""
        return self.cpu_cores[:, minute] if self.series is None else self.cpu_cores[self.series, minute]

    def count(self) -> int:
        """Parts of the score."""
        return int(self.parts.max()) + 1

    def take(self, rows: Int, names: tuple[str, ...]) -> Demand:
        """Some pools, under other names; the demand itself is shared, however many meet it."""
        energy = self.energy and replace(self.energy, threads=self.energy.threads[rows], zone=self.energy.zone[rows])
        series = rows if self.series is None else self.series[rows]
        return replace(self, pools=self.pools.take(rows, names), energy=energy, series=series)


@dataclass(frozen=True)
class Score:
    """What P pools in G parts of the time came to.

    Attributes
    ----------
    violation_minutes: (P, G) minutes with demand above `Policy.violation_ratio` of the Ready nodes.
    node_minutes: (P, G) nodes asked for, also while they boot, times minutes.
    changes: (P, G) changes of size.
    minutes: (P, G) minutes with a measured demand.
    carbon_g: (P, G) g CO2e of the nodes asked for; 0 where energy is not counted.
    """

    violation_minutes: Float
    node_minutes: Float
    changes: Float
    minutes: Float
    carbon_g: Float


def play(
    demand: Demand, policy: Policy, forecasts: Iterable[Forecast | None] = (), *, every_min: int = 1,
    scheduled_nodes: Int | None = None, begin_nodes: Int | None = None, progress: Progress = lambda: None,
) -> Score:  # fmt: skip
    """Run a policy over the demand as the flow would: see the last minute, decide, wait for nodes to boot.

    Each pool is a fleet of its own: budgets that pools share do not bind.

    Parameters
    ----------
    policy:
        its numbers may differ from pool to pool, so that many settings play side by side.
    forecasts:
        for each decision, the newest forecast then, of the pools' `unique_id`; none for a policy that reads none.
    every_min:
        minutes between decisions.
    scheduled_nodes:
        (P, 24) nodes that schedules ask for, by the hour of the day in UTC; None is no schedule.
    begin_nodes:
        (P,) nodes that there are at first; None is the largest size.
    progress:
        called once a simulated day.
    """
    # A zero in a history is a zero: whoever recorded it says so. Live, it may be a lost metric.
    alone = replace(policy, disruption_ratio=1.0, unreachable_limit_ratio=1.0, zero_is_missing=False)
    world, stream = _World(demand, alone, begin_nodes), iter(forecasts)
    known: Forecast | None = None
    for minute in range(demand.cpu_cores.shape[1]):
        world.pass_minute(minute)
        if minute % every_min == 0:
            now_s = demand.start_s + MINUTE_S * minute
            known = next(stream, known)
            pools = demand.pools
            if scheduled_nodes is not None:
                pools = replace(pools, scheduled_nodes=_scheduled(scheduled_nodes, now_s, pools))
            decided = decide_scaling(pools, world.observed(), known, alone, utc(now_s))
            world.apply(decided.target, decided.want)
        if minute % 1440 == 1439:
            progress()
    return world.score


class _World:
    """The pools as they are in one minute: nodes, nodes that boot, what was wanted lately, and the score so far."""

    def __init__(self, demand: Demand, policy: Policy, begin_nodes: Int | None) -> None:
        count, parts = len(demand.pools.unique_id), demand.count()
        self.demand, self.policy = demand, policy
        self.boot = np.maximum(np.round(demand.pools.boot_s / MINUTE_S), 0).astype(np.int64)
        self.rows, self.slots = np.arange(count), int(self.boot.max(initial=0)) + 1
        # where nobody has decided yet: begin large
        self.desired = (demand.pools.max_nodes if begin_nodes is None else begin_nodes).copy()
        self.booting = np.zeros((count, self.slots), np.int64)  # by the minute in which they are Ready
        memory = int(np.max(policy.down_stabilisation_s) // MINUTE_S) + 1
        self.wanted = np.zeros((count, memory), np.int64)
        self.remembered = np.broadcast_to(np.asarray(policy.down_stabilisation_s) // MINUTE_S, (count,)).astype(
            np.int64
        )
        self.last_up, self.last_change = np.full(count, -np.inf), np.full(count, -np.inf)
        self.age = np.full(count, np.inf)
        self.seen = np.full(count, np.nan)
        self.score = Score(*(np.zeros((count, parts)) for _ in range(5)))

    def pass_minute(self, minute: int) -> None:
        """Nodes that have booted are Ready; the demand of the minute is met or not."""
        self.minute, part = minute, int(self.demand.parts[minute])
        self.booting[:, minute % self.slots] = 0
        self.wanted[:, minute % self.wanted.shape[1]] = 0
        self.ready = self.desired - self.booting.sum(axis=1)
        used = self.demand.at(minute)
        known = np.isfinite(used)
        self.seen = np.where(known, used, self.seen)
        self.age = np.where(known, 0.0, self.age + MINUTE_S)
        if part >= 0:
            short = used > self.policy.violation_ratio * self.ready * self.demand.pools.node_cpu_cores
            self.score.violation_minutes[:, part] += short
            self.score.node_minutes[:, part] += self.desired
            self.score.minutes[:, part] += known
            if self.demand.energy:
                load = np.nan_to_num(used) / np.maximum(self.desired * self.demand.pools.node_cpu_cores, 1e-9)
                self.score.carbon_g[:, part] += self.demand.energy.grams(self.desired, load, minute)

    def observed(self) -> Observed:
        """What a pass would see."""
        unknown, since = np.full(len(self.rows), np.nan), float(self.minute)
        back = np.arange(self.wanted.shape[1])
        lately = self.wanted[:, (self.minute - 1 - back) % self.wanted.shape[1]]
        return Observed(
            desired=self.desired,
            ready=self.ready,
            busy=np.zeros(len(self.rows), np.bool_),
            cpu_cores=self.seen,
            memory_bytes=unknown,
            age_s=self.age,
            last_up_s=(since - self.last_up) * MINUTE_S,
            last_change_s=(since - self.last_change) * MINUTE_S,
            recent_want=np.where(back < self.remembered[:, None], lately, 0).max(axis=1).astype(np.float64),
            reachable=np.ones(len(self.rows), np.bool_),
        )

    def apply(self, target: Int, want: Int) -> None:
        """Nodes more begin to boot; nodes fewer are gone at once."""
        change = target - self.desired
        self.booting[self.rows, (self.minute + self.boot) % self.slots] += np.maximum(change, 0)
        self.last_up = np.where(change > 0, self.minute, self.last_up)
        self.last_change = np.where(change != 0, self.minute, self.last_change)
        if (part := int(self.demand.parts[self.minute])) >= 0:
            self.score.changes[:, part] += change != 0
        self.desired = target
        self.wanted[:, self.minute % self.wanted.shape[1]] = want


def oracle(demand: Demand, violation_ratio: float) -> Float:
    """(P, G) node-minutes of one that sees 15 minutes ahead (the boot time, where it is longer) and never violates."""
    pools, known = demand.pools, np.nan_to_num(demand.cpu_cores, nan=0.0)
    needed = np.ceil(known / (violation_ratio * pools.node_cpu_cores[:, None]) - 1e-9)
    needed = np.clip(needed, pools.min_nodes[:, None], pools.max_nodes[:, None])
    reach = max(FORESIGHT_MIN, int(np.round(pools.boot_s.max() / MINUTE_S)))
    held = needed.copy()
    for ahead in range(1, reach + 1):
        held[:, :-ahead] = np.maximum(held[:, :-ahead], needed[:, ahead:])
    return np.stack([held[:, demand.parts == part].sum(axis=1) for part in range(demand.count())], axis=1)


def spread(forecast: Forecast, rows: Int, names: tuple[str, ...]) -> Forecast:
    """The forecast of series `rows` under the pools' names, as `decide_scaling` looks for it."""
    return replace(
        forecast,
        unique_id=names,
        values=forecast.values[rows],
        peaks=forecast.peaks[rows],
        method=tuple(forecast.method[row] for row in rows.tolist()),
    )


def _scheduled(by_hour: Int, now_s: float, pools: Pools) -> Int:
    """(P,) the most that is scheduled from now until nodes could be Ready."""
    hour, later = int(now_s // 3600) % 24, ((now_s + pools.boot_s) // 3600).astype(np.int64) % 24
    return np.maximum(by_hour[:, hour], by_hour[np.arange(len(later)), later])
