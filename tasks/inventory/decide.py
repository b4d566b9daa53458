"""From what was seen to a draft of fleet.yaml: which contexts and listed clusters are one, their pools, their sites.

Nothing is invented: what neither view tells gets the most careful value that works (bounds at the present size,
for one) and a check mark with what a person should look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blocks.fleet import Provider, Tier
from blocks.fleet_checks import CLOUD_FIELDS, Path
from blocks.sightings import ListedCluster, SeenCluster, SeenNode, Sighting
from tasks.inventory.identity import Identity, identity_of, slug, unique
from tasks.inventory.pools import KARPENTER_LABEL, draft_pools
from tasks.inventory.promql import CPU_OF_NODES, MEMORY_OF_NODES, demand_by_pool
from tasks.inventory.regions import region_of

METRICS_URL = "http://127.0.0.1:9090"
CLOUD_NAMES = {Provider.EKS: "aws", Provider.GKE: "gcp", Provider.AKS: "azure", Provider.K3S: "edge"}


@dataclass
class Draft:
    """A fleet in the shape of fleet.yaml, what a person should check by field, and what was left out."""

    data: dict[str, Any]
    checks: dict[Path, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """One cluster: its view through Kubernetes, its view through the cloud, or both."""

    identity: Identity
    seen: SeenCluster | None
    listed: ListedCluster | None


def draft_fleet(
    sighting: Sighting, name: str, pool_labels: Mapping[Provider, str], kubeconfig: str | None = None
) -> Draft:
    """The draft of a fleet; its clusters in the order of the contexts, then those that only a cloud told of.

    pool_labels: the node label with the pool's name, by provider.
    kubeconfig: the file that the contexts came from, where it is not the default one.
    """
    draft = Draft({"name": name, "metrics": {}, "sites": [], "clusters": []})
    names: set[str] = set()
    sites: dict[str, str] = {}
    labels: list[str] = []
    draft.left_out += _repeated(sighting.seen)
    for found in merge(sighting.seen, sighting.listed, pool_labels):
        provider = found.identity.provider
        nodes = found.seen.nodes if found.seen else ()
        pools, checks, left_out = draft_pools(nodes, found.listed.pools if found.listed else (), provider, pool_labels)
        if not found.seen:  # its context is still to come, and must be nobody else's
            names |= {each.context.name for each in sighting.seen}
        cluster_name = unique(slug(found.identity.name), names)
        draft.left_out += [f"{cluster_name}: {reason}" for reason in left_out]
        if not pools:
            draft.left_out.append(f"{cluster_name}: no node was seen and no pool is listed")
            continue
        at: Path = ("clusters", len(draft.data["clusters"]))
        access, access_checks = _access(found, cluster_name, kubeconfig)
        site = _site(found, cluster_name, sites, draft)
        cluster = {"name": cluster_name, "site": site, "provider": provider.value, **access, "node_pools": pools}
        draft.data["clusters"].append(cluster)
        draft.checks |= {(*at, *path): text for path, text in (access_checks | checks).items()}
        labels += [pool_labels[provider]]
        labels += [KARPENTER_LABEL] if any(KARPENTER_LABEL in node.labels for node in nodes) else []
    _metrics(draft, list(dict.fromkeys(labels or pool_labels.values())))
    return draft


def merge(
    seen: Sequence[SeenCluster], listed: Sequence[ListedCluster], pool_labels: Mapping[Provider, str]
) -> list[Found]:
    """Join the two views of each cluster: by the API server's name, else by what names the cluster in its cloud.

    Of several contexts of one server the first counts.
    """
    found: list[Found] = []
    left = list(dict.fromkeys(listed))
    for each in _first_of_server(seen).values():
        identity = identity_of(each, pool_labels)
        match = next((other for other in left if each.context.address in other.addresses), None)
        match = match or next((other for other in left if identity.names(other)), None)
        if match:
            left.remove(match)
            identity = identity.of_cloud(match)
        found.append(Found(identity, each, match))
    return found + [Found(Identity(other.provider, other.name, other.cloud), None, other) for other in left]


def _first_of_server(seen: Sequence[SeenCluster]) -> dict[str, SeenCluster]:
    firsts: dict[str, SeenCluster] = {}
    for each in seen:
        firsts.setdefault(each.context.address or each.context.name, each)
    return firsts


def _repeated(seen: Sequence[SeenCluster]) -> list[str]:
    firsts = _first_of_server(seen)
    pairs = ((each.context, firsts[each.context.address or each.context.name].context) for each in seen)
    return [f"context {one.name}: its server is that of context {first.name}" for one, first in pairs if one != first]


def _access(found: Found, cluster_name: str, kubeconfig: str | None) -> tuple[dict[str, Any], dict[Path, str]]:
    """How to reach the cluster, and what to check of it."""
    checks: dict[Path, str] = {}
    access: dict[str, Any] = {}
    if found.seen:
        access["kubernetes"] = {"context": found.seen.context.name} | ({"kubeconfig": kubeconfig} if kubeconfig else {})
    else:
        access["kubernetes"] = {"context": cluster_name}
        checks["kubernetes", "context"] = "no context of this cluster was found: add it to your kubeconfig"
    cloud = found.identity.cloud.model_dump(exclude_none=True)
    if cloud.get("cluster") == cluster_name:
        del cloud["cluster"]
    for key in CLOUD_FIELDS[found.identity.provider]:
        if not cloud.get(key):
            cloud[key] = "unknown"
            checks["cloud", key] = f"not seen: the {found.identity.provider.value.upper()} API needs it"
        elif key in found.identity.guessed and not found.listed:
            checks["cloud", key] = "read from names and labels of the nodes"
    if found.identity.provider is Provider.K3S:
        if found.identity.unknown_provider:
            checks["provider",] = "no known cloud: treated as fixed nodes, which are only cordoned"
        return access, checks
    return access | {"cloud": cloud}, checks


def _site(found: Found, cluster_name: str, sites: dict[str, str], draft: Draft) -> str:
    """Name of the cluster's site, which is added to the draft when it is new."""
    provider, place = found.identity.provider, _place(found)
    if place in sites:
        return sites[place]
    region = region_of(provider, found.identity.cloud.region or "") if provider is not Provider.K3S else None
    name = unique(slug(place), set(sites.values()))
    sites[place] = name
    at: Path = ("sites", len(draft.data["sites"]))
    tier = Tier.FAR_EDGE if provider is Provider.K3S else Tier.CLOUD_REGION
    site: dict[str, Any] = {"name": name, "tier": tier.value}
    if region:
        site |= {"location": region.location, "latitude": region.latitude, "longitude": region.longitude}
        site |= {"time_zone": region.time_zone, "grid_zone": region.grid_zone}
    else:
        site |= {"latitude": 0.0, "longitude": 0.0, "time_zone": "UTC"}
        draft.checks[(*at, "latitude")] = f"the place of {cluster_name} is not known: give its coordinates"
        draft.checks[(*at, "time_zone")] = "give its IANA time zone, e.g. Europe/Berlin; demand follows local time"
    if tier is Tier.FAR_EDGE:
        draft.checks[(*at, "tier")] = "far-edge, near-edge or regional-edge"
    draft.data["sites"].append(site)
    return name


