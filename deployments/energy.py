"""An energy report as a person asks for it: of a fleet's own series, or of files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

from blocks.carbon import HourlyFiles, read_hourly
from blocks.cloud_carbon import read_export
from blocks.emissions import Place
from blocks.errors import InvalidInput
from tasks.carbon.offline import zone_series
from tasks.energy.decide.lines import Usage
from tasks.energy.decide.samples import HOUR_S, Samples, Shares
from tasks.energy.factors import Factors, read_factors
from tasks.energy.offline import EnergyReport, Intensity, places_of, reconcile, report_of
from tasks.energy.report import COLUMNS, cells, document, energy_sections, missing_words, summary_line
from tasks.energy.report_files import write_files
from tasks.energy.samples_file import read_samples, read_shares
from tasks.energy.usage import read_usage

__all__ = ["COLUMNS", "Choices", "energy_report", "missing_words", "rows", "summary", "told", "write"]

summary, told = summary_line, document
_MONTH = re.compile(r"(\d{4})-(\d{2})")
LONGEST_S = 366 * 24 * HOUR_S


@dataclass(frozen=True)
class Choices:
    """What was asked for; see `continuum energy report --help`."""

    begin: str | None
    end: str | None
    samples: Path | None
    shares: Path | None
    fleet: str
    intensity: Path | None
    factors: Path | None
    zone: str
    pue: float | None
    units: float | None
    unit: str
    provider_data: tuple[Path, ...] = ()
    usage: Path | None = None


def energy_report(chosen: Choices) -> EnergyReport:
    """The report of the samples or the fleet.

    Raises
    ------
    ContinuumError: what was given cannot be read, or nothing of that time is known.
    """
    if chosen.units is not None and not (isfinite(chosen.units) and chosen.units > 0):
        raise InvalidInput(f"{chosen.units:g} units", where="--units", fix="give a number above 0")
    factors = read_factors(chosen.factors) if chosen.factors else Factors()
    units = None if chosen.units is None else (chosen.units, chosen.unit)
    source = _intensity(chosen.intensity)
    if chosen.samples is None:
        if chosen.shares:
            raise InvalidInput("shares belong to --samples", where="--shares", fix="set metrics.namespace_* instead")
        name, samples, shares, usage, trouble, simulated, span, places, source = _of_fleet(chosen, source)
    else:
        name, samples, shares, trouble, span = *_of_files(chosen, chosen.samples), _span(chosen)
        simulated, places, usage = False, {}, None
    if chosen.usage is not None:
        usage, refused = read_usage(chosen.usage)
        trouble += refused
    begin_s = span[0] if span[0] is not None else samples.start_s
    end_s = span[1] if span[1] is not None else samples.start_s + samples.hours * HOUR_S
    report = report_of(name, samples, begin_s, end_s, source, shares=shares, factors=factors, units=units,
                       simulated=simulated, usage=usage)  # fmt: skip
    report.trouble[:0] = trouble
    if chosen.provider_data:
        provided = [each for path in chosen.provider_data for each in read_export(path)]
        if chosen.samples is not None:  # a cluster counts for the region whose code is its name
            places = {each.region: each.place for each in provided}
        reconcile(report, provided, places)
    return report


def rows(document: dict[str, Any]) -> list[list[str]]:
    """A row a cluster, and the sum of all."""
    return [*(cells(name, each) for name, each in document["by_cluster"].items()), cells("in all", document["totals"])]


def write(report: EnergyReport, folder: Path) -> list[Path]:
    """The rows, the totals, and a page to look at."""
    from deployments.report import render

    files = write_files(report, folder)
    page = files[0].with_suffix(".html")
    html = render(energy_sections(report), title=f"Energy and carbon of {report.name}", subtitle="all times UTC",
                  footer=f"Rows: {files[0].name}", simulated=report.simulated)  # fmt: skip
    page.write_text(html, encoding="utf-8")
    return [*files, page]


def _of_files(chosen: Choices, path: Path) -> tuple[str, Samples, Shares | None, list[str]]:
    found = read_samples(path, zone=chosen.zone, pue=chosen.pue)
    if chosen.shares is None:
        return path.stem, found.samples, None, found.refused
    shares, refused = read_shares(chosen.shares, found.samples)
    return path.stem, found.samples, shares, found.refused + refused


def _of_fleet(
    chosen: Choices, source: Intensity
) -> tuple[
    str, Samples, Shares | None, Usage | None, list[str], bool, tuple[int | None, int | None], dict[str, Place],
    Intensity,
]:  # fmt: skip
    from deployments.doctor import fleet_of
    from tasks.carbon.intensity import intensity_of
    from tasks.energy.observe import collect_use, observe_use
    from tasks.forecasting.observe import source_time_s

    begin_s, end_s = _span(chosen)
    fleet = fleet_of(chosen.fleet)
    end_s = end_s if end_s is not None else int(source_time_s(fleet)) // HOUR_S * HOUR_S
    begin_s = begin_s if begin_s is not None else end_s - 24 * HOUR_S
    trouble = collect_use.fn(fleet, begin_s, end_s)
    seen = observe_use(fleet, 2 * begin_s - end_s, end_s, trouble)
    source = source if chosen.intensity else intensity_of(fleet)
    return (fleet.name, seen.samples, seen.shares, seen.usage, list(seen.trouble), fleet.simulated, (begin_s, end_s),
            places_of(fleet), source)  # fmt: skip


def _span(chosen: Choices) -> tuple[int | None, int | None]:
    begin, end = _moment(chosen.begin, "--from"), _moment(chosen.end, "--to")
    if chosen.begin and end is None and _MONTH.fullmatch(chosen.begin):  # a month alone is that month
        end = _moment(f"{datetime.fromtimestamp((begin or 0) + 32 * 86_400, UTC):%Y-%m}", "--to")
    if begin is not None and end is not None and not 0 < end - begin <= LONGEST_S:
        raise InvalidInput("not after --from, or more than a year later", where="--to", fix="give a later time")
    return begin, end


def _moment(text: str | None, where: str) -> int | None:
    """A whole hour, epoch seconds."""
    if text is None:
        return None
    fix = "give 2026-03, 2026-03-01 or 2026-03-01T06:00Z"
    try:
        month = _MONTH.fullmatch(text)
        found = datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC) if month else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no time", where=where, fix=fix) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found - found.replace(minute=0, second=0, microsecond=0) != timedelta(0):
        raise InvalidInput(f"{text!r} is no whole hour", where=where, fix=fix)
    return int(found.timestamp())


def _intensity(path: Path | None) -> Intensity:
    if path is None:
        return zone_series
    if path.is_dir():
        return HourlyFiles(path).series
    table = read_hourly(path)
    return lambda zone, begin_s, end_s: table.series(zone).between(begin_s, end_s)
