"""What a scaling decision looks at: the pools as described, and the pools as observed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.fleet import Actuator
from tasks.scaling.decide.actuators import STEERING, Actuators, plain_actuators

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

# R resources that nodes are counted in, in column order. A name is the suffix of a forecast's `unique_id`
# (`cluster/pool/cpu_cores`) and of the numbers in a reason (`peak_cpu_cores`). A further resource is a name here,
# a column in `node_sizes` and one in `usage`, and an entry in each tuple of `policies.Thresholds`.
RESOURCES = ("cpu_cores", "memory_bytes", "gpus", "pods")
MEASURED = 2  # the first of them have series of usage and forecasts; of the others only requests count

NODES_LIMIT = 10**6  # no pool is larger; keeps absurd data inside integer range


@dataclass(frozen=True, eq=False)
class Pools:
    """P node pools as the inventory and the cloud describe them, one row a pool.

    Attributes
    ----------
    unique_id: P distinct names `cluster/pool`.
    min_nodes, max_nodes: (P,) bounds of the desired size, nodes; 0 <= min <= max.
    node_cpu_cores, node_memory_bytes: (P,) allocatable of one node, > 0; inf where the resource is not counted.
    node_gpus, node_pods: (P,) the same; None: not counted in any pool.
    boot_s: (P,) seconds from the request to a Ready node.
    price_usd_per_hour: (P,) USD per node-hour; NaN unknown.
    hands_off: (P,) true: never written, a decision becomes a patch file.
    owner: P names of who else sizes the pool: "" nobody, "argocd", "flux", "cluster-autoscaler", "karpenter", ...
    fixed: (P,) true: the number of nodes cannot change (edge hardware).
    multiple_of: (P,) sizes go in steps of this many nodes (one for each zone), >= 1; None: by single nodes.
    scheduled_nodes: (P,) fewest nodes that the pool's own schedule asks for until new nodes could be Ready; None: no
        pool has a schedule.
    paid_nodes: (P,) nodes that are paid for anyway; None: none in any pool.
    actuators: by what each pool is changed; None: nobody looked, see `known_actuators`.

    Raises
    ------
    InvalidInput: a column of another length, a name twice, bounds or sizes that make no sense.
    """

    unique_id: tuple[str, ...]
    min_nodes: Int
    max_nodes: Int
    node_cpu_cores: Float
    node_memory_bytes: Float
    boot_s: Float
    price_usd_per_hour: Float
    hands_off: Bool
    owner: tuple[str, ...]
    fixed: Bool
    multiple_of: Int | None = None
    node_gpus: Float | None = None
    node_pods: Float | None = None
    scheduled_nodes: Int | None = None
    paid_nodes: Int | None = None
    actuators: Actuators | None = None

    def take(self, rows: Int, names: tuple[str, ...]) -> Pools:
        """Some rows, under other names."""
        columns = {name: column[rows] for name, column in vars(self).items() if isinstance(column, np.ndarray)}
        columns.pop("foreign", None)
        return replace(self, unique_id=names, owner=tuple(self.owner[row] for row in rows.tolist()), **columns)  # type: ignore[arg-type]

    @cached_property
    def foreign(self) -> Bool:
        """(P,) somebody else sizes the pool."""
        return np.array([owner != "" for owner in self.owner], dtype=np.bool_)

    @cached_property
    def known_actuators(self) -> Actuators:
        """By what each pool is changed; where nobody looked, by its size, or by a patch where it is not ours."""
        return self.actuators or plain_actuators(self.hands_off | self.foreign)

    @cached_property
    def theirs(self) -> Bool:
        """(P,) a change is somebody else's to make."""
        return self.known_actuators.of(Actuator.PATCH)

    @cached_property
    def steered(self) -> Bool:
        """(P,) somebody else's autoscaler sizes the pool, and we move what it goes by."""
        return self.known_actuators.of(*STEERING)

    def __post_init__(self) -> None:
        _same_length(self, len(self.unique_id))
        if len(set(self.unique_id)) != len(self.unique_id):
            twice = sorted({name for name in self.unique_id if self.unique_id.count(name) > 1})
            raise InvalidInput("the pool is listed twice", where=f"pool {twice[0]}", fix="give each pool one row")
        _each(
            self, (self.min_nodes >= 0) & (self.min_nodes <= self.max_nodes), "min_nodes is not within 0 .. max_nodes"
        )
        _each(self, np.asarray((node_sizes(self) > 0).all(axis=1)), "a node has no allocatable CPU or memory")
        _each(self, np.asarray(group_nodes(self) >= 1), "multiple_of is below 1")
        _each(self, np.isfinite(self.boot_s) & (self.boot_s >= 0), "boot_s is not a number of seconds")


