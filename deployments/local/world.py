"""The demand of the simulated fleet: real traces, laid onto each node pool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from blocks.errors import NotFound
from blocks.fleet import Fleet, NodePool, pool_id
from deployments.local import noise
from deployments.local.clock import SimulatedClock
from deployments.local.traces import DAY, STEP_S, WEEK, Floats, Steps, Trace, continued, load_traces

Kind = Literal["cpu_cores", "memory_bytes"]
HISTORY_S = 30 * 86_400
_ORIGIN_S = 31 * 86_400  # demand is promised, and CPU seconds are counted, from this long before the start
_WEEK_S = WEEK * STEP_S
_GENUINE_FUTURE_S = 86_400  # at least so much of each trace lies after the start, not wrapped


@dataclass(frozen=True)
class Shape:
    """How one kind of demand sits on a pool; ranges are drawn from uniformly, once per pool.

    Attributes
    ----------
    row: row of the traces' arrays.
    peak_ratio: 99th percentile of 30 days over the capacity of max_nodes.
    swing_ratio: 99th over 1st percentile that the mixed deviation is amplified to.
    noise_ratio: standard deviation of the noise of each 300 s step.
    """

    row: int
    peak_ratio: tuple[float, float]
    swing_ratio: tuple[float, float]
    noise_ratio: float


# Memory peaks lower and swings less than CPU, as in the traces, so that CPU sets the size of most pools.
SHAPES: dict[Kind, Shape] = {
    "cpu_cores": Shape(0, (0.70, 0.80), (2.2, 3.0), 0.02),
    "memory_bytes": Shape(1, (0.42, 0.52), (1.5, 1.8), 0.005),
}


@dataclass(frozen=True)
class Demand:
    """One kind of demand of one pool, ready to be read at any step of the 300 s grid.

    Attributes
    ----------
    scale: cores or bytes that a mixed trace of 1 stands for.
    swing: the factor on the traces' deviation from their own weekly mean.
    parts: for each trace, its share of the mixed logarithm (T,) and the grid step of its first row.
    noise_key: seed of the noise.
    """

    scale: float
    swing: float
    parts: tuple[tuple[Floats, int], ...]
    noise_ratio: float
    noise_key: int

    def at(self, grid: Steps) -> Floats:
        """(N,) demand at whole steps of 300 s since 1970."""
        log_demand = self.noise_ratio * noise.normal(self.noise_key, grid)
        for log_usage, first in self.parts:
            log_demand += continued(log_usage, grid - first)
        return np.asarray(self.scale * np.exp(log_demand))

    def between(self, times_s: ArrayLike) -> Floats:
        """(N,) demand at any times, seconds since 1970 UTC, in any order; linear between the steps."""
        times = np.asarray(times_s, dtype=np.float64)
        step = np.floor(times / STEP_S).astype(np.int64)
        grid = np.unique(np.concatenate([step.ravel(), step.ravel() + 1]))
        return np.asarray(np.interp(times, grid * float(STEP_S), self.at(grid)))


class World:
    """Demand per node pool, deterministic in (fleet, start, seed), from 31 days before the start to any later time.

    A whole data centre's average is too smooth for one pool. So a pool's demand is a weighted mix of the traces, in
    logarithms, in which each trace's hourly deviation from its own one-week mean is multiplied by `swing`; swing is set
    so that the 99th over the 1st percentile of this wave comes to 2.2-3.0 for CPU and 1.5-1.8 for memory. What moves
    faster than an hour stays as measured. The result is scaled to the pool (`SHAPES`), gets a noise of about 2 % per
    step (memory 0.5 %), and is linear between steps.
    Each trace is laid on the site's local week (its UTC offset at the start; a later change of summer time does not
    move it), turned by up to 90 minutes per pool. At least one day of each trace lies after the start; beyond its ends
    it goes on by the wrap rule of `traces.continued`. A pool's demand depends on no other pool.

    Parameters
    ----------
    clock: the simulated time that readers of the world go by; the world itself is timeless.
    start_s: end of the 30 days of history, seconds since 1970 UTC.

    Raises
    ------
    NotConfigured: the traces' package is not installed.
    """

    def __init__(self, fleet: Fleet, clock: SimulatedClock, start_s: float, seed: int) -> None:
        self.fleet, self.clock, self.start_s, self.seed = fleet, clock, start_s, seed
        self._traces = load_traces()
        self._demands: dict[str, dict[Kind, Demand]] = {}
        for cluster, pool in fleet.pools():
            name = pool_id(cluster.name, pool.name)
            self._demands[name] = _demands(name, pool, self._mix(name, cluster.site), seed)
        self._waves: dict[str, Demand] = {}
        self._cpu_seconds: dict[str, Floats] = {}
        self._days: dict[str, tuple[int, list[float]]] = {}

    def demand(self, kind: Kind, pool: str, times_s: ArrayLike) -> Floats:
        """(N,) cores or bytes that the work of `pool` (a `pool_id`, e.g. `eu-eks/web`) asks for.

        `times_s` is (N,), seconds since 1970 UTC, in any order. NotFound: no such kind or pool.
        """
        return self._demand(kind, pool).between(times_s)

    def demand_now(self, kind: Kind, pool: str) -> float:
        """`demand` at the last whole minute of the clock; cheap, as a day of steps is kept."""
        return self._now(f"{pool} {kind}", self._demand(kind, pool))

    def wave(self, name: str, site: str, times_s: ArrayLike) -> Floats:
        """(N,) request rate of a workload `name` whose users are at `site`, relative to its peak (see `SHAPES`).

        Its 99th percentile over the 30 days of history is 1. It depends on nothing but the name, the site and the seed.
        """
        return self._wave(name, site).between(times_s)

    def wave_now(self, name: str, site: str) -> float:
        """`wave` at the last whole minute of the clock; cheap."""
        return self._now(f"wave {name}", self._wave(name, site))

    def cpu_seconds(self, pool: str, times_s: ArrayLike) -> Floats:
        """(N,) CPU seconds used since 31 days before the start: the exact integral of `demand("cpu_cores", ...)`."""
        times = np.asarray(times_s, dtype=np.float64)
        first = int((self.start_s - _ORIGIN_S) // STEP_S)
        steps = int(times.max(initial=first * STEP_S) // STEP_S) + 2 - first
        total = self._cpu_seconds.get(pool)
        if total is None or total.size < steps:
            cores = self._demand("cpu_cores", pool).at(np.arange(first, first + steps + WEEK, dtype=np.int64))
            total = np.concatenate([[0.0], np.cumsum((cores[1:] + cores[:-1]) / 2 * STEP_S)])
            self._cpu_seconds[pool] = total
        at = np.maximum(times / STEP_S - first, 0.0)
        whole = at.astype(np.int64)
        part_s = (at - whole) * STEP_S
        mean_cores = (self.demand("cpu_cores", pool, times - part_s) + self.demand("cpu_cores", pool, times)) / 2
        return np.asarray(total[whole] + mean_cores * part_s)

    def _demand(self, kind: Kind, pool: str) -> Demand:
        if kind not in SHAPES:
            raise NotFound(f"no demand of kind {kind!r}", where="simulated world", fix=f"use {get_args(Kind)}")
        if pool not in self._demands:
            raise NotFound("no such node pool", where=pool, fix=f"use one of {', '.join(self._demands)}")
        return self._demands[pool][kind]

    def _wave(self, name: str, site: str) -> Demand:
        if name not in self._waves:
            key = noise.key(self.seed, name, "wave")
            self._waves[name] = _shaped(self._mix(f"wave {name}", site), SHAPES["cpu_cores"], key)
        return self._waves[name]

    def _mix(self, name: str, site: str) -> _Mix:
        offset_s = _utc_offset_s(self.fleet.site(site).time_zone, self.start_s)
        return _mix(name, self._traces, utc_offset_s=offset_s, start_s=self.start_s, seed=self.seed)

    def _now(self, name: str, demand: Demand) -> float:
        at = self.clock.now() // 60 * 60 / STEP_S
        step = int(at)
        day, values = self._days.get(name, (0, []))
        if day != step // DAY or not values:
            day = step // DAY
            values = demand.at(np.arange(day * DAY, (day + 1) * DAY + 1)).tolist()
            self._days[name] = day, values
        low, high = values[step - day * DAY : step - day * DAY + 2]
        return low + (high - low) * (at - step)


@dataclass(frozen=True)
class _Mix:
    """How the traces are mixed for one name: their weights and first steps, what else is drawn, 30 days of steps."""

    draw: np.random.Generator
    parts: tuple[tuple[float, Trace, int], ...]
    history: Steps


def _mix(name: str, traces: list[Trace], *, utc_offset_s: int, start_s: float, seed: int) -> _Mix:
    draw = np.random.default_rng([seed, noise.key(name)])
    azure, alibaba = draw.uniform(0.5, 0.7), draw.uniform(0.05, 0.12)  # Alibaba swings three times as far
    weights = (azure, 1 - azure - alibaba, alibaba)
    turn_s = STEP_S * int(draw.integers(-18, 19))
    parts = tuple(
        (weight, trace, _first_step(trace, utc_offset_s - turn_s, start_s))
        for weight, trace in zip(weights, traces, strict=True)
    )
    return _Mix(draw, parts, np.arange((start_s - HISTORY_S) // STEP_S, start_s // STEP_S, dtype=np.int64))


def _shaped(mix: _Mix, shape: Shape, noise_key: int) -> Demand:
    """A mix with its swing and noise; its 99th percentile over the history is 1."""
    deviations = tuple((weight * trace.deviation[shape.row], first) for weight, trace, first in mix.parts)
    low, high = np.quantile(np.log(Demand(1.0, 1.0, deviations, 0.0, noise_key).at(mix.history)), [0.01, 0.99])
    swing = float(np.log(mix.draw.uniform(*shape.swing_ratio)) / (high - low))
    parts = tuple(
        (weight * (trace.base[shape.row] + swing * trace.deviation[shape.row]), first)
        for weight, trace, first in mix.parts
    )
    unscaled = Demand(1.0, swing, parts, shape.noise_ratio, noise_key)
    return replace(unscaled, scale=float(1 / np.quantile(unscaled.at(mix.history), 0.99)))


def _demands(name: str, pool: NodePool, mix: _Mix, seed: int) -> dict[Kind, Demand]:
    """Both kinds of demand of one pool; they share the mix and the place of the traces."""
    capacity: dict[Kind, float] = {
        "cpu_cores": pool.max_nodes * pool.node_cpu,
        "memory_bytes": float(pool.max_nodes * pool.node_memory),
    }
    made: dict[Kind, Demand] = {}
    for kind, shape in SHAPES.items():
        relative = _shaped(mix, shape, noise.key(seed, name, kind))
        peak = mix.draw.uniform(*shape.peak_ratio) * capacity[kind]
        made[kind] = replace(relative, scale=relative.scale * peak)
    return made


def _first_step(trace: Trace, utc_offset_s: int, start_s: float) -> int:
    """Grid step of the trace's first row: on its local weekday and hour, its end a day to eight after the start."""
    monday_s = 4 * 86_400  # 1970-01-05 was a Monday
    row_s = monday_s + trace.source.first_row_weekday * 86_400 + trace.source.first_row_s - utc_offset_s
    end_s = row_s + trace.base.shape[1] * STEP_S
    weeks = -((end_s - start_s - _GENUINE_FUTURE_S) // _WEEK_S)
    return int((row_s + weeks * _WEEK_S) // STEP_S)


def _utc_offset_s(time_zone: str, at_s: float) -> int:
    offset = datetime.fromtimestamp(at_s, ZoneInfo(time_zone)).utcoffset() or timedelta()
    return round(offset.total_seconds() / STEP_S) * STEP_S
