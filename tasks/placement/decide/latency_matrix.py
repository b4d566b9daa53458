"""Latency between user zones and sites: as measured, else by distance along the fibre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.placement.problem import PlacementSite, Problem, Zone

EARTH_KM = 6371.0
FIBRE_KM_PER_MS = 200.0  # light in glass: two thirds of its speed in vacuum
ROUTE_FACTOR = 1.6  # how much longer a cable is than the great circle
HOP_MS = 0.5  # each hop beyond the fibre, there and back

Float = NDArray[np.float64]


def latency_matrix(problem: Problem, sites: Sequence[PlacementSite]) -> tuple[tuple[str, ...], Float]:
    """Zone names, sorted, and (Z, J) round-trip ms; NaN where neither measured nor both ends have coordinates."""
    zones = {zone.name: zone for zone in problem.zones}
    names = tuple(sorted(zones | dict.fromkeys(problem.latency_ms)))
    number = {site.name: row for row, site in enumerate(sites)}
    table = np.full((len(names), len(sites)), np.nan)
    if names:
        table = fibre_ms(_places([zones.get(name) for name in names]), _places(sites))
        table += HOP_MS * np.array([site.hops for site in sites])
    for row, name in enumerate(names):
        for site, each in problem.latency_ms.get(name, {}).items():
            table[row, number[site]] = each
    return names, table


def fibre_ms(a: Float, b: Float) -> Float:
    """(A, B) round trip between points of (A, 2) and (B, 2) degrees north and east, by the haversine formula.

    >>> berlin, munich = np.array([[52.52, 13.40]]), np.array([[48.14, 11.58]])
    >>> fibre_ms(berlin, munich).round(1).tolist()
    [[8.1]]
    """
    north_a, north_b = np.radians(a[:, None, 0]), np.radians(b[None, :, 0])
    east = np.radians(b[None, :, 1] - a[:, None, 1])
    half = np.sin((north_b - north_a) / 2) ** 2 + np.cos(north_a) * np.cos(north_b) * np.sin(east / 2) ** 2
    return np.asarray(2 * ROUTE_FACTOR / FIBRE_KM_PER_MS * 2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0))))


def _places(parts: Sequence[PlacementSite | Zone | None]) -> Float:
    """(N, 2) degrees north and east; NaN where not known."""
    rows = [(p.lat, p.lon) if p is not None and p.lat is not None and p.lon is not None else (np.nan, np.nan)
            for p in parts]  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(len(rows), 2)
