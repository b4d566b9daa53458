"""What the review looks at: days of demand and nodes of every pool."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Demand = NDArray[np.float32]
RESOURCES = ("cpu_cores", "memory_bytes")
CPU = 0


@dataclass(frozen=True, eq=False)
class Week:
    """P pools over D days of T steps, the last of which ends at `as_of`. NaN is not known, never zero.

    Attributes
    ----------
    step_s: seconds a step.
    demand: (P, R, D, T) in use, cores or bytes. nodes: (P, D, T) Ready nodes.
    node_sizes: (P, R) allocatable of one node. current: (P,) nodes now; NaN where the pool does not answer.
    min_nodes, max_nodes: (P,) the inventory's bounds.
    requested_nodes: (P,) nodes that the pods' requests fill now.
    price_usd_per_hour: (P,) of one node. paid_nodes: (P,) that are paid for anyway.
    breach_chance: (P, R) chance by the day-ahead forecast that demand passes 90 % of the pool's maximum; 0 where no
        quantile does. breach_at_s: when the p90 of its peak does, seconds since 1970; NaN where it does not.
    breach_peak: (P, R) the p90 of the peak.
    """

    as_of: datetime
    step_s: int
    unique_id: tuple[str, ...]
    demand: Demand
    nodes: Demand
    node_sizes: Floats
    current: Floats
    min_nodes: Floats
    max_nodes: Floats
    requested_nodes: Floats
    price_usd_per_hour: Floats
    paid_nodes: Floats
    breach_chance: Floats
    breach_at_s: Floats
    breach_peak: Floats

    def counted(self) -> Demand:
        """(P, D, T) Ready nodes; the present number where nobody counted them."""
        return np.where(np.isfinite(self.nodes), self.nodes, self.current[:, None, None].astype(np.float32))

    def used(self) -> Demand:
        """(P, R, D, T) share of the nodes in use; NaN where demand or nodes are not known, or there are no nodes."""
        nodes = self.counted()[:, None]
        room = np.where(nodes > 0, nodes, np.nan) * self.node_sizes[:, :, None, None].astype(np.float32)
        return np.asarray(self.demand / room, np.float32)

    def known_days(self) -> NDArray[np.bool_]:
        """(P, R, D) days of which at least half is known."""
        return np.asarray(np.isfinite(self.used()).mean(axis=3) >= 0.5)
