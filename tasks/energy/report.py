"""An energy report told: totals by cluster, namespace and method, tables, plots."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from tasks.energy.decide.accounting import EMBODIED_SOURCE, POWER_SOURCE, Accounts
from tasks.energy.decide.lines import LINES
from tasks.energy.offline import EnergyReport
from tasks.sections import section

MWH, MG, UL = 1e6, 1e3, 1e6  # whole numbers to kWh, g and l: a double holds k / 1e6 so that it is written back as it is
COLUMNS = ("cluster", "kWh", "low to high", "idle", "g CO2e (location)", "g (market)", "g (making)", "known")
SUMMED = ("energy_kwh", "busy_kwh", "idle_kwh", "overhead_kwh", "low_kwh", "high_kwh", "location_g", "embodied_g")


def document(report: EnergyReport) -> dict[str, Any]:
    """The report as one JSON document: totals, and by cluster, namespace and hour. Sums of the rows, exactly."""
    accounts = report.accounts
    keys = {
        "by_cluster": np.array([each.cluster for each in accounts.pools], object)[accounts.pool],
        "by_namespace": accounts.namespace, "by_method": accounts.method, "by_kind": _kinds(accounts),
    }  # fmt: skip
    unsure = [f"{each.cluster}/{each.name}: {each.assumed}" for each in accounts.pools if each.assumed]
    return {
        "name": report.name, "simulated": report.simulated, "start": _iso(report.start_s), "end": _iso(report.end_s),
        "totals": totals(accounts, np.ones(len(accounts.pool), bool)),
        **{name: {str(key): totals(accounts, values == key) for key in sorted(set(values.tolist()))}
           for name, values in keys.items()},
        "pool_hours": accounts.known_hours, "pool_hours_missing": accounts.missing,
        "sci_g_per_unit": report.sci_g, "unit": report.units[1] if report.units else None,
        "units": report.units[0] if report.units else None,
        "change_g": None if report.change is None else {**vars(report.change), "total": report.change.total},
        "factors": {"power": POWER_SOURCE, "embodied": EMBODIED_SOURCE, "intensity": dict(report.intensity),
                    "market": dict(report.market), "water": dict(report.water)},
        "assumed": unsure, "meters": _meters(accounts), "trouble": report.trouble,
        "reconciliation": [vars(each) | {"difference_ratio": each.difference_ratio} for each in report.reconciled],
    }  # fmt: skip


def _kinds(accounts: Accounts) -> Any:
    """Of each row: machines, or the line that it is of."""
    lines = {line.pool for line in LINES.values()}
    return np.array([each.name if each.name in lines else "machines" for each in accounts.pools], object)[accounts.pool]


def _meters(accounts: Accounts) -> dict[str, str]:
    """Pools of which anything was measured, and by what."""
    seen = set(accounts.pool[(accounts.method == "measured") | (accounts.method == "mixed")].tolist())
    return {f"{each.cluster}/{each.name}": each.meter for number, each in enumerate(accounts.pools)
            if number in seen and each.meter}  # fmt: skip


def totals(accounts: Accounts, rows: Any) -> dict[str, Any]:
    """Sums over some rows; `market_g` is None where a part of them has no contract's factor."""
    found: dict[str, Any] = {}
    for name in SUMMED:
        stem, unit = name.rsplit("_", 1)
        whole = int(getattr(accounts, f"{stem}_{'mwh' if unit == 'kwh' else 'mg'}")[rows].sum())
        found[name] = whole / (MWH if unit == "kwh" else MG)
    market = accounts.market_mg[rows]
    found["market_g"] = None if (market < 0).any() else int(market.sum()) / MG
    water = accounts.water_ul[rows]
    found["water_l"] = None if (water < 0).any() else int(water.sum()) / UL
    energy = accounts.energy_mwh[rows]
    weight = energy.sum()
    found["coverage_ratio"] = round(float((accounts.coverage[rows] * energy).sum() / weight), 4) if weight else None
    return found


def energy_sections(report: EnergyReport) -> list[dict[str, Any]]:
    """What a person reads: totals and clusters, namespaces, causes of the change."""
    told, accounts = document(report), report.accounts
    clusters = told["by_cluster"]
    words = [summary_line(told), *_words(report, told)]
    t = (accounts.start_s + 3600 * np.arange(accounts.hours)).tolist()

    def hourly(values: Any) -> list[float]:
        return (np.bincount(accounts.hour, values, minlength=accounts.hours)).round(3).tolist()  # type: ignore[no-any-return]

    plots: list[dict[str, Any]] = [
        {"title": "energy by hour", "unit": "kWh", "lines": [
            {"label": "busy", "t": t, "y": hourly(accounts.busy_mwh / MWH)},
            {"label": "idle", "t": t, "y": hourly(accounts.idle_mwh / MWH)}]},
        {"title": "carbon by hour, location-based", "unit": "g CO2e", "lines": [
            {"label": "grid", "t": t, "y": hourly(accounts.location_mg / MG)}]},
        {"title": "carbon by cluster, location-based", "unit": "", "x_unit": "g CO2e", "bars": {
            "labels": list(clusters), "values": [each["location_g"] for each in clusters.values()]}},
    ]  # fmt: skip
    if report.change is not None:
        causes = vars(report.change)
        plots.append({"title": "change from the period before, by cause", "unit": "", "x_unit": "g CO2e",
                      "bars": {"labels": list(causes), "values": list(causes.values())}})  # fmt: skip
    sections = [section(f"Energy and carbon, {told['start'][:13]} to {told['end'][:13]} UTC", words, COLUMNS,
                        [cells(name, each) for name, each in clusters.items()], plots)]  # fmt: skip
    names = sorted(told["by_namespace"].items(), key=lambda item: -item[1]["energy_kwh"])
    sections.append(section("Energy by namespace", [
        "Busy energy by the CPU that a namespace used, idle energy by what it requested; the rest is (idle).",
    ], ("namespace", *COLUMNS[1:]), [cells(name, each) for name, each in names[:200]]))  # fmt: skip
    return sections + ([_reconciliation(report)] if report.reconciled else [])


