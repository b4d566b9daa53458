"""What the forecast demand will cost, if each pool has just the nodes for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from blocks.series import Forecast

FULL_RATIO = 0.90  # share of a node's allocatable that demand may fill


def projected_cost(
    made: Forecast, node_size: Mapping[str, float], price_usd_per_hour: Mapping[str, float],
    reserved_nodes: Mapping[str, int],
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """USD over the horizon at each quantile level, (Q,) for each pool that has a price and a forecast.

    cost = sum over the steps of (ceil(max over the resources of demand / (0.9 x node size)) - reserved nodes, not below
    0) x price x hours of a step.

    Parameters
    ----------
    made:
        series named `cluster/pool/kind`, in the units of `node_size`.
    node_size:
        of one node, by series name; a series without one needs no nodes.
    price_usd_per_hour:
        of one node, by pool `cluster/pool`.
    reserved_nodes:
        that are paid for anyway, by pool; 0 where it is absent.
    """
    nodes: dict[str, NDArray[np.float64]] = {}
    for row, name in enumerate(made.unique_id):
        pool, size = name.rsplit("/", 1)[0], node_size.get(name, np.nan)
        values = made.values[row].astype(np.float64)
        if pool not in price_usd_per_hour or not np.isfinite(size) or size <= 0 or not np.isfinite(values).all():
            continue
        needed = np.ceil(values / (FULL_RATIO * size) - 1e-6)
        nodes[pool] = np.maximum(nodes[pool], needed) if pool in nodes else needed
    hours = made.step_s / 3600
    return {pool: np.maximum(needed - reserved_nodes.get(pool, 0), 0).sum(axis=0) * hours * price_usd_per_hour[pool]
            for pool, needed in nodes.items()}  # fmt: skip
