"""What a cloud refuses and what it cannot give: sizes out of bounds, a spent quota, no machines left. In its own words.

Texts are those that users report of the real clouds (aws/containers-roadmap#2204, kubernetes/autoscaler#4811,
terraform-aws-eks#3521, cluster-api-provider-azure#5947); where none was found they are general knowledge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from blocks.errors import CloudRefused
from blocks.fleet import Cluster, NodePool, Provider
from deployments.local.nodes import group_name
from deployments.local.pool_state import Pool

MOST_NODES = 1000  # of a GKE pool in a zone, and of an AKS pool
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
Kind = Literal["quota", "shortage"]
Finding = tuple[bool, str]


class Lack(NamedTuple):
    """Why machines did not come: the cloud's code and words."""

    code: str
    message: str


def check_bounds(provider: Provider, pool: Pool, after: dict[str, Any]) -> None:
    """Refuse settings that the provider would refuse (CloudRefused).

    EKS keeps minimum <= desired <= maximum at all times. GKE and AKS know bounds only while the autoscaler is on;
    GKE even then sets any size that it is told to.
    """
    low, high, desired = after["min_nodes"], after["max_nodes"], after["desired"]
    for wrong, text in BOUNDS[provider](low, high, desired, after["autoscaled"]):
        if wrong:
            raise CloudRefused(text, where=f"pool {pool.id}", fix="keep minimum <= desired <= maximum")


def check_marks(pool: Pool, after: dict[str, Any]) -> None:
    """Refuse labels and taints that no Node may carry (CloudRefused)."""
    labels, taints = after["labels"], after["taints"]
    pairs = list(labels.items()) + [(taint["key"], taint["value"]) for taint in taints]
    for key, value in pairs:
        texts = isinstance(key, str) and isinstance(value, str)
        if not (texts and LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)):
            raise CloudRefused(f"label or taint {key}={value} is not valid", where=f"pool {pool.id}")


def _eks(low: int, high: int, desired: int, _autoscaled: bool) -> Iterator[Finding]:
    yield low < 0, "minSize is not valid"
    yield high < 1, "maxSize is not valid"
    yield low > high, f"Minimum capacity {low} can't be greater than max size {high}"
    yield desired > high, f"Desired capacity {desired} can't be greater than max size {high}"
    yield low > desired, f"Minimum capacity {low} can't be greater than desired size {desired}"


def _gke(low: int, high: int, desired: int, autoscaled: bool) -> Iterator[Finding]:
    yield not 0 <= desired <= MOST_NODES, f"node_count must be between 0 and {MOST_NODES}, got {desired}"
    if autoscaled:
        yield low < 0, f"min_node_count must not be negative, got {low}"
        yield not 1 <= high <= MOST_NODES, f"max_node_count must be between 1 and {MOST_NODES}, got {high}"
        yield low > high, f"min_node_count {low} must be less than or equal to max_node_count {high}"


def _aks(low: int, high: int, desired: int, autoscaled: bool) -> Iterator[Finding]:
    least, most = (low, high) if autoscaled else (1, MOST_NODES)
    if autoscaled:
        yield low < 1, f"agentPoolProfile.minCount was {low}. A system node pool needs at least 1 node."
        yield high > MOST_NODES, f"agentPoolProfile.maxCount was {high}. It must be at most {MOST_NODES}."
        yield low > high, f"agentPoolProfile.minCount {low} must be less than or equal to maxCount {high}."
    within = f"It must be greater or equal to minCount:{least} and less than or equal to maxCount:{most}."
    yield not least <= desired <= most, f"agentPoolProfile.count was {desired}. {within}"


BOUNDS: dict[Provider, Callable[[int, int, int, bool], Iterator[Finding]]] = {
    Provider.EKS: _eks,
    Provider.GKE: _gke,
    Provider.AKS: _aks,
    Provider.K3S: _eks,
}


def lack(kind: Kind, cluster: Cluster, pool: NodePool, *, quota: int, used: int, wanted: int) -> Lack:
    """What the cloud says when an order of `wanted` machines is not filled.

    quota, used: machines that the account may have in the region, and has. Quotas are told in cores, as if every
    machine were one of this pool.
    """
    cores = math.ceil(pool.node_cpu)
    words = {"type": pool.instance_type, "region": cluster.cloud.region or cluster.site, "limit": quota * cores,
             "usage": used * cores, "wanted": wanted * cores, "needed": (used + wanted) * cores,
             "project": cluster.cloud.project, "group": group_name(cluster, pool)}  # fmt: skip
    code, text = LACKS[cluster.provider, kind]
    return Lack(code, text.format(**words))


LACKS: dict[tuple[Provider, Kind], tuple[str, str]] = {
    (Provider.EKS, "quota"): (
        "AsgInstanceLaunchFailures",
        "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your "
        "current vCPU limit of {limit} allows for the instance bucket that the specified instance type belongs to. "
        "Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. "
        "Launching EC2 instance failed.",
    ),
    (Provider.EKS, "shortage"): (
        "AsgInstanceLaunchFailures",
        "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient "
        "{type} capacity in the Availability Zone you requested ({region}a). Our system will be working on "
        "provisioning additional capacity. Launching EC2 instance failed.",
    ),
    (Provider.GKE, "quota"): (
        "GCE_QUOTA_EXCEEDED",
        "Google Compute Engine: Not all instances running in IGM. Current errors: [GCE_QUOTA_EXCEEDED]: Instance in "
        "'{group}' creation failed: Quota 'CPUS' exceeded. Limit: {limit}.0 in region {region}.",
    ),
    (Provider.GKE, "shortage"): (
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "Google Compute Engine: Not all instances running in IGM. Current errors: [ZONE_RESOURCE_POOL_EXHAUSTED]: "
        "Instance in '{group}' creation failed: The zone 'projects/{project}/zones/{region}' does not have enough "
        "resources available to fulfill the request. '(resource type:compute)'.",
    ),
    (Provider.AKS, "quota"): (
        "QuotaExceeded",
        "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. Additional "
        "details - Deployment Model: Resource Manager, Location: {region}, Current Limit: {limit}, Current Usage: "
        "{usage}, Additional Required: {wanted}, (Minimum) New Limit Required: {needed}.",
    ),
    (Provider.AKS, "shortage"): (
        "AllocationFailed",
        "Allocation failed. We do not have sufficient capacity for the requested VM size {type} in this region. Read "
        "more about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    ),
    (Provider.K3S, "quota"): ("NoMachine", "the site has no more machines"),
    (Provider.K3S, "shortage"): ("NoMachine", "the site has no more machines"),
}  # fmt: skip
