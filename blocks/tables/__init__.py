"""Small tables of public figures, read from the package: carbon, power, round trips, prices. Sources: NOTICE."""

from __future__ import annotations

import csv
import difflib
import functools
import gzip
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.errors import InvalidInput, NotFound

Floats = NDArray[np.float64]
Value = TypeVar("Value")

CARBON_YEARS = "2021-2023"
"""Years that the typical day of `carbon_profile` is the mean of; reports print them."""
_CARBON = "carbon/carbon_profile_by_month_and_hour_81_zones.csv.gz"
_POWER = "power_w_per_thread_by_cpu_family.csv"
_RTT = "rtt_ms_between_zones.csv"
_AWS = "aws_usd_per_hour_us_east_1.csv"
_TRANSFER = "transfer_usd_per_gb_by_area.csv"
_GCP = "gcp_region_cfe_and_grid_latest.csv"
_LOADS = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class CarbonProfile:
    """A zone's typical day in each month, g CO2e/kWh: (12, 24) mean and standard deviation, by month and UTC hour."""

    mean_g_per_kwh: Floats
    std_g_per_kwh: Floats


@dataclass(frozen=True)
class GcpRegion:
    """Google's figures of one region: carbon-free share (0-1) of the hourly energy, grid g CO2e/kWh, their year."""

    location: str
    cfe_ratio: float
    grid_g_per_kwh: float
    year: int


def carbon_zones() -> tuple[str, ...]:
    """Grid zones that `carbon_profile` knows, sorted."""
    return tuple(_carbon())


def carbon_profile(zone: str) -> CarbonProfile:
    """Typical carbon intensity of a grid zone, by month and UTC hour; life-cycle, consumption-based, 2021-2023.

    Source: Electricity Maps, ODbL 1.0 (carbon/NOTICE).

    Raises
    ------
    NotFound: no such zone.

    >>> profile = carbon_profile("DE")
    >>> profile.mean_g_per_kwh.shape, bool(profile.mean_g_per_kwh[5, 11] < profile.mean_g_per_kwh[5, 19])
    ((12, 24), True)
    """
    return _entry(_carbon(), zone, "grid zone", _CARBON)


def carbon_intensity_g_per_kwh(zone: str, month: int, hour_utc: int) -> tuple[float, float]:
    """Mean and standard deviation of `carbon_profile` in one month (1-12) and UTC hour (0-23).

    Raises
    ------
    NotFound: no such zone. InvalidInput: no such month or hour.

    >>> carbon_intensity_g_per_kwh("AT", 1, 0)
    (282.1, 73.5)
    """
    profile = carbon_profile(zone)
    if not (1 <= month <= 12 and 0 <= hour_utc <= 23):
        raise InvalidInput(f"month {month}, hour {hour_utc}", where=_CARBON, fix="give a month 1-12 and an hour 0-23")
    at = month - 1, hour_utc
    return float(profile.mean_g_per_kwh[at]), float(profile.std_g_per_kwh[at])


def cpu_families() -> tuple[str, ...]:
    """CPU families that `watts_per_thread` knows, oldest first."""
    return tuple(_power())


def watts_per_thread(cpu_family: str, load: ArrayLike) -> Floats:
    """W of a whole server per hardware thread, at loads of 0-1 (any shape); linear between the 11 measured points.

    A load outside 0-1 counts as the nearer end; NaN stays NaN. Medians of published SPECpower_ssj2008 results
    (at least three servers a family, median years 2008-2022).

    Raises
    ------
    NotFound: no such family.

    >>> watts_per_thread("icelake", [0.0, 0.05, 1.0]).tolist()
    [0.822, 1.03, 3.894]
    """
    measured_w = _entry(_power(), cpu_family, "CPU family", _POWER)
    return np.asarray(np.interp(np.asarray(load, dtype=np.float64), _LOADS, measured_w))


def rtt_zones() -> tuple[str, ...]:
    """Grid zones that `rtt_ms` knows."""
    return tuple(dict.fromkeys(zone for pair in _rtt() for zone in pair))


