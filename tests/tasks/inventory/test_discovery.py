"""From sightings to a draft, and from a draft to the text of a fleet.yaml."""

from __future__ import annotations

import csv

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocks.errors import Unreachable
from blocks.fleet import CloudAccess, Fleet, Provider
from blocks.fleet_file import check_text
from blocks.kubernetes import POOL_LABEL
from blocks.settings import data_dir
from blocks.sightings import Context, ListedCluster, ListedPool, SeenCluster, SeenNode, Sighting
from tasks.inventory.decide import draft_fleet, merge
from tasks.inventory.identity import identity_of, unique
from tasks.inventory.observe import observe, seen_nodes
from tasks.inventory.pools import draft_pools
from tasks.inventory.regions import REGIONS, region_of
from tasks.inventory.report import fleet_text, scalar

REGION = "topology.kubernetes.io/region"


def seen(
    name: str, *nodes: SeenNode, cluster: str = "", server: str = "", args: tuple[str, ...] = (), env=()
) -> SeenCluster:
    return SeenCluster(Context(name, cluster or name, server or f"https://{name}", args, env), nodes)


def node(
    provider: Provider, pool: str = "web", cpu: float | None = 4.0, memory: int | None = 2**34, **more
) -> SeenNode:
    labels = {POOL_LABEL[provider]: pool, **more.pop("labels", {})}
    return SeenNode("n", labels, cpu, memory, **more)


def listed(provider: Provider, name: str, server: str = "", **cloud: str) -> ListedCluster:
    pool = ListedPool("web", "m5.large", 3, 1, 9, False)
    return ListedCluster(provider, name, frozenset({server} - {""}), CloudAccess(cluster=name, **cloud), (pool,))


def fleet_of(*clusters: SeenCluster, listed: tuple[ListedCluster, ...] = ()) -> Fleet:
    draft = draft_fleet(Sighting(list(clusters), list(listed)), "f", POOL_LABEL)
    read = check_text(fleet_text(draft, [], "now"), "f")
    assert read.fleet is not None, read.problems
    return read.fleet


EKS_NODE, GKE_NODE, AKS_NODE = (node(provider) for provider in (Provider.EKS, Provider.GKE, Provider.AKS))


PLUGIN = ("eks", "get-token", "--cluster-name", "prod", "--region", "us-east-1")
AKS_ID = "azure:///subscriptions/s-1/resourceGroups/mc_Ops_aks_westeurope/providers/x"

# A context and its nodes -> the cluster's name here, and what its cloud needs to find it.
IDENTITIES = [
    (
        seen("arn:aws:eks:eu-west-1:1234:cluster/prod", EKS_NODE),
        ("prod", {"cluster": "prod", "region": "eu-west-1"}),
    ),
    (
        seen("mine", EKS_NODE, args=PLUGIN, env=(("AWS_PROFILE", "ops"),)),
        ("mine", {"cluster": "prod", "region": "us-east-1", "profile": "ops"}),
    ),
    (
        seen("mine", EKS_NODE, server="https://ABC.gr7.eu-north-1.eks.amazonaws.com"),
        ("mine", {"cluster": "mine", "region": "eu-north-1"}),
    ),
    (
        seen("gke_p-1_europe-west1-b_prod", GKE_NODE),
        ("prod", {"cluster": "prod", "region": "europe-west1-b", "project": "p-1"}),
    ),
    (
        seen("aks", node(Provider.AKS, provider_id=AKS_ID, labels={REGION: "westeurope"})),
        ("aks", {"cluster": "aks", "region": "westeurope", "subscription": "s-1", "resource_group": "Ops"}),
    ),
    (seen("pi", SeenNode("n", {}, 4.0, 2**33, kubelet="v1.32.1+k3s1")), ("pi", {})),
]


@pytest.mark.parametrize(("cluster", "expected"), IDENTITIES)
def test_a_cluster_is_known_by_its_context_its_plugin_and_its_nodes(cluster, expected) -> None:
    identity = identity_of(cluster, POOL_LABEL)
    assert (identity.name, identity.cloud.model_dump(exclude_none=True)) == expected
    assert not identity.unknown_provider


def test_a_cluster_of_no_known_cloud_is_fixed_nodes_and_marked() -> None:
    draft = draft_fleet(Sighting([seen("kubeadm", SeenNode("n", {}, 4.0, 2**33))]), "f", POOL_LABEL)
    assert draft.data["clusters"][0]["provider"] == "k3s"
    assert draft.checks["clusters", 0, "provider"].startswith("no known cloud")
    assert draft.checks["clusters", 0, "node_pools", 0, "name"].endswith("continuum.io/node-pool=nodes")


