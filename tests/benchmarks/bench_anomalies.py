"""Recall, false alerts and speed of the anomaly detector. Run: CONTINUUM_DATA=... python tests/benchmarks/bench_anomalies.py

Prints one JSON document. The series are the NAB files of `$CONTINUUM_DATA/nab`, put on a grid of means (AWS 5 min,
traffic 10 min, travel times 30 min: these are irregular and half missing); the detector has one fixed configuration.

Injected faults: each is put into a copy of a series, at a place drawn evenly (fixed seed) from the measured steps after
the fifth day and the first 30 %, a day away from the next labelled window and from the end. Sizes are multiples of
sigma, the Gaussian equivalent of the series' own noise: half the width of the central 99.8 % of it over 3.09. For a
Gaussian series that is its standard deviation; where a series has spikes of its own, a spike of 6 sigma is 1.9 times
the size that it exceeds about once in two days. Faults larger than the whole range of the series are left out. The noise is

- for spikes, shifts and added variance: values less their centred median of an hour;
- for drifts, over six hours: changes of the hourly means in six hours.

A fault is found by an alert within the kind's time that the clean series does not have at that step. False alerts are
those of the clean series outside the labelled windows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from blocks.series import Series
from blocks.settings import data_dir
from tasks.forecasting.decide.anomalies import CAUSES, detect, mask, reach_of
from tasks.forecasting.decide.residuals import hour_of

WEEK_S, DAY_S, HOUR_S = 7 * 86_400, 86_400, 3_600
CENTRAL = 0.998  # share of the noise whose width makes a sigma
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
        rng = np.random.default_rng(number)
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


def injected(found: list[Trace], central: float = CENTRAL) -> dict[str, Any]:
    """Recall, time to detect and alerts a fault, by kind and size."""
    clean = {trace.name: clean_alerts(trace) for trace in found}
    all_faults = list(faults(found, central))
    rows: dict[str, dict[float, list[tuple[bool, float, int]]]] = {kind: {} for kind in KINDS}
    causes: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for step_s in sorted({fault.trace.step_s for fault in all_faults}):
        chosen = [fault for fault in all_faults if fault.trace.step_s == step_s]
        copies = np.stack([cut(fault) for fault in chosen])
        made = detect(Series(tuple(map(str, range(len(chosen)))), 0, step_s, copies), WATCHED_S // step_s)
        for row, fault in enumerate(chosen):
            known = clean[fault.trace.name][0][fault.begin : fault.begin + WATCHED_S // step_s]
            new = np.flatnonzero(made.alerts[row] & ~known)
            hits = new[new < fault.end - fault.begin]
            delay = float(hits[0] * step_s / 60) if len(hits) else np.nan
            rows[fault.kind].setdefault(fault.size, []).append((bool(len(hits)), delay, len(new)))
            if len(hits):
                name = CAUSES[made.cause[row, hits[0]]].value
                causes[fault.kind][name] = causes[fault.kind].get(name, 0) + 1
    table = {kind: kind_table(kind, sizes, causes[kind]) for kind, sizes in rows.items() if sizes}
    recalls = [row["recall"] for kind, row in table.items() if kind != "missing"]
    return {
        "recall_mean_of_kinds": round(float(np.mean(recalls)), 3),
        "recall_all_faults": round(float(np.mean([hit for kind, sizes in rows.items() if kind != "missing"
                                                  for size in sizes.values() for hit, _, _ in size])), 3),
        "false_alerts": false_alerts(found, clean),
        "kinds": table,
    }  # fmt: skip


def kind_table(kind: str, sizes: dict[float, list[tuple[bool, float, int]]], causes: dict[str, int]) -> dict[str, Any]:
    """Figures of a kind, and its recall by size."""
    every = [entry for size in sizes.values() for entry in size]
    delays = [delay for _, delay, _ in every if np.isfinite(delay)]
    return {
        "unit": KINDS[kind].unit,
        "faults": len(every),
        "recall": round(float(np.mean([hit for hit, _, _ in every])), 3),
        "recall_by_size": {str(size): round(float(np.mean([hit for hit, _, _ in rows])), 3)
                           for size, rows in sizes.items()},
        "minutes_to_detect": {"median": round(float(np.median(delays)), 1), "p90": round(float(np.quantile(delays, 0.9)), 1)}
        if delays else None,
        "alerts_in_30_h": round(float(np.mean([count for _, _, count in every])), 2),
        "first_cause": causes,
    }  # fmt: skip
