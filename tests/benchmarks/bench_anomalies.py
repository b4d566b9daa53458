"""Recall, false alerts and speed of the anomaly detector: CONTINUUM_DATA=... python tests/benchmarks/bench_anomalies.py

Prints one JSON document. The series are the NAB files of `$CONTINUUM_DATA/nab`, put on a grid of means (AWS 5 min,
traffic 10 min, travel times 30 min: these are irregular and a third to two thirds missing). The detector has one fixed
configuration. Its margins were chosen on these very files: the false alerts are those of the choice, the faults are at
other places. "unseen" is 60 machines of Bitbrains and the data-centre traces, on which no margin was chosen (that a bar
is a margin times a maximum was, with both in view). Those have no labels: a false alert there may be a true one.

Injected faults: each is put into a copy of a series, at a place drawn evenly (fixed seed) from the measured steps after
the fifth day and the first 30 %, a day away from the next labelled window and from the end. Sizes are multiples of
sigma, the Gaussian equivalent of the series' own noise: half the width of its central 99.8 %, over 3.09. For Gaussian
noise that is its standard deviation; where a series has spikes of its own, one of 6 sigma is 1.9 times what they exceed
once in 500 steps. Faults larger than the whole range of the series are left out. The noise is,

- for spikes, shifts and added variance: values less their centred median of an hour;
- for drifts: changes of the hourly means in six hours.

"mad_sigma" repeats it with 1.4826 times the median absolute deviation as sigma: there a spike of 6 sigma is often one
that the series has by itself many times a day. A fault is found by an alert within the kind's time that the clean
series does not have at that step. False alerts are those of the clean series outside the labelled windows. "quiet past"
are the faults without a labelled step in the detector's ring.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import nab_score
import numpy as np
import pandas as pd

from blocks.series import Series
from blocks.settings import data_dir
from tasks.forecasting.decide.anomalies import CAUSES, detect, mask, reach_of, ring_of
from tasks.forecasting.decide.residuals import hour_of

WEEK_S, DAY_S, HOUR_S = 7 * 86_400, 86_400, 3_600
CENTRAL, HALF = 0.998, 0.5  # share of the noise whose width makes a sigma; of the half it is the MAD's
FRESH = 2026  # a seed that was not looked at when the margins were chosen
PLACES = 8  # of each fault of each size in each series, half of them downwards
WATCHED_S = 30 * HOUR_S  # judged after the begin of each fault
STRONGLY_DAILY = 0.6  # correlation of hourly means with the day before


@dataclass(frozen=True)
class Kind:
    """A fault: its sizes, their unit, and how long after its begin an alert still counts."""

    sizes: tuple[float, ...]
    unit: str
    within_s: int


KINDS = {
    "spike": Kind((6, 8, 10, 15), "sigma, one step", HOUR_S // 2),
    "level shift": Kind((6, 8, 10, 15), "sigma, stays", 2 * HOUR_S),
    "slow drift": Kind((4, 6, 8), "sigma of changes in six hours, reached in six hours, stays", 8 * HOUR_S),
    "variance": Kind((1.5, 2, 3, 4), "sigma of added Gaussian noise, six hours", 6 * HOUR_S),
    "flat line": Kind((6, 12), "hours at one value; series with own runs of half as long are left out", 0),
    "phase shift": Kind((4, 6, 8), "hours late from then on, strongly daily series only", DAY_S),
    "missing": Kind((1, 6, 24), "hours; an alert until six hours after is a false one", 6 * HOUR_S),
}


@dataclass(frozen=True)
class Trace:
    """One series: name, step, values, which steps are in labelled windows."""

    name: str
    step_s: int
    values: np.ndarray
    labelled: np.ndarray

    @property
    def group(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Fault:
    """A copy of a trace with a fault from column `begin` on; alerts up to `end` find it."""

    trace: Trace
    kind: str
    size: float
    begin: int
    end: int
    values: np.ndarray


def traces(folder: Path) -> list[Trace]:
    """Every NAB file on its grid."""
    windows = json.loads((folder / "windows.json").read_text())
    found = []
    for path in sorted(folder.glob("*/*.csv.gz")):
        name = f"{path.parent.name}/{path.name.removesuffix('.csv.gz')}"
        step_s = 1800 if "TravelTime" in name else 600 if "Traffic" in name else 300
        table = pd.read_csv(path, parse_dates=["timestamp"])
        slot = (seconds(table["timestamp"]) // step_s).astype(int)
        mean = table["value"].groupby(slot).mean()
        values = mean.reindex(range(slot.min(), slot.max() + 1)).to_numpy(np.float32)
        times = step_s * np.arange(slot.min(), slot.max() + 1)
        labelled = np.zeros(len(values), bool)
        for pair in windows[f"{name}.csv"]:
            first, last = seconds(pd.Series(pd.to_datetime(pair)))
            labelled |= (times >= first) & (times <= last)
        found.append(Trace(name, step_s, values, labelled))
    return found


def seconds(stamps: pd.Series) -> np.ndarray:
    return ((stamps - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy()


def sigma(noise: np.ndarray, central: float) -> float:
    """Gaussian equivalent of the width of the central share."""
    edge = (1 - central) / 2
    low, high = np.nanquantile(noise, [edge, 1 - edge])
    return float((high - low) / 2 / NormalDist().inv_cdf(1 - edge))


@dataclass(frozen=True)
class Nature:
    """What a series does by itself: its noise from step to step and in six hours, its days, runs and range."""

    noise: float
    change: float
    daily: float
    run_s: int
    range: float


def nature(trace: Trace, central: float) -> Nature:
    values, hour = pd.Series(trace.values.astype(float)), hour_of(trace.step_s)
    median = values.rolling(hour + 1 - hour % 2, center=True, min_periods=1).median()
    hourly = values.rolling(hour, min_periods=max(1, hour // 3)).mean()
    known = trace.values[np.isfinite(trace.values)]
    turns = np.flatnonzero(np.concatenate([[True], np.diff(known) != 0, [True]]))
    return Nature(
        sigma((values - median).to_numpy(), central),
        sigma(hourly.diff(6 * HOUR_S // trace.step_s).to_numpy(), central),
        float(hourly.corr(hourly.shift(DAY_S // trace.step_s))),
        int(np.diff(turns).max()) * trace.step_s,
        float(np.ptp(known)),
    )


def broken(trace: Trace, own: Nature, kind: str, size: float, begin: int, up: bool, rng: Any) -> tuple[np.ndarray, int]:
    """A copy with the fault, and the column up to which an alert finds it."""
    values, hour = trace.values.astype(float), HOUR_S // trace.step_s
    sign, six = 1 if up else -1, 6 * hour
    end = begin + max(1, KINDS[kind].within_s // trace.step_s)
    match kind:
        case "spike":
            values[begin] += sign * size * own.noise
        case "level shift":
            values[begin:] += sign * size * own.noise
        case "slow drift":
            values[begin:] += sign * size * own.change * np.minimum(np.arange(len(values) - begin) / six, 1)
        case "variance":
            values[begin : begin + six] += rng.normal(0, size * own.noise, six)
        case "flat line":
            end = begin + int(size * hour)
            known = np.isfinite(values[begin:end])
            values[begin:end][known] = values[begin]
        case "phase shift":
            late = int(size * hour)
            values[begin:] = trace.values[begin - late : len(values) - late]
        case "missing":
            values[begin : begin + int(size * hour)] = np.nan
            end += int(size * hour)
    return values.astype(np.float32), end


def possible(own: Nature, kind: str, size: float) -> bool:
    """Whether the fault can be told from what the series does by itself."""
    match kind:
        case "spike" | "level shift":
            return 0 < size * own.noise <= own.range
        case "variance":
            return own.noise > 0
        case "slow drift":
            return 0 < size * own.change <= own.range
        case "flat line":
            return own.run_s <= size * HOUR_S / 2
        case "phase shift":
            return own.daily >= STRONGLY_DAILY
    return True


def faults(found: list[Trace], central: float = CENTRAL) -> Iterator[Fault]:
    """Every kind and size in every series, at seeded places."""
    for number, trace in enumerate(found):
        own, day = nature(trace, central), DAY_S // trace.step_s
        rng = np.random.default_rng([FRESH, number])
        fit = np.isfinite(trace.values)
        fit[: max(5 * day, 3 * len(fit) // 10)] = False
        fit[len(fit) - WATCHED_S // trace.step_s :] = False
        for column in np.flatnonzero(trace.labelled):
            fit[max(0, column - day) : column + 1] = False
        places = np.flatnonzero(fit)
        if not len(places):
            continue
        for kind, about in KINDS.items():
            for size in about.sizes:
                for place in range(PLACES):
                    begin = int(rng.choice(places))
                    if possible(own, kind, size):
                        values, end = broken(trace, own, kind, size, begin, place % 2 == 0, rng)
                        yield Fault(trace, kind, size, begin, end, values)


def clean_alerts(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """(T,) alerts and whether each step was scored, of the series as it is."""
    made = detect(Series((trace.name,), 0, trace.step_s, trace.values[None]), len(trace.values))
    return made.alerts[0], np.isfinite(made.score[0])


def cut(fault: Fault) -> np.ndarray:
    """The past that has a say and the watched steps; NaN before the series begins."""
    watched, reach = WATCHED_S // fault.trace.step_s, reach_of(fault.trace.step_s)
    values = fault.values[max(0, fault.begin - reach) : fault.begin + watched]
    return np.concatenate([np.full(reach + watched - len(values), np.nan, np.float32), values])


def false_alerts(found: list[Trace], clean: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Per series and week of scored steps, outside the labelled windows."""
    counts = {trace.name: int((clean[trace.name][0] & ~trace.labelled).sum()) for trace in found}
    weeks = {
        trace.name: float((clean[trace.name][1] & ~trace.labelled).sum() * trace.step_s / WEEK_S) for trace in found
    }
    each = {name: counts[name] / weeks[name] for name in counts if weeks[name] > 0}
    return {
        "series": len(each), "weeks": round(sum(weeks.values()), 1), "alerts": sum(counts.values()),
        "per_series_and_week": round(sum(counts.values()) / sum(weeks.values()), 3),
        "median_series": round(float(np.median(list(each.values()))), 2),
        "worst_series": round(max(each.values()), 2),
    }  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: found, minutes until then, new alerts in the watched time, no label in the ring."""

    found: bool
    minutes: float
    alerts: int
    quiet_past: bool


def outcomes(found: list[Trace], clean: dict[str, tuple[np.ndarray, np.ndarray]], central: float) -> Any:
    """Kind, size, outcome and first cause of every fault."""
    every = list(faults(found, central))
    for step_s in sorted({fault.trace.step_s for fault in every}):
        chosen = [fault for fault in every if fault.trace.step_s == step_s]
        watched, ring = WATCHED_S // step_s, ring_of(step_s)
        copies = np.stack([cut(fault) for fault in chosen])
        made = detect(Series(tuple(map(str, range(len(chosen)))), 0, step_s, copies), watched)
        for row, fault in enumerate(chosen):
            new = np.flatnonzero(made.alerts[row] & ~clean[fault.trace.name][0][fault.begin : fault.begin + watched])
            hits = new[new < fault.end - fault.begin]
            quiet = not fault.trace.labelled[max(0, fault.begin - ring) : fault.begin].any()
            minutes = float(hits[0] * step_s / 60) if len(hits) else np.nan
            cause = CAUSES[made.cause[row, hits[0]]].value if len(hits) else ""
            yield fault.kind, fault.size, Outcome(bool(len(hits)), minutes, len(new), quiet), cause


def injected(found: list[Trace], central: float = CENTRAL) -> dict[str, Any]:
    """Recall, time to detect and alerts a fault, by kind and size."""
    clean = {trace.name: clean_alerts(trace) for trace in found}
    rows: dict[str, dict[float, list[Outcome]]] = {}
    causes: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for kind, size, outcome, cause in outcomes(found, clean, central):
        rows.setdefault(kind, {}).setdefault(size, []).append(outcome)
        if cause:
            causes[kind][cause] = causes[kind].get(cause, 0) + 1
    table = {kind: kind_table(kind, sizes, causes[kind]) for kind, sizes in rows.items()}
    wanted = [row for kind, row in table.items() if kind != "missing"]
    every = [one for kind, sizes in rows.items() if kind != "missing" for size in sizes.values() for one in size]
    return {
        "recall_all_faults": share([one.found for one in every]),
        "recall_mean_of_kinds": round(float(np.mean([row["recall"] for row in wanted])), 3),
        "recall_quiet_past": share([one.found for one in every if one.quiet_past]),
        "false_alerts": false_alerts(found, clean),
        "kinds": table,
    }


def share(found: list[bool]) -> float | None:
    return round(float(np.mean(found)), 3) if found else None


def kind_table(kind: str, sizes: dict[float, list[Outcome]], causes: dict[str, int]) -> dict[str, Any]:
    """Figures of a kind, and its recall by size."""
    every = [outcome for size in sizes.values() for outcome in size]
    minutes = [outcome.minutes for outcome in every if outcome.found]
    return {
        "unit": KINDS[kind].unit,
        "faults": len(every),
        "recall": share([outcome.found for outcome in every]),
        "recall_quiet_past": share([outcome.found for outcome in every if outcome.quiet_past]),
        "recall_by_size": {str(size): share([one.found for one in rows]) for size, rows in sizes.items()},
        "recall_by_size_quiet_past": {
            str(size): share([one.found for one in rows if one.quiet_past]) for size, rows in sizes.items()
        },
        "minutes_to_detect": [round(float(np.quantile(minutes, level))) for level in (0.5, 0.9)] if minutes else None,
        "alerts_in_30_h": round(float(np.mean([outcome.alerts for outcome in every])), 2),
        "first_cause": causes,
    }


def unseen(folder: Path) -> list[Trace]:
    """Series on which nothing was chosen: the data-centre traces, and the first 60 machines that mostly report."""
    found = []
    for path in (*sorted(folder.glob("datacenter-5min/*.csv.gz")), folder / "bitbrains-small/cpu_mhz_5min.csv.gz"):
        table = pd.read_csv(path).iloc[:8064, 1:61]
        for name in table.columns:
            values = table[name].to_numpy(np.float32)
            if np.isfinite(values).mean() > 0.9 and np.nanstd(values) > 0:
                found.append(Trace(f"{path.parent.name}/{name}", 300, values, np.zeros(len(values), bool)))
    return found


@dataclass(frozen=True)
class Rows:
    """A NAB file as NAB reads it: values in the order of its rows, labelled windows as first and last row."""

    group: str
    values: np.ndarray
    windows: list[tuple[int, int]]


def nab_rows(folder: Path) -> list[Rows]:
    """Every file."""
    windows = json.loads((folder / "windows.json").read_text())
    found = []
    for path in sorted(folder.glob("*/*.csv.gz")):
        table = pd.read_csv(path, parse_dates=["timestamp"])
        stamps = table["timestamp"]
        pairs = [np.flatnonzero(stamps.between(pd.Timestamp(first), pd.Timestamp(last)))
                 for first, last in windows[f"{path.parent.name}/{path.name.removesuffix('.gz')}"]]  # fmt: skip
        found.append(Rows(path.parent.name, table["value"].to_numpy(float),
                          [(int(rows[0]), int(rows[-1])) for rows in pairs]))  # fmt: skip
    return found


def by_group(folder: Path) -> dict[str, Any]:
    """NAB's standard score by group: the detector as it is, and baselines at the threshold best for these files."""
    files = nab_rows(folder)
    ours = [detect(Series(("x",), 0, 300, file.values[None].astype(np.float32)), len(file.values)) for file in files]
    hot = [made.score[0] >= 1 for made in ours]
    table = {
        "detector": scored(files, [made.alerts[0] for made in ours]),
        "detector, dead time of 5 % of the file": scored(files, apart(hot, 0.05)),
    }
    for name, score, share_of_file in (
        ("EWMA z, dead time of 2 % of the file, best threshold", nab_score.ewma_z, 0.02),
        ("windowed Gaussian, best threshold", nab_score.windowed_gaussian, 0.0),
        ("windowed Gaussian, dead time of 2 % of the file, best threshold", nab_score.windowed_gaussian, 0.02),
    ):
        marks = [score(file.values) for file in files]
        levels = np.quantile(np.concatenate(marks), 1 - np.geomspace(1e-4, 0.1, 40))
        rows = [scored(files, apart([mark >= level for mark in marks], share_of_file)) for level in levels]
        table[name] = max(rows, key=lambda row: row["all"])
    return table


