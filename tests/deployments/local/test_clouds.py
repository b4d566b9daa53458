"""The simulated clouds' REST APIs, as the official SDKs see them over a real loopback socket."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
import uvicorn
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.core.pipeline.policies import HeadersPolicy
from azure.mgmt.containerservice import ContainerServiceClient
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from google.api_core.exceptions import BadRequest, Conflict, NotFound, TooManyRequests
from google.oauth2.credentials import Credentials
from starlette.applications import Starlette
from starlette.routing import Mount

from deployments.local import aks, eks, gke
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.node_pools import NodePools
from deployments.local.throttling import Rate, Rates

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
PLACE = "projects/simulated-project/locations/us-east4-a"
WEB = f"{PLACE}/clusters/us-gke/nodePools/web"


@pytest.fixture
def stingy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reads and one write, then nothing for ten seconds."""
    for cloud in (eks, gke, aks):
        monkeypatch.setattr(cloud, "RATES", Rates(reads=Rate(0.1, 2), writes=Rate(0.1, 1)))


@pytest.fixture
def origin(pools: NodePools) -> Iterator[str]:
    mounts = [Mount("/aws", eks.app(pools)), Mount("/gcp", gke.app(pools)), Mount("/azure", aks.app(pools))]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(Starlette(routes=mounts), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.001)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def eks_client(origin: str) -> Any:
    return boto3.client(
        "eks",
        endpoint_url=f"{origin}/aws",
        region_name="eu-central-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def gke_client(origin: str) -> Any:
    return _gke(origin, Credentials(token="any"))


@pytest.fixture
def aks_client(origin: str) -> Iterator[Any]:
    with ContainerServiceClient(
        credential=object(),
        subscription_id=SUBSCRIPTION,
        base_url=f"{origin}/azure",
        authentication_policy=HeadersPolicy({"Authorization": "Bearer any"}),
        credential_scopes=["any"],
        polling_interval=0.01,
        retry_total=0,
    ) as client:
        yield client


def _gke(origin: str, credentials: Any) -> Any:
    from google.cloud import container_v1

    options = {"api_endpoint": f"{origin}/gcp"}
    return container_v1.ClusterManagerClient(transport="rest", credentials=credentials, client_options=options)


@contextlib.contextmanager
def refused_by_aws(code: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code


def resize(client: Any, desired: int, **more: Any) -> Any:
    sizes = {"desiredSize": desired}
    return client.update_nodegroup_config(clusterName="eu-eks", nodegroupName="web", scalingConfig=sizes, **more)[
        "update"
    ]


def test_boto3_lists_and_describes(eks_client: Any, origin: str) -> None:
    assert eks_client.list_clusters()["clusters"] == ["eu-eks"]
    assert eks_client.describe_cluster(name="eu-eks")["cluster"]["endpoint"] == f"{origin}/clusters/eu-eks"
    assert eks_client.list_nodegroups(clusterName="eu-eks")["nodegroups"] == ["web", "batch"]
    group = eks_client.describe_nodegroup(clusterName="eu-eks", nodegroupName="web")["nodegroup"]
    assert group["scalingConfig"] == {"minSize": 3, "maxSize": 24, "desiredSize": 5}
    assert group["status"] == "ACTIVE"


def test_boto3_pages_through_node_groups(eks_client: Any) -> None:
    pages = eks_client.get_paginator("list_nodegroups").paginate(clusterName="eu-eks", PaginationConfig={"PageSize": 1})
    assert [page["nodegroups"] for page in pages] == [["web"], ["batch"]]


def test_boto3_follows_an_update_from_in_progress_to_successful(eks_client: Any, clock: SimulatedClock) -> None:
    update = resize(eks_client, 8)
    assert update["status"] == "InProgress"
    assert update["params"] == [{"type": "DesiredSize", "value": "8"}]
    names = {"clusterName": "eu-eks", "nodegroupName": "web"}
    assert eks_client.describe_nodegroup(**names)["nodegroup"]["status"] == "UPDATING"
    clock.advance(30)
    assert (
        eks_client.describe_update(name="eu-eks", nodegroupName="web", updateId=update["id"])["update"]["status"]
        == "Successful"
    )
    assert eks_client.list_updates(name="eu-eks", nodegroupName="web")["updateIds"] == [update["id"]]


def test_boto3_sees_why_an_update_failed(eks_client: Any, pools: NodePools, clock: SimulatedClock) -> None:
    pools.fail_next("eu-eks", "web", "no machines left")
    update = resize(eks_client, 8)
    clock.advance(30)
    seen = eks_client.describe_update(name="eu-eks", nodegroupName="web", updateId=update["id"])["update"]
    assert (seen["status"], seen["errors"][0]["errorMessage"]) == ("Failed", "no machines left")


def test_boto3_changes_bounds_and_size_at_once(eks_client: Any) -> None:
    sizes = {"minSize": 1, "maxSize": 40, "desiredSize": 30}
    eks_client.update_nodegroup_config(clusterName="eu-eks", nodegroupName="web", scalingConfig=sizes)
    group = eks_client.describe_nodegroup(clusterName="eu-eks", nodegroupName="web")["nodegroup"]
    assert group["scalingConfig"] == sizes


def test_eks_errors_have_the_codes_of_aws(eks_client: Any) -> None:
    with refused_by_aws("InvalidParameterException"):
        resize(eks_client, 25)
    resize(eks_client, 6)
    with refused_by_aws("ResourceInUseException"):
        resize(eks_client, 7)
    with refused_by_aws("ResourceNotFoundException"):
        eks_client.describe_nodegroup(clusterName="eu-eks", nodegroupName="absent")
    with refused_by_aws("ResourceNotFoundException"):
        eks_client.describe_cluster(name="us-gke")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"desiredSize": 25}, "Desired capacity 25 can't be greater than max size 24"),
        ({"minSize": 6}, "Minimum capacity 6 can't be greater than desired size 5"),
        ({"minSize": 30}, "Minimum capacity 30 can't be greater than max size 24"),
    ],
)
def test_eks_words_the_bounds_as_aws_does(eks_client: Any, sizes: dict[str, int], words: str) -> None:
    with pytest.raises(ClientError) as caught:
        eks_client.update_nodegroup_config(clusterName="eu-eks", nodegroupName="web", scalingConfig=sizes)
    assert caught.value.response["Error"] == {"Message": words, "Code": "InvalidParameterException"}


