"""One fault: what it is, when it begins and ends, how often it struck. Plain data, JSON-able."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blocks.fleet import Fleet
from blocks.series import utc
from deployments.local.nodes import digest


@dataclass
class Fault:
    """Times are simulated seconds since 1970 UTC.

    Attributes
    ----------
    parameters: those of its kind, validated, defaults included.
    ends_s: when it is to end, or was lifted; None while nobody has said.
    state: scheduled, active or ended.
    seen: requests that it could have struck.
    struck: requests, queries or operations that felt it; 1 for what it does to machines and pods.
    """

    id: str
    kind: str
    parameters: dict[str, Any]
    seed: int
    begins_s: float
    ends_s: float | None = None
    state: str = "scheduled"
    seen: int = 0
    struck: int = 0

    @property
    def active(self) -> bool:
        """Whether it is on now."""
        return self.state == "active"

    def draw(self) -> float:
        """A number in [0, 1) that depends on nothing but the seed, the fault and how often it was asked."""
        return int(digest(self.seed, self.id, self.seen)[:8], 16) / 2**32

    def concerns(self, fleet: Fleet) -> frozenset[str] | None:
        """Names of the clusters it is about; None for no particular ones."""
        if (cluster := self.parameters.get("cluster")) is not None:
            return frozenset({cluster})
        if (site := self.parameters.get("site")) is not None:
            return frozenset(each.name for each in fleet.clusters if each.site == site)
        return None

    def as_json(self) -> dict[str, Any]:
        """The fault as the API shows it: times ISO 8601."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "parameters": self._given(),
            "begins": utc(self.begins_s).isoformat(),
            "ends": None if self.ends_s is None else utc(self.ends_s).isoformat(),
            "struck": self.struck,
        }

    def document(self, start_s: float) -> dict[str, Any]:
        """What to post to a simulation that stands at `start_s` to have the same fault there."""
        lasts = {} if self.ends_s is None else {"for_s": self.ends_s - self.begins_s}
        return {"kind": self.kind, "after_s": self.begins_s - start_s, **lasts, "seed": self.seed, **self._given()}

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self.parameters.items() if value is not None}
