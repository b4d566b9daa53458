"""The kinds of fault: one row each, and the shape of the parameters they take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from blocks.errors import InvalidInput

LONGEST_S = 366 * 86_400.0
DAY_S = 86_400.0


class Shape(BaseModel):
    """What every fault takes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str = Field(description="one of the kinds")
    after_s: float = Field(0.0, ge=0, le=LONGEST_S, description="simulated seconds from now until it begins")
    for_s: float | None = Field(None, ge=0, le=LONGEST_S, description="simulated seconds it lasts; none: until lifted")
    seed: int | None = Field(None, description="of whatever is drawn; none: the simulation's own")


class ClusterFault(Shape):
    """A fault of one cluster."""

    cluster: str = Field(description="name of a cluster")


class NodeFault(ClusterFault):
    """A fault of one node."""

    node: str = Field(description="name of a node")


class SiteFault(Shape):
    """A fault of all clusters of a site."""

    site: str = Field(description="name of a site")


class PodFault(ClusterFault):
    """A fault of some pods."""

    namespace: str = Field("default", description="their namespace")
    name: str = Field(min_length=1, description="pattern of their names, as in a shell")


class SeriesFault(Shape):
    """A fault of the metrics of a place; without a place, of all metrics."""

    site: str | None = Field(None, description="only series of this site's clusters")
    cluster: str | None = Field(None, description="only series of this cluster")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.site is not None and self.cluster is not None:
            raise ValueError("site and cluster are both given")
        return self


class MetricsFault(SeriesFault):
    """A fault of metrics that may be one pool's."""

    pool: str | None = Field(None, description="only series of this node pool of the cluster")

    @model_validator(mode="after")
    def _pool_of_a_cluster(self) -> Self:
        if self.pool is not None and self.cluster is None:
            raise ValueError("a pool is given without its cluster")
        return self


class SkewFault(SeriesFault):
    """A clock that is wrong."""

    seconds: float = Field(ge=-DAY_S, le=DAY_S, description="added to the time of every sample")


class OperationFault(ClusterFault):
    """A failure of operations in a cloud."""

    pool: str | None = Field(None, description="name of a node pool; none: any of the cluster")
    error: str = Field(min_length=1, description="the cloud's words")
    times: int = Field(1, ge=1, description="operations that fail")


class QuotaFault(ClusterFault):
    """A limit on a cluster's machines."""

    nodes: int = Field(ge=0, description="machines that the cluster may have in all its pools")


class CapacityFault(ClusterFault):
    """Machines that cannot be had."""

    pool: str = Field(description="name of a node pool")


