"""Events that flows emit, `continuum.<subject>.<past participle>`, and what each carries. No Prefect in here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Event(BaseModel):
    """Base of every payload; `name` is the event's name on the bus."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]

    fleet: str = Field(description="name of the fleet's inventory block")


class ForecastBreached(Event):
    """At most one per forecast pass: the pools whose forecast crosses their present capacity."""

    name: ClassVar[str] = "continuum.forecast.breached"

    as_of: datetime = Field(description="when the forecast was made")
    pools: list[str] = Field(min_length=1, description="`cluster/pool`, earliest crossing first")
    first_crossing: datetime = Field(description="when the first of them crosses")


class Anomaly(BaseModel):
    """One measured value that is unlike its series' own last days."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    series: str = Field(description="`cluster/pool/kind`")
    at: datetime = Field(description="when it was measured")
    value: float = Field(description="what was measured, in the series' own unit")
    expected: float | None = Field(description="what was to come, in the same unit; null where it is not known")
    cause: str = Field(description="what it is unlike: step, level, day, activity or stuck")


class AnomaliesDetected(Event):
    """At most one per forecast pass: the anomalies that no earlier pass has announced."""

    name: ClassVar[str] = "continuum.anomaly.detected"

    as_of: datetime = Field(description="when the pass looked")
    count: int = Field(ge=1, description="how many there are; the list holds the newest of them")
    anomalies: list[Anomaly] = Field(min_length=1, description="newest first")


class ScalingBlinded(Event):
    """At most one per scaling pass: the pools about which something that a decision rests on cannot be believed."""

    name: ClassVar[str] = "continuum.scaling.blinded"

    as_of: datetime = Field(description="when the pass looked")
    pools: list[str] = Field(min_length=1, description="`cluster/pool`, by name")
    causes: list[str] = Field(
        min_length=1, description="reason codes, such as `missing-data`, `stale-data`, `unreachable`"
    )


class WorkloadCreated(Event):
    """Sent by others: workloads that are to be placed; it starts `workload-placement-on-event`."""

    name: ClassVar[str] = "continuum.workload.created"

    workloads: list[dict[str, Any]] = Field(min_length=1, description="each as the form of `workload-placement` has it")


class TrafficDiverted(Event):
    """At most one per routing pass: sites that are down, and the routes that have left them."""

    name: ClassVar[str] = "continuum.traffic.diverted"

    as_of: datetime = Field(description="when the pass looked")
    down: list[str] = Field(min_length=1, description="`function/site`, by name")
    routes: list[str] = Field(min_length=1, description="subjects of the routes that share requests out to them")
    moved: list[str] = Field(description="those of which the weights were changed; none in shadow mode")


class HealthDegraded(Event):
    """At most one per monitoring pass and site: something critical is found there that the pass before had not."""

    name: ClassVar[str] = "continuum.health.degraded"

    as_of: datetime = Field(description="when the pass looked")
    site: str = Field(description="name of the site; `fleet` for what is of no site")
    findings: list[str] = Field(min_length=1, description="what is critical there, in words")
    health: float | None = Field(description="of the whole fleet, 0-1; null where nothing is known")


class CarbonMoved(Event):
    """At most one per pass of `energy-report`, or sent by others: what was foretold of some zones has changed."""

    name: ClassVar[str] = "continuum.carbon.moved"

    zones: list[str] = Field(min_length=1, description="grid zones, e.g. `DE`")


class EndpointDrifted(Event):
    """At most one per model, version and day: confidences come otherwise than when its threshold was learnt."""

    name: ClassVar[str] = "continuum.endpoint.drifted"

    as_of: datetime = Field(description="when the pass looked")
    model: str = Field(description="name of the model")
    version: str = Field(description="the newest one, which was looked at")
    psi: float = Field(ge=0, description="population stability index of the day's confidences; above 0.2 is drift")
    rows: int = Field(ge=1, description="predictions that it rests on")


class BudgetExceeded(Event):
    """At most one per period and budget: what a period of the fleet came to is above what somebody allowed for it."""

    name: ClassVar[str] = "continuum.budget.exceeded"

    period_start: datetime = Field(description="first moment of the period")
    period_end: datetime = Field(description="the first moment after it")
    quantity: Literal["energy_kwh", "location_kg"] = Field(description="kWh, or kg CO2e by location")
    budget: float = Field(ge=0, description="what was allowed, in that unit")
    actual: float = Field(ge=0, description="what it came to, in that unit")


EVENTS: tuple[type[Event], ...] = (
    ForecastBreached,
    AnomaliesDetected,
    ScalingBlinded,
    WorkloadCreated,
    TrafficDiverted,
    HealthDegraded,
    CarbonMoved,
    EndpointDrifted,
    BudgetExceeded,
)