def test_views_are_joined_by_server_even_where_names_differ() -> None:
    (one,) = merge(
        [seen("mine", EKS_NODE, server="https://X.eks:443/")], [listed(Provider.EKS, "prod", "x.eks")], POOL_LABEL
    )
    assert (one.identity.name, one.identity.cloud.cluster) == ("mine", "prod")


def test_views_are_joined_by_name_only_within_one_region() -> None:
    context = seen("arn:aws:eks:eu-west-1:1:cluster/prod", EKS_NODE)
    assert len(merge([context], [listed(Provider.EKS, "prod", region="eu-west-1")], POOL_LABEL)) == 1
    assert len(merge([context], [listed(Provider.EKS, "prod", region="us-east-1")], POOL_LABEL)) == 2
    assert len(merge([context], [listed(Provider.GKE, "prod", region="eu-west-1")], POOL_LABEL)) == 2


def test_two_contexts_of_one_server_are_one_cluster_and_it_is_said() -> None:
    twice = [seen("a", EKS_NODE, server="https://x"), seen("b", EKS_NODE, server="https://X:443/")]
    draft = draft_fleet(Sighting(twice), "f", POOL_LABEL)
    assert [each["name"] for each in draft.data["clusters"]] == ["a"]
    assert draft.left_out == ["context b: its server is that of context a"]


def test_clusters_of_one_name_get_names_of_their_own() -> None:
    twice = [seen(f"arn:aws:eks:{region}:1:cluster/prod", EKS_NODE) for region in ("eu-west-1", "us-east-1")]
    fleet = fleet_of(*twice, listed=(listed(Provider.EKS, "prod", region="ap-south-1"),))
    assert [each.name for each in fleet.clusters] == ["prod", "prod-2", "prod-3"]
    assert [each.cloud.cluster for each in fleet.clusters] == [None, "prod", "prod"]
    assert len(fleet.sites) == 3


def test_two_zones_of_a_gke_region_are_one_site() -> None:
    fleet = fleet_of(*(seen(f"gke_p_us-east4-{zone}_c{zone}", GKE_NODE) for zone in "ab"))
    assert [site.name for site in fleet.sites] == ["gcp-us-east4"]


def test_a_karpenter_pool_is_left_to_karpenter() -> None:
    pools, _, _ = draft_pools(
        [node(Provider.EKS, labels={"karpenter.sh/nodepool": "spot"})], [], Provider.EKS, POOL_LABEL
    )
    assert [(pool["name"], pool["autoscaler"], "hands_off" in pool) for pool in pools] == [("spot", "karpenter", False)]


def test_the_clouds_bounds_win_over_the_present_size_and_the_nodes_size_over_the_types() -> None:
    pools, checks, _ = draft_pools(
        [node(Provider.EKS, cpu=1.9)] * 3, listed(Provider.EKS, "p").pools, Provider.EKS, POOL_LABEL
    )
    assert [(pool["min_nodes"], pool["max_nodes"], pool["node_cpu"]) for pool in pools] == [(1, 9, "1900m")]
    assert checks == {}


def test_a_node_outside_of_every_pool_is_left_out_by_name() -> None:
    stray = SeenNode("fargate-1", {}, 1.0, 2**30)
    pools, _, left_out = draft_pools([node(Provider.EKS), stray], [], Provider.EKS, POOL_LABEL)
    assert (len(pools), left_out) == (1, ["node fargate-1 carries no pool label of EKS"])


def test_quantities_are_kubernetes_own() -> None:
    def read(cpu: object, memory: object) -> tuple[float | None, int | None]:
        allocatable = {"cpu": cpu, "memory": memory}
        (found,) = seen_nodes([{"metadata": {"name": "n"}, "status": {"allocatable": allocatable}}])
        return found.cpu, found.memory

    assert read("3920m", "15076860Ki") == (3.92, 15076860 * 1024)
    assert read("4", "129e6") == (4.0, 129_000_000)
    assert read(None, "much") == (None, None)
    assert read("0", "1000m") == (None, 1)


