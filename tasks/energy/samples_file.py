"""Samples and namespace shares from CSV or Parquet files; a row that cannot be read is named, the rest is used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import ContinuumError, InvalidInput
from blocks.tables import watts_per_thread
from tasks.energy.decide.instance_types import machine_of
from tasks.energy.decide.power import Machine
from tasks.energy.decide.samples import HOUR_S, Pool, Samples, Shares
from tasks.forecasting.columns import Codes, Columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEEDED = ("ts", "cluster", "pool", "instance_type", "cpu_ratio")
NUMERIC = {"ts": (0, np.inf), "cpu_ratio": (0, 1), "gpu_ratio": (0, 1), "machines": (0, 1e7), "watts": (0, 1e12),
           "clock_ghz": (0.01, 100), "temperature_c": (-60, 200)}  # fmt: skip
SHARES = ("ts", "cluster", "pool", "namespace", "cpu_used", "cpu_requested")
MOST_HOURS = 366 * 24
SOME_ROWS = 100
STEPS_S = (60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class SamplesFile:
    """Samples on a grid, and one line for each row or pool that was left out."""

    samples: Samples
    refused: list[str] = field(default_factory=list)


def read_samples(path: Path, *, zone: str = "", pue: float | None = None) -> SamplesFile:
    """Samples of `ts, cluster, pool, instance_type, cpu_ratio[, node, machines, watts, gpu_ratio, zone, pue, ...]`.

    A machine (or a pool, where no `node` is named) is there from its first row to its last; a time without a row in
    between is a use that is not known, never none.

    Parameters
    ----------
    zone, pue: of rows whose file has no such column, or no such cell. Without any PUE, 1.

    Raises
    ------
    InvalidInput: no such file, a column is missing, or nothing in it can be used.
    """
    table = Columns.read(path, NEEDED)
    kind, kinds = table.names("cluster", "pool", "instance_type", "zone", "pue", "cpu_family", "threads", "memory_gib",
                              "idle_w", "full_w")  # fmt: skip
    row, rows = table.names("cluster", "pool", "node")
    numeric = [name for name in NUMERIC if name in table.table.column_names]
    table.table = table.table.select(numeric)  # as many bytes again are needed below
    pa.default_memory_pool().release_unused()
    time = table.times()
    used, gpu, count, watts, clock, temperature = (table.number(name, *NUMERIC[name]) for name in (
        "cpu_ratio", "gpu_ratio", "machines", "watts", "clock_ghz", "temperature_c"))  # fmt: skip
    pools, pool_of = _pools(kinds, zone, pue, table)
    good = ~table.wrong & (pool_of[kind] >= 0)
    if not good.any():
        why = f" ({table.refused[0]})" if table.refused else ""
        raise InvalidInput(f"no row of it can be used{why}", where=str(path), fix=f"give {', '.join(NEEDED)}")
    kept = slice(None) if good.all() else np.flatnonzero(good)
    of_row = np.zeros(len(rows), np.int64)
    of_row[row[kept]] = pool_of[kind[kept]]
    time, row = time[kept], row[kept]
    del kind
    step_s, start_s = _grid(time, row, path)
    width = (int(time.max()) - start_s) // step_s + 1
    place = row.astype(np.int64) * width + (time - start_s) // step_s  # in a (rows, steps) matrix
    del time, row
    taken = np.zeros(len(rows) * width, bool)
    taken[place] = True
    if doubled := len(place) - int(np.count_nonzero(taken)):
        table.refused.append(f"{doubled} rows repeat a time of their machine: the last one counts")

    def put(values: Floats | None) -> Floats:
        found = np.full((len(rows), width), np.nan)
        if values is not None:
            found.ravel()[place] = values[kept]
        return found

    machines = put(count)
    machines.ravel()[taken] = np.where(np.isnan(machines.ravel()[taken]), 1.0, machines.ravel()[taken])
    rest = (None if values is None else put(values) for values in (watts, gpu, clock, temperature))
    samples = Samples(start_s, step_s, pools, of_row, _carried(machines), put(used), *rest)
    del table.table
    pa.default_memory_pool().release_unused()
    return SamplesFile(samples, table.refused)


def read_shares(path: Path, samples: Samples) -> tuple[Shares, list[str]]:
    """Cores used and requested by namespace and hour: `ts, cluster, pool, namespace, cpu_used, cpu_requested`.

    Several rows of an hour are averaged. Rows of pools or hours that the samples do not have are left out, and counted.
    """
    table = Columns.read(path, SHARES)
    time = table.times()
    used, asked = table.number("cpu_used", 0, 1e9), table.number("cpu_requested", 0, 1e9)
    assert used is not None
    assert asked is not None
    owner, owners = table.names("cluster", "pool", "namespace")
    known = {(pool.cluster, pool.name): number for number, pool in enumerate(samples.pools)}
    pool = np.array([known.get((each[0], each[1]), -1) for each in owners], np.int64)
    hour = (time - samples.start_s) // HOUR_S
    good = ~table.wrong & (hour >= 0) & (hour < samples.hours) & (pool[owner] >= 0)
    if left := int((~good).sum() - table.wrong.sum()):
        table.refused.append(f"{left} rows are of pools or hours that the samples do not have")
    sums = np.zeros((3, len(owners), samples.hours))
    at = owner[good], hour[good]
    for place, values in enumerate((np.nan_to_num(used[good]), np.nan_to_num(asked[good]), np.ones(good.sum()))):
        np.add.at(sums[place], at, values)
    mean = sums[:2] / np.maximum(sums[2], 1)
    rows = np.flatnonzero(pool >= 0)
    names = tuple(owners[each][2] or "(unnamed)" for each in rows.tolist())
    return Shares(pool[rows], names, mean[0, rows], mean[1, rows]), table.refused


def _carried(values: Floats) -> Floats:
    """Each gap filled with the value before it; 0 before a row's first value and after its last."""
    known = np.isfinite(values)
    first, last = known.argmax(axis=1), known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    for row in np.flatnonzero(~known.all(axis=1)):
        places = np.maximum.accumulate(np.where(known[row], np.arange(known.shape[1]), 0))
        values[row] = values[row, places]
        values[row, : first[row]] = values[row, last[row] + 1 :] = 0.0
        if not known[row].any():
            values[row] = 0.0
    return values


