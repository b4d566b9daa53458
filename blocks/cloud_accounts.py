"""The clusters and node pools that a cloud account lists, the same shape for EKS, GKE and AKS; SDKs imported late."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from blocks.fleet import CloudAccess, Cluster, Provider
from blocks.sightings import ListedCluster, ListedPool, address


def list_clusters(provider: Provider, account: str, endpoint_url: str | None = None) -> list[ListedCluster]:
    """The clusters of an account: an AWS region, a GCP project or an Azure subscription.

    Credentials come from each SDK's own chain; `endpoint_url` is another endpoint of the same API.

    Raises
    ------
    ContinuumError: `NotConfigured` (no credentials), `Unauthorized`, `Unreachable`, ... as `blocks.node_pools` maps it.
    """
    return LISTERS[provider](account, endpoint_url)


def _eks(region: str, endpoint_url: str | None) -> list[ListedCluster]:
    from blocks.aws import aws_client, aws_errors
    from blocks.node_pools.eks import FIXES

    cloud = CloudAccess(region=region, endpoint_url=endpoint_url)
    with aws_errors(f"AWS {region}", FIXES):
        client = aws_client("eks", cloud, f"AWS {region}")
        pages = client.get_paginator("list_clusters").paginate()
        names = [name for page in pages for name in page["clusters"]]
        return [_eks_cluster(client, name, cloud) for name in names]


def _eks_cluster(client: Any, name: str, cloud: CloudAccess) -> ListedCluster:
    cluster = client.describe_cluster(name=name)["cluster"]
    pages = client.get_paginator("list_nodegroups").paginate(clusterName=name)
    groups = [
        client.describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]
        for page in pages
        for group in page["nodegroups"]
    ]
    pools = []
    for group in groups:
        sizes = group.get("scalingConfig") or {}
        types = group.get("instanceTypes") or ["unknown"]
        autoscaled = str((group.get("tags") or {}).get("k8s.io/cluster-autoscaler/enabled")).lower() == "true"
        low, high = sizes.get("minSize"), sizes.get("maxSize")
        pools.append(ListedPool(group["nodegroupName"], types[0], sizes.get("desiredSize"), low, high, autoscaled))
    addresses = _addresses(cluster.get("endpoint"))
    return ListedCluster(Provider.EKS, name, addresses, cloud.model_copy(update={"cluster": name}), tuple(pools))


def _gke(project: str, endpoint_url: str | None) -> list[ListedCluster]:
    from blocks.node_pools.gke import READ_TIMEOUT_S, sdk_clients, sdk_errors

    cloud = CloudAccess(project=project, endpoint_url=endpoint_url)
    with sdk_errors(f"GCP project {project}"):
        client, _ = sdk_clients(_account(Provider.GKE, cloud))
        answer = client.list_clusters(parent=f"projects/{project}/locations/-", timeout=READ_TIMEOUT_S)
        return [_gke_cluster(cluster, cloud) for cluster in answer.clusters]


def _gke_cluster(cluster: Any, cloud: CloudAccess) -> ListedCluster:
    pools = []
    for pool in cluster.node_pools:
        scaling = pool.autoscaling
        zones = max(1, len(pool.locations) or len(cluster.locations))
        low, high = None, None
        if scaling.enabled:  # per-zone bounds count in each zone
            low = scaling.total_min_node_count or scaling.min_node_count * zones
            high = scaling.total_max_node_count or scaling.max_node_count * zones
        # The listing tells only the size at birth; the present one comes from the Node objects.
        pools.append(ListedPool(pool.name, pool.config.machine_type, None, low, high, bool(scaling.enabled)))
    endpoints = cluster.control_plane_endpoints_config.dns_endpoint_config.endpoint
    private = cluster.private_cluster_config
    addresses = _addresses(cluster.endpoint, endpoints, private.private_endpoint, private.public_endpoint)
    access = cloud.model_copy(update={"cluster": cluster.name, "region": cluster.location})
    return ListedCluster(Provider.GKE, cluster.name, addresses, access, tuple(pools))


def _aks(subscription: str, endpoint_url: str | None) -> list[ListedCluster]:
    from blocks.node_pools.aks import sdk_client, sdk_errors

    cloud = CloudAccess(subscription=subscription, endpoint_url=endpoint_url)
    with sdk_errors(f"Azure subscription {subscription}"):
        client = sdk_client(_account(Provider.AKS, cloud))
        return [_aks_cluster(cluster, cloud) for cluster in client.managed_clusters.list()]


def _aks_cluster(cluster: Any, cloud: CloudAccess) -> ListedCluster:
    pools = []
    for pool in cluster.agent_pool_profiles or ():
        autoscaled = bool(pool.enable_auto_scaling)
        low, high = (pool.min_count, pool.max_count) if autoscaled else (None, None)
        pools.append(ListedPool(pool.name, pool.vm_size or "unknown", pool.count, low, high, autoscaled))
    group = re.search(r"/resourcegroups/([^/]+)/", cluster.id or "", re.IGNORECASE)
    found = {"cluster": cluster.name, "region": cluster.location, "resource_group": group[1] if group else None}
    addresses = _addresses(cluster.fqdn, cluster.private_fqdn, cluster.azure_portal_fqdn)
    return ListedCluster(Provider.AKS, cluster.name, addresses, cloud.model_copy(update=found), tuple(pools))


LISTERS: dict[Provider, Callable[[str, str | None], list[ListedCluster]]] = {
    Provider.EKS: _eks,
    Provider.GKE: _gke,
    Provider.AKS: _aks,
}


def _account(provider: Provider, cloud: CloudAccess) -> Cluster:
    """What the client factories want: access alone, since no cluster is known yet."""
    return Cluster.model_construct(name="account", site="unknown", provider=provider, cloud=cloud, node_pools=[])


def _addresses(*servers: str | None) -> frozenset[str]:
    return frozenset(found for server in servers if server and (found := address(server)))
