"""The nouns of the simulated clouds: machines, node pools and operations. Plain data, all of it JSON-able."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blocks.errors import CloudRefused
from blocks.fleet import pool_id
from blocks.series import utc
from deployments.local.nodes import digest


@dataclass
class Machine:
    """One machine of a pool.

    Attributes
    ----------
    joins_s: when its Node object appears; None once it has.
    ready: whether its Node has been Ready (or was there from the start).
    leaving_s: since when it is being drained; None while it stays.
    """

    joins_s: float | None = None
    ready: bool = False
    leaving_s: float | None = None


@dataclass
class Pool:
    """State of one node pool. `desired` is what was last accepted; `machines` is what is there, by node name."""

    cluster: str
    name: str
    min_nodes: int
    max_nodes: int
    desired: int
    autoscaled: bool
    generation: int = 1
    born: int = 0
    machines: dict[str, Machine] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`unique_id` of the pool, e.g. `eu-eks/web`."""
        return pool_id(self.cluster, self.name)

    @property
    def etag(self) -> str:
        """Changes with every accepted or reverted change of the pool."""
        return uuid_of(self.id, self.generation)

    def staying(self) -> list[str]:
        """Names of machines that are not leaving, oldest first."""
        return [name for name, machine in self.machines.items() if machine.leaving_s is None]

    def quiet(self) -> bool:
        """Whether every machine is Ready and none is leaving."""
        return all(machine.ready and machine.leaving_s is None for machine in self.machines.values())

    def settings(self) -> dict[str, Any]:
        """What an operation changes, and puts back if it fails."""
        names = ("min_nodes", "max_nodes", "desired", "autoscaled")
        return {name: getattr(self, name) for name in names}


@dataclass
class Operation:
    """One accepted change. Times are simulated seconds since 1970 UTC.

    `before` and `after` are `Pool.settings()`, `changes` is what was asked for. `finished_s` is when the cloud called
    it done or failed, `settled_s` when the last node had joined or gone. `fault` is the failure it was told to end in.
    """

    id: str
    cluster: str
    pool: str
    kind: str
    before: dict[str, Any]
    after: dict[str, Any]
    changes: dict[str, Any]
    accepted_s: float
    token: str = ""
    state: str = "running"
    finished_s: float | None = None
    settled_s: float | None = None
    error: str | None = None
    fault: str | None = None

    def log_entry(self) -> dict[str, Any]:
        """The operation as the log shows it: times ISO 8601, `from` and `to` in nodes."""
        return {
            "time": _iso(self.accepted_s),
            "cluster": self.cluster,
            "pool": self.pool,
            "id": self.id,
            "kind": self.kind,
            "from": self.before["desired"],
            "to": self.after["desired"],
            "bounds_from": [self.before["min_nodes"], self.before["max_nodes"]],
            "bounds_to": [self.after["min_nodes"], self.after["max_nodes"]],
            "state": self.state,
            "finished": _iso(self.finished_s),
            "settled": _iso(self.settled_s),
            "error": self.error,
        }


def check_bounds(pool: Pool, after: dict[str, Any]) -> None:
    """Refuse settings that break minimum <= desired <= maximum (CloudRefused)."""
    low, high, desired = after["min_nodes"], after["max_nodes"], after["desired"]
    for wrong, text in (
        (low < 0 or high < 1, f"bounds {low}-{high} are not a range of nodes"),
        (low > high, f"minimum size {low} is above maximum size {high}"),
        (desired > high, f"desired size {desired} is above maximum size {high}"),
        (desired < low, f"desired size {desired} is below minimum size {low}"),
    ):
        if wrong:
            raise CloudRefused(text, where=f"pool {pool.id}", fix="keep minimum <= desired <= maximum")


def uuid_of(*parts: object) -> str:
    """A UUID that depends on nothing but the parts."""
    tag = digest(*parts)
    return f"{tag[:8]}-{tag[8:12]}-4{tag[13:16]}-8{tag[17:20]}-{tag[20:32]}"


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else utc(time_s).isoformat()
