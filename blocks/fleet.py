"""The fleet's vocabulary: what a fleet.yaml holds. No Prefect in here."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from blocks.fleet_checks import identity_findings
from blocks.fleet_times import ChangeFreeze, ScheduledSize
from blocks.fleet_values import GPU_PATTERN, Bytes, Cores, Count, Model, Name, Number, PoolName, TimeZone, Url


class Tier(StrEnum):
    """Where a site stands between the user and the cloud."""

    FAR_EDGE = "far-edge"
    NEAR_EDGE = "near-edge"
    REGIONAL_EDGE = "regional-edge"
    CLOUD_REGION = "cloud-region"


class Provider(StrEnum):
    """Whose API changes the size of a cluster's node pools."""

    EKS = "eks"
    GKE = "gke"
    AKS = "aks"
    K3S = "k3s"


class Autoscaler(StrEnum):
    """Which in-cluster controller already scales a pool."""

    NONE = "none"
    CLUSTER_AUTOSCALER = "cluster-autoscaler"
    KARPENTER = "karpenter"


class Actuator(StrEnum):
    """By what Continuum changes the number of a pool's nodes."""

    DESIRED = "desired"
    FLOOR = "floor"
    HEADROOM = "headroom"
    WORKLOAD = "workload"
    POWER = "power"
    PATCH = "patch"


class Capacity(Model):
    """What an edge site holds in all."""

    cpu: Cores = Field(description="CPU cores, e.g. `64 cores`")
    memory: Bytes = Field(description="memory, e.g. `256GB`")
    gpu: str | None = Field(None, description="GPUs, e.g. `4x NVIDIA T4`", pattern=GPU_PATTERN)
    storage: str | None = Field(None, description="storage, e.g. `4TB NVMe`")


class Site(Model):
    """A place with clusters: a cloud region or an edge location."""

    name: Name = Field(description="unique in the fleet, e.g. `edge-munich`")
    tier: Tier = Field(description="where it stands between the user and the cloud")
    location: str = Field("", description="for people, e.g. `Virginia, USA`")
    latitude: Number = Field(ge=-90, le=90, description="degrees north")
    longitude: Number = Field(ge=-180, le=180, description="degrees east")
    time_zone: TimeZone = Field("UTC", description="IANA name, e.g. `Europe/Berlin`")
    grid_zone: str | None = Field(None, description="electricity grid zone, e.g. `DE`")
    pue: Number = Field(1.2, ge=1, le=3, description="power usage effectiveness, ratio")
    capacity: Capacity | None = Field(None, description="what the site holds in all; for edge sites")
    cache_region: str = Field(
        "", description="region whose shared cache stands between the site's cache and the origin"
    )


class NodePool(Model):
    """Nodes of one kind that are scaled together."""

    name: PoolName = Field(description="the provider's own name of the pool, unique in its cluster")
    instance_type: str = Field(description="e.g. `m5.xlarge`; free text for edge boxes")
    min_nodes: Count = Field(ge=0, description="never fewer nodes than this")
    max_nodes: Count = Field(ge=1, description="never more nodes than this")
    node_cpu: Cores = Field(gt=0, description="allocatable CPU of one node, e.g. `3920m`")
    node_memory: Bytes = Field(gt=0, description="allocatable memory of one node, e.g. `14Gi`")
    boot_s: Number = Field(180, gt=0, le=3600, description="seconds from the request to a Ready node")
    price_usd_per_hour: Number | None = Field(None, ge=0, description="USD per node-hour, on demand")
    spot_usd_per_hour: Number | None = Field(None, ge=0, description="USD per node-hour where nodes are spot capacity")
    discount_ratio: Number = Field(0, ge=0, lt=1, description="what a plan or contract takes off the on-demand price")
    reserved_nodes: Count = Field(0, ge=0, description="nodes that are paid for anyway: fewer of them save nothing")
    autoscaler: Autoscaler = Field(Autoscaler.NONE, description="in-cluster controller that already scales the pool")
    actuator: Actuator | None = Field(
        None, description="how to change its size, where that is possible; default: found out by looking"
    )
    fallbacks: list[PoolName] = Field(
        [], description="pools of the same cluster that take the nodes which the cloud refuses to this one, in order"
    )
    hands_off: bool = Field(False, description="never write this pool: a decision becomes a patch file")
    schedule: list[ScheduledSize] = Field([], description="fewest nodes by the time of the week, in the site's time")
    quota_nodes: Count | None = Field(None, ge=0, description="nodes of this pool that the cloud's quota allows in all")

    @property
    def usd_per_hour(self) -> float | None:
        """What one more node-hour costs, beyond what is reserved; None where nobody says.

        >>> pool = NodePool(name="web", instance_type="m5.xlarge", min_nodes=1, max_nodes=9, node_cpu=4, node_memory=16,
        ...                 price_usd_per_hour=0.2, discount_ratio=0.25)
        >>> round(pool.usd_per_hour, 3), pool.model_copy(update={"spot_usd_per_hour": 0.07}).usd_per_hour
        (0.15, 0.07)
        """
        if self.spot_usd_per_hour is not None:
            return float(self.spot_usd_per_hour)
        listed = self.price_usd_per_hour
        return None if listed is None else float(listed) * (1 - float(self.discount_ratio))

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_nodes > self.max_nodes:
            raise PydanticCustomError("cross_field", "min_nodes is above max_nodes")
        return self