def _reconciliation(report: EnergyReport) -> dict[str, Any]:
    """Theirs beside ours; kg."""
    words = [
        "Clouds tell whole months, weeks late, of all their services and scopes 1 to 3; ours are the clusters of the "
        "inventory alone, their machines' making among it. A difference is told where their months cover the period."
    ]
    rows = [
        [*each.place, f"{each.covered_ratio:.0%}", *(_kg(grams) for grams in (
            each.theirs_location_g, each.ours_location_g, each.theirs_market_g, each.ours_market_g)),
         "" if each.difference_ratio is None else f"{each.difference_ratio:+.0%}", ", ".join(each.versions),
         ", ".join(each.sources)]
        for each in report.reconciled
    ]  # fmt: skip
    columns = ["cloud", "region", "of the period", "kg by location: theirs", "ours", "kg by market: theirs", "ours",
               "ours over theirs", "their model", "source"]  # fmt: skip
    return section("Reconciliation with the clouds' own figures", words, columns, rows)


def _kg(grams: float | None) -> str:
    return "" if grams is None else f"{grams / 1000:,.3f}"


def summary_line(told: dict[str, Any]) -> str:
    """The totals in one sentence, as the terminal and the report have them."""
    total = told["totals"]
    market = "no contract's factor is known" if total["market_g"] is None else f"{total['market_g'] / 1000:,.3f} kg"
    bounds = _bounds(total)
    return (f"{total['energy_kwh']:,.3f} kWh ({bounds}), of it {total['idle_kwh']:,.3f} idle; "
            f"{total['location_g'] / 1000:,.3f} kg CO2e by location, by market: {market}; "
            f"making of the machines: {total['embodied_g'] / 1000:,.3f} kg"
            + ("" if total["water_l"] is None else f"; {total['water_l']:,.3f} l of water at the sites"))  # fmt: skip


def _words(report: EnergyReport, told: dict[str, Any]) -> list[str]:
    words = [f"{told['pool_hours']} pool-hours are known."]
    words += missing_words(told)
    methods = (f"{name} {each['energy_kwh']:,.1f} kWh" for name, each in told["by_method"].items())
    words.append(f"Method: {', '.join(methods)}.")
    if len(told["by_kind"]) > 1:
        kinds = (f"{name} {each['energy_kwh']:,.3f} kWh" for name, each in told["by_kind"].items())
        words.append(f"By kind: {', '.join(kinds)}.")
    words += [f"Water of {cluster}: {source}." for cluster, source in report.water.items()]
    words += [f"Measured: {pool} by {meter}." for pool, meter in told["meters"].items()]
    if report.units is not None:
        unit = f"{report.units[1]} ({report.units[0]:,.0f} of them)"
        words.append(f"SCI (ISO/IEC 21031): {report.sci_g:.4g} g CO2e a {unit}.")
    if (change := report.change) is not None:
        causes = ", ".join(f"{name} {value:+,.0f}" for name, value in vars(change).items())
        words.append(f"Against the period before: {change.total:+,.0f} g CO2e, by {causes} (not known before or now); "
                     "of machines alone.")  # fmt: skip
    words += [f"Intensity of {zone}: {how}." for zone, how in report.intensity.items()]
    words += [f"Power: {POWER_SOURCE}. Making: {EMBODIED_SOURCE}.", *(f"Assumed: {each}." for each in told["assumed"])]
    return words + report.trouble


def cells(name: str, each: dict[str, Any]) -> list[str]:
    """A row of `COLUMNS`."""
    market = "" if each["market_g"] is None else f"{each['market_g']:,.0f}"
    known = "" if each["coverage_ratio"] is None else f"{each['coverage_ratio']:.0%}"
    bounds = _bounds(each)
    energy, idle = f"{each['energy_kwh']:,.3f}", f"{each['idle_kwh']:,.3f}"
    return [name, energy, bounds, idle, f"{each['location_g']:,.0f}", market, f"{each['embodied_g']:,.0f}", known]


def _bounds(each: dict[str, Any]) -> str:
    """Low to high, kWh."""
    digits = 3 if each["high_kwh"] < 10 else 1  # an hour of one machine is a few Wh
    return f"{each['low_kwh']:,.{digits}f} to {each['high_kwh']:,.{digits}f}"


def missing_words(told: dict[str, Any]) -> list[str]:
    """That pool-hours are not known, where some are not."""
    missing = told["pool_hours_missing"]
    return (
        [f"How many machines there were is not known of {missing} pool-hours: they count nothing."] if missing else []
    )


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%MZ}"
