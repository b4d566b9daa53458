"""The nouns of the simulated clouds: machines, node pools and operations. Plain data, all of it JSON-able."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
    dead_s: since when it is broken for good; None while it works.
    """

    joins_s: float | None = None
    ready: bool = False
    leaving_s: float | None = None
    dead_s: float | None = None


@dataclass
class Pool:
    """State of one node pool.

    Attributes
    ----------
    desired: what was last accepted.
    machines: what is there, by node name.
    labels, taints: what its nodes carry beside the provider's own, as a Node has them.
    update_config: how many nodes an EKS version update may take at once.
    lack: `code` and `message` of why the last order of machines was not filled; empty when it was.
    retry_s: when the cloud tries again to fill it.
    """

    cluster: str
    name: str
    min_nodes: int
    max_nodes: int
    desired: int
    autoscaled: bool
    generation: int = 1
    born: int = 0
    machines: dict[str, Machine] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    update_config: dict[str, int] = field(default_factory=lambda: {"maxUnavailable": 1})
    lack: dict[str, str] = field(default_factory=dict)
    retry_s: float | None = None

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
        names = ("min_nodes", "max_nodes", "desired", "autoscaled", "labels", "taints", "update_config")
        return {name: getattr(self, name) for name in names}

    def set(self, settings: dict[str, Any]) -> None:
        """Take settings over; the etag is another one then."""
        for name, value in settings.items():
            setattr(self, name, value)
        self.generation += 1


@dataclass
class Operation:
    """One accepted change. Times are simulated seconds since 1970 UTC.

    `kind` is set_desired, set_bounds, set_marks, or autoscaler for what the pool's autoscaler did; the clouds' APIs do
    not show that one. `before` and `after` are `Pool.settings()`, `changes` is what was asked for. `finished_s` is when
    the cloud called it done or failed, `settled_s` when the last node had joined or gone. `fault` is the failure it was
    told to end in, `code` the cloud's word for an error of its own.
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
    code: str | None = None
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


def uuid_of(*parts: object) -> str:
    """A UUID that depends on nothing but the parts."""
    tag = digest(*parts)
    return f"{tag[:8]}-{tag[8:12]}-4{tag[13:16]}-8{tag[17:20]}-{tag[20:32]}"


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else utc(time_s).isoformat()
