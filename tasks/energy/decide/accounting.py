"""Energy and carbon of every pool and hour, shared out to namespaces: whole mWh and mg, so that rows add up exactly.

Power is measured where there is a meter, else told by a curve of that meter's own samples (`calibration.fill`), else
modelled from the CPU's use (`power.model_power`), else, where the use is not known either, modelled at half load with
the idle and the full machine as bounds. Idle energy is nobody's work: what namespaces requested of it is theirs, the
rest is a row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.energy.decide.apportion import apportion
from tasks.energy.decide.attribution import shared_rows
from tasks.energy.decide.calibration import Filled, fill
from tasks.energy.decide.power import Machine, model_power
from tasks.energy.decide.samples import HOUR_S, Pool, Samples, Shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Method = Literal["measured", "calibrated", "modelled", "default", "mixed"]

DEFAULT_RATIO = 0.5  # utilisation where none is known: Cloud Carbon Footprint's default
LIFE_H = 4 * 8760.0  # hours over which a server's making is counted: Cloud Carbon Footprint's 4 years
SERVER_KG, SERVER_THREADS = 1100.0, 96.0  # kg CO2e of a server with its CPUs (CCF), and the threads that share it
MEMORY_KG_PER_GIB, MEMORY_IN_SERVER_GIB = 533.0 / 384.0, 16.0  # above the 16 GB that the server's figure holds (CCF)
GPU_KG = 150.0
EMBODIED_SOURCE = "Cloud Carbon Footprint 2026: 1,100 kg a server, 1.388 kg/GiB above 16, 150 kg a GPU, 4 years"
POWER_SOURCE = "medians of SPECpower_ssj2008 by CPU family (spec.org), 0.392 W/GiB (CCF 2026)"


@dataclass(frozen=True)
class Accounts:
    """A row a cluster, pool, namespace and hour, in that order. Sums of rows are the totals, exactly.

    Attributes
    ----------
    busy_mwh, idle_mwh: mWh (a millionth of a kWh) at the building's meter, above idle and idle.
    overhead_mwh: of these, what the building takes beside IT. low_mwh, high_mwh: bounds of the model.
    location_mg, embodied_mg: mg CO2e of the grid's mix, and of making the machines.
    market_mg: by contract; -1 where no contract's factor is known. Never summed with `location_mg`.
    water_ul: microlitres of water that the site evaporated, IT energy x WUE; -1 where its WUE is not known. What power
        plants evaporated is not in it.
    coverage: share of the pool's samples that hour which are known, 0-1. missing: pool-hours without any machine count.
    core_hours: thread-hours of CPU in use, over the hours of which it is known.
    """

    pools: tuple[Pool, ...]
    start_s: int
    hours: int
    pool: Ints
    namespace: NDArray[np.object_]
    hour: Ints
    busy_mwh: Ints
    idle_mwh: Ints
    overhead_mwh: Ints
    low_mwh: Ints
    high_mwh: Ints
    location_mg: Ints
    market_mg: Ints
    water_ul: Ints
    embodied_mg: Ints
    coverage: Floats
    method: NDArray[np.object_]
    intensity: Floats
    missing: int
    known_hours: int
    core_hours: float

    @property
    def energy_mwh(self) -> Ints:
        """(K,) mWh in all."""
        return self.busy_mwh + self.idle_mwh


def embodied_kg(machine: Machine) -> float:
    """CO2e of making a machine: its share, by threads, of a server, its memory, its GPUs; kg.

    >>> round(embodied_kg(Machine("icelake", 96, memory_gib=16)), 1)
    1100.0
    """
    share = machine.threads / SERVER_THREADS
    memory = max(0.0, machine.memory_gib - MEMORY_IN_SERVER_GIB * share)
    return share * SERVER_KG + memory * MEMORY_KG_PER_GIB + machine.gpus * GPU_KG


def account(
    samples: Samples, intensity: Mapping[str, Floats], market: Mapping[str, float] | None = None,
    shares: Shares | None = None, wue: Mapping[str, float] | None = None,
) -> Accounts:  # fmt: skip
    """Energy and carbon of the samples.

    Parameters
    ----------
    intensity: by grid zone, (H,) g CO2e/kWh, average, of each hour from the samples' start on.
    market: by grid zone, g CO2e/kWh that contracts give. wue: by cluster, litres of water for each kWh of IT.

    Raises
    ------
    InvalidInput: a zone without intensity, a negative factor, or a grid that does not divide the hour.
    """
    _check(samples, intensity, market or {})
    hourly = _hourly(samples)
    there = hourly.machine_hours > 0  # (P, H)
    pool, hour = np.nonzero(there)
    carbon = np.stack([np.asarray(intensity[each.zone], np.float64)[: samples.hours] for each in samples.pools])
    by_contract = np.array([(market or {}).get(each.zone, np.nan) for each in samples.pools])
    making = np.array([embodied_kg(each.machine) for each in samples.pools])[:, None] * hourly.machine_hours / LIFE_H
    rows = shared_rows(_cores(samples), shares, pool, hour)
    pue = np.array([each.pue for each in samples.pools])
    busy, idle = (apportion(_mwh(part[there]), rows.group, weights)
                  for part, weights in ((hourly.busy_wh, rows.busy), (hourly.idle_wh, rows.idle)))  # fmt: skip
    energy = busy + idle
    low, high = (apportion(_mwh(part[there]), rows.group, energy.astype(np.float64))
                 for part in (hourly.low_wh, hourly.high_wh))  # fmt: skip
    at_pool, at_hour = pool[rows.group], hour[rows.group]
    grams = energy / 1e6 * carbon[at_pool, at_hour]
    contract = energy / 1e6 * by_contract[at_pool]
    litres = np.array([(wue or {}).get(each.cluster, np.nan) for each in samples.pools])
    return Accounts(
        pools=hourly.pools, start_s=samples.start_s, hours=samples.hours,
        pool=at_pool, namespace=rows.namespace, hour=at_hour, busy_mwh=busy, idle_mwh=idle,
        overhead_mwh=np.rint(energy * (1 - 1 / pue[at_pool])).astype(np.int64), low_mwh=low, high_mwh=high,
        location_mg=np.rint(grams * 1000).astype(np.int64),
        market_mg=np.where(np.isnan(contract), -1, np.rint(np.nan_to_num(contract) * 1000)).astype(np.int64),
        water_ul=water_ul(energy, pue[at_pool], litres[at_pool]),
        embodied_mg=apportion(np.rint(making[there] * 1e6).astype(np.int64), rows.group, rows.idle),
        coverage=hourly.coverage[at_pool, at_hour],
        method=hourly.method[at_pool, at_hour],
        intensity=carbon[at_pool, at_hour], missing=int((~hourly.counted).sum()),
        known_hours=int(hourly.counted.sum()),
        core_hours=float(hourly.core_hours[hourly.coverage > 0].sum()),
    )  # fmt: skip


def water_ul(energy_mwh: Ints, pue: Floats, litres_per_kwh: Floats | float) -> Ints:
    """Microlitres of water for the IT part of energy at the building's meter; -1 where the WUE is NaN.

    >>> water_ul(np.array([1_200_000]), np.array([1.2]), 0.5).tolist()
    [500000]
    """
    found = energy_mwh / pue * litres_per_kwh  # mWh x L/kWh are microlitres
    return np.where(np.isnan(found), -1, np.rint(np.nan_to_num(found))).astype(np.int64)


@dataclass(frozen=True)
class _Hourly:
    """(P, H) by pool and hour: Wh at the building's meter, machine-hours, and how they are known."""

    pools: tuple[Pool, ...]
    busy_wh: Floats
    idle_wh: Floats
    low_wh: Floats
    high_wh: Floats
    machine_hours: Floats
    coverage: Floats
    method: NDArray[np.object_]
    core_hours: Floats
    counted: NDArray[np.bool_]