def test_the_waiter_of_boto3_waits_until_the_group_is_active(eks_client: Any, clock: SimulatedClock) -> None:
    resize(eks_client, 8)
    waiter = eks_client.get_waiter("nodegroup_active")
    names = {"clusterName": "eu-eks", "nodegroupName": "web", "WaiterConfig": {"Delay": 0, "MaxAttempts": 1}}
    with pytest.raises(WaiterError):
        waiter.wait(**names)
    clock.advance(30)
    waiter.wait(**names)


def test_a_group_without_machines_is_degraded_and_says_why(
    eks_client: Any, pools: NodePools, clock: SimulatedClock
) -> None:
    pools.set_shortage("eu-eks", "web", True)
    update = resize(eks_client, 8)
    clock.advance(30)
    names = {"name": "eu-eks", "nodegroupName": "web", "updateId": update["id"]}
    assert eks_client.describe_update(**names)["update"]["status"] == "Successful"
    group = eks_client.describe_nodegroup(clusterName="eu-eks", nodegroupName="web")["nodegroup"]
    [issue] = group["health"]["issues"]
    assert (group["status"], issue["code"], issue["resourceIds"]) == (
        "DEGRADED",
        "AsgInstanceLaunchFailures",
        ["eks-web-simulated"],
    )
    assert "do not have sufficient m5.xlarge capacity" in issue["message"]
    pools.set_shortage("eu-eks", "web", False)
    clock.advance(100)
    group = eks_client.describe_nodegroup(clusterName="eu-eks", nodegroupName="web")["nodegroup"]
    assert (group["status"], group["health"]["issues"]) == ("ACTIVE", [])


