"""Workloads that may move, and clusters to be left for a while, as the form of `workload-migration` has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, Field

from blocks.errors import InvalidInput
from blocks.fleet import Fleet
from blocks.fleet_values import Model
from tasks.placement.new_workloads import Label
from tasks.traffic.functions import Subject


class MovableRoute(Model):
    """A weighted route whose requests follow the workload."""

    subject: Subject = Field(description="as in `traffic-routing`, e.g. `eu-eks/gateway/shop/web`")
    backends: dict[str, str] = Field(min_length=2, description="the route's backend of each cluster")


class Movable(Model):
    """One Deployment or StatefulSet that may stand in any of some clusters."""

    name: Label = Field(description="of the Deployment or StatefulSet; it is looked for in every cluster")
    namespace: Label = Field("default", description="the same in every cluster")
    users: dict[str, float] = Field({}, description="requests per second by the fleet's site nearest to the users")
    allowed: list[str] | None = Field(None, description="only these clusters")
    home: str | None = Field(None, description="the cluster that it goes back to after a failure has passed there, "
                             "though it does not pay; none: only where it pays")  # fmt: skip
    restart_after_min: float | None = Field(
        None, ge=5, le=1440, description="minutes that its cluster must have been silent until it is started in "
        "another one; for what keeps no data and may run twice until the cluster is back. None: it is told, not moved"
    )  # fmt: skip
    moved_gb: float = Field(0.0, ge=0, le=1e6, description="GB that go along with a move, e.g. images and caches")
    route: MovableRoute | None = Field(None, description="without one, requests follow the pods by themselves")

    @property
    def key(self) -> str:
        """Its name in the fleet."""
        return f"{self.namespace}/{self.name}"


class Maintenance(Model):
    """A cluster that is not to be used for some time."""

    cluster: str = Field(description="its name in the fleet")
    begin: AwareDatetime = Field(description="with its offset, e.g. `2026-03-10T22:00:00+01:00`")
    end: AwareDatetime = Field(description="after it began; not included")
    lead_min: int = Field(60, ge=0, le=10_080, description="minutes before it, from when on the cluster is left")

    def holds(self, when: datetime) -> bool:
        """Whether the cluster is to be left at a time."""
        return self.begin - timedelta(minutes=self.lead_min) <= when < self.end


def check_names(
    fleet: Fleet, workloads: Sequence[Movable], leave: Sequence[str], maintenance: Sequence[Maintenance]
) -> None:
    """Refuse what names no cluster or site of the fleet, or the same workload twice.

    Raises
    ------
    InvalidInput: with the workload, and what is wrong with it.
    """
    if not workloads:
        raise InvalidInput("no workload is given", where="workloads", fix="give one at least: its name and namespace")
    clusters, sites = {each.name for each in fleet.clusters}, {each.name for each in fleet.sites}
    keys = [each.key for each in workloads]
    if len(set(keys)) < len(keys):
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise InvalidInput("it is there twice", where=f"workload {twice}", fix="give each once")
    wanted = [("leave", "cluster", set(leave), clusters),
              ("maintenance", "cluster", {each.cluster for each in maintenance}, clusters)]  # fmt: skip
    for each in workloads:
        at = f"workload {each.key}"
        wanted += [(at, "cluster", {*(each.allowed or ()), *([each.home] if each.home else [])}, clusters),
                   (at, "site", set(each.users), sites)]  # fmt: skip
        if each.route:
            wanted.append((at, "cluster", set(each.route.backends), clusters))
    for where, what, named, known in wanted:
        if unknown := named - known:
            raise InvalidInput(f"the inventory has no {what} `{min(unknown)}`", where=where,
                               fix="see `continuum fleet show`")  # fmt: skip
    for window in maintenance:
        if window.end <= window.begin:
            raise InvalidInput(
                "it ends before it begins", where=f"maintenance of {window.cluster}", fix="give an end after the begin"
            )
