"""Seeded campaigns: many faults at once, drawn so that each fits a fresh fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from blocks.errors import NotFound
from blocks.fleet import Cluster, Fleet, NodePool, Provider
from deployments.local.faults.kinds import KINDS
from deployments.local.nodes import digest, node_name

One = TypeVar("One")
Draw = Callable[[str], float]
SHORTEST_S, LONGEST_S = 30.0, 900.0  # that a drawn fault lasts


def campaign(
    seed: int, fleet: Fleet, count: int, span_s: float, kinds: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """`count` faults that begin within `span_s` simulated seconds; all kinds that fit the fleet unless some are named.

    The same arguments give the same list, a longer list begins with the shorter one, and `POST /faults` takes each.

    Raises
    ------
    NotFound: none of the kinds fits the fleet.
    """
    clouds = any(cluster.provider is not Provider.K3S for cluster, _ in fleet.pools())
    fitting = [name for name in kinds or KINDS if clouds or not name.startswith("cloud-")]
    if not fitting or not fleet.pools():
        raise NotFound("no kind of fault fits the fleet", where=f"fleet {fleet.name}", fix="name other kinds")
    return [_drawn(seed, number, fleet, fitting, span_s) for number in range(count)]


def _drawn(seed: int, number: int, fleet: Fleet, kinds: Sequence[str], span_s: float) -> dict[str, Any]:
    def draw(what: str) -> float:
        return int(digest(seed, number, what)[:8], 16) / 2**32

    kind = _pick(draw("kind"), kinds)
    in_cloud = kind.startswith("cloud-")
    pools = [(c, p) for c, p in fleet.pools() if not in_cloud or c.provider is not Provider.K3S]
    cluster, pool = _pick(draw("pool"), pools)
    return {
        "kind": kind,
        "after_s": float(round(draw("after") * span_s)),
        "for_s": float(round(SHORTEST_S + draw("for") * (LONGEST_S - SHORTEST_S))),
        "seed": seed,
        **_parameters(kind, cluster, pool, draw),
    }


def _parameters(kind: str, cluster: Cluster, pool: NodePool, draw: Draw) -> dict[str, Any]:
    """What the kind must be told, of what the fleet has; the rest is drawn."""
    node = node_name(cluster, pool, 1 + int(draw("node") * max(pool.min_nodes, 1)))  # those that a fresh fleet has
    found: dict[str, Any] = {
        "site": cluster.site,
        "cluster": cluster.name,
        "pool": pool.name,
        "node": node,
        "name": f"{pool.name}-*",
        "effect": _pick(draw("effect"), ("slow", "drop", "reset", "error", "html")),
        "error": "drawn by a campaign",
        "nodes": pool.max_nodes - int(draw("nodes") * (pool.max_nodes - pool.min_nodes)),
        "seconds": float(round(-300 + 600 * draw("seconds"))),
    }
    required = [each["name"] for each in KINDS[kind].parameters() if each["required"]]
    more: dict[str, Any] = {}
    if kind == "api":
        more = {"cluster": cluster.name, "share": round(0.1 + 0.4 * draw("share"), 2), "delay_s": 0.2}
    elif kind.startswith(("metrics-", "clock-")):
        more = {"cluster": cluster.name}  # never the whole fleet at once
    return {name: found[name] for name in required} | more


def _pick(drawn: float, choices: Sequence[One]) -> One:
    return choices[int(drawn * len(choices))]