def _hourly(samples: Samples) -> _Hourly:
    shape = len(samples.pools), samples.hours
    sums = {name: np.zeros(shape) for name in ("busy", "idle", "low", "high", "machines", "known", "metered", "cores")}
    counted, pools = np.zeros(shape, bool), list(samples.pools)
    for number, pool in enumerate(samples.pools):
        rows = np.flatnonzero(samples.pool == number)
        for name, values in _of_pool(samples, pool, rows).items():
            if name == "counted":
                counted[number] = values
            elif name == "curve":
                pools[number] = replace(pool, curve=values)
            else:
                sums[name][number] = values
    machines = sums["machines"]
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = np.where(machines > 0, sums["known"] / machines, 0.0)
        metered = np.where(machines > 0, sums["metered"] / machines, 0.0)
    method = np.full(shape, "mixed", object)
    method[(coverage >= 1) & (metered <= 0)] = "modelled"
    method[(method == "modelled") & np.array([bool(pool.curve) for pool in pools])[:, None]] = "calibrated"
    method[metered >= 1] = "measured"
    method[coverage <= 0] = "default"
    return _Hourly(tuple(pools), sums["busy"], sums["idle"], sums["low"], sums["high"], machines, coverage, method,
                   sums["cores"], counted)  # fmt: skip


