"""Watts of machines from their utilisation, by the medians of their CPU family.

P = T w(u) + 0.392 M + sum of GPUs, times PUE: T hardware threads, w the family's median W a thread at CPU utilisation u
(11 measured loads, linear between them), M GiB of memory. A machine's own idle and full W, with the mean shape of such
curves, come in place of T w(u) + 0.392 M where they are known. Idle power is told apart: nobody's work causes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.errors import InvalidInput
from blocks.tables import watts_per_thread

Floats = NDArray[np.float64]

MEMORY_W_PER_GIB = 0.392  # Cloud Carbon Footprint's average of measured modules
GPU_IDLE_RATIO = 0.11  # of its TDP: what a V100 draws idle, by Teads' measurements
MODEL_ERROR = 0.13  # its mean over 212 servers of 2017 and later, as published
OWN_ERROR = 0.072  # the same, by a machine's own idle and full W
# Share of the way from idle to full W at loads of 0, 0.1 ... 1: mean of SPECpower_ssj2008 results of 2017 and later.
SHAPE = np.array([0.0, 0.182, 0.250, 0.315, 0.379, 0.447, 0.526, 0.615, 0.726, 0.857, 1.0])
SEED_IDLE_W, SEED_CPU_W, SEED_MEMORY_W = 150.0, 100.0, 50.0  # of any machine, whatever its size


@dataclass(frozen=True)
class Machine:
    """What power depends on.

    Attributes
    ----------
    threads: hardware threads, which clouds call vCPUs. memory_gib: GiB. gpus: how many. gpu_tdp_w: W of each at most.
    pue: watts at the building's meter for each watt of IT; 1 for edge machines, whose own meter is the building's.
    idle_w, full_w: W of the machine without its GPUs, without work and with all CPUs busy; None: by its family.

    Raises
    ------
    InvalidInput: a number is out of range, one of idle and full alone is given, or idle is above full.
    """

    cpu_family: str
    threads: float
    memory_gib: float = 0.0
    gpus: float = 0.0
    gpu_tdp_w: float = 0.0
    pue: float = 1.0
    idle_w: float | None = None
    full_w: float | None = None

    def __post_init__(self) -> None:
        if (self.idle_w is None) != (self.full_w is None):
            raise InvalidInput("one of idle_w and full_w alone", where="machine", fix="give both, or none")
        if self.idle_w is not None and self.full_w is not None and not 0 <= self.idle_w <= self.full_w < np.inf:
            raise InvalidInput(f"idle_w is {self.idle_w:g} and full_w {self.full_w:g}", where="machine",
                               fix="give watts of 0 or more, idle no more than full")  # fmt: skip
        for name, value, least in (("threads", self.threads, 0.0), ("memory_gib", self.memory_gib, 0.0),
                                   ("gpus", self.gpus, 0.0), ("gpu_tdp_w", self.gpu_tdp_w, 0.0),
                                   ("pue", self.pue, 1.0)):  # fmt: skip
            if not (np.isfinite(value) and value >= least):
                raise InvalidInput(
                    f"{name} is {value}", where="machine", fix=f"give a finite number of {least:g} at least"
                )


@dataclass(frozen=True)
class Power:
    """W at the building's meter, of the shape of the utilisation; NaN where that is not known.

    Attributes
    ----------
    low, central, high: the model's figure, and its mean error either way: many machines lie outside.
    idle: the part that is drawn without any work.
    cpu, memory, gpu: parts of `central` by cause.
    """

    low: Floats
    central: Floats
    high: Floats
    idle: Floats
    cpu: Floats
    memory: Floats
    gpu: Floats


def model_power(machine: Machine, utilisation: ArrayLike, gpu_utilisation: ArrayLike = 0.0) -> Power:
    """Watts without a meter, by the medians of the machine's CPU family; 13 % off in the mean (212 servers of 2017+).

    Raises
    ------
    NotFound: no such CPU family. InvalidInput: a utilisation below 0 or above 1.

    >>> power = model_power(Machine("icelake", 8, memory_gib=32), [0.0, 0.5, 1.0])
    >>> power.central.round(1).tolist(), power.idle.round(1).tolist()
    ([19.1, 27.8, 43.7], [19.1, 19.1, 19.1])
    """
    used, gpu_used = np.broadcast_arrays(ratio(utilisation, "utilisation"), ratio(gpu_utilisation, "GPU utilisation"))
    if machine.idle_w is not None and machine.full_w is not None:
        shape = np.where(np.isnan(used), np.nan, np.interp(used, np.linspace(0, 1, len(SHAPE)), SHAPE))
        cpu = machine.pue * (machine.idle_w + (machine.full_w - machine.idle_w) * shape)
        memory_w, bare_w, error = 0.0, machine.pue * machine.idle_w, OWN_ERROR
    else:
        cpu = machine.pue * machine.threads * watts_per_thread(machine.cpu_family, used)
        memory_w, error = machine.pue * MEMORY_W_PER_GIB * machine.memory_gib, MODEL_ERROR
        bare_w = machine.pue * machine.threads * float(watts_per_thread(machine.cpu_family, 0.0))
    memory = np.where(np.isnan(used), np.nan, memory_w)
    gpus = machine.pue * machine.gpus * machine.gpu_tdp_w
    gpu = gpus * (GPU_IDLE_RATIO + (1 - GPU_IDLE_RATIO) * gpu_used)
    central = cpu + memory + gpu
    idle = memory + bare_w + gpus * GPU_IDLE_RATIO
    return Power(central * (1 - error), central, central * (1 + error), idle, cpu, memory, gpu)


def seed_power(cpu_ratio: ArrayLike, memory_ratio: ArrayLike = 0.0) -> Floats:
    """Watts by the seed's formula, kept to be compared with: the same for every machine, 110 % off on measured servers.

    >>> seed_power(0.5, 0.5).item()
    225.0
    """
    used, memory = ratio(cpu_ratio, "utilisation"), ratio(memory_ratio, "memory utilisation")
    return np.asarray(SEED_IDLE_W + SEED_CPU_W * used + SEED_MEMORY_W * memory)


def ratio(given: ArrayLike, what: str) -> Floats:
    """Shares of 0-1 as an array; NaN where not known. InvalidInput: one is below 0 or above 1."""
    values = np.asarray(given, np.float64)
    if ((values < 0) | (values > 1)).any():
        wrong = values[(values < 0) | (values > 1)].flat[0]
        raise InvalidInput(f"{what} is {wrong:g}", where="power model", fix="give shares of 0-1; NaN where not known")
    return values