def test_boto3_sets_labels_and_taints_on_nodes_there_and_to_come(
    eks_client: Any, clusters: dict[str, SimulatedCluster], clock: SimulatedClock
) -> None:
    names = {"clusterName": "eu-eks", "nodegroupName": "web"}
    taint = {"key": "team", "value": "a", "effect": "NO_SCHEDULE"}
    eks_client.update_nodegroup_config(
        **names, labels={"addOrUpdateLabels": {"team": "a"}}, taints={"addOrUpdateTaints": [taint]}
    )
    clock.advance(30)
    resize(eks_client, 6)
    clock.advance(300)
    selected = clusters["eu-eks"].list("nodes", label_selector="team=a")
    assert len(selected) == 6
    assert all(node["spec"]["taints"] == [taint | {"effect": "NoSchedule"}] for node in selected)
    group = eks_client.describe_nodegroup(**names)["nodegroup"]
    assert (group["labels"], group["taints"]) == ({"team": "a"}, [taint])
    removal = {"key": "team", "effect": "NO_SCHEDULE"}
    eks_client.update_nodegroup_config(**names, labels={"removeLabels": ["team"]}, taints={"removeTaints": [removal]})
    [node, *_] = clusters["eu-eks"].list("nodes", label_selector="eks.amazonaws.com/nodegroup=web")
    assert "team" not in node["metadata"]["labels"]
    assert node["spec"].get("taints", []) == []


@pytest.mark.parametrize(
    "body",
    [
        {"labels": {"addOrUpdateLabels": {"a label": "x"}}},
        {"taints": {"addOrUpdateTaints": [{"key": "team", "value": "no good", "effect": "NO_SCHEDULE"}]}},
        {"updateConfig": {"maxUnavailable": 25}},
        {},
    ],
)
def test_marks_that_no_node_may_carry_are_refused(eks_client: Any, pools: NodePools, body: Any) -> None:
    with refused_by_aws("InvalidParameterException"):
        eks_client.update_nodegroup_config(clusterName="eu-eks", nodegroupName="web", **body)
    assert pools.log() == []


def test_a_page_has_between_1_and_100_entries(eks_client: Any, origin: str) -> None:
    for size in ("0", "101", "x"):
        url = f"{origin}/aws/clusters?maxResults={size}"
        answer = requests.get(url, headers={"Authorization": "any"}, timeout=5)
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "InvalidParameterException")


def test_aws_throttles_and_boto3_knows_it_for_that(stingy: None, eks_client: Any, clock: SimulatedClock) -> None:
    resize(eks_client, 6)
    with refused_by_aws("ThrottlingException"):
        resize(eks_client, 6)
    eks_client.list_clusters()
    clock.advance(10)
    with refused_by_aws("ResourceInUseException"):
        resize(eks_client, 6)


def test_a_client_request_token_makes_a_repeat_harmless(eks_client: Any, pools: NodePools) -> None:
    first, second = (resize(eks_client, 8, clientRequestToken="once") for _ in range(2))
    assert first["id"] == second["id"]
    assert len(pools.log()) == 1


def test_google_lists_clusters_with_their_pools(gke_client: Any) -> None:
    [cluster] = gke_client.list_clusters(parent="projects/simulated-project/locations/-").clusters
    assert (cluster.name, [pool.name for pool in cluster.node_pools]) == ("us-gke", ["web", "search"])
    assert cluster.node_pools[1].config.labels == {"continuum.io/hands-off": "true"}


