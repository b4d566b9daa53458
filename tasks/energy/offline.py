"""An energy report of any samples: cut to the period, joined with the grid's intensity and factors, accounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from blocks.carbon import CarbonSeries
from blocks.emissions import CloudEmissions, Place
from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Fleet, Provider
from tasks.energy.decide.accounting import Accounts, account
from tasks.energy.decide.change import Change, Period, explain_change
from tasks.energy.decide.lines import LINES, Usage, add_lines
from tasks.energy.decide.reconcile import Reconciled, decide_reconciliation
from tasks.energy.decide.samples import HOUR_S, Floats, Pool, Samples, Shares
from tasks.energy.factors import Factors

Intensity = Callable[[str, int, int], CarbonSeries]  # zone, begin, end


@dataclass(frozen=True)
class EnergyReport:
    """What a period came to, how it is known, and why it differs from the period before.

    Attributes
    ----------
    start_s, end_s: whole hours, epoch. intensity, market: by zone, how it is known.
    water: by cluster, who says its WUE.
    units: how many functional units the period served, and what they are called; None where nobody said.
    reconciled: what clouds say beside what we make of their clusters; empty where nobody said.
    change: against the period of the same length before it; None where nothing is known of that.
    """

    name: str
    start_s: int
    end_s: int
    accounts: Accounts
    intensity: Mapping[str, str]
    market: Mapping[str, str]
    trouble: list[str] = field(default_factory=list)
    units: tuple[float, str] | None = None
    change: Change | None = None
    simulated: bool = False
    reconciled: list[Reconciled] = field(default_factory=list)
    water: Mapping[str, str] = field(default_factory=dict)

    @property
    def sci_g(self) -> float | None:
        """Software carbon intensity, ISO/IEC 21031: (E x I + M) / R, g CO2e a functional unit; no market measures."""
        if self.units is None:
            return None
        return float(self.accounts.location_mg.sum() + self.accounts.embodied_mg.sum()) / 1000 / self.units[0]


def report_of(
    name: str, samples: Samples, start_s: int, end_s: int, intensity: Intensity, *, shares: Shares | None = None,
    factors: Factors = Factors(), units: tuple[float, str] | None = None, simulated: bool = False,
    usage: Usage | None = None,
) -> EnergyReport:  # fmt: skip
    """The report of [start, end). A pool whose zone no source knows is left out and named, never counted as zero.

    Raises
    ------
    InvalidInput: the samples have nothing of that time. NotFound: a year has no factor. ContinuumError: no pool is in
        a zone whose intensity is known; what the first of them lacks.
    """
    if start_s % HOUR_S or end_s % HOUR_S or start_s >= end_s:
        raise InvalidInput("not a span of whole hours", where="period", fix="give times such as 2026-03-01")
    year = datetime.fromtimestamp(start_s, UTC).year
    known, trouble, refused = {}, list[str](), list[ContinuumError]()
    for zone in sorted({pool.zone for pool in samples.pools}):
        try:
            known[zone] = intensity(zone, start_s, end_s)
        except ContinuumError as error:
            refused.append(error)
            trouble.append(f"pools in zone {zone} are left out: {error}")
    kept = [number for number, pool in enumerate(samples.pools) if pool.zone in known]
    if not kept:
        raise refused[0] if refused else InvalidInput("there are no pools", where="samples", fix="give some")
    samples = samples.of_pools(kept)
    samples = replace(samples, pools=tuple(_with_pue(pool, factors, year) for pool in samples.pools))
    if shares is not None:
        hours = (start_s - samples.start_s) // HOUR_S, (end_s - samples.start_s) // HOUR_S
        shares = shares.of_pools(kept).span(*hours)
    contracts = {zone: found for zone in known if (found := factors.of("market_g_per_kwh", zone, year))}
    market = {zone: each[0] for zone, each in contracts.items()}
    clusters = {pool.cluster for pool in samples.pools}
    water = {each: found for each in sorted(clusters) if (found := factors.of("wue_l_per_kwh", each, year))}
    wue, by_hour = {cluster: each[0] for cluster, each in water.items()}, _by_hour(known, start_s, end_s)
    accounts = account(samples.span(start_s, end_s), by_hour, market, shares, wue)
    if not accounts.known_hours:
        begin = datetime.fromtimestamp(samples.start_s, UTC)
        raise InvalidInput("the samples have nothing of that time", where="period",
                           fix=f"they begin at {begin:%Y-%m-%dT%H:%MZ}")  # fmt: skip
    told = {zone: series.how for zone, series in known.items()}
    change = _change(accounts, samples, 2 * start_s - end_s, start_s, intensity)
    if usage is not None:
        own = {(kind, each): found for kind, line in LINES.items() for each in clusters
               if (found := factors.of(line.factor, each, year))}  # fmt: skip
        out = sorted(set(usage.cluster) - clusters)
        trouble += [f"network and storage of {each} are left out: no machines of it are counted" for each in out]
        usage = usage.of_clusters(clusters).span(start_s, end_s)
        if missing := int(np.isnan(usage.amount).sum()):
            trouble.append(f"network and storage are not known of {missing} hours of a namespace: they count nothing")
        accounts = add_lines(accounts, usage, own, by_hour, market, wue)
    by_contract, by_wue = ({key: each[1] for key, each in found.items()} for found in (contracts, water))
    return EnergyReport(name, start_s, end_s, accounts, told, by_contract, trouble, units, change, simulated,
                        water=by_wue)  # fmt: skip


def reconcile(report: EnergyReport, provided: Sequence[CloudEmissions], places: Mapping[str, Place]) -> None:
    """Put what clouds say beside the report's clusters; months that it does not hold as a whole are told.

    Parameters
    ----------
    places: provider and region of each cluster.
    """
    accounts, ours = report.accounts, dict[Place, tuple[float, float | None]]()
    for place in set(places.values()):
        rows = np.array([places.get(pool.cluster) == place for pool in accounts.pools])[accounts.pool]
        made, market = int(accounts.embodied_mg[rows].sum()), accounts.market_mg[rows]
        contract = None if (market < 0).any() else (int(market.sum()) + made) / 1000
        if rows.any():
            ours[place] = ((int(accounts.location_mg[rows].sum()) + made) / 1000, contract)
    report.reconciled[:] = decide_reconciliation(provided, ours, report.start_s, report.end_s)
    out = {each.source for each in provided} - {name for row in report.reconciled for name in row.sources}
    report.trouble.extend(f"{source}: no month of it lies wholly in the period" for source in sorted(out))


def places_of(fleet: Fleet) -> dict[str, Place]:
    """Cloud and region of each cluster that a cloud's export can tell of, as the inventory says."""
    clouds = {Provider.EKS: "aws", Provider.GKE: "gcp"}
    return {each.name: (clouds[each.provider], each.cloud.region or "") for each in fleet.clusters
            if each.provider in clouds}  # fmt: skip


