"""What a plan looks at: the pools as they are now, and every number that it plans by."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

# R resources, in column order. The first have forecasts, whose series are named `cluster/pool/RESOURCE`; of the others
# nobody measures a demand, so what pods request of them now is taken for the whole day.
RESOURCES = ("cpu_cores", "memory_bytes", "gpus", "storage_bytes")
FORESEEN = 2

NODES_LIMIT = 10**6  # no pool is larger; keeps absurd data inside integer range


@dataclass(frozen=True, eq=False)
class PlanPools:
    """P node pools as they are now, one row a pool.

    Attributes
    ----------
    unique_id: P distinct names `cluster/pool`.
    current, ready: (P,) nodes asked for, nodes Ready.
    min_nodes, max_nodes: (P,) bounds of the size, nodes; 0 <= min <= max.
    node_sizes: (P, R) what one node holds of each resource; NaN unknown, 0 the node has none.
    requested: (P, R) what pods request of each resource now; NaN unknown. Only those without a forecast are read.
    boot_s: (P,) seconds from the request to a Ready node.
    price_usd_per_hour: (P,) USD per node-hour beyond the paid ones; NaN unknown.
    paid_nodes: (P,) nodes that are paid for anyway.
    multiple_of: (P,) sizes go in steps of this many nodes, >= 1.
    reachable: (P,) false: the cluster or its cloud does not answer; current and ready are not believed.
    owner: P names of who else sizes the pool, "" nobody.

    Raises
    ------
    InvalidInput: a column of another length, a name twice, bounds that make no sense.
    """

    unique_id: tuple[str, ...]
    current: Int
    ready: Int
    min_nodes: Int
    max_nodes: Int
    node_sizes: Float
    requested: Float
    boot_s: Float
    price_usd_per_hour: Float
    paid_nodes: Int
    multiple_of: Int
    reachable: Bool
    owner: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.unique_id)
        for name, column in vars(self).items():
            if len(column) != count:
                raise InvalidInput(f"column {name} has {len(column)} rows, the table has {count}", where="PlanPools",
                                   fix="give one row for each pool, in the order of unique_id")  # fmt: skip
        if len(set(self.unique_id)) != count:
            twice = min(name for name in self.unique_id if self.unique_id.count(name) > 1)
            raise InvalidInput("the pool is listed twice", where=f"pool {twice}", fix="give each pool one row")
        good = (self.min_nodes >= 0) & (self.min_nodes <= self.max_nodes) & (self.multiple_of >= 1)
        if not good.all():
            raise InvalidInput("min_nodes is not within 0 .. max_nodes, or multiple_of is below 1",
                               where=f"pool {self.unique_id[int(np.argmin(good))]}",
                               fix="correct the pool in fleet.yaml")  # fmt: skip

    def rows(self, part: slice) -> PlanPools:
        """Some of the pools."""
        return PlanPools(**{field.name: getattr(self, field.name)[part] for field in fields(self)})


@dataclass(frozen=True)
class PlanPolicy:
    """The numbers of a plan.

    Attributes
    ----------
    quantile: level of the forecast that nodes are planned for, linear between the levels that it has.
    target_ratio: share of the nodes that this demand may fill.
    violation_ratio: demand above this share of the Ready nodes counts as a violation.
    decision_s: added to the boot time: a change is asked for this much earlier than nodes need to boot.
    least_hold_s: a pool shrinks only to what suffices for at least this long.
    change_node_hours: node-hours that one change fewer is worth.
    forecast_stale_after_s: an older forecast plans nothing.
    urgent_minutes, risky_minutes: expected violation minutes of the day that an action takes away, from which on it has
        high and medium priority.
    """

    quantile: float = 0.95
    target_ratio: float = 0.90
    violation_ratio: float = 0.90
    decision_s: float = 300.0
    least_hold_s: float = 7200.0
    change_node_hours: float = 1.0
    forecast_stale_after_s: float = 10_800.0
    urgent_minutes: float = 15.0
    risky_minutes: float = 1.0
