"""What was observed of machines and of the namespaces on them, on a grid of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.energy.decide.power import Machine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_S = 3600


def hourly_means(values: Floats, step_s: int) -> Floats:
    """(T,) values by hour: the mean of an hour's samples, however few; NaN where it has none.

    >>> hourly_means(np.array([1.0, 3.0, np.nan, 5.0, np.nan, np.nan]), 1800).tolist()
    [2.0, 5.0, nan]
    """
    by_hour = values.reshape(-1, HOUR_S // step_s)
    there = np.isfinite(by_hour)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, by_hour, 0.0).sum(axis=1) / there.sum(axis=1))


@dataclass(frozen=True)
class Pool:
    """Machines of one kind in one place.

    Attributes
    ----------
    zone: electricity grid zone. pue, pue_source: W at the building's meter for each W of IT, and who says so.
    assumed: what about the machine is a guess, for the report; "" where its type is known.
    meter: what measures its power, for the report; "" where nothing does.
    curve: what stands in where that meter is silent, for the report; "" where the model does.
    """

    cluster: str
    name: str
    machine: Machine
    zone: str
    pue: float
    pue_source: str
    assumed: str = ""
    meter: str = ""
    curve: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.pue) and self.pue >= 1):
            raise InvalidInput(f"PUE is {self.pue}", where=f"pool {self.cluster}/{self.name}", fix="give 1 or more")


@dataclass(frozen=True)
class Samples:
    """(N, T) on a grid from `start_s` (epoch, a whole hour) on; a row is a machine, or a whole pool.

    Attributes
    ----------
    pool: (N,) index into `pools`.
    machines: how many machines the row stands for; 0 where it was not there, NaN where that is not known.
    cpu_ratio: CPU in use, 0-1 of what the machines have; NaN where not known.
    metered_w: W of all the row's machines by a meter of IT alone; NaN where there is none. None: no meters at all.
    gpu_ratio: the same of GPUs. clock_ghz, temperature_c: of the CPUs, mean. None: not known anywhere.
    """

    start_s: int
    step_s: int
    pools: tuple[Pool, ...]
    pool: Ints
    machines: Floats
    cpu_ratio: Floats
    metered_w: Floats | None = None
    gpu_ratio: Floats | None = None
    clock_ghz: Floats | None = None
    temperature_c: Floats | None = None

    @property
    def hours(self) -> int:
        """Hours that the grid touches."""
        return int(-(-self.machines.shape[1] * self.step_s // HOUR_S))

    def of_pools(self, kept: Sequence[int]) -> Samples:
        """Only some of the pools, in the order given."""
        place = _places(kept, len(self.pools))
        rows = place[self.pool] >= 0
        return replace(
            self, pools=tuple(self.pools[each] for each in kept), pool=place[self.pool[rows]],
            machines=self.machines[rows], cpu_ratio=self.cpu_ratio[rows],
            **self._measured(lambda values: values[rows]),
        )  # fmt: skip

    def span(self, start_s: int, end_s: int) -> Samples:
        """[start, end), whole hours; nothing is known where the samples do not reach."""
        first = (start_s - self.start_s) // self.step_s
        last = first + (end_s - start_s) // self.step_s
        return replace(
            self, start_s=start_s, machines=_window(self.machines, first, last),
            cpu_ratio=_window(self.cpu_ratio, first, last),
            **self._measured(lambda values: _window(values, first, last)),
        )  # fmt: skip

    def _measured(self, cut: Callable[[Floats], Floats]) -> dict[str, Any]:
        """What is not known of all samples, cut: by name."""
        names = ("metered_w", "gpu_ratio", "clock_ghz", "temperature_c")
        return {name: cut(getattr(self, name)) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class Shares:
    """(K, H) cores that each namespace of a pool used and requested, by hour; NaN or negative counts as none."""

    pool: Ints
    namespace: tuple[str, ...]
    used: Floats
    requested: Floats

    def of_pools(self, kept: Sequence[int]) -> Shares:
        """Only the namespaces of some of the pools, in the order given."""
        place = _places(kept, int(self.pool.max(initial=0)) + 1)
        rows = place[self.pool] >= 0
        names = tuple(name for name, there in zip(self.namespace, rows, strict=True) if there)
        return Shares(place[self.pool[rows]], names, self.used[rows], self.requested[rows])

    def span(self, first: int, last: int) -> Shares:
        """Hours [first, last), counted from the first one."""
        return replace(self, used=_window(self.used, first, last), requested=_window(self.requested, first, last))


def _places(kept: Sequence[int], count: int) -> Ints:
    """(count,) where each pool stands in `kept`; -1 where it does not."""
    place = np.full(max(count, max(kept, default=-1) + 1), -1, np.int64)
    place[list(kept)] = np.arange(len(kept))
    return place


def _window(values: Floats, first: int, last: int) -> Floats:
    """Columns [first, last), NaN beyond those that are there."""
    found = np.full((len(values), last - first), np.nan)
    begin, end = max(first, 0), min(last, values.shape[1])
    if begin < end:
        found[:, begin - first : end - first] = values[:, begin:end]
    return found