def _with_pue(pool: Pool, factors: Factors, year: int) -> Pool:
    found = factors.of("pue", pool.cluster, year)
    return pool if found is None else replace(pool, pue=found[0], pue_source=f"{found[1]}, {year}")


def _by_hour(known: Mapping[str, CarbonSeries], start_s: int, end_s: int) -> dict[str, Floats]:
    """By zone, (H,) mean intensity of each hour."""
    found = {}
    for zone, series in known.items():
        part = series.between(start_s, end_s)
        if HOUR_S % part.step_s:
            raise InvalidInput(f"intensity in steps of {part.step_s} s", where=f"zone {zone}",
                               fix="give steps that divide the hour")  # fmt: skip
        found[zone] = part.g_per_kwh[: (end_s - start_s) // part.step_s].reshape(-1, HOUR_S // part.step_s).mean(axis=1)
    return found


def _change(now: Accounts, samples: Samples, begin_s: int, end_s: int, intensity: Intensity) -> Change | None:
    """Why this period differs from the one before it; None where the samples know nothing of that."""
    try:
        known = {pool.zone: intensity(pool.zone, begin_s, end_s) for pool in samples.pools}
    except ContinuumError:
        return None
    before = account(samples.span(begin_s, end_s), _by_hour(known, begin_s, end_s))
    return explain_change(_period(before), _period(now)) if before.known_hours else None


def _period(accounts: Accounts) -> Period:
    assumed = accounts.method == "default"
    grams = accounts.location_mg / 1000
    return Period(accounts.core_hours, float(accounts.energy_mwh[~assumed].sum() / 1e6), float(grams[~assumed].sum()),
                  float(grams[assumed].sum()))  # fmt: skip