class KubernetesAccess(Model):
    """How to reach a cluster's API: a kubeconfig context, or a server and a token."""

    context: str | None = Field(None, description="kubeconfig context; exec plug-ins and proxies work as in kubectl")
    kubeconfig: str | None = Field(None, description="kubeconfig file; default: KUBECONFIG or ~/.kube/config")
    server: Url | None = Field(None, description="API server URL, instead of a context")
    token: SecretStr | None = Field(None, description="bearer token: `${ENV}` or `secret:BLOCK`")
    ca_file: str | None = Field(None, description="PEM file of the certificate authority; default: the system's")


class CloudAccess(Model):
    """How to reach the node-pool API; credentials come from each SDK's own chain."""

    cluster: str | None = Field(None, description="the cluster's name in the cloud; default: its name here")
    region: str | None = Field(None, description="AWS region, GCP location or Azure location")
    profile: str | None = Field(None, description="AWS profile")
    role_arn: str | None = Field(None, description="AWS role to assume")
    project: str | None = Field(None, description="GCP project")
    subscription: str | None = Field(None, description="Azure subscription id")
    resource_group: str | None = Field(None, description="Azure resource group")
    endpoint_url: Url | None = Field(None, description="another endpoint of the same API, such as a simulated one")


class Cluster(Model):
    """One Kubernetes cluster and its node pools."""

    name: Name = Field(description="unique in the fleet, e.g. `eu-eks`")
    site: Name = Field(description="name of one of `sites`")
    provider: Provider = Field(description="whose API changes the size of its node pools")
    kubernetes: KubernetesAccess = Field(KubernetesAccess(), description="how to reach its Kubernetes API")
    cloud: CloudAccess = Field(CloudAccess(), description="how to reach its node-pool API; not for k3s")
    metrics: Metrics | None = Field(None, description="this cluster's own Prometheus; default: the fleet's")
    node_pools: list[NodePool] = Field(min_length=1, description="its node pools, at least one")


class Workload(Model):
    """A workload that later flows place, move and measure."""

    name: Name = Field(description="the object's name, unique in its cluster and namespace")
    cluster: Name = Field(description="name of one of `clusters`: where it runs today")
    namespace: Name = Field("default", description="its Kubernetes namespace")
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = Field("Deployment", description="its Kubernetes kind")
    node_pool: PoolName | None = Field(None, description="the node pool that it runs on, for actuator `workload`")
    latency_ms: Number | None = Field(None, gt=0, description="latency its users bear, milliseconds")


class HttpAccess(Model):
    """A server, and who we are to it."""

    url: Url = Field(description="base URL, e.g. `https://prometheus.example:9090`, without /api/v1")
    username: str | None = Field(None, description="user of basic authentication")
    password: SecretStr | None = Field(None, description="its password: `${ENV}` or `secret:BLOCK`")
    token: SecretStr | None = Field(None, description="bearer token: `${ENV}` or `secret:BLOCK`")
    ca_file: str | None = Field(None, description="PEM file of the certificate authority; default: the system's")
    verify_tls: bool = Field(True, description="false accepts any certificate: only on a network you trust")