def rtt_ms(zone_a: str, zone_b: str) -> float:
    """Mean round trip between cloud regions in two grid zones, ms; symmetric, and small within one zone.

    Means of GCP measurements published with umassos/decarbonization-potential.

    Raises
    ------
    NotFound: no such zone.

    >>> rtt_ms("DE", "SG") == rtt_ms("SG", "DE"), rtt_ms("DE", "DE")
    (True, 5.0)
    """
    known = dict.fromkeys(rtt_zones())
    for zone in (zone_a, zone_b):
        _entry(known, zone, "grid zone", _RTT)
    return _rtt()[zone_a, zone_b]


def aws_usd_per_hour(instance_type: str) -> float:
    """On-demand USD per hour of an AWS type, Linux, us-east-1, July 2026 (AWS price list).

    Raises
    ------
    NotFound: the type is not among the 147 of the table.

    >>> aws_usd_per_hour("c5.2xlarge")
    0.34
    """
    return _entry(_aws(), instance_type, "AWS type", _AWS)


def transfer_usd_per_gb(from_area: str, to_area: str) -> float:
    """Median USD per GB sent between areas: AWS region prefixes (`eu`, `us`, ...), `internet` as the target; 2024.

    Within one area it is the price between regions. Medians of the AWS price list gathered by skyplane.

    Raises
    ------
    NotFound: no such pair.

    >>> transfer_usd_per_gb("eu", "internet")
    0.09
    """
    return _entry(_transfer(), f"{from_area} to {to_area}", "transfer", _TRANSFER)


def gcp_region(region: str) -> GcpRegion:
    """Google's published figures of a GCP region, 2024.

    Raises
    ------
    NotFound: no such region.

    >>> gcp_region("europe-west3").cfe_ratio
    0.68
    """
    return _entry(_gcp(), region, "GCP region", _GCP)


def _entry(table: Mapping[str, Value], key: str, what: str, file: str) -> Value:
    if key in table:
        return table[key]
    near = difflib.get_close_matches(key, table, n=5, cutoff=0.3) or sorted(table)[:5]
    raise NotFound(f"no {what} {key!r} in this table", where=file, fix=f"the nearest it has: {', '.join(near)}")


def _rows(file: str) -> list[dict[str, str]]:
    packed = importlib.resources.files(__name__).joinpath(file).read_bytes()
    text = (gzip.decompress(packed) if file.endswith(".gz") else packed).decode()
    return list(csv.DictReader(text.splitlines()))


@functools.cache
def _carbon() -> dict[str, CarbonProfile]:
    zones: dict[str, Floats] = {}
    for row in _rows(_CARBON):
        table = zones.setdefault(row["zone"], np.full((2, 12, 24), np.nan))
        table[:, int(row["month"]) - 1, int(row["hour_utc"])] = float(row["gco2_per_kwh"]), float(row["std"])
    for table in zones.values():
        table.flags.writeable = False
    return {zone: CarbonProfile(*zones[zone]) for zone in sorted(zones)}


@functools.cache
def _power() -> dict[str, Floats]:
    return {
        row["cpu_family"]: np.array([float(row[f"w_per_thread_at_{percent}"]) for percent in range(0, 101, 10)])
        for row in _rows(_POWER)
    }


@functools.cache
def _rtt() -> dict[tuple[str, str], float]:
    pairs = [(row["zone_a"], row["zone_b"], float(row["rtt_ms"])) for row in _rows(_RTT)]
    return {pair: ms for a, b, ms in pairs for pair in ((a, b), (b, a))}


@functools.cache
def _aws() -> dict[str, float]:
    return {row["instance_type"]: float(row["usd_per_hour_on_demand_linux"]) for row in _rows(_AWS)}


@functools.cache
def _transfer() -> dict[str, float]:
    return {f"{row['from_area']} to {row['to_area']}": float(row["usd_per_gb"]) for row in _rows(_TRANSFER)}


@functools.cache
def _gcp() -> dict[str, GcpRegion]:
    return {
        row["region"]: GcpRegion(row["location"], float(row["cfe"]), float(row["grid_gco2_kwh"]), int(row["year"]))
        for row in _rows(_GCP)
    }
