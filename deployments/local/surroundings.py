"""What surrounds the sites: the grid's carbon intensity, prices of nodes, and round trips between sites."""

from __future__ import annotations

import math

import numpy as np

from blocks.errors import NotFound
from blocks.fleet import Cluster, NodePool, Provider, Site, Tier
from blocks.tables import aws_usd_per_hour, carbon_profile, rtt_ms, rtt_zones
from deployments.local import noise
from deployments.local.traces import Floats

CARBON_KNOT_S = 12 * 3600.0  # weather: the deviation from the typical day wanders this slowly
SPOT_RANGE = (0.30, 0.60)  # of the on-demand price
SPOT_KNOT_S = 6 * 3600.0
LAST_MILE_MS = {Tier.CLOUD_REGION: 0.0, Tier.REGIONAL_EDGE: 2.0, Tier.NEAR_EDGE: 5.0, Tier.FAR_EDGE: 10.0}
"""Added to a round trip for each end: edge sites hang on access networks."""
ROUTE_FACTOR, FIBRE_KM_PER_MS, EARTH_KM = 1.6, 200.0, 6371.0  # fibre: two thirds of the speed of light


def carbon_g_per_kwh(zone: str, times_s: Floats, seed: int) -> Floats:
    """(N,) carbon intensity of a grid zone: its typical day (2021-2023), give or take a smooth part of its deviation.

    Linear between the hours; the seeded deviation stays within one standard deviation of the table. NotFound: no such
    zone.
    """
    profile, hour = carbon_profile(zone), np.floor(times_s / 3600)
    deviation = noise.smooth(noise.key(seed, "carbon", zone), times_s, CARBON_KNOT_S)
    here, there = (_typical(profile.mean_g_per_kwh, profile.std_g_per_kwh, deviation, at) for at in (hour, hour + 1))
    return np.asarray(np.maximum(here + (there - here) * (times_s / 3600 - hour), 0.0))


def _typical(mean: Floats, std: Floats, deviation: Floats, hours: Floats) -> Floats:
    at = hours.astype(np.int64)
    month = at.astype("datetime64[h]").astype("datetime64[M]").astype(np.int64) % 12
    return np.asarray(mean[month, at % 24] + std[month, at % 24] * deviation)


def on_demand_usd_per_hour(cluster: Cluster, pool: NodePool) -> float | None:
    """Price of a node-hour: as fleet.yaml says, else of the AWS list in us-east-1; None where neither knows it."""
    if pool.price_usd_per_hour is not None or cluster.provider is not Provider.EKS:
        return pool.price_usd_per_hour
    try:
        return aws_usd_per_hour(pool.instance_type)
    except NotFound:
        return None


def spot_usd_per_hour(on_demand_usd: float, pool: str, times_s: Floats, seed: int) -> Floats:
    """(N,) simulated spot price of a pool (a `pool_id`): it wanders within `SPOT_RANGE` of the on-demand price."""
    low, high = SPOT_RANGE
    share = (low + high) / 2 + (high - low) / 2 * noise.smooth(noise.key(seed, "spot", pool), times_s, SPOT_KNOT_S)
    return np.asarray(on_demand_usd * share)


def site_rtt_ms(a: Site, b: Site) -> float:
    """Round trip between two sites, ms: measured between cloud regions of their grid zones, else by distance.

    By distance: great circle x `ROUTE_FACTOR`, there and back at `FIBRE_KM_PER_MS`. Either way each edge end adds its
    `LAST_MILE_MS`.
    """
    known = rtt_zones()
    if a.grid_zone in known and b.grid_zone in known:
        way_ms = rtt_ms(str(a.grid_zone), str(b.grid_zone))
    else:
        way_ms = 2 * ROUTE_FACTOR * _great_circle_km(a, b) / FIBRE_KM_PER_MS
    return way_ms + LAST_MILE_MS[a.tier] + LAST_MILE_MS[b.tier]


def _great_circle_km(a: Site, b: Site) -> float:
    """By the haversine formula."""
    north_a, north_b = math.radians(a.latitude), math.radians(b.latitude)
    east = math.radians(b.longitude - a.longitude)
    half = math.sin((north_b - north_a) / 2) ** 2 + math.cos(north_a) * math.cos(north_b) * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(math.sqrt(half), 1.0))