def apart(hot: list[np.ndarray], share_of_file: float) -> list[np.ndarray]:
    return [nab_score.dead_time(rows, max(1, int(share_of_file * len(rows)))) for rows in hot]


def scored(files: list[Rows], alerts: list[np.ndarray]) -> dict[str, float]:
    """Normalised score of each group and of all files."""
    answer = {}
    for group in (*sorted({file.group for file in files}), "all"):
        chosen = [(file, rows) for file, rows in zip(files, alerts, strict=True) if group in (file.group, "all")]
        total = sum(nab_score.raw_score(rows, file.windows) for file, rows in chosen)
        count = sum(end >= nab_score.probation(len(rows)) for file, rows in chosen for _, end in file.windows)
        answer[group] = round(nab_score.normalised(total, count), 1)
    return answer


def speed() -> dict[str, Any]:
    """CPU seconds on generated daily series of 5 min; data from a fixed seed."""
    rng, table = np.random.default_rng(0), {}
    for count, judged in ((1_000, 1), (1_000, 12), (10_000, 12), (1_000, 288)):
        steps = np.arange(reach_of(300) + judged)
        values = 10 + 4 * np.sin(2 * np.pi * steps / 288) + rng.normal(0, 1, (count, len(steps)))
        fleet = Series(tuple(map(str, range(count))), 0, 300, values.astype(np.float32))
        begun = time.process_time()
        detect(fleet, judged)
        taken = time.process_time() - begun
        table[f"{count} series, {judged} steps"] = {
            "cpu_s": round(taken, 2), "points_per_cpu_s": round(count * judged / taken),
        }  # fmt: skip
    values = rng.normal(10, 1, (2_000, 8_640)).astype(np.float32)
    begun = time.process_time()
    mask(Series(tuple(map(str, range(2_000))), 0, 300, values))
    table["mask, cpu_s for 10 000 series x 8 640 steps (2 000 measured)"] = round(5 * (time.process_time() - begun), 1)
    return table


def main() -> None:
    """Print the document."""
    report: dict[str, Any] = {"speed": speed()}
    folder = data_dir()
    if folder:
        found = traces(folder / "nab")
        report["injected"] = injected(found)
        report["injected_mad_sigma"] = injected(found, HALF)
        report["injected_unseen"] = injected(unseen(folder))
        report["labels"] = by_group(folder / "nab")
    else:
        report["injected"] = "skipped: CONTINUUM_DATA is not set"
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