@dataclass(frozen=True, eq=False)
class Observed:
    """The same P pools as seen now, in the order of `Pools.unique_id`.

    Attributes
    ----------
    desired, ready: (P,) nodes asked for, nodes Ready.
    busy: (P,) true while an operation on the pool is running.
    cpu_cores, memory_bytes: (P,) in use now; NaN missing, never zero.
    age_s: (P,) age of the newest sample, seconds; inf if there is none.
    last_up_s, last_change_s: (P,) seconds since the last scale-up, the last change of size; inf never.
    recent_want: (P,) most nodes wanted over the last `Policy.down_stabilisation_s`; 0 or NaN if nothing is stored.
    reachable: (P,) false: the cluster or its node-pool API does not answer; the other columns are not believed.
    requested: (P, R) what the pods on the pool's nodes and those that wait for it request, DaemonSets left out; NaN
        not known; None: nobody looked (a replay), so that only measured use counts.
    pending_pods: (P,) pods that wait for a node of this pool.
    interrupted_nodes: (P,) spot nodes whose cloud has announced that it takes them back.
    reserved_nodes: (P,) nodes that other flows have reserved: they are not drained.
    removable_nodes: (P,) nodes that may leave without breaking a PodDisruptionBudget.
    quota_nodes: (P,) nodes more that the cloud's quota allows.
    frozen: (P,) a change freeze forbids every change. growth_only: (P,) one forbids shrinking.
    The last seven: None where nothing is known to stand in the way of any pool.

    Raises
    ------
    InvalidInput: a column of another length.
    """

    desired: Int
    ready: Int
    busy: Bool
    cpu_cores: Float
    memory_bytes: Float
    age_s: Float
    last_up_s: Float
    last_change_s: Float
    recent_want: Float
    reachable: Bool
    requested: Float | None = None
    pending_pods: Int | None = None
    interrupted_nodes: Int | None = None
    reserved_nodes: Int | None = None
    removable_nodes: Int | None = None
    quota_nodes: Int | None = None
    frozen: Bool | None = None
    growth_only: Bool | None = None

    def __post_init__(self) -> None:
        _same_length(self, len(self.desired))


def group_nodes(pools: Pools) -> Int:
    """(P,) nodes that come and go together."""
    return np.ones(len(pools.unique_id), dtype=np.int64) if pools.multiple_of is None else pools.multiple_of


def node_sizes(pools: Pools) -> Float:
    """(P, R) what one node holds of each resource; inf where it is not counted."""
    sizes = np.full((len(pools.unique_id), len(RESOURCES)), np.inf)
    for column, size in enumerate((pools.node_cpu_cores, pools.node_memory_bytes, pools.node_gpus, pools.node_pods)):
        if size is not None:
            sizes[:, column] = size
    return sizes


def usage(observed: Observed) -> Float:
    """(P, R) what is in use now of each resource; NaN where it is not known, or not measured at all."""
    used = np.full((len(observed.desired), len(RESOURCES)), np.nan)
    used[:, 0], used[:, 1] = observed.cpu_cores, observed.memory_bytes
    return used


def _same_length(table: Pools | Observed, count: int) -> None:
    for name, column in vars(table).items():
        if column is not None and len(column) != count:
            raise InvalidInput(
                f"column {name} has {len(column)} rows, the table has {count}",
                where=type(table).__name__,
                fix="give one row for each pool, in the order of unique_id",
            )


def _each(pools: Pools, good: Bool, problem: str) -> None:
    if not good.all():
        name = pools.unique_id[int(np.argmin(good))]
        raise InvalidInput(problem, where=f"pool {name}", fix="correct the pool in fleet.yaml")