def test_google_follows_a_resize_from_running_to_done(gke_client: Any, clock: SimulatedClock) -> None:
    operation = gke_client.set_node_pool_size(request={"name": WEB, "node_count": 8})
    assert operation.status.name == "RUNNING"
    clock.advance(200)
    operation = gke_client.get_operation(name=f"{PLACE}/operations/{operation.name}")
    assert (operation.status.name, operation.operation_type.name) == ("DONE", "SET_NODE_POOL_SIZE")
    pool = gke_client.get_node_pool(name=WEB)
    group = requests.get(pool.instance_group_urls[0], headers={"Authorization": "any"}, timeout=5).json()
    assert pool.initial_node_count == group["targetSize"] == 8


def test_google_sees_why_an_operation_failed(gke_client: Any, pools: NodePools, clock: SimulatedClock) -> None:
    pools.fail_next("us-gke", "web", "ZONE_RESOURCE_POOL_EXHAUSTED")
    operation = gke_client.set_node_pool_size(request={"name": WEB, "node_count": 8})
    clock.advance(200)
    operation = gke_client.get_operation(name=f"{PLACE}/operations/{operation.name}")
    assert (operation.status.name, operation.error.message) == ("DONE", "ZONE_RESOURCE_POOL_EXHAUSTED")


def test_google_sets_bounds_by_switching_autoscaling_on(gke_client: Any, clock: SimulatedClock) -> None:
    autoscaling = {"enabled": True, "min_node_count": 7, "max_node_count": 12}
    gke_client.set_node_pool_autoscaling(request={"name": WEB, "autoscaling": autoscaling})
    clock.advance(200)
    pool = gke_client.get_node_pool(name=WEB)
    assert (pool.autoscaling.min_node_count, pool.autoscaling.max_node_count) == (7, 12)
    assert pool.initial_node_count == 7


def test_gke_refuses_a_second_operation_in_the_cluster_sizes_out_of_bounds_and_unknown_pools(gke_client: Any) -> None:
    with pytest.raises(BadRequest, match="between 0 and 1000"):
        gke_client.set_node_pool_size(request={"name": WEB, "node_count": 1001})
    autoscaling = {"enabled": True, "min_node_count": 7, "max_node_count": 6}
    with pytest.raises(BadRequest, match="min_node_count 7 must be less than or equal to max_node_count 6"):
        gke_client.set_node_pool_autoscaling(request={"name": WEB, "autoscaling": autoscaling})
    gke_client.set_node_pool_size(request={"name": WEB, "node_count": 6})
    with pytest.raises(BadRequest, match="is running"):
        gke_client.set_node_pool_size(request={"name": WEB.replace("web", "search"), "node_count": 6})
    with pytest.raises(NotFound):
        gke_client.get_node_pool(name=f"{WEB}s")


def test_gke_sets_any_size_beside_its_autoscaler_and_below_the_files_minimum(
    gke_client: Any, clock: SimulatedClock
) -> None:
    gke_client.set_node_pool_size(request={"name": WEB, "node_count": 1})
    clock.advance(200)
    autoscaling = {"enabled": True, "min_node_count": 1, "max_node_count": 3}
    gke_client.set_node_pool_autoscaling(request={"name": WEB, "autoscaling": autoscaling})
    clock.advance(200)
    assert gke_client.set_node_pool_size(request={"name": WEB, "node_count": 4}).status.name == "RUNNING"


def test_google_sets_labels_guarded_by_an_etag(
    gke_client: Any, clusters: dict[str, SimulatedCluster], clock: SimulatedClock
) -> None:
    etag = gke_client.get_node_pool(name=WEB).etag
    request = {"name": WEB, "labels": {"labels": {"team": "a"}}, "etag": etag}
    gke_client.update_node_pool(request=request)
    clock.advance(200)
    assert len(clusters["us-gke"].list("nodes", label_selector="team=a")) == 5
    assert dict(gke_client.get_node_pool(name=WEB).config.labels) == {"team": "a"}
    with pytest.raises(Conflict) as caught:
        gke_client.update_node_pool(request=request)
    assert caught.value.response.json()["error"]["status"] == "ABORTED"


