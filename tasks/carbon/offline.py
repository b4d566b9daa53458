"""Carbon plans without a fleet: what the offline commands call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from blocks.carbon import CarbonSeries, HourlyFiles, TypicalDay, best_series, read_hourly
from blocks.errors import InvalidInput, NotConfigured
from blocks.native_output import on_stderr
from blocks.settings import data_dir
from tasks.carbon.decide.capacity import CapacityPlan, decide_capacity
from tasks.carbon.decide.grid import HOUR_S, Intensity, Jobs, covered
from tasks.carbon.decide.limits import JOB_HOURS, Moving, Shifting, spatial_limit, temporal_limit
from tasks.carbon.decide.plan import Plan
from tasks.carbon.files import LONGEST_H, JobsFile, read_capacity

HISTORY = "carbon-electricitymaps"  # folder of hourly years in CONTINUUM_DATA
EUROSYS = ("carbon-eurosys24", "carbon_2022_hourly_123zones.csv.gz")
# Percent of the mean intensity, 24 h slack: (deferral, what interruption adds), as published.
EUROSYS_PAPER = {1: (15.59, 0.0), 6: (12.63, 0.81), 12: (8.53, 2.69), 24: (3.61, 5.00), 48: (2.35, 3.64),
                 96: (1.34, 2.61), 168: (0.78, 1.93)}  # fmt: skip
EUROSYS_MOVES = (352.476, 353.566)  # g CO2e/kWh: one move, following the minimum

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reproduced:
    """The paper's table, computed again: by job length in hours, and the two figures of moving."""

    temporal: dict[int, Shifting]
    spatial: Moving

    def to_record(self) -> dict[str, Any]:
        """Percentage points by hours, g CO2e/kWh."""
        return {
            "deferral": {str(hours): each.deferral for hours, each in self.temporal.items()},
            "interruption": {str(hours): each.interruption for hours, each in self.temporal.items()},
            "spatial": {"one_move": self.spatial.one_move, "infinite_moves": self.spatial.infinite_moves},
        }


def timed(decide: Callable[[], Answer]) -> tuple[Answer, float]:
    """What a decision answers, and the seconds that it took; what a solver prints goes to stderr."""
    begin = time.perf_counter()
    with on_stderr():
        answer = decide()
    return answer, time.perf_counter() - begin


def with_intensity(text: str, zone: str, jobs: JobsFile) -> tuple[CarbonSeries, Jobs]:
    """The intensity that `--intensity` names, over the time of the jobs, and the jobs with their arrivals as times.

    Parameters
    ----------
    text :
        a file or folder of hourly intensity, or a grid zone: its hourly history where CONTINUUM_DATA holds that time,
        or another year's, else the carried typical day.
    zone :
        which column of a file with several.

    Raises
    ------
    ContinuumError: no such file or zone, or arrivals are counted and nothing says from when.
    """
    path = Path(text)
    if path.is_file():
        table = read_hourly(path)
        moved = replace(jobs.jobs, arrival_s=jobs.jobs.arrival_s + table.origin_s) if jobs.counted else jobs.jobs
        return table.series(zone), moved
    if not path.is_dir() and (path.suffix or len(path.parts) > 1):
        raise InvalidInput("cannot be read: no such file", where=text, fix="check its name, or give a zone such as DE")
    if jobs.counted:
        raise InvalidInput("arrivals are numbers, and a zone has no first hour", where="JOBS.csv, column arrival",
                           fix="write times, e.g. 2022-01-31T13:00Z, or give a file of intensity")  # fmt: skip
    each = jobs.jobs
    begin, end = int(each.arrival_s.min()), int((each.arrival_s + each.slack_s + each.duration_s).max())
    if end - begin > LONGEST_H * HOUR_S:
        raise InvalidInput("the jobs lie more than ten years apart", where="JOBS.csv, column arrival",
                           fix="correct the years, or plan them apart")  # fmt: skip
    if path.is_dir():
        return HourlyFiles(path).series(zone, begin, end), each
    return zone_series(text, begin, end), each


def zone_series(zone: str, begin_s: int, end_s: int) -> CarbonSeries:
    """The best that is known offline of a zone: history of that time, of another year, or the typical day."""
    folder = data_dir()
    history = [HourlyFiles(folder / HISTORY)] if folder and (folder / HISTORY).is_dir() else []
    return best_series([*history, TypicalDay()], zone, begin_s, end_s)


