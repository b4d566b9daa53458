"""What a workload costs at each site, term by term, and which hard constraint bars it there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.latency_matrix import latency_matrix
from tasks.placement.problem import PlacementSite, PlacementWorkload, Problem

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Codes = NDArray[np.int8]

TERMS = ("cost", "performance", "reliability", "compliance", "carbon")
WATTS_PER_CPU = 4.0  # a busy server thread with its share of the machine; `power_w` of a workload says better
DEFAULT_G_PER_KWH = 480.0  # world average 2023 (Ember, Global Electricity Review 2024)


class Bar(IntEnum):
    """Why a workload may not stand at a site, whatever else stands there."""

    NONE = 0
    NO_COST = 1  # its costs do not name the site
    NOT_ALLOWED = 2
    TIER = 3
    RESIDENCY = 4
    LATENCY = 5
    LATENCY_UNKNOWN = 6
    AVAILABILITY = 7


@dataclass(frozen=True)
class Terms:
    """What one workload means at one site, in the units of the world.

    `share` holds the weighted, normalised parts of its cost; empty where the problem gives the cost itself.
    """

    usd_per_hour: float
    latency_ms: float
    availability_ratio: float
    carbon_g_per_hour: float
    share: dict[str, float]


class Scores:
    """Costs of workloads at sites, J sites sorted by name, R resources sorted by name.

    A term is divided by its mean over all allowed pairs, so that 1 is an average pair, and then weighted.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.sites: list[PlacementSite] = sorted(problem.sites, key=lambda site: site.name)
        self.number = {site.name: row for row, site in enumerate(self.sites)}
        self.resources = tuple(sorted({r for site in self.sites for r in site.capacity}
                                      | {r for each in problem.workloads for r in each.requests}))  # fmt: skip
        self._column = {name: row for row, name in enumerate(self.resources)}
        self.capacity = np.array([[site.capacity.get(r, 0.0) for r in self.resources] for site in self.sites])
        self.capacity = self.capacity.reshape(len(self.sites), len(self.resources))
        self.zones, self.latency_ms = latency_matrix(problem, self.sites)
        self._zone = {name: row for row, name in enumerate(self.zones)}
        mean = np.maximum(self.capacity.mean(axis=0), 1e-12)
        self.size = (self.capacity / mean).min(axis=1) if self.resources else np.zeros(len(self.sites))
        self._prices = np.array([[_price(site, r) for r in self.resources] for site in self.sites])
        self._prices = self._prices.reshape(self.capacity.shape)
        self._egress = np.array([site.egress_usd_per_gb for site in self.sites])
        self._up = np.array([site.availability for site in self.sites])
        carbon = [DEFAULT_G_PER_KWH if s.carbon_g_per_kwh is None else s.carbon_g_per_kwh for s in self.sites]
        self._g_per_wh = np.array(carbon) * np.array([site.pue for site in self.sites]) / 1000
        self._tiers = np.array([str(site.tier) for site in self.sites])
        self._weights = np.array([getattr(problem.weights, term) for term in TERMS])
        self._means = self._mean_terms()

    def requests(self, workload: PlacementWorkload) -> Float:
        """(R,) what one replica takes."""
        asked = np.zeros(len(self.resources))
        for name, amount in workload.requests.items():
            asked[self._column[name]] = amount
        return asked

    def costs(self, workload: PlacementWorkload) -> tuple[Int, Float]:
        """Sites that no hard constraint bars, ascending, and the objective's term of one replica there."""
        if workload.cost is not None:
            at = np.array(sorted(self.number[name] for name in workload.cost), np.int64)
            if not is_plain(workload):
                at = at[self.bars(workload)[at] == Bar.NONE]
            return at, np.array([workload.cost[self.sites[row].name] for row in at.tolist()], np.float64)
        at = np.flatnonzero(self.bars(workload) == Bar.NONE)
        return at, self.costs_anywhere(workload)[at]

    def costs_anywhere(self, workload: PlacementWorkload) -> Float:
        """(J,) the objective's term at each site, barred or not; infinite where it is not known."""
        cost = np.full(len(self.sites), np.inf)
        if workload.cost is not None:
            at = [self.number[name] for name in workload.cost]
            cost[at] = list(workload.cost.values())
            return cost
        score = self._weights @ (self._raw(workload) / self._means[:, None])
        return np.where(np.isnan(score), np.inf, score)

    def bars(self, workload: PlacementWorkload) -> Codes:
        """(J,) the hard constraint that bars each site, `Bar.NONE` where none does."""
        bar = np.zeros(len(self.sites), np.int8)

        def refuse(where: NDArray[np.bool_], code: Bar) -> None:
            bar[where & (bar == Bar.NONE)] = code

        for names, code in ((workload.cost, Bar.NO_COST), (workload.allowed, Bar.NOT_ALLOWED)):
            if names is not None:
                listed = np.zeros(len(self.sites), np.bool_)
                listed[[self.number[name] for name in names]] = True
                refuse(~listed, code)
        if workload.allowed_tiers is not None:
            refuse(~np.isin(self._tiers, [str(tier) for tier in workload.allowed_tiers]), Bar.TIER)
        if workload.residency is not None:
            homes = set(workload.residency)
            refuse(np.array([not homes & _marks(site) for site in self.sites]), Bar.RESIDENCY)
        worst, unknown = self._worst_latency(workload)
        refuse(unknown, Bar.LATENCY_UNKNOWN)
        refuse(worst > 0, Bar.LATENCY)
        refuse(self._up < least_availability(workload) - 1e-12, Bar.AVAILABILITY)
        return bar

    def terms(self, workload: PlacementWorkload, site: str) -> Terms:
        """What the workload means at a site, whether or not it may stand there."""
        at = self.number[site]
        raw = self._raw(workload)[:, at]
        demand = sum(workload.demand.values())
        shares = {} if workload.cost is not None else dict(
            zip(TERMS, (self._weights * raw / self._means).tolist(), strict=True))  # fmt: skip
        return Terms(float(raw[0]), float(raw[1] / demand) if demand else np.nan, float(self._up[at]),
                     float(raw[4]), shares)  # fmt: skip

    def terms_usd(self, workload: PlacementWorkload) -> Float:
        """(J,) USD per hour of one replica at each site."""
        return np.asarray(self._raw(workload)[0])

    def latency_excess_ms(self, workload: PlacementWorkload, site: str) -> float:
        """By how much the worst zone's latency is above its limit at a site."""
        return float(self._worst_latency(workload)[0][self.number[site]])

    def _worst_latency(self, workload: PlacementWorkload) -> tuple[Float, NDArray[np.bool_]]:
        """(J,) latency above the limit in the worst zone, ms, and whether that of a zone with demand is not known."""
        limits = workload.latency_limit_ms
        rows = [self._zone[zone] for zone, rate in workload.demand.items() if rate > 0]
        none = np.zeros(len(self.sites), np.bool_)
        unknown = np.asarray(np.isnan(self.latency_ms[rows]).any(axis=0)) if rows else none
        if limits is None:
            return np.full(len(self.sites), -np.inf), unknown
        if isinstance(limits, dict):
            rows, most = [self._zone[zone] for zone in limits], np.array(list(limits.values()))
        else:
            rows = rows or list(range(len(self.zones)))
            most = np.full(len(rows), limits)
        if not rows:
            return np.full(len(self.sites), -np.inf), unknown
        above = self.latency_ms[rows] - most[:, None]
        return np.asarray(np.where(np.isnan(above), -np.inf, above).max(axis=0)), np.asarray(
            unknown | np.isnan(above).any(axis=0)
        )

    def _raw(self, workload: PlacementWorkload) -> Float:
        """(5, J) terms in their own units: USD/h, demand x ms, share down, share of labels lacking, gCO2e/h."""
        asked = self.requests(workload)
        usd = self._prices @ asked + workload.egress_gb_per_hour * self._egress
        slow = np.zeros(len(self.sites))
        for zone, rate in workload.demand.items():
            if rate > 0:
                slow = slow + rate * self.latency_ms[self._zone[zone]]
        lacking = np.zeros(len(self.sites))
        if workload.prefers:
            wanted = workload.prefers.items()
            lacking = np.array([sum(s.labels.get(k) != v for k, v in wanted) / len(wanted) for s in self.sites])
        cpu = asked[self._column["cpu"]] if "cpu" in self._column else 0.0
        watts = WATTS_PER_CPU * cpu if workload.power_w is None else workload.power_w
        return np.stack([usd, slow, 1 - self._up, lacking, watts * self._g_per_wh])

    def _mean_terms(self) -> Float:
        """(5,) mean of each term over all pairs that no hard constraint bars; 1 where it is zero."""
        total, count = np.zeros(len(TERMS)), 0
        for workload in sorted(self.problem.workloads, key=lambda each: each.name):
            if workload.cost is None:
                allowed = self.bars(workload) == Bar.NONE
                total += self._raw(workload)[:, allowed].sum(axis=1)
                count += int(allowed.sum())
        mean = total / max(count, 1)
        return np.where(mean > 0, mean, 1.0)


def least_availability(workload: PlacementWorkload) -> float:
    """Availability that each site must have by itself: n replicas apart are all down with probability (1 - a)^n.

    >>> from tasks.placement.problem import PlacementWorkload
    >>> round(least_availability(PlacementWorkload(name="w", replicas=2, availability=0.9999)), 6)
    0.99
    """
    apart = workload.replicas if workload.spread != "none" else 1
    return 1 - (1 - workload.availability) ** (1 / apart) if workload.availability else 0.0


def is_plain(workload: PlacementWorkload) -> bool:
    """Whether nothing but its costs says where it may stand."""
    return (
        workload.allowed is None
        and workload.allowed_tiers is None
        and workload.residency is None
        and workload.latency_limit_ms is None
        and not workload.demand
        and not workload.availability
    )


def _marks(site: PlacementSite) -> set[str]:
    """Words by which residency knows a site."""
    return {site.region or "", *site.labels.values(), *(f"{key}={value}" for key, value in site.labels.items())}


def _price(site: PlacementSite, resource: str) -> float:
    if isinstance(site.usd_per_unit, dict):
        return site.usd_per_unit.get(resource, 0.0)
    return site.usd_per_unit if resource == "cpu" else 0.0
