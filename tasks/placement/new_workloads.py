"""A workload that somebody wants to run somewhere, as a form or an event brings it; and as Kubernetes takes it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from blocks.fleet import Tier
from blocks.fleet_values import Model
from blocks.kubernetes import MANAGED_BY, OURS

DECISION = "continuum.io/decision"
DIGEST = "continuum.io/digest"

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
GIB = 2**30


class NewWorkload(Model):
    """One Deployment to be placed."""

    name: Label = Field(description="of the Deployment, e.g. `checkout`")
    namespace: Label = Field("default", description="must be there in every cluster that it may go to")
    image: str = Field(min_length=1, max_length=500, description="container image, with its tag or digest")
    replicas: int = Field(1, ge=1, le=1000, description="pods in each cluster that it goes to")
    cpu_cores: float = Field(gt=0, le=1024, allow_inf_nan=False, description="CPU that one pod requests, cores")
    memory_gib: float = Field(gt=0, le=4096, allow_inf_nan=False, description="memory that one pod requests, GiB")
    clusters: int = Field(1, ge=1, le=100, description="in how many clusters, each at another site")
    users: dict[str, float] = Field({}, description="requests per second by the fleet's site nearest to the users")
    latency_limit_ms: float | None = Field(None, gt=0, allow_inf_nan=False, description="round trip from any users")
    allowed: list[str] | None = Field(None, description="only these clusters")
    allowed_tiers: list[Tier] | None = Field(None, description="only sites of these tiers")

    @property
    def key(self) -> str:
        """Its name in the fleet."""
        return f"{self.namespace}/{self.name}"


def manifest(workload: NewWorkload, decision_id: str) -> dict[str, Any]:
    """The Deployment, with labels that say who placed it and by which decision.

    >>> made = manifest(NewWorkload(name="web", image="nginx:1", cpu_cores=0.5, memory_gib=1), "d1")
    >>> made["spec"]["template"]["spec"]["containers"][0]["resources"]
    {'requests': {'cpu': '500m', 'memory': '1024Mi'}}
    """
    mine = {"app.kubernetes.io/name": workload.name}
    requests = {"cpu": f"{round(1000 * workload.cpu_cores)}m", "memory": f"{round(1024 * workload.memory_gib)}Mi"}
    spec = {
        "replicas": workload.replicas,
        "selector": {"matchLabels": mine},
        "template": {
            "metadata": {"labels": mine},
            "spec": {"containers": [{"name": workload.name, "image": workload.image,
                                     "resources": {"requests": requests}}]},
        },
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload.name, "namespace": workload.namespace,
                     "labels": mine | {MANAGED_BY: OURS, DECISION: decision_id}, "annotations": {DIGEST: digest}},
        "spec": spec,
    }  # fmt: skip
