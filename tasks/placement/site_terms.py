"""Where a site of the inventory stands, and what a core and a kWh cost there, as a placement problem has it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from blocks import tables
from blocks.errors import ContinuumError
from blocks.fleet import NodePool, Site

logger = logging.getLogger(__name__)


def site_terms(site: Site, pools: Iterable[NodePool], as_of: datetime) -> dict[str, Any]:
    """Coordinates and PUE; the price of a core and the carbon of its grid where the inventory or a table knows them.

    pools: those of the site; the cheapest core counts. as_of: month and UTC hour of the typical day.
    """
    told: dict[str, Any] = {"lat": site.latitude, "lon": site.longitude, "pue": site.pue}
    prices = [pool.usd_per_hour / float(pool.node_cpu) for pool in pools if pool.usd_per_hour is not None]
    if prices:
        told["usd_per_unit"] = {"cpu": min(prices)}
    if site.grid_zone:
        try:
            told["carbon_g_per_kwh"] = tables.carbon_intensity_g_per_kwh(site.grid_zone, as_of.month, as_of.hour)[0]
            told["grid_zone"] = site.grid_zone
        except ContinuumError as error:  # what weighs carbon then says what it lacks
            logger.warning("%s", error)
    return told
