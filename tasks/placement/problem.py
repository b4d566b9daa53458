"""A placement problem as a person or a program writes it: sites, workloads, user zones, and what is preferred.

The models say what each field may hold; `problem_checks` says what must hold between them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from blocks.fleet import Tier

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=253, strip_whitespace=True)]
Amounts = dict[Word, Amount]
Spread = Literal["site", "region", "none"]


class Part(BaseModel):
    """A part of a problem: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlacementSite(Part):
    """A place that can hold workloads."""

    name: Word = Field(description="unique in the problem")
    capacity: Amounts = Field(description="what is free for placing, by resource: cpu, memory_gb, gpu:A100, ...")
    usd_per_unit: Amount | Amounts = Field(
        0.0, description="USD per hour of one unit of a resource, by resource; one number is the price of a `cpu`"
    )
    open_cost: Amount = Field(0.0, description="cost of using the site at all; read by `place sites`")
    labels: dict[str, str] = Field(default_factory=dict, description="for residency and preferences")
    region: Word | None = Field(None, description="where spread `region` and residency look")
    tier: Tier | None = Field(None, description="where it stands between the user and the cloud")
    lat: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False, description="degrees north")
    lon: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False, description="degrees east")
    hops: int = Field(0, ge=0, le=64, description="hops beyond the fibre, where latency is by distance")
    grid_zone: Word | None = Field(None, description="electricity grid zone, e.g. `DE`")
    carbon_g_per_kwh: Amount | None = Field(None, description="carbon intensity of its electricity")
    pue: float = Field(1.2, ge=1, le=3, allow_inf_nan=False, description="power usage effectiveness, ratio")
    availability: Share = Field(0.999, description="share of time the site is up")
    egress_usd_per_gb: Amount = Field(0.0, description="price of traffic that leaves the site")


class PlacementWorkload(Part):
    """Something to be placed, whole, once per replica."""

    name: Word = Field(description="unique in the problem")
    requests: Amounts = Field(default_factory=dict, description="what one replica takes, by resource")
    replicas: int = Field(1, ge=1, le=1000, description="how many times it is placed")
    spread: Spread = Field("site", description="no two replicas in the same site, or region; `none`: anywhere")
    cost: dict[Word, Finite] | None = Field(
        None, description="the objective's term per site, as it stands, per replica; a site that is absent is barred"
    )
    demand: Amounts = Field(default_factory=dict, description="requests per second, by user zone")
    latency_limit_ms: Amount | Amounts | None = Field(None, description="highest latency from any zone, or by zone")
    allowed: list[Word] | None = Field(None, description="only these sites")
    allowed_tiers: list[Tier] | None = Field(None, description="only sites of these tiers")
    residency: list[Word] | None = Field(
        None, description="only sites whose region, or a label's value or `key=value`, is one of these"
    )
    affinity: list[Word] = Field(default_factory=list, description="stands where these workloads stand")
    anti_affinity: list[Word] = Field(default_factory=list, description="never at one site with these workloads")
    availability: Share = Field(0.0, description="share of time that a replica must be up; 0 asks nothing")
    prefers: dict[str, str] = Field(default_factory=dict, description="labels that a site had better have")
    egress_gb_per_hour: Amount = Field(0.0, description="traffic that leaves the site, per replica")
    power_w: Amount | None = Field(None, description="power of one replica; without it, by its cpu")


class Zone(Part):
    """Where users are."""

    name: Word = Field(description="unique in the problem")
    lat: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False, description="degrees north")
    lon: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False, description="degrees east")


class Function(Part):
    """A service with replicas at sites; read by `place traffic`."""

    name: Word
    sites: list[Word] = Field(description="where a replica stands")
    capacity: Amounts = Field(description="requests per second it can serve, by site")
    demand: Amounts = Field(default_factory=dict, description="requests per second, by user zone")
    processing_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="mean time to serve one request, without waiting; with `servers`, latency under load is told"
    )
    servers: dict[Word, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="requests served at a time (replicas x concurrency), by site"
    )


class Weights(Part):
    """How much each normalised term counts: 1 is what an average allowed pair of workload and site has."""

    cost: Amount = Field(0.3, description="USD per hour, with egress")
    performance: Amount = Field(0.4, description="demand x latency")
    reliability: Amount = Field(0.2, description="share of time the site is down")
    compliance: Amount = Field(0.1, description="share of the preferred labels that the site lacks")
    carbon: Amount = Field(0.0, description="gCO2e per hour")


class Opening(Part):
    """How many sites to open; read by `place sites`."""

    count: int | None = Field(None, ge=1, description="exactly so many; without it, by the sites' `open_cost`")


def _named(value: Any) -> Any:
    """A zone may be written as its name alone."""
    return {"name": value} if isinstance(value, str) else value


class Problem(Part):
    """A placement problem."""

    sites: list[PlacementSite] = Field(min_length=1, max_length=100_000)
    workloads: list[PlacementWorkload] = Field(default_factory=list, max_length=1_000_000)
    zones: list[Annotated[Zone, BeforeValidator(_named)]] = Field(default_factory=list, description="names, or objects")
    latency_ms: dict[Word, Amounts] = Field(
        default_factory=dict, description="measured latency by zone and site; what is absent is told by distance"
    )
    weights: Weights = Field(default_factory=Weights)
    open: Opening | None = None
    functions: list[Function] = Field(default_factory=list)
