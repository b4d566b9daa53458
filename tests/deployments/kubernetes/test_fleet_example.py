"""The example fleet.yaml, and its PromQL on a real Prometheus where Debian's package is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.errors import Unreachable
from blocks.fleet import Metrics, Provider, Tier
from blocks.fleet_file import load_fleet, read_fleet
from blocks.kubernetes import POOL_LABEL
from blocks.prometheus import PrometheusSource
from tasks.inventory.promql import CPU_OF_NODES, MEMORY_OF_NODES, demand_by_pool, metric_label

EXAMPLE = Path(__file__).parents[3] / "deployments" / "kubernetes" / "fleet.example.yaml"
START_S = 1_760_000_000
MINUTES = 20
GIB = 2**30

with_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="no prometheus and promtool on this machine"
)


def test_the_example_is_valid_without_a_warning() -> None:
    assert read_fleet(EXAMPLE).problems == ()


def test_the_example_shows_each_provider_edge_capacity_and_every_kind_of_credential() -> None:
    fleet = load_fleet(EXAMPLE)
    assert {cluster.provider for cluster in fleet.clusters} == set(Provider)
    assert all(site.capacity for site in fleet.sites if site.tier is not Tier.CLOUD_REGION)
    assert {"${PROMETHEUS_TOKEN}", "secret:eu-aks-token"} <= set(EXAMPLE.read_text().replace('"', " ").split())


def test_the_examples_queries_are_those_that_discovery_writes() -> None:
    metrics = load_fleet(EXAMPLE).metrics
    assert metrics.cpu_cores == demand_by_pool(CPU_OF_NODES, list(POOL_LABEL.values()))
    assert metrics.memory_bytes == demand_by_pool(MEMORY_OF_NODES, list(POOL_LABEL.values()))
    assert all(label in EXAMPLE.read_text() for label in POOL_LABEL.values())


# Cluster, node, pool (None: in no pool), provider, cores in use, bytes in use.
NODES = [
    ("us-eks", "ip-1", "web", Provider.EKS, 1.5, 2 * GIB),
    ("us-eks", "ip-2", "web", Provider.EKS, 0.5, 3 * GIB),
    ("us-eks", "ip-3", "batch", Provider.EKS, 4.0, 1 * GIB),
    ("us-gke", "ip-1", "web", Provider.GKE, 2.0, 5 * GIB),  # the same node name in another cluster
    ("eu-aks", "vm-1", "web", Provider.AKS, 0.25, 7 * GIB),
    ("edge-ireland", "n-1", "edge", Provider.K3S, 3.0, 4 * GIB),
    ("us-eks", "fargate", None, Provider.EKS, 9.0, 9 * GIB),
]


def samples() -> Iterator[str]:
    """What kubelets and two replicas of kube-state-metrics would have told, in OpenMetrics."""
    times = [START_S + 60 * minute for minute in range(MINUTES)]
    cadvisor = 'job="kubelet",metrics_path="/metrics/cadvisor",namespace="shop"'
    yield "# TYPE container_cpu_usage_seconds counter"
    for cluster, node, _, _, cores, _ in NODES:
        for pod, share in (("a", 0.75), ("b", 0.25)):
            for labels, factor in ((f'container="{pod}",image="i"', 1.0), ('container="",image=""', 5.0)):
                name = f'{{cluster="{cluster}",node="{node}",pod="{pod}",{cadvisor},{labels}}}'
                for at in times:
                    yield f"container_cpu_usage_seconds_total{name} {share * cores * factor * (at - START_S)} {at}"
    yield "# TYPE container_memory_working_set_bytes gauge"
    for cluster, node, _, _, _, used in NODES:
        name = f'{{cluster="{cluster}",node="{node}",pod="a",{cadvisor},container="a",image="i"}}'
        yield from (f"container_memory_working_set_bytes{name} {used} {at}" for at in times)
    yield "# TYPE kube_node_labels gauge"
    for cluster, node, pool, provider, _, _ in NODES:
        label = f',{metric_label(POOL_LABEL[provider])}="{pool}"' if pool else ""
        for replica in "12":
            name = f'{{cluster="{cluster}",node="{node}",instance="ksm-{replica}"{label}}}'
            yield from (f"kube_node_labels{name} 1 {at}" for at in times)
    board = 'instance="jetson-1:9100",chip="1_0040"'
    rails = (("in", "volts", (5.0, 5.0)), ("curr", "amps", (2.5, 1.0)))  # the module's input, and a part of it
    for sensor, unit, values in rails:
        yield f"# TYPE node_hwmon_{sensor}_{unit} gauge"
        for channel, value in enumerate(values, 1):
            name = f'{{{board},sensor="{sensor}{channel}"}}'
            yield from (f"node_hwmon_{sensor}_{unit}{name} {value} {at}" for at in times)
    yield "# TYPE node_hwmon_sensor_label gauge"
    for channel, label in enumerate(("VDD_IN", "VDD_CPU_GPU_CV"), 1):
        name = f'{{{board},sensor="in{channel}",label="{label}"}}'
        yield from (f"node_hwmon_sensor_label{name} 1 {at}" for at in times)
    yield "# EOF"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusSource]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.txt").write_text("\n".join(samples()) + "\n")
    (folder / "prometheus.yml").write_text("{}\n")
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"]
    subprocess.run(backfill, cwd=folder, check=True, capture_output=True, timeout=60)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    arguments = ["--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y", "--log.level=error"]
    command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", *arguments]
    process = subprocess.Popen(command, cwd=folder)
    source = PrometheusSource.from_metrics(Metrics(url=f"http://127.0.0.1:{port}"))
    try:
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            try:
                source.now()
                break
            except Unreachable:
                time.sleep(0.05)
        yield source
    finally:
        process.terminate()
        process.wait(20)


def by_pool(prometheus: PrometheusSource, query: str) -> dict[tuple[str, str], float]:
    found = prometheus.instant(query, START_S + 60 * (MINUTES - 1))
    assert all(set(each.labels) == {"cluster", "node_pool"} for each in found)
    return {(each.labels["cluster"], each.labels["node_pool"]): each.value for each in found}


@with_prometheus
def test_cpu_in_use_is_summed_by_pool_over_containers_once(prometheus: PrometheusSource) -> None:
    assert by_pool(prometheus, load_fleet(EXAMPLE).metrics.cpu_cores) == {
        ("us-eks", "web"): pytest.approx(2.0),
        ("us-eks", "batch"): pytest.approx(4.0),
        ("us-gke", "web"): pytest.approx(2.0),
        ("eu-aks", "web"): pytest.approx(0.25),
        ("edge-ireland", "edge"): pytest.approx(3.0),
    }


@with_prometheus
def test_memory_in_use_is_summed_by_pool(prometheus: PrometheusSource) -> None:
    assert by_pool(prometheus, load_fleet(EXAMPLE).metrics.memory_bytes) == {
        ("us-eks", "web"): 5 * GIB,
        ("us-eks", "batch"): 1 * GIB,
        ("us-gke", "web"): 5 * GIB,
        ("eu-aks", "web"): 7 * GIB,
        ("edge-ireland", "edge"): 4 * GIB,
    }


@with_prometheus
def test_a_cluster_with_its_own_prometheus_gets_its_name_from_the_query(prometheus: PrometheusSource) -> None:
    cluster = next(each for each in load_fleet(EXAMPLE).clusters if each.metrics)
    assert cluster.metrics is not None
    recorded = f"sum by (node_pool) ({load_fleet(EXAMPLE).metrics.cpu_cores.strip()})"
    query = cluster.metrics.cpu_cores.replace("node_pool:cpu_usage:cores", recorded).replace("$cluster", cluster.name)
    assert by_pool(prometheus, query)["edge-virginia", "edge"] == pytest.approx(3.0)


@with_prometheus
def test_a_jetsons_input_rail_is_its_power_and_its_parts_are_not_added(prometheus: PrometheusSource) -> None:
    (query,) = (each.metrics.sensor_watts for each in load_fleet(EXAMPLE).clusters if each.metrics)
    assert by_pool(prometheus, query.replace("$cluster", "edge-virginia")) == {
        ("edge-virginia", "edge"): pytest.approx(12.5)
    }