class ApiFault(Shape):
    """A rule on requests."""

    api: Literal["kubernetes", "eks", "gke", "aks", "prometheus", "any"] = Field("any", description="whose requests")
    cluster: str | None = Field(None, description="only requests that name this cluster in their path")
    method: str | None = Field(None, description="only requests of this method")
    path: str | None = Field(None, description="only requests whose path and query hold this regular expression")
    effect: Literal["slow", "drop", "reset", "error", "html"] = Field(
        description="slow: answer late; drop: never answer; reset: cut the connection; "
        "error: answer with the API's own error; html: answer with a proxy's page"
    )
    delay_s: float = Field(1.0, ge=0, le=120, description="wall seconds that slow takes longer")
    status: int | None = Field(None, ge=200, le=599, description="of error (500) and html (502)")
    retry_after_s: int | None = Field(None, ge=0, le=3600, description="sent with an error as Retry-After")
    share: float = Field(1.0, ge=0, le=1, description="of these requests that it strikes")
    times: int | None = Field(None, ge=1, description="requests it strikes at most")
    work_done: bool = Field(False, description="whether the request takes effect before its answer is lost or late")

    @field_validator("path")
    @classmethod
    def _regular(cls, path: str | None) -> str | None:
        try:
            re.compile(path or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return path

    @model_validator(mode="after")
    def _error_is_one(self) -> Self:
        if self.effect == "error" and self.status is not None and self.status < 400:
            raise ValueError(f"an error cannot have status {self.status}")
        return self


@dataclass(frozen=True)
class Kind:
    """One kind of fault: what it does, its parameters, and an example of them."""

    name: str
    does: str
    shape: type[Shape]
    example: dict[str, Any]

    def parameters(self) -> list[dict[str, Any]]:
        """Its parameters as a table: name, what it is, whether it is required, else its default."""
        return [
            {"name": name, "about": field.description, "required": field.is_required()}
            | ({} if field.is_required() else {"default": field.default})
            for name, field in sorted(self.shape.model_fields.items(), key=lambda item: item[0] in Shape.model_fields)
            if name != "kind"
        ]

    def as_json(self) -> dict[str, Any]:
        """The row."""
        example = {"kind": self.name, **self.example}
        return {"kind": self.name, "does": self.does, "parameters": self.parameters(), "example": example}


_NODE = {"cluster": "edge-munich", "node": "edge-munich-edge-01", "for_s": 600}
_SITE = {"site": "munich", "after_s": 60, "for_s": 900}
_ROWS = (
    Kind("node-kill", "a machine is gone: a cloud replaces it, an edge machine is back at the end", NodeFault, _NODE),
    Kind("node-freeze", "a node's kubelet neither reports nor acts", NodeFault, _NODE),
    Kind("disk-full", "a node reports DiskPressure", NodeFault, _NODE),
    Kind("cluster-kill", "control plane and nodes are off: connections are reset, metrics stop", ClusterFault,
         {"cluster": "eu-eks", "for_s": 300}),
    Kind("cluster-freeze", "the control plane stands still: requests hang, watches fall silent", ClusterFault,
         {"cluster": "eu-eks", "for_s": 300}),
    Kind("site-kill", "cluster-kill for all clusters of a site", SiteFault, _SITE),
    Kind("site-freeze", "cluster-freeze for all clusters of a site", SiteFault, _SITE),
    Kind("site-partition", "no network to a site: requests hang, metrics stop, inside all goes on", SiteFault, _SITE),
    Kind("pod-never-ready", "pods run and never become Ready", PodFault, {"cluster": "us-gke", "name": "web-*"}),
    Kind("api", "requests are slow, lost, cut or answered with an error", ApiFault,
         {"api": "kubernetes", "method": "POST", "path": "/eviction", "effect": "error", "status": 503, "share": 0.2}),
    Kind("metrics-freeze", "the newest samples stay those of the moment it began", MetricsFault,
         {"cluster": "eu-eks", "pool": "web", "for_s": 3600}),
    Kind("metrics-nan", "new samples are NaN", MetricsFault, {"cluster": "eu-eks", "for_s": 600}),
    Kind("metrics-missing", "series end, as when their target is gone", MetricsFault, {"site": "munich", "for_s": 600}),
    Kind("clock-skew", "the times of new samples are wrong", SkewFault, {"site": "osaka", "seconds": -90}),
    Kind("cloud-operation-fails", "the next operation on a node pool fails", OperationFault,
         {"cluster": "eu-eks", "pool": "web", "error": "no m5.xlarge left in this zone"}),
    Kind("cloud-quota", "a cloud gives a cluster no more machines than this", QuotaFault,
         {"cluster": "us-gke", "nodes": 12}),
    Kind("cloud-capacity", "a cloud has no machines of a pool's type", CapacityFault,
         {"cluster": "asia-aks", "pool": "web", "for_s": 1800}),
)  # fmt: skip
KINDS = {row.name: row for row in _ROWS}


def parsed(document: Any, where: str) -> Shape:
    """The fault that a document asks for.

    Raises
    ------
    InvalidInput: no such kind, or the parameters do not fit it.
    """
    if not isinstance(document, dict):
        raise InvalidInput("a fault is a JSON object", where=where, fix='send {"kind": ...} and its parameters')
    kind = KINDS.get(str(document.get("kind")))
    if kind is None:
        what = f"there is no fault {document['kind']!r}" if "kind" in document else "kind is missing"
        raise InvalidInput(what, where=where, fix=f"give one of {', '.join(KINDS)}")
    try:
        return kind.shape.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        taken = ", ".join(parameter["name"] for parameter in kind.parameters())
        what = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(
            f"{field}: {what}" if field else what, where=f"{where} ({kind.name})", fix=f"it takes {taken}"
        ) from None