def _grid(time: Ints, row: Codes, path: Path) -> tuple[int, int]:
    """Step and start, seconds: the usual distance between a machine's rows, made to divide the hour."""
    some = row < SOME_ROWS  # the step of a few machines is that of all
    if not some.any():
        some = row == row[0]
    order = np.lexsort((time[some], row[some]))
    ordered, of = time[some][order], row[some][order]
    apart = np.diff(ordered)[(np.diff(of) == 0) & (np.diff(ordered) > 0)]
    usual = int(np.bincount(apart[apart <= HOUR_S]).argmax()) if (apart <= HOUR_S).any() else HOUR_S
    step_s = max(step for step in STEPS_S if step <= max(usual, STEPS_S[0]))
    start_s = int(time.min()) // HOUR_S * HOUR_S
    hours = (int(time.max()) - start_s) // HOUR_S + 1
    if hours > MOST_HOURS:
        raise InvalidInput(f"it covers {hours // 24} days", where=str(path),
                           fix="give a year at most; is a time in it wrong?")  # fmt: skip
    return step_s, start_s


def _pools(kinds: list[tuple[str, ...]], zone: str, pue: float | None, table: Columns) -> tuple[tuple[Pool, ...], Ints]:
    """The pools of the file's kinds of rows, and (K,) the pool of each kind; -1 where it is refused, which is named."""
    pools: list[Pool] = []
    place: dict[tuple[str, str], int] = {}
    pool_of = np.full(len(kinds), -1, np.int64)
    for number, kind in enumerate(kinds):
        at = kind[0], kind[1]
        try:
            pool = _pool(kind, zone, pue, "watts of the samples" if "watts" in table.table.column_names else "")
        except ContinuumError as error:
            table.refused.append(f"pool {kind[0]}/{kind[1]} is left out: {error}")
            continue
        if at in place and pools[place[at]] != pool:
            table.refused.append(f"pool {kind[0]}/{kind[1]}: machines of two kinds, {kind[2]} is left out")
            continue
        if at not in place:
            place[at] = len(pools)
            pools.append(pool)
        pool_of[number] = place[at]
    order = sorted(range(len(pools)), key=lambda each: (pools[each].cluster, pools[each].name))
    rank = np.empty(len(pools) + 1, np.int64)
    rank[-1] = -1
    rank[order] = np.arange(len(pools))
    return tuple(pools[each] for each in order), rank[pool_of]


def _pool(kind: tuple[str, ...], zone: str, pue: float | None, meter: str) -> Pool:
    cluster, name, instance_type, own_zone, own_pue, family, threads, memory, idle_w, full_w = kind
    given: dict[str, Any] = {}
    for key, text in (("threads", threads), ("memory_gib", memory), ("idle_w", idle_w), ("full_w", full_w)):
        if text:
            given[key] = _float(text, key)
    if family:
        given["cpu_family"] = family
    machine = Machine(**given) if family and threads else replace(machine_of(instance_type), **given)
    watts_per_thread(machine.cpu_family, 0.0)  # refuses a family that nobody measured
    factor = _float(own_pue, "pue") if own_pue else pue
    source = "the samples" if own_pue else "--pue" if pue is not None else "none given: 1"
    if not (own_zone or zone):
        raise InvalidInput("no grid zone", where=f"pool {cluster}/{name}", fix="give a column zone, or --zone")
    own = "its own idle_w and full_w, with the mean shape of SPECpower_ssj2008 results" if idle_w else ""
    return Pool(cluster, name, machine, own_zone or zone, 1.0 if factor is None else factor, source, own, meter)


def _float(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no number", where=f"column {column}", fix="give a number") from None