def history_of(zone_or_file: str, zone: str) -> CarbonSeries:
    """All the hourly history of a zone: of a file, or of the files in CONTINUUM_DATA.

    Raises
    ------
    NotConfigured: there are no such files; a typical day has no weather to forecast from. NotFound: no such zone.
    """
    if Path(zone_or_file).is_file():
        return read_hourly(Path(zone_or_file)).series(zone)
    folder = data_dir()
    if folder is None or not (folder / HISTORY).is_dir():
        raise NotConfigured("no hourly history is at hand, and a typical day has no weather to forecast from",
                            where=f"carbon forecast {zone_or_file}",
                            fix=f"give a file, or set CONTINUUM_DATA to a folder with {HISTORY}")  # fmt: skip
    return HourlyFiles(folder / HISTORY).whole(zone_or_file)


def grid_of(series: CarbonSeries) -> Intensity:
    """The bare numbers of a series, for `decide`."""
    return Intensity(series.start_s, series.step_s, series.g_per_kwh)


def plan_with_capacity(path: Path, intensity: Intensity, jobs: Jobs) -> CapacityPlan:
    """The cleanest plan under a capacity file.

    Raises
    ------
    InvalidInput: its hours are not those of the intensity, or jobs find no room.
    """
    start_s, step_s, kw = read_capacity(path)
    first = (intensity.start_s - start_s) // step_s
    last = first + len(intensity.g_per_kwh)
    if step_s != intensity.step_s or (intensity.start_s - start_s) % step_s or first < 0 or last > len(kw):
        raise InvalidInput("its steps are not those of the intensity", where=str(path),
                           fix=f"give kw for every {intensity.step_s // 60} min from {utc(intensity.start_s)} to "
                           f"{utc(intensity.end_s)}")  # fmt: skip
    plan = decide_capacity([intensity], kw[None, first:last], jobs)
    short = np.flatnonzero(plan.lacking_h)
    if len(short):
        raise InvalidInput(f"{plan.lacking_h.sum():.4g} hours of {len(short)} jobs find no room", where=str(path),
                           fix="give more kw, or the jobs more slack")  # fmt: skip
    return plan


def needed_span(intensity: CarbonSeries, jobs: Jobs) -> CarbonSeries:
    """The part of a series that the jobs can use: a program over a year would be larger than it need be."""
    rows = covered(grid_of(intensity), jobs)
    if not rows.any():
        return intensity
    some = jobs.take(rows)
    end = min(int((some.arrival_s + some.slack_s + some.duration_s).max()), intensity.end_s)
    return intensity.between(int(some.arrival_s.min()), end)


def reproduce_eurosys24(told: Callable[[int], None]) -> Reproduced:
    """The limits of shifting on the paper's own data; `told` is called with each job length as it begins.

    Raises
    ------
    NotConfigured: CONTINUUM_DATA is unset, or has no such folder.
    """
    folder = data_dir()
    if folder is None:
        raise NotConfigured("CONTINUUM_DATA is not set, and the paper's data are not carried",
                            where="reproduce eurosys24",
                            fix=f"export CONTINUUM_DATA=FOLDER, where FOLDER/{'/'.join(EUROSYS)} is")  # fmt: skip
    file = folder.joinpath(*EUROSYS)
    if not file.is_file():
        raise NotConfigured("the paper's data are not there", where=str(file), fix="set CONTINUUM_DATA to their folder")
    year = np.ascontiguousarray(read_hourly(file).values.T)
    temporal = {}
    for hours in JOB_HOURS:
        told(hours)
        temporal[hours] = temporal_limit(year, hours)
    return Reproduced(temporal, spatial_limit(year))


def plan_rows(names: tuple[str, ...], plan: Plan) -> Iterator[tuple[str, str, str, int, str, str]]:
    """A row a planned job: name, first begin, last end, number of runs, g at arrival, g as planned."""
    for row in np.flatnonzero(plan.covered).tolist():
        runs = plan.runs(row)
        yield (names[row], utc(runs[0][0]), utc(runs[-1][1]), len(runs), f"{plan.baseline_g[row]:.6g}",
               f"{plan.planned_g[row]:.6g}")  # fmt: skip


def utc(second: int) -> str:
    """A time as files write it.

    >>> utc(0)
    '1970-01-01T00:00Z'
    """
    when = datetime.fromtimestamp(second, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}" if second % 60 else f"{when:%Y-%m-%dT%H:%MZ}"
