"""One capability, `WeightedRoute`, for every place where a share of the requests is written as a whole number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from blocks.errors import InvalidInput, Refused
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi

ROUTE53 = "route53"
GATEWAY, ISTIO, INGRESS = "gateway", "istio", "ingress"
KINDS = (GATEWAY, ISTIO, INGRESS)
Session = Mapping[str, Any]
"""What keeps a user to a backend, as the object has it."""


@dataclass(frozen=True)
class RouteState:
    """A route as its API tells it now.

    Attributes
    ----------
    weights: whole numbers >= 0 by backend, in the API's own words (a Service, a host, a record's SetIdentifier).
    version: changes when somebody writes the route; give it back as `if_match`.
    ttl_s: seconds for which clients keep an old answer, or None where each request is routed anew.
    session: what keeps a user who came once to the same backend, or None. Such users stay also where a weight is 0.
    kept_s: for how many seconds it keeps them, where that is written there.
    """

    weights: dict[str, int]
    version: str
    ttl_s: int | None = None
    session: Session | None = None
    kept_s: int | None = None


class WeightedRoute(Protocol):
    """The weights of one route. Every verb raises errors of `blocks.errors` only."""

    where: str

    def read(self) -> RouteState:
        """The weights now; `Refused` where other tools own the route, or its rules differ from one another."""
        ...

    def write(self, weights: Mapping[str, int], session: Session | None, if_match: str) -> None:
        """Set the weights of all its backends and what keeps users, and nothing else of the object.

        Raises
        ------
        Conflict: somebody wrote it since it was `if_match`. Refused: as `read`, or all weights would be 0, or the
            session is another and nothing at such a route keeps users.
        """
        ...


def open_route(fleet: Fleet, subject: str) -> WeightedRoute:
    """The route that a subject names: `cluster/KIND/namespace/name`, or `route53/HOSTED-ZONE/record/TYPE`.

    Raises
    ------
    InvalidInput: the subject names no cluster of the inventory, or no kind of route.
    """
    first, kind, *rest = subject.split("/")
    if first == ROUTE53 and len(rest) == 2:
        from blocks.traffic.route53 import Route53Route

        return Route53Route.connect(resolve_secrets(fleet.dns), kind, *rest)
    if kind not in KINDS or len(rest) != 2:
        raise InvalidInput(
            "it names no kind of route",
            where=f"route {subject}",
            fix=f"write cluster/{'|'.join(KINDS)}/namespace/name or route53/ZONE/NAME/TYPE",
        )
    from blocks.traffic.objects import ROUTES

    for cluster in fleet.clusters:
        if cluster.name == first:
            return ROUTES[kind](KubernetesApi.connect(resolve_secrets(cluster)), *rest)
    raise InvalidInput("the inventory has no such cluster", where=f"route {subject}", fix="see `continuum fleet show`")


def check_weights(weights: Mapping[str, int], known: Mapping[str, int], where: str) -> None:
    """Refuse to leave a route without a backend, or to write one that it does not have.

    Raises
    ------
    Refused: all weights are 0, or the backends are others.
    """
    if set(weights) != set(known):
        raise Refused(f"its backends are {', '.join(sorted(known))}", where=where, fix="give a weight for each of them")
    if sum(weights.values()) <= 0 or min(weights.values()) < 0:
        raise Refused("all weights would be 0, and nobody would serve", where=where, fix="leave one above 0")


def new_session(seen: Session | None, keep_s: int) -> Session:
    """A cookie of Gateway API's sessionPersistence; its name ends in a number, and the next makes the old ones void.

    >>> new_session({"sessionName": "shop-4"}, 60)["sessionName"], new_session(None, 60)["sessionName"]
    ('shop-5', 'continuum-site-1')
    """
    base, _, number = str((seen or {}).get("sessionName", "")).rpartition("-")
    name = f"{base}-{int(number) + 1}" if base and number.isdecimal() else "continuum-site-1"
    return {"sessionName": name, "type": "Cookie", "absoluteTimeout": f"{keep_s}s",
            "cookieConfig": {"lifetimeType": "Permanent"}}  # fmt: skip


def keeps_nobody(where: str) -> Refused:
    """Why a route that has no sessions gets none."""
    return Refused("nothing at it keeps a user to a backend", where=where,
                   fix="leave `keep_users_s` out, or route by a Gateway API HTTPRoute")  # fmt: skip
