"""How far the power model is off measured watts, beside the seed's formula; errors as a share of the machine's maximum.

The report of a month of 1,000 made-up machines besides: seconds and memory.

Run: `make bench-energy` (needs CONTINUUM_DATA). Data: power/codecarbon_cpu_load_vs_power.csv (106 points of 4 machines;
wall watts of one, package watts of all) and power/aws_instances_power.csv.gz (Teads' estimates of 621 types).
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from energy_month import write_month
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.energy.decide.calibration import calibrate, calibrate_clocked
from tasks.energy.decide.instance_types import machine_of
from tasks.energy.decide.power import Machine, Power, model_power, seed_power

Floats = NDArray[np.float64]
MEASURED = {
    "AMD Ryzen Threadripper 1950X 16-Core Processor": Machine("epyc-gen1", 32),
    "AMD EPYC 8024P 8-Core Processor": Machine("epyc", 16),
    "Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz": Machine("ivybridge", 8),
    "Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz": Machine("haswell", 24),
}
AWS_LOADS = np.array([0.0, 0.1, 0.5, 1.0])


def error(model: Floats, measured: Floats) -> float:
    """Mean absolute error as a share of the largest measured value."""
    return float(np.abs(model - measured).mean() / measured.max())


def points(folder: Path, column: str, *, by_run: bool = False) -> Iterator[tuple[str, Floats, Floats]]:
    """Machine, (N,) load of all its cores and (N,) W, where that column was measured; a row a run of it where asked."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    run, before = 0, ("", 0.0)
    with (folder / "codecarbon_cpu_load_vs_power.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            of, at_s = row["cpu_name"] + row["load_type"], float(row["timestamp"])
            run += of != before[0] or not 0 <= at_s - before[1] <= 120
            before = of, at_s
            if float(row[column]) > 0:
                name = f"{row['cpu_name']} #{run}" if by_run else row["cpu_name"]
                found[name].append((float(row["cpu_load"]) / 100, float(row[column])))
    for name, pairs in found.items():
        load, watts = np.array(sorted(pairs)).T
        yield name, load, watts


def inside(power: Power, measured: Floats) -> int:
    """How many measured values lie within the mean error that the model gives either way."""
    return int(((measured >= power.low) & (measured <= power.high)).sum())


def half_error(load: Floats, watts: Floats) -> float:
    """Error of a curve fitted to every other point, on the rest."""
    fit = calibrate(load[::2], watts[::2])
    return float(np.abs(fit.power_w(load[1::2]) - watts[1::2]).mean() / watts.max())


def clocked_halves(folder: Path, splits: int = 40) -> dict[str, dict[str, float]]:
    """Error by load, clock and temperature of half of a machine's points, on the rest, by its meter, runs mixed.

    Every other point by load, and the mean over `splits` halves drawn. A counter's W is its energy over the row's
    duration: the column `rapl_power` holds the power of the row before (`stale_ratio` tells by how much each is off).
    Two runs of the E3-1240 V2 (48 and 92 W at full load; its TDP is 69 W) read different counters: two meters.
    """
    found: dict[str, list[list[float]]] = defaultdict(list)
    run, before = 0, ("", 0.0)
    with (folder / "codecarbon_cpu_load_vs_power.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            of, at_s = row["cpu_name"], float(row["timestamp"])
            run += of != before[0] or not 0 <= at_s - before[1] <= 300
            before = of, at_s
            point = [float(row["cpu_load"]) / 100, float(row["cpu_freq"]), float(row["temperature"])]
            found[f"{of} #{run}, counter"].append([*point, float(row["rapl_energy"]) * 3.6e6 / float(row["duration"])])
            if float(row["tapo_power"]) > 0:
                found[f"{of} #{run}, plug"].append([*point, float(row["tapo_power"])])
    told, rng = {}, np.random.default_rng(0)
    for name, rows in found.items():
        points = np.array(sorted(rows))
        number = np.arange(len(points))
        halves = [(number[::2], number[1::2])]
        for _ in range(splits):
            mixed = rng.permutation(number)
            halves.append((mixed[::2], mixed[1::2]))
        errors = []
        for kept, rest in halves:
            fit = calibrate_clocked(*points[kept].T)
            off = fit.power_w(*points[rest, :3].T) - points[rest, 3]
            errors.append(float(np.abs(off).mean() / points[:, 3].max()))
        told[name] = {"every other point": errors[0], "halves drawn": float(np.mean(errors[1:]))}
    return told


def stale_ratio(folder: Path) -> dict[str, float]:
    """Median distance of `rapl_power` from the counter's W of its own row, and of the row before in its run."""
    with (folder / "codecarbon_cpu_load_vs_power.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    off = []
    for before, row in pairwise(rows):
        if (before["cpu_name"], before["load_type"]) == (row["cpu_name"], row["load_type"]):
            told = float(row["rapl_power"])
            off.append([abs(told / (float(each["rapl_energy"]) * 3.6e6 / float(each["duration"])) - 1)
                        for each in (row, before)])  # fmt: skip
    own, last = np.median(off, axis=0)
    return {"own row": float(own), "row before": float(last)}


def aws(folder: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """Type, (4,) package W and (4,) W of the whole instance at 0, 10, 50 and 100 %."""
    with gzip.open(folder / "aws_instances_power.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            read = [[float(row[f"{what} @ {load}"].replace(",", ".")) for load in ("Idle", "10%", "50%", "100%")]
                    for what in ("PkgWatt", "Instance")]  # fmt: skip
            yield row["Instance type"], np.array(read[0]), np.array(read[1])


def by_own_ends(load: Floats, watts: Floats) -> float:
    """Error between the ends of the model by a machine's own idle and full W: means within 2 points of both ends."""
    low, high = load <= load.min() + 0.02, load >= load.max() - 0.02
    idle_w, full_w = sorted((float(watts[low].mean()), float(watts[high].mean())))
    own = Machine("skylake", 1, idle_w=idle_w, full_w=full_w)  # the family plays no part
    between = ~(low | high)
    return float(np.abs(model_power(own, load).central - watts)[between].mean() / watts.max())


def month_of(machines: int) -> dict[str, float]:
    """`continuum energy report` of a month of machines, a sample each 5 minutes: seconds, peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "month.parquet"
        rows = write_month(samples, machines)
        words = ["energy", "report", "--samples", samples, "--pue", "1.2", "--out", Path(folder) / "out", "--json"]
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "deployments.command", *words], check=True, stdout=subprocess.DEVNULL)
        wall_s = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"rows": rows, "cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s, "must_s": 10,
            "peak_gb": used.ru_maxrss * 1024 / 1e9, "must_gb": 1}  # fmt: skip


def main() -> None:
    """Measure and print."""
    data = os.environ.get("CONTINUUM_DATA")
    if not data:
        sys.exit("bench-energy: CONTINUUM_DATA is not set: nothing to measure against")
    folder = Path(data) / "power"
    wall = [(error(model_power(MEASURED[name], load).central, watts), error(seed_power(load), watts))
            for name, load, watts in points(folder, "tapo_power")]  # fmt: skip
    package = [(error(model_power(MEASURED[name], load).cpu, watts), error(seed_power(load), watts))
               for name, load, watts in points(folder, "rapl_power")]  # fmt: skip
    halves = {
        kind: float(np.mean([half_error(load, watts) for column in ("tapo_power", "rapl_power")
                             for _, load, watts in points(folder, column, by_run=by_run)]))
        for kind, by_run in (("by load alone, within a run", True), ("by load alone, runs mixed", False))
    }  # fmt: skip
    clocked = clocked_halves(folder)
    for meter, kept in (("counters", "counter"), ("counters and the plug", "")):
        of = [each for name, each in clocked.items() if kept in name]
        for split in of[0]:
            halves[f"by load, clock and temperature, {meter}, {split}"] = float(np.mean([each[split] for each in of]))
    own = {
        "aws_package": float(np.mean([by_own_ends(AWS_LOADS, watts) for _, watts, _ in aws(folder)])),
        "aws_instances": float(np.mean([by_own_ends(AWS_LOADS, watts) for _, _, watts in aws(folder)])),
        "wall": [by_own_ends(load, watts) for _, load, watts in points(folder, "tapo_power")],
        "package": [by_own_ends(load, watts) for _, load, watts in points(folder, "rapl_power")],
    }
    types, unknown, within = [], 0, 0
    for name, package_w, whole_w in aws(folder):
        try:
            machine = machine_of(name)
        except InvalidInput:
            unknown += 1
            continue
        power = model_power(machine, AWS_LOADS, AWS_LOADS)
        within += inside(power, whole_w)
        seed = seed_power(AWS_LOADS)
        types.append((error(power.cpu, package_w), error(power.central, whole_w), error(seed, package_w),
                      error(seed, whole_w)))  # fmt: skip
    mean = np.mean(types, axis=0)
    together = np.array([*wall, *((row[0], row[2]) for row in types)])
    document = {
        "month_of_1000_machines": month_of(1000),
        "measured_machines": {"wall": wall, "package": package, "columns": ["ours", "seed"]},
        "aws_types": {"read": len(types), "unknown": unknown, "package": [mean[0], mean[2]],
                      "instance": [mean[1], mean[3]]},
        "all_without_meter": {"ours": float(together[:, 0].mean()), "seed": float(together[:, 1].mean()),
                              "ratio": float(together[:, 0].mean() / together[:, 1].mean()), "must": 1 / 3},
        "own_idle_and_full": own,
        "calibrated_on_half": {**halves, "must": 0.05},
        "calibrated_by_load_clock_temperature": clocked,
        "distance_of_rapl_power_from_the_counter": stale_ratio(folder),
        "within_the_mean_error": {
            "aws_instances": within / (len(types) * len(AWS_LOADS)),
            "wall": float(np.mean([inside(model_power(MEASURED[name], load), watts) / len(watts)
                                   for name, load, watts in points(folder, "tapo_power")])),
        },
    }  # fmt: skip
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
