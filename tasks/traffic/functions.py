"""What is routed: functions as `place traffic` reads them, with their routes and health checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from blocks.errors import InvalidInput
from blocks.fleet import Fleet
from blocks.fleet_values import Url
from blocks.traffic import GATEWAY, KINDS
from tasks.placement.problem import Amounts, Function, Part, Word

Subject = Annotated[str, Field(pattern=rf"^([^/\s]+/({'|'.join(KINDS)})|route53/[^/\s]+)/[^/\s]+/[^/\s]+$")]


class Routed(Part):
    """One object whose weights share out the requests of some zones."""

    subject: Subject = Field(
        description="`CLUSTER/gateway/NAMESPACE/NAME` (HTTPRoute), `CLUSTER/istio/...` (VirtualService), "
        "`CLUSTER/ingress/...` (nginx canary: backends `main` and `canary`), `route53/HOSTED-ZONE/RECORD/TYPE`"
    )
    backends: dict[Word, Word] = Field(min_length=2, description="the backend in the object for each site")
    zones: list[Word] = Field([], description="whose requests go through it; none: those of all zones")
    keep_users_s: int = Field(0, ge=0, le=86_400, description="seconds for which a user who came once keeps to the "
                              "same site, by a cookie of the gateway (HTTPRoute alone); a failover ends it. 0: as the "
                              "route has it")  # fmt: skip


class RoutedFunction(Function):
    """A service at several sites of the fleet. Sites and user zones are the names of the fleet's sites."""

    demand: Amounts = Field(
        {}, description="requests per second, by user zone; also where `demand_query` has no answer"
    )
    demand_query: str | None = Field(None, description="PromQL: requests per second, with a label `zone`")
    routes: list[Routed] = Field(min_length=1, description="what carries the weights")
    health: dict[Word, Url] = Field({}, description="URL that answers 200-399 while the site can serve, by site")


def check_names(fleet: Fleet, functions: Sequence[RoutedFunction]) -> None:
    """Refuse what names no site of the fleet, or the same thing twice.

    Raises
    ------
    InvalidInput: with the function, and what is wrong with it.
    """
    if not functions:
        raise InvalidInput("no function is given", where="functions", fix="give one: name, sites, capacity, routes")
    known, taken, names = {site.name for site in fleet.sites}, set[str](), set[str]()
    for each in functions:
        where, at = f"function {each.name}", set(each.sites)
        zones = {*each.demand, *(zone for route in each.routes for zone in route.zones)}
        if each.name in names:
            raise InvalidInput("it is there twice", where=where, fix="give each a name of its own")
        if unknown := (at | zones) - known:
            raise InvalidInput(f"the inventory has no site `{min(unknown)}`", where=where,
                               fix="see `continuum fleet show`")  # fmt: skip
        for what, sites in (("capacity", {*each.capacity}), ("health", {*each.health}), ("servers", {*each.servers}),
                            *(("backends", {*route.backends}) for route in each.routes)):  # fmt: skip
            if elsewhere := sites - at:
                raise InvalidInput(f"{what} names `{min(elsewhere)}`, where it has no replica", where=where,
                                   fix="add it to `sites`")  # fmt: skip
        for route in each.routes:
            if route.subject in taken:
                raise InvalidInput(f"{route.subject} is there twice", where=where, fix="name each route once")
            if route.keep_users_s and route.subject.split("/")[1] != GATEWAY:
                raise InvalidInput(f"nothing at {route.subject} keeps a user to a site", where=where,
                                   fix="leave its keep_users_s out, or route by an HTTPRoute")  # fmt: skip
            if len(set(route.backends.values())) < len(route.backends):
                raise InvalidInput(f"two sites share a backend of {route.subject}", where=where,
                                   fix="give each site a backend of its own")  # fmt: skip
            taken.add(route.subject)
        names.add(each.name)