class Metrics(HttpAccess):
    """A Prometheus server and the queries that give each pool's demand.

    A query may use `$cluster`; its result must carry a `node_pool` label (and `cluster`, unless `$cluster` is used).
    """

    cpu_cores: str = Field("node_pool:cpu_usage:cores", description="PromQL: CPU in use, cores")
    memory_bytes: str = Field("node_pool:memory_usage:bytes", description="PromQL: memory in use, bytes")
    nodes_ready: str = Field("node_pool:nodes_ready:count", description="PromQL: Ready nodes, for energy reports")
    watts: str = Field("", description="PromQL: W that a pool's machines draw, without PUE; none: modelled")
    sensor_watts: str = Field("", description="PromQL: the same by sensors on boards, asked after BMCs and `watts`")
    network_bytes_per_second: str = Field(
        "", description="PromQL: bytes moved a second by label `namespace`, for energy reports"
    )
    ssd_bytes: str = Field("", description="PromQL: bytes held on SSDs by label `namespace`, for energy reports")
    hdd_bytes: str = Field("", description="PromQL: the same on hard disks")
    namespace_cpu_cores: str = Field("", description="PromQL: CPU in use, also by label `namespace`, cores")
    namespace_cpu_requests: str = Field("", description="PromQL: CPU requested, also by label `namespace`, cores")


class BmcAccess(HttpAccess):
    """A machine's BMC that speaks Redfish, and who we are to it. Its `url` is without /redfish/v1."""

    node_pool: str = Field(
        description="`cluster/pool` whose machine it is; a pool is measured when all its BMCs are named"
    )


class CarbonAccess(Model):
    """A service that tells the carbon intensity of grids, and who we are to it."""

    kind: Literal["uk", "electricity-maps", "watttime", "carbon-aware-sdk", "entsoe", "eia"] = Field(
        description="whose API it is"
    )
    url: Url | None = Field(None, description="another base URL of the same API; needed by carbon-aware-sdk")
    username: str | None = Field(None, description="WattTime's user")
    password: SecretStr | None = Field(None, description="its password: `${ENV}` or `secret:BLOCK`")
    token: SecretStr | None = Field(
        None, description="key of Electricity Maps, ENTSO-E, EIA: `${ENV}` or `secret:BLOCK`"
    )
    zones: dict[str, str] = Field(
        {}, description="our grid zones that it knows, and its names of them; {}: all, by ours"
    )
    signal: Literal["average", "marginal"] = Field("average", description="what a carbon-aware-sdk's source tells")


class Fleet(Model):
    """Everything a fleet.yaml says."""

    name: Name = Field(description="the fleet's name in reports")
    simulated: bool = Field(False, description="true only for the simulated fleet; reports then say so")
    metrics: Metrics = Field(description="the Prometheus server of the whole fleet")
    sites: list[Site] = Field(min_length=1, description="cloud regions and edge locations")
    clusters: list[Cluster] = Field(min_length=1, description="Kubernetes clusters")
    workloads: list[Workload] = Field([], description="workloads that may be placed and moved")
    change_freezes: list[ChangeFreeze] = Field([], description="times in which node pools are not changed")
    approvals: Literal["any", "verified"] = Field(
        "any", description="propose mode: `verified` takes only answers of `continuum approve`, with a token"
    )
    dns: CloudAccess = Field(CloudAccess(), description="how to reach Route 53, for weighted records")
    carbon: list[CarbonAccess] = Field([], description="who tells carbon intensity, the most trusted first")
    bmcs: list[BmcAccess] = Field([], description="BMCs that measure what machines draw")
    alertmanager: HttpAccess | None = Field(
        None, description="an Alertmanager that hears what `fleet-monitoring` finds"
    )

    @model_validator(mode="after")
    def _identities(self) -> Self:
        names = self.model_dump(
            include={
                "sites": {"__all__": {"name"}},
                "clusters": {"__all__": {"name": True, "site": True, "node_pools": {"__all__": {"name"}}}},
                "workloads": {"__all__": {"name", "cluster", "namespace"}},
            }
        )
        if found := list(identity_findings(names)):
            raise PydanticCustomError("cross_field", "{text}", {"text": "; ".join(str(each) for each in found)})
        known = {pool_id(cluster.name, pool.name) for cluster, pool in self.pools()}
        if lost := next((each.node_pool for each in self.bmcs if each.node_pool not in known), None):
            text = f"bmcs: there is no node pool {lost}"
            raise PydanticCustomError("cross_field", "{text}", {"text": text})
        return self

    def pools(self) -> list[tuple[Cluster, NodePool]]:
        """Every pool with its cluster, in file order."""
        return [(cluster, pool) for cluster in self.clusters for pool in cluster.node_pools]

    def site(self, name: str) -> Site:
        """The site of that name; KeyError where there is none."""
        return {site.name: site for site in self.sites}[name]


def pool_id(cluster: str, pool: str) -> str:
    """`unique_id` of a pool everywhere: series, decisions, journal.

    >>> pool_id("eu-eks", "web")
    'eu-eks/web'
    """
    return f"{cluster}/{pool}"


Cluster.model_rebuild()
