"""The demand of the simulated fleet: real traces, laid onto each node pool."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.errors import NotFound
from blocks.fleet import Fleet, NodePool, pool_id
from deployments.local.clock import SimulatedClock
from deployments.local.traces import STEP_S, WEEK, Floats, Steps, Trace, continued, load_traces

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
        log_demand = self.noise_ratio * _noise(self.noise_key, grid)
        for log_usage, first in self.parts:
            log_demand += continued(log_usage, grid - first)
        return np.asarray(self.scale * np.exp(log_demand))


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
        self.fleet, self.clock, self.start_s = fleet, clock, start_s
        traces = load_traces()
        self._demands: dict[str, dict[Kind, Demand]] = {}
        for cluster, pool in fleet.pools():
            name = pool_id(cluster.name, pool.name)
            offset_s = _utc_offset_s(fleet.site(cluster.site).time_zone, start_s)
            self._demands[name] = _demands(name, pool, traces=traces, utc_offset_s=offset_s, start_s=start_s, seed=seed)
        self._cpu_seconds: dict[str, Floats] = {}

    def demand(self, kind: Kind, pool: str, times_s: ArrayLike) -> Floats:
        """(N,) cores or bytes that the work of `pool` (a `pool_id`, e.g. `eu-eks/web`) asks for.

        `times_s` is (N,), seconds since 1970 UTC, in any order. NotFound: no such kind or pool.
        """
        times = np.asarray(times_s, dtype=np.float64)
        step = np.floor(times / STEP_S).astype(np.int64)
        grid = np.unique(np.concatenate([step.ravel(), step.ravel() + 1]))
        return np.asarray(np.interp(times, grid * float(STEP_S), self._demand(kind, pool).at(grid)))

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


def _demands(
    name: str, pool: NodePool, *, traces: list[Trace], utc_offset_s: int, start_s: float, seed: int
) -> dict[Kind, Demand]:
    """Both kinds of demand of one pool; they share the mix and the place of the traces."""
    key = zlib.crc32(name.encode())
    draw = np.random.default_rng([seed, key])
    azure, alibaba = draw.uniform(0.5, 0.7), draw.uniform(0.05, 0.12)  # Alibaba swings three times as far
    weights = (azure, 1 - azure - alibaba, alibaba)
    turn_s = STEP_S * int(draw.integers(-18, 19))
    firsts = [_first_step(trace, utc_offset_s - turn_s, start_s) for trace in traces]
    capacity: dict[Kind, float] = {
        "cpu_cores": pool.max_nodes * pool.node_cpu,
        "memory_bytes": float(pool.max_nodes * pool.node_memory),
    }
    history = np.arange((start_s - HISTORY_S) // STEP_S, start_s // STEP_S, dtype=np.int64)
    made: dict[Kind, Demand] = {}
    for kind, shape in SHAPES.items():
        noise_key = zlib.crc32(f"{seed} {name} {kind}".encode())
        deviations = tuple(
            (w * trace.deviation[shape.row], first) for w, trace, first in zip(weights, traces, firsts, strict=True)
        )
        low, high = np.quantile(np.log(Demand(1.0, 1.0, deviations, 0.0, noise_key).at(history)), [0.01, 0.99])
        swing = float(np.log(draw.uniform(*shape.swing_ratio)) / (high - low))
        parts = tuple(
            (w * (trace.base[shape.row] + swing * trace.deviation[shape.row]), first)
            for w, trace, first in zip(weights, traces, firsts, strict=True)
        )
        unscaled = Demand(1.0, swing, parts, shape.noise_ratio, noise_key)
        peak = draw.uniform(*shape.peak_ratio) * capacity[kind]
        scale = float(peak / np.quantile(unscaled.at(history), 0.99))
        made[kind] = Demand(scale, swing, parts, shape.noise_ratio, noise_key)
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


def _noise(key: int, grid: Steps) -> Floats:
    """(N,) near-normal noise, mean 0 and variance 1: a hash of (key, step), so any step can be asked for alone.

    The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014); its four 16-bit parts are summed.
    """
    mixed: NDArray[np.uint64] = grid.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key << 32 | key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    parts = mixed[:, None].view(np.uint16).sum(axis=1, dtype=np.float64) / 65_535
    return np.asarray((parts - 2.0) * np.sqrt(3.0))