def test_google_throttles_with_the_reason_where_clients_look_for_it(stingy: None, gke_client: Any) -> None:
    gke_client.set_node_pool_size(request={"name": WEB, "node_count": 6})
    with pytest.raises(TooManyRequests, match="requests per minute") as caught:
        gke_client.set_node_pool_size(request={"name": WEB, "node_count": 6})
    assert caught.value.errors[0]["reason"] == "rateLimitExceeded"
    assert caught.value.response.headers["Retry-After"] == "10"


def test_a_resize_that_found_no_machines_ends_with_the_words_of_compute_engine(
    gke_client: Any, pools: NodePools, clock: SimulatedClock
) -> None:
    pools.set_shortage("us-gke", "web", True)
    operation = gke_client.set_node_pool_size(request={"name": WEB, "node_count": 8})
    clock.advance(60)
    operation = gke_client.get_operation(name=f"{PLACE}/operations/{operation.name}")
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in operation.error.message
    assert gke_client.get_node_pool(name=WEB).initial_node_count == 5


def agent_pool(client: Any) -> Any:
    return client.agent_pools.get("simulated", "asia-aks", "web")


def put(client: Any, body: Any, **more: Any) -> Any:
    return client.agent_pools.begin_create_or_update("simulated", "asia-aks", "web", body, **more)


def test_azure_lists_clusters_and_pools(aks_client: Any) -> None:
    assert [cluster.name for cluster in aks_client.managed_clusters.list()] == ["asia-aks"]
    [pool] = [found for found in aks_client.agent_pools.list("simulated", "asia-aks") if found.name == "web"]
    assert (pool.name, pool.properties.count, pool.properties.min_count) == ("web", 5, None)


def test_azure_follows_a_resize_until_it_has_succeeded(aks_client: Any, clock: SimulatedClock) -> None:
    pool = agent_pool(aks_client)
    pool.properties.count = 8
    poller = put(aks_client, pool)
    assert poller.status() == "InProgress"
    assert agent_pool(aks_client).properties.provisioning_state == "Scaling"
    clock.advance(400)
    assert poller.result(timeout=5).properties.count == 8
    assert agent_pool(aks_client).properties.provisioning_state == "Succeeded"


def test_azure_sees_why_an_operation_failed(aks_client: Any, pools: NodePools, clock: SimulatedClock) -> None:
    pools.fail_next("asia-aks", "web", "AllocationFailed")
    pool = agent_pool(aks_client)
    pool.properties.count = 8
    poller = put(aks_client, pool)
    clock.advance(400)
    with pytest.raises(HttpResponseError, match="AllocationFailed"):
        poller.result(timeout=5)


def test_azure_if_match_guards_against_another_writer(aks_client: Any, clock: SimulatedClock) -> None:
    pool = agent_pool(aks_client)
    guard = {"etag": pool.properties.e_tag, "match_condition": MatchConditions.IfNotModified}
    pool.properties.count = 6
    put(aks_client, pool, polling=False, **guard)
    clock.advance(400)
    with pytest.raises(ResourceModifiedError):
        put(aks_client, pool, polling=False, **guard)


def test_aks_refuses_a_second_operation_sizes_out_of_bounds_and_unknown_pools(aks_client: Any) -> None:
    pool = agent_pool(aks_client)
    pool.properties.count = 0
    with pytest.raises(HttpResponseError, match=r"InvalidParameter.*count was 0. It must be greater or equal to minC"):
        put(aks_client, pool, polling=False)
    pool.properties.count = 6
    put(aks_client, pool, polling=False)
    pool.properties.count = 7
    with pytest.raises(ResourceExistsError, match="OperationNotAllowed"):
        put(aks_client, pool, polling=False)
    with pytest.raises(ResourceNotFoundError):
        aks_client.agent_pools.get("simulated", "asia-aks", "absent")