def test_what_fails_is_passed_over_and_the_order_is_that_of_the_questions() -> None:
    def read(context: Context) -> SeenCluster:
        if context.name == "c1":
            raise Unreachable("no connection", where=context.name)
        return SeenCluster(context, ())

    contexts = [Context(f"c{n}", "", "") for n in range(40)]
    done: list[int] = []
    found = observe(contexts, [(Provider.EKS, "r", None)], progress=done.append, read=read, ask=lambda *_: [])
    assert [each.context.name for each in found.seen] == [f"c{n}" for n in range(40) if n != 1]
    assert [(each.source, each.reason) for each in found.skipped] == [("context c1", "c1: no connection")]
    assert done == list(range(1, 42))


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
any_labels = st.dictionaries(
    st.sampled_from([*POOL_LABEL.values(), REGION, "karpenter.sh/nodepool"]), any_text | st.just("web"), max_size=4
)
any_id = st.sampled_from(["", "aws:///x", "gce://p/z/n", "azure:///subscriptions/s/resourceGroups/g/x", "k3s://n"])
any_node = st.builds(
    SeenNode,
    name=any_text,
    labels=any_labels,
    cpu=st.none() | st.floats(0.001, 500),
    memory=st.none() | st.integers(1, 2**45),
    provider_id=any_id,
)
any_pool = st.builds(
    ListedPool,
    name=st.sampled_from(["web", "batch", "Batch_1"]),
    instance_type=any_text,
    nodes=st.none() | st.integers(0, 50),
    min_nodes=st.none() | st.integers(0, 50),
    max_nodes=st.none() | st.integers(0, 50),
    autoscaled=st.booleans(),
)
any_seen = st.builds(seen, any_text, any_node, any_node, cluster=any_text, server=st.just("") | any_text)
any_listed = st.builds(
    lambda provider, name, pools, region: ListedCluster(
        provider, name, frozenset(), CloudAccess(region=region, cluster=name), tuple(pools)
    ),
    st.sampled_from([Provider.EKS, Provider.GKE, Provider.AKS]),
    any_text,
    st.lists(any_pool, max_size=3),
    any_text | st.just("eu-west-1"),
)


LISTED = ListedPool("web", instance_type="", nodes=None, min_nodes=None, max_nodes=None, autoscaled=False)


@settings(max_examples=120)
@given(st.lists(any_seen, max_size=4, unique_by=lambda each: each.context.name), st.lists(any_listed, max_size=3))
@example(
    clusters=[],
    clouds=[ListedCluster(Provider.EKS, "a", frozenset(), CloudAccess(region="\x1b\n", cluster="a"), (LISTED,))],
)
def test_whatever_is_found_the_written_file_passes_validation(clusters, clouds) -> None:
    draft = draft_fleet(Sighting(clusters, clouds), "f", POOL_LABEL)
    if draft.data["clusters"]:
        read = check_text(fleet_text(draft, [], "now"), "f")
        assert read.fleet is not None, [str(problem) for problem in read.problems]
        assert read.problems == ()


@settings(max_examples=200)
@given(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["NO", "yes", "1e3", "~", "", "2024-01-01", "- a", "a: b", "#"])
)
def test_a_text_is_written_so_that_another_reader_reads_it_back(text: str) -> None:
    assert yaml.safe_load(f"a: {scalar(text)}  # check: x") == {"a": text}


@given(st.lists(st.sampled_from(["a", "a-2", "b"]), max_size=8))
def test_names_made_unique_are_unique(names: list[str]) -> None:
    taken: set[str] = set()
    assert len({unique(name, taken) for name in names}) == len(names)


def test_every_region_is_a_valid_site() -> None:
    for provider, regions in REGIONS.items():
        for name, region in regions.items():
            site = {"name": "s", "tier": "cloud-region", "latitude": region.latitude, "longitude": region.longitude}
            text = yaml.safe_dump({"sites": [site | {"time_zone": region.time_zone, "grid_zone": region.grid_zone}]})
            found = [each for each in check_text(text, "f").problems if each.field.startswith("sites")]
            assert not found, (provider, name, found)


@pytest.mark.skipif(data_dir() is None, reason="CONTINUUM_DATA is not set")
def test_regions_are_where_a_published_list_has_them() -> None:
    folder = data_dir()
    assert folder is not None
    with (folder / "power" / "cloud_region_coordinates.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["region"] != "spaincentral"]  # its sign is lost there
    far = []
    for row in rows:
        region = region_of(
            {"azure": Provider.AKS, "aws": Provider.EKS, "gcp": Provider.GKE}[row["cloud"]], row["region"]
        )
        if region and (abs(region.latitude - float(row["lat"])) > 3 or abs(region.longitude - float(row["lon"])) > 3):
            far.append((row, region))
    assert not far
