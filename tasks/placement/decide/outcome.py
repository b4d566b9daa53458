"""What a placement decision says: where everything stands, what does not, why, and how far from the best it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.placement.decide.scores import Terms


class Barrier(StrEnum):
    """The constraint that keeps a workload from a site."""

    CAPACITY = "capacity"  # what is free there, beside what stands there
    TOO_LARGE = "too-large"  # even the empty site could not hold it
    APART = "apart"  # a workload, or another replica, that it must not stand with
    NO_COST = "no-cost"
    NOT_ALLOWED = "not-allowed"
    TIER = "tier"
    RESIDENCY = "residency"
    LATENCY = "latency"
    LATENCY_UNKNOWN = "latency-unknown"
    AVAILABILITY = "availability"
    NOT_SEARCHED = "not-searched"  # too many sites for all to be looked at; it was not among the cheapest


@dataclass(frozen=True)
class Obstacle:
    """A barrier, the thing it is about (a resource, a workload, a site's tier), and by how much it is missed."""

    barrier: Barrier
    subject: str = ""
    lacking: float = 0.0


@dataclass(frozen=True)
class RunnerUp:
    """A site that a workload did not get.

    Attributes
    ----------
    extra_cost: what the workload would cost more there; negative where the site would be better. None: not known.
    obstacles: what bars it; none where it is only dearer.
    wins_if: in words of the problem what would have to change, each with the amount: `cost` falls by, `capacity` grows
        by, a limit moves by, a name is added.
    """

    site: str
    extra_cost: float | None
    terms: Terms
    obstacles: tuple[Obstacle, ...]
    wins_if: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Assignment:
    """One replica of a workload at a site."""

    workload: str
    replica: int
    site: str


@dataclass(frozen=True)
class Unplaced:
    """One replica that stands nowhere, and for its cheapest sites what bars it there (empty site name: everywhere)."""

    workload: str
    replica: int
    because: tuple[tuple[str, Obstacle], ...]


@dataclass(frozen=True)
class Relaxation:
    """A constraint of the smallest set whose relaxing makes the problem feasible, with the amount it lacks."""

    constraint: str
    subject: tuple[str, ...]
    lacking: float


@dataclass(frozen=True)
class Explanation:
    """One replica: its site, what it means there, and the sites it did not get, cheapest first."""

    workload: str
    replica: int
    site: str | None
    cost: float
    terms: Terms | None
    runners_up: tuple[RunnerUp, ...]


@dataclass(frozen=True)
class Placement:
    """The decision.

    Attributes
    ----------
    objective: cost of all that is placed. bound: what any placement of as many replicas costs at least.
    gap: (objective - bound) / |objective|; 0 where the objective is 0.
    prices: what one more unit of a resource is worth, by site and resource; hand them to the next decision.
    relax: the smallest set of constraints to relax; empty where all is placed.
    violations: hard constraints that the placement violates; always none, it is checked again at the end.
    """

    assignments: tuple[Assignment, ...]
    unplaced: tuple[Unplaced, ...]
    objective: float
    bound: float
    gap: float
    engine: str
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    relax: tuple[Relaxation, ...] = ()
    violations: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """As JSON, in the fields that `continuum place workloads --json` has."""
        return {
            "assignments": [{"workload": each.workload, "site": each.site} for each in self.assignments],
            "unplaced": [{"workload": each.workload, "replica": each.replica,
                          "because": [{"site": site, "barrier": str(why.barrier), "subject": why.subject,
                                       "lacking": why.lacking} for site, why in each.because]}
                         for each in self.unplaced],
            "objective": self.objective, "bound": self.bound, "gap": self.gap, "engine": self.engine,
            "violations": list(self.violations),
            "relax": [{"constraint": each.constraint, "subject": list(each.subject), "lacking": each.lacking}
                      for each in self.relax],
        }  # fmt: skip


def gap_of(objective: float, bound: float) -> float:
    """How far above the bound an objective is, as a share of it.

    >>> gap_of(101.0, 100.0)
    0.009900990099009901
    """
    return max(objective - bound, 0.0) / abs(objective) if objective else 0.0