def test_aks_keeps_the_count_between_the_bounds_of_its_autoscaler(aks_client: Any) -> None:
    pool = agent_pool(aks_client)
    pool.properties.enable_auto_scaling = True
    with pytest.raises(HttpResponseError, match="minCount is required"):
        put(aks_client, pool, polling=False)
    pool.properties.min_count, pool.properties.max_count = 6, 9
    with pytest.raises(HttpResponseError, match=r"count was 5\. It must be greater or equal to minCount:6 and less"):
        put(aks_client, pool, polling=False)
    pool.properties.count = 6
    put(aks_client, pool, polling=False)


def test_a_failed_allocation_is_shown_by_the_poller_and_by_the_pool(
    aks_client: Any, pools: NodePools, clock: SimulatedClock
) -> None:
    pools.set_shortage("asia-aks", "web", True)
    pool = agent_pool(aks_client)
    pool.properties.count = 8
    poller = put(aks_client, pool)
    clock.advance(60)
    with pytest.raises(HttpResponseError) as caught:
        poller.result(timeout=5)
    assert caught.value.error.code == "AllocationFailed"
    shown = agent_pool(aks_client).properties
    assert (shown.provisioning_state, shown.count) == ("Failed", 5)
    pools.set_shortage("asia-aks", "web", False)
    put(aks_client, pool, polling=False)
    clock.advance(400)
    assert agent_pool(aks_client).properties.provisioning_state == "Succeeded"


def test_azure_sets_labels_and_taints_and_refuses_what_is_fixed(
    aks_client: Any, clusters: dict[str, SimulatedCluster], clock: SimulatedClock
) -> None:
    pool = agent_pool(aks_client)
    pool.properties.node_labels, pool.properties.node_taints = {"team": "a"}, ["team=a:NoSchedule"]
    put(aks_client, pool, polling=False)
    clock.advance(60)
    assert len(clusters["asia-aks"].list("nodes", label_selector="team=a")) == 5
    assert agent_pool(aks_client).properties.node_taints == ["team=a:NoSchedule"]
    pool.properties.vm_size = "Standard_D8s_v5"
    with pytest.raises(HttpResponseError, match=r"Changing property 'properties\.vmSize' is not allowed"):
        put(aks_client, pool, polling=False)


def test_azure_throttles_and_says_when_to_come_again(stingy: None, aks_client: Any) -> None:
    pool = agent_pool(aks_client)
    pool.properties.count = 6
    put(aks_client, pool, polling=False)
    with pytest.raises(HttpResponseError) as caught:
        put(aks_client, pool, polling=False)
    assert (caught.value.status_code, caught.value.error.code) == (429, "TooManyRequests")
    assert caught.value.response.headers["Retry-After"] == "10"


def test_aks_takes_bounds_only_with_its_autoscaler(aks_client: Any) -> None:
    pool = agent_pool(aks_client)
    pool.properties.min_count, pool.properties.max_count = 2, 9
    with pytest.raises(HttpResponseError, match="needs enableAutoScaling"):
        put(aks_client, pool, polling=False)
    pool.properties.enable_auto_scaling = True
    put(aks_client, pool, polling=False)
    assert agent_pool(aks_client).properties.max_count == 9


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("aws/clusters", 403),
        ("gcp/v1/projects/simulated-project/locations/-/clusters", 401),
        (f"azure/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/managedClusters", 401),
    ],
)
def test_every_cloud_asks_for_an_authorization_header(origin: str, path: str, status: int) -> None:
    assert requests.get(f"{origin}/{path}", timeout=5).status_code == status
    assert requests.get(f"{origin}/{path}", timeout=5, headers={"Authorization": "any"}).ok


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"scalingConfig": {"desiredSize": "many"}}', b'{"labels": {}}'])
def test_a_body_that_makes_no_sense_is_a_400_with_words(origin: str, body: bytes) -> None:
    url = f"{origin}/aws/clusters/eu-eks/node-groups/web/update-config"
    answer = requests.post(url, data=body, headers={"Authorization": "any"}, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_what_is_not_simulated_is_a_json_404(origin: str) -> None:
    answer = requests.get(f"{origin}/aws/addons", headers={"Authorization": "any"}, timeout=5)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
