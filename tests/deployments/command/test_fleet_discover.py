"""`continuum fleet discover` through the official clients, against a local server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blocks.fleet_file import load_fleet, read_fleet
from deployments.command import app

AKS_KIND = "Microsoft.ContainerService/managedClusters"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
EKS_LABEL, GKE_LABEL, AKS_LABEL = (
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
)


def place(region: str, instance_type: str) -> dict[str, str]:
    return {"topology.kubernetes.io/region": region, "node.kubernetes.io/instance-type": instance_type}


def node(name, labels, cpu="3920m", memory="15076860Ki", **spec):
    status = {"allocatable": {"cpu": cpu, "memory": memory}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def eks_entry(world):
    nodes = [node(f"e{n}", {EKS_LABEL: "web"} | place("eu-central-1", "m5.xlarge")) for n in range(3)]
    sizes = {"minSize": 2, "maxSize": 9, "desiredSize": 3}
    none = {"minSize": 0, "maxSize": 4, "desiredSize": 0}
    tags = {"k8s.io/cluster-autoscaler/enabled": "true"}
    groups = {
        "web": {"instanceTypes": ["m5.xlarge"], "scalingConfig": sizes},
        "Batch_1": {"instanceTypes": ["c5.2xlarge"], "scalingConfig": none, "tags": tags},
    }
    world.eks("prod", f"{world.url}/clusters/eu-eks", groups)
    return world.cluster("eu-eks", *nodes)


def gke_entry(world):
    pool = {
        "name": "web",
        "config": {"machineType": "n2-standard-4"},
        "locations": ["us-east4-a", "us-east4-b"],
        "autoscaling": {"enabled": True, "minNodeCount": 1, "maxNodeCount": 5},
    }
    listed = {"name": "us-gke", "location": "us-east4", "endpoint": "10.9.9.9", "nodePools": [pool]}
    world.answers["/gcp/v1/projects/p-1/locations/-/clusters"] = {"clusters": [listed]}
    labels = {GKE_LABEL: "web"} | place("us-east4", "n2-standard-4")
    return world.cluster("us-gke", node("g", labels, providerID="gce://p-1/us-east4-a/g"))


def aks_entry(world):
    sizes = {"count": 1, "enableAutoScaling": True, "minCount": 1, "maxCount": 7}
    pool = {"name": "web", "vmSize": "Standard_D4s_v5"} | sizes
    listed = {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ops/providers/{AKS_KIND}/asia-aks",
        "name": "asia-aks",
        "location": "southeastasia",
        "properties": {"fqdn": "x.azmk8s.io", "agentPoolProfiles": [pool]},
    }
    world.answers[f"/azure/subscriptions/{SUBSCRIPTION}/providers/{AKS_KIND}"] = {"value": [listed]}
    return world.cluster("asia-aks", node("a", {AKS_LABEL: "web"} | place("southeastasia", "Standard_D4s_v5")))


@pytest.fixture
def three_clouds(world, tmp_path: Path) -> Path:
    """A kubeconfig of one cluster in each cloud, one at the edge, and one that does not answer."""
    edge = world.cluster("edge-1", node("n1", {}, "4", "16Gi", providerID="k3s://n1"), node("n2", {}, "8", "16Gi"))
    gone = {"name": "gone", "cluster": {"server": f"{world.url}/clusters/gone"}}
    return world.kubeconfig(tmp_path / "kubeconfig", eks_entry(world), gke_entry(world), aks_entry(world), edge, gone)


def discover(tmp_path: Path, *arguments: str):
    return CliRunner().invoke(app, ["fleet", "discover", "--out", str(tmp_path / "fleet.yaml"), *arguments])


def everything(world, kubeconfig: Path) -> list[str]:
    clouds = [("eks", "aws", "eu-central-1"), ("gke", "gcp", "p-1"), ("aks", "azure", SUBSCRIPTION)]
    asked = [
        part
        for name, path, account in clouds
        for part in (f"--{name}", account, f"--{name}-endpoint", f"{world.url}/{path}")
    ]
    return ["--kubeconfig", str(kubeconfig), *asked]


def test_both_views_of_each_cluster_are_one_and_the_file_passes_its_own_check(world, three_clouds, tmp_path) -> None:
    done = discover(tmp_path, *everything(world, three_clouds), "--json")
    assert done.exit_code == 0, done.output
    fleet = load_fleet(tmp_path / "fleet.yaml")
    assert [(each.name, each.provider.value, each.site) for each in fleet.clusters] == [
        ("eu-eks", "eks", "aws-eu-central-1"),
        ("us-gke", "gke", "gcp-us-east4"),
        ("asia-aks", "aks", "azure-southeastasia"),
        ("edge-1", "k3s", "edge-1"),
    ]
    pools = {(cluster.name, pool.name): pool for cluster, pool in fleet.pools()}
    web = pools["eu-eks", "web"]
    assert (web.min_nodes, web.max_nodes, web.node_cpu, web.node_memory) == (2, 9, 3.92, 14723 * 2**20)
    batch = pools["eu-eks", "Batch_1"]
    assert (batch.max_nodes, batch.node_cpu, batch.node_memory, batch.autoscaler) == (
        4,
        8,
        16 * 2**30,
        "cluster-autoscaler",
    )
    assert (pools["us-gke", "web"].min_nodes, pools["us-gke", "web"].max_nodes) == (2, 10)  # in each of two zones
    assert (pools["asia-aks", "web"].max_nodes, pools["asia-aks", "web"].autoscaler) == (7, "cluster-autoscaler")
    assert (pools["edge-1", "nodes"].node_cpu, pools["edge-1", "nodes"].max_nodes) == (4, 2)
    assert fleet.clusters[0].cloud.cluster == "prod"
    assert fleet.clusters[2].cloud.resource_group == "ops"
    assert fleet.site("gcp-us-east4").time_zone == "America/New_York"
    assert json.loads(done.stdout)["totals"]["clusters"] == 4


def test_what_does_not_answer_is_named_and_passed_over(world, three_clouds, tmp_path) -> None:
    done = discover(tmp_path, *everything(world, three_clouds), "--gke", "nobody", "--json")
    skipped = {each["source"]: each["reason"] for each in json.loads(done.stdout)["skipped"]}
    assert list(skipped) == ["context gone", "gke nobody"]
    assert "404" in skipped["context gone"]
    assert "# check: passed over context gone: " in (tmp_path / "fleet.yaml").read_text()


def test_without_the_clouds_what_is_not_known_is_marked(world, three_clouds, tmp_path) -> None:
    assert discover(tmp_path, "--kubeconfig", str(three_clouds), "--context", "*-*").exit_code == 0
    text = (tmp_path / "fleet.yaml").read_text()
    pool = load_fleet(tmp_path / "fleet.yaml").clusters[0].node_pools[0]
    assert (pool.min_nodes, pool.max_nodes) == (3, 3)
    assert "max_nodes: 3  # check: the present size: set the bounds" in text
    assert "subscription: unknown  # check: not seen: the AKS API needs it" in text
    assert "time_zone: UTC  # check: give its IANA time zone" in text
    assert 'node_cpu: "4000m"  # check: the nodes of this pool differ' in text


def test_a_cloud_alone_gives_pools_of_nominal_size_and_asks_for_a_context(world, three_clouds, tmp_path) -> None:
    done = discover(tmp_path, "--no-contexts", "--eks", "eu-central-1", "--eks-endpoint", f"{world.url}/aws")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "fleet.yaml").read_text()
    assert "context: prod  # check: no context of this cluster was found" in text
    assert "node_cpu: 4  # check: no node was seen: nominal size" in text
    assert not any(path.startswith("/clusters/") for path in world.asked)


def test_no_credential_is_written(world, three_clouds, tmp_path) -> None:
    done = discover(tmp_path, *everything(world, three_clouds))
    assert "hunter2" not in done.output + (tmp_path / "fleet.yaml").read_text()
    assert read_fleet(tmp_path / "fleet.yaml").problems == ()


def test_a_file_that_is_there_is_kept_unless_forced_and_nothing_is_asked_for_it(world, three_clouds, tmp_path) -> None:
    (tmp_path / "fleet.yaml").write_text("mine")
    refused = discover(tmp_path, "--kubeconfig", str(three_clouds))
    assert (refused.exit_code, (tmp_path / "fleet.yaml").read_text(), world.asked) == (1, "mine", [])
    assert "--force" in refused.stderr
    assert discover(tmp_path, "--kubeconfig", str(three_clouds), "--force").exit_code == 0
    assert read_fleet(tmp_path / "fleet.yaml").fleet is not None


def test_nothing_found_leaves_no_file_and_says_the_first_reason(world, tmp_path) -> None:
    gone = world.kubeconfig(tmp_path / "k", {"name": "gone", "cluster": {"server": f"{world.url}/clusters/gone"}})
    done = discover(tmp_path, "--kubeconfig", str(gone))
    assert done.exit_code == 1
    assert "no cluster was found; the first: " in done.stderr
    assert not (tmp_path / "fleet.yaml").exists()


def test_a_hundred_contexts_are_read_at_once(world, tmp_path) -> None:
    entries = [
        world.cluster(f"c{n}", node("n", {EKS_LABEL: "web"} | place("eu-west-1", "m5.large"))) for n in range(100)
    ]
    done = discover(tmp_path, "--kubeconfig", str(world.kubeconfig(tmp_path / "k", *entries)), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["totals"]["clusters"] == 100
    assert [each.name for each in load_fleet(tmp_path / "fleet.yaml").clusters] == [f"c{n}" for n in range(100)]
