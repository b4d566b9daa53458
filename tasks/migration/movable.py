"""Workloads that may move, as the form of `workload-migration` has them."""

from __future__ import annotations

from pydantic import Field

from blocks.fleet_values import Model
from tasks.placement.new_workloads import Label
from tasks.traffic.functions import Subject


class MovableRoute(Model):
    """A weighted route whose requests follow the workload."""

    subject: Subject = Field(description="as in `traffic-routing`, e.g. `eu-eks/gateway/shop/web`")
    backends: dict[str, str] = Field(min_length=2, description="the route's backend of each cluster")


class Movable(Model):
    """One Deployment that may stand in any of some clusters."""

    name: Label = Field(description="of the Deployment; it is looked for in every cluster")
    namespace: Label = Field("default", description="the same in every cluster")
    users: dict[str, float] = Field({}, description="requests per second by the fleet's site nearest to the users")
    allowed: list[str] | None = Field(None, description="only these clusters")
    moved_gb: float = Field(0.0, ge=0, le=1e6, description="GB that go along with a move, e.g. images and caches")
    route: MovableRoute | None = Field(None, description="without one, requests follow the pods by themselves")

    @property
    def key(self) -> str:
        """Its name in the fleet."""
        return f"{self.namespace}/{self.name}"