def _place(found: Found) -> str:
    """What names the site: the cloud's region, the nodes' region label, or the cluster itself."""
    if found.identity.provider is Provider.K3S:
        labelled = _common(node.labels.get("topology.kubernetes.io/region") for node in _nodes(found))
        return labelled or found.identity.name
    region = found.identity.cloud.region or "unknown"
    if found.identity.provider is Provider.GKE and region.count("-") == 2:
        region = region.rpartition("-")[0]  # a zone is in its region
    return f"{CLOUD_NAMES[found.identity.provider]}-{region}"


def _nodes(found: Found) -> Iterable[SeenNode]:
    return found.seen.nodes if found.seen else ()


def _common(values: Iterable[str | None]) -> str | None:
    """The value that all share, or None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _metrics(draft: Draft, labels: Sequence[str]) -> None:
    metrics: Mapping[str, str] = {
        "url": METRICS_URL,
        "cpu_cores": demand_by_pool(CPU_OF_NODES, labels),
        "memory_bytes": demand_by_pool(MEMORY_OF_NODES, labels),
    }
    draft.data["metrics"] = dict(metrics)
    draft.checks["metrics", "url"] = (
        "your Prometheus, Thanos or Mimir; it must see all clusters under a label `cluster`"
    )
    wanted = ",".join(labels)
    draft.checks["metrics", "cpu_cores"] = f"for kube-prometheus-stack with metricLabelsAllowlist nodes=[{wanted}]"
