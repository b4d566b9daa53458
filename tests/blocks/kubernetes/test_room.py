"""GPUs and storage as nodes and pods tell them; what they do not tell is unknown."""

from __future__ import annotations

from typing import Any

from blocks.fleet import Provider
from blocks.kubernetes import PoolRoom, room_by_pool

LABEL = "continuum.io/node-pool"


def node(name: str, pool: str | None = "edge", **allocatable: str) -> dict[str, Any]:
    told = {key.replace("__", "/").replace("_", "-"): value for key, value in allocatable.items()}
    labels = {LABEL: pool} if pool else {}
    return {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"cpu": "8", **told}}}


def pod(
    on: str | None, *requests: dict[str, str], phase: str = "Running", first: dict[str, str] | None = None
) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": each}} for each in requests]}
    spec |= {"nodeName": on} if on else {}
    spec |= {"initContainers": [{"resources": {"requests": first}}]} if first else {}
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}}


GPU, STORAGE = "nvidia.com/gpu", "ephemeral-storage"


def told(nodes: list[dict[str, Any]], pods: list[dict[str, Any]] | None) -> PoolRoom:
    return room_by_pool(nodes, pods, Provider.K3S)["edge"]


def gpu_node(name: str, count: str = "2", storage: str = "100Gi") -> dict[str, Any]:
    made = node(name)
    made["status"]["allocatable"] |= {GPU: count, STORAGE: storage}
    return made


def test_one_node_is_the_mean_of_the_pools_nodes() -> None:
    room = told([gpu_node("a", "2"), gpu_node("b", "4", "300Gi")], [])
    assert (room.gpus, room.storage_bytes) == (3.0, 200 * 2**30)


def test_a_node_that_does_not_name_a_resource_leaves_it_unknown() -> None:
    room = told([gpu_node("a"), node("b")], [])
    assert room.gpus is room.storage_bytes is None


def test_pods_that_run_on_the_pools_nodes_are_counted_and_no_others() -> None:
    pods = [
        pod("a", {GPU: "1", STORAGE: "10Gi"}, {STORAGE: "5Gi"}),
        pod("a", {GPU: "1"}, phase="Succeeded"),
        pod("elsewhere", {GPU: "1"}),
        pod(None, {GPU: "1"}, phase="Pending"),
        pod("a"),
    ]
    room = told([gpu_node("a")], pods)
    assert (room.gpus_requested, room.storage_bytes_requested) == (1.0, 15 * 2**30)


def test_an_init_container_counts_where_it_asks_for_more_than_the_others() -> None:
    assert told([gpu_node("a")], [pod("a", {GPU: "1"}, first={GPU: "2"})]).gpus_requested == 2.0


def test_pods_that_cannot_be_read_leave_requests_unknown() -> None:
    room = told([gpu_node("a")], None)
    assert room.gpus == 2.0
    assert room.gpus_requested is room.storage_bytes_requested is None


def test_nodes_without_the_label_belong_to_no_pool() -> None:
    assert room_by_pool([node("a", None)], [], Provider.K3S) == {}
