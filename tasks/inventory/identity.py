"""Whose cluster a context is, from its own name, its credential plug-in and its nodes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from blocks.fleet import CloudAccess, Provider
from blocks.sightings import ListedCluster, SeenCluster, SeenNode

REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
# What a provider leaves on a node besides its pool label: the scheme of providerID, and the kubelet's version.
PROVIDER_IDS = {"aws": Provider.EKS, "gce": Provider.GKE, "azure": Provider.AKS, "k3s": Provider.K3S}
KUBELETS = {"-eks-": Provider.EKS, "-gke.": Provider.GKE, "+k3s": Provider.K3S, "+rke2": Provider.K3S}

_EKS_ARN = re.compile(r"arn:aws[\w-]*:eks:(?P<region>[\w-]+):\d+:cluster/(?P<cluster>.+)")
_EKS_HOST = re.compile(r"\.(?P<region>[a-z]{2}[\w-]*-\d)\.eks\.amazonaws\.com(\.cn)?$")
_GKE_NAME = re.compile(r"gke_(?P<project>[^_]+)_(?P<region>[^_]+)_(?P<cluster>.+)")
_GKE_NODE = re.compile(r"gce://(?P<project>[^/]+)/")
_AKS_HOST = re.compile(r"\.azmk8s\.io$")
_AKS_NODE = re.compile(
    r"azure:///subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<nodes>[^/]+)/", re.IGNORECASE
)


@dataclass(frozen=True)
class Identity:
    """Provider, name and cloud access of a cluster; `guessed` names the fields that were only inferred."""

    provider: Provider
    name: str
    cloud: CloudAccess
    guessed: frozenset[str] = field(default_factory=frozenset)
    unknown_provider: bool = False

    def names(self, listed: ListedCluster) -> bool:
        """Whether the listing is of this cluster, as far as its cloud's names tell."""
        mine, other = self.cloud, listed.cloud
        if self.provider is not listed.provider or mine.cluster != listed.name:
            return False
        keys = ("region", "project", "subscription", "resource_group")
        pairs = ((getattr(mine, key), getattr(other, key)) for key in keys if key not in self.guessed)
        return all(ours is None or theirs is None or ours.lower() == theirs.lower() for ours, theirs in pairs)

    def of_cloud(self, listed: ListedCluster) -> Identity:
        """The same with what the cloud itself says, which is certain."""
        profile = self.cloud.profile
        return Identity(listed.provider, self.name, listed.cloud.model_copy(update={"profile": profile}))


def identity_of(seen: SeenCluster, pool_labels: Mapping[Provider, str]) -> Identity:
    """Who a context's cluster is."""
    context, nodes = seen.context, seen.nodes
    provider = _provider(seen, pool_labels)
    region = _region(nodes)
    if provider is Provider.EKS:
        return _eks(seen, region)
    for text in (context.name, context.cluster):
        if provider is Provider.GKE and (match := _GKE_NAME.fullmatch(text)):
            return Identity(provider, match["cluster"], CloudAccess(**match.groupdict()))
    if provider is Provider.GKE:
        project = _from_ids(nodes, _GKE_NODE, "project")
        known = CloudAccess(cluster=context.cluster or context.name, project=project, region=region)
        return Identity(provider, context.name, known, frozenset({"project", "region"}))
    if provider is Provider.AKS:
        return _aks(seen, region)
    return Identity(Provider.K3S, context.name, CloudAccess(), unknown_provider=provider is None)


def slug(text: str) -> str:
    """A name that fleet.yaml and Kubernetes accept.

    >>> slug("Prod_EU (west)"), slug("---")
    ('prod-eu-west', 'unnamed')
    """
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())[:58].strip("-.") or "unnamed"


def unique(name: str, taken: set[str]) -> str:
    """`name`, or with the first free number behind it; it is added to `taken`.

    >>> taken = {"prod"}
    >>> unique("prod", taken), unique("prod", taken)
    ('prod-2', 'prod-3')
    """
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free)
    return free


def _provider(seen: SeenCluster, pool_labels: Mapping[Provider, str]) -> Provider | None:
    """The provider that most nodes speak for, else the server's name, else None."""
    votes: Counter[Provider] = Counter()
    for node in seen.nodes:
        votes.update(provider for provider, label in pool_labels.items() if label in node.labels)
        scheme = node.provider_id.partition(":")[0]
        votes.update([PROVIDER_IDS[scheme]] if scheme in PROVIDER_IDS else [])
        votes.update(provider for mark, provider in KUBELETS.items() if mark in node.kubelet)
    if votes:
        return votes.most_common(1)[0][0]
    host = seen.context.address
    if _EKS_HOST.search(host):
        return Provider.EKS
    return Provider.AKS if _AKS_HOST.search(host) else None


def _eks(seen: SeenCluster, region: str | None) -> Identity:
    context = seen.context
    arns = (_EKS_ARN.fullmatch(text) for text in (context.name, context.cluster))
    arn = next((match for match in arns if match), None)
    told = dict(zip(context.plugin_args, context.plugin_args[1:], strict=False))
    host = _EKS_HOST.search(context.address)
    cluster = (arn and arn["cluster"]) or told.get("--cluster-name") or told.get("-i")
    certain = (arn and arn["region"]) or told.get("--region") or (host and host["region"])
    profile = told.get("--profile") or dict(context.plugin_env).get("AWS_PROFILE")
    cloud = CloudAccess(cluster=cluster or context.name, region=certain or region, profile=profile)
    name = cluster if arn and arn.string == context.name and cluster else context.name
    return Identity(Provider.EKS, name, cloud, frozenset() if certain else frozenset({"region"}))


def _aks(seen: SeenCluster, region: str | None) -> Identity:
    context = seen.context
    cluster = context.cluster or context.name
    subscription, nodes = (_from_ids(seen.nodes, _AKS_NODE, key) for key in ("subscription", "nodes"))
    # AKS names the nodes' own group MC_<resource group>_<cluster>_<location>.
    group = re.fullmatch(rf"mc_(.+)_{re.escape(cluster)}_[^_]+", nodes or "", re.IGNORECASE)
    cloud = CloudAccess(
        cluster=cluster, region=region, subscription=subscription, resource_group=group[1] if group else None
    )
    return Identity(Provider.AKS, context.name, cloud, frozenset({"region", "subscription", "resource_group"}))


def _from_ids(nodes: Iterable[SeenNode], pattern: re.Pattern[str], key: str) -> str | None:
    return next((match[key] for node in nodes if (match := pattern.match(node.provider_id))), None)


def _region(nodes: Iterable[SeenNode]) -> str | None:
    regions = Counter(node.labels[label] for node in nodes for label in REGION_LABELS if label in node.labels)
    return regions.most_common(1)[0][0] if regions else None