def _of_pool(samples: Samples, pool: Pool, rows: Ints) -> dict[str, Any]:
    """(H,) sums over the machines of one pool."""
    machine = replace(pool.machine, pue=1.0)  # a meter of IT comes before it
    count, used = samples.machines[rows], samples.cpu_ratio[rows]
    there = np.isfinite(count)
    count = np.where(there, count, 0.0)
    known = np.isfinite(used)
    filled = np.where(known, used, _usual(np.where(known & (count > 0), used, np.nan), samples))
    guessed = ~np.isfinite(filled)
    filled = np.where(guessed, DEFAULT_RATIO, filled)
    gpu = samples.gpu_ratio[rows] if samples.gpu_ratio is not None else np.full(used.shape, np.nan)
    power = model_power(machine, filled, np.where(np.isfinite(gpu), gpu, DEFAULT_RATIO))
    full = float(model_power(machine, 1.0, 1.0).central)
    unsure = guessed | ((machine.gpus > 0) & ~np.isfinite(gpu))
    watts = power.central * count
    idle = np.minimum(power.idle * count, watts)
    low = np.where(unsure, idle, power.low * count)
    high = np.where(unsure, full * count, power.high * count)
    metered, curve = np.zeros(used.shape, bool), ""
    if samples.metered_w is not None:
        meter = samples.metered_w[rows]
        metered = np.isfinite(meter) & (count > 0)
        if (own := _own(samples, machine, rows, used, filled, np.where(metered, meter, np.nan))) is not None:
            watts, idle = own.watts * count, np.fmin(own.idle, own.watts) * count
            low = np.where(unsure, idle, watts * (1 - own.error))
            high = np.where(unsure, np.maximum(own.full * count, watts), watts * (1 + own.error))
            curve = f"a curve of {own.samples} of its samples, {own.error:.1%} off those held out"
        watts, low, high = (np.where(metered, meter, each) for each in (watts, low, high))
        idle = np.minimum(idle, watts)
    hours = samples.step_s / HOUR_S
    scale = pool.pue * hours
    known = (known & ~unsure) | metered
    parts = {"busy": (watts - idle) * scale, "idle": idle * scale, "low": low * scale, "high": high * scale,
             "machines": count * hours, "known": count * known * hours, "metered": count * metered * hours}  # fmt: skip
    parts["cores"] = filled * count * machine.threads * hours
    told: dict[str, Any] = {name: _by_hour(values.sum(axis=0), samples) for name, values in parts.items()}
    return told | {"counted": _by_hour(there.any(axis=0).astype(np.float64), samples) > 0, "curve": curve}


def _own(samples: Samples, machine: Machine, rows: Ints, used: Floats, filled: Floats, meter: Floats) -> Filled | None:
    """What the meter of some of the samples tells of the others; None where it is silent nowhere, or of no help."""
    count = samples.machines[rows]
    if np.isfinite(meter[count > 0]).all():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        each_w = np.where(np.isfinite(used), meter / count, np.nan)
    clock, temperature = (None if values is None else values[rows]
                          for values in (samples.clock_ghz, samples.temperature_c))  # fmt: skip
    return fill(machine, filled, each_w, clock, temperature)


def _usual(used: Floats, samples: Samples) -> Floats:
    """(N, T) for each sample the mean of the row's own known ones in that hour, else of its pool's; NaN where none."""
    steps = HOUR_S // samples.step_s
    padded = np.full((used.shape[0], samples.hours * steps), np.nan)
    padded[:, : used.shape[1]] = used
    by_hour = padded.reshape(used.shape[0], samples.hours, steps)
    there = np.isfinite(by_hour)
    sums, counts = np.where(there, by_hour, 0.0).sum(axis=2), there.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = sums / counts
        pool = sums.sum(axis=0) / counts.sum(axis=0)
    return np.repeat(np.where(np.isfinite(own), own, pool[None, :]), steps, axis=1)[:, : used.shape[1]]


def _by_hour(values: Any, samples: Samples) -> Floats:
    """(H,) sums of (T,) values."""
    return np.asarray(np.add.reduceat(values, np.arange(0, len(values), HOUR_S // samples.step_s)))


def _cores(samples: Samples) -> Floats:
    """(P, H) mean threads that a pool had."""
    found = np.zeros((len(samples.pools), samples.hours))
    for number, pool in enumerate(samples.pools):
        count = np.nan_to_num(samples.machines[samples.pool == number]).sum(axis=0)
        found[number] = _by_hour(count, samples) * samples.step_s / HOUR_S * pool.machine.threads
    return found


def _mwh(watt_hours: Floats) -> Ints:
    return np.rint(watt_hours * 1000).astype(np.int64)


def _check(samples: Samples, intensity: Mapping[str, Floats], market: Mapping[str, float]) -> None:
    if HOUR_S % samples.step_s or samples.start_s % HOUR_S:
        raise InvalidInput(f"a step of {samples.step_s} s from {samples.start_s} on", where="samples",
                           fix="give whole hours in equal steps that divide the hour")  # fmt: skip
    for name, values in (("machines", samples.machines), ("metered_w", samples.metered_w)):
        if values is not None and (values < 0).any():
            raise InvalidInput(f"{name} below 0", where="samples", fix="give 0 or more; NaN where not known")
    for pool in samples.pools:
        at, given = f"pool {pool.cluster}/{pool.name}", intensity.get(pool.zone, np.zeros(0))[: samples.hours]
        if len(given) < samples.hours:
            raise InvalidInput(f"no intensity for all hours of zone {pool.zone or '(none)'}", where=at,
                               fix="name a grid zone that a source knows")  # fmt: skip
        if not (np.isfinite(given) & (given >= 0)).all():
            raise InvalidInput("intensity is negative or missing", where=f"zone {pool.zone}", fix="give 0 or more")
    for zone, grams in market.items():
        if not (np.isfinite(grams) and grams >= 0):
            raise InvalidInput(f"{grams} g/kWh by contract", where=f"zone {zone}", fix="give 0 or more")
