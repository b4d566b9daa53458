"""Serving workloads over real simulated clusters: whose requests go where, what pods consume, what Prometheus says."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blocks.fleet import Fleet
from blocks.tables import watts_per_thread
from deployments.local.kubernetes.outages import Outages
from deployments.local.kubernetes.usage import of_requests
from deployments.local.load import TIMEOUT_S, served
from deployments.local.promql import evaluate, parse
from deployments.local.recorder import LENGTH
from deployments.local.simulation import Simulation
from deployments.local.workloads import DEMAND_LABEL, PEAK_RPS

START_S = 1_772_438_400.0  # Monday, 2026-03-02 08:00 UTC
POOL = {
    "name": "web",
    "instance_type": "m5.xlarge",
    "min_nodes": 1,
    "max_nodes": 8,
    "node_cpu": 4,
    "node_memory": "16Gi",
}
SITES = {"frankfurt": ("DE", "Europe/Berlin"), "osaka": ("JP-KN", "Asia/Tokyo")}
FLEET = Fleet.model_validate(
    {
        "name": "test",
        "metrics": {"url": "http://127.0.0.1"},
        "sites": [
            {
                "name": name,
                "tier": "cloud-region",
                "latitude": 50,
                "longitude": 9,
                "grid_zone": zone,
                "time_zone": local,
            }
            for name, (zone, local) in SITES.items()
        ],
        "clusters": [
            {"name": "eu", "site": "frankfurt", "provider": "eks", "node_pools": [POOL]},
            {"name": "asia", "site": "osaka", "provider": "eks", "node_pools": [POOL | {"name": "other"}]},
        ],
        "workloads": [{"name": "listed", "cluster": "asia", "namespace": "default"}],
    }
)


def deployment(name: str, replicas: int, peak: str | None = None, cpu: str = "50m") -> dict[str, Any]:
    labels = {DEMAND_LABEL: peak} if peak is not None else {}
    requests = {"cpu": cpu, "memory": "64Mi"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "work", "image": "x", "resources": {"requests": requests}}]},
            },
        },
    }


class Played:
    """A small fleet that a test plays."""

    def __init__(self) -> None:
        self.simulation = Simulation.fresh(FLEET, seed=7, start_s=START_S)
        self.clusters = self.simulation.clusters

    def deploy(self, cluster: str, *args: Any, **more: Any) -> None:
        self.clusters[cluster].create("deployments", deployment(*args, **more))
        self.clusters[cluster].step()

    def scale(self, cluster: str, name: str, replicas: int) -> None:
        self.clusters[cluster].patch("deployments", name, {"spec": {"replicas": replicas}})
        self.clusters[cluster].step()

    def minutes(self, count: int) -> None:
        self.simulation.clock.advance(60 * count)

    def ask(self, query: str, *, ago_s: float = 0) -> dict[tuple[str, ...], float]:
        """Values by cluster, workload and site, where a row has them."""
        at = np.array([self.simulation.clock.now() - ago_s])
        rows = evaluate(parse(query), self.simulation.scrapes, at)
        names = ("cluster", "workload", "site")
        return {tuple(row.labels[n] for n in names if n in row.labels): float(row.values[0]) for row in rows}


@pytest.fixture
def played() -> Played:
    return Played()


def test_a_pools_own_pods_serve_its_demand_without_errors(played: Played) -> None:
    played.minutes(30)
    rate, ready = played.ask("workload:requests:rate"), played.ask("workload:replicas_ready:count")
    assert rate.keys() == ready.keys() == {("eu", "web", "frankfurt"), ("asia", "other", "osaka")}
    for place, utilisation in played.ask("workload:utilisation:ratio").items():
        assert 0.3 < utilisation < 1
        assert ready[place] > 0
    assert set(played.ask("workload:errors:ratio").values()) == {0.0}
    mean, p95 = played.ask("workload:latency_seconds:mean"), played.ask("workload:latency_seconds:p95")
    assert all(0 < mean[place] < p95[place] < 1 for place in mean)


def test_the_rate_of_a_pool_is_its_cpu_demand_over_30_days(played: Played) -> None:
    ratios = [
        played.ask('workload:requests:rate{cluster="eu"} / 1', ago_s=ago)["eu", "web", "frankfurt"]
        / next(iter(played.ask('node_pool:cpu_usage:cores{cluster="eu"}', ago_s=ago).values()))
        for ago in (0, 3600, 29 * 86_400)
    ]
    assert ratios == pytest.approx([ratios[0]] * 3)


def test_losing_its_pods_turns_a_pools_requests_into_errors(played: Played) -> None:
    played.clusters["eu"].delete("deployments", "web")
    played.clusters["eu"].step()
    played.minutes(2)
    place = ("eu", "web", "frankfurt")
    assert played.ask("workload:errors:ratio")[place] == 1.0
    assert played.ask("workload:latency_seconds:p95")[place] == TIMEOUT_S
    assert played.ask("workload:utilisation:ratio")[place] == math.inf
    assert played.ask("workload:errors:ratio", ago_s=180)[place] == 0.0  # and the past stays as it was


def test_a_labelled_deployment_is_offered_its_peak_at_most_times(played: Played) -> None:
    played.deploy("eu", "shop", 4, "300")
    played.minutes(2)
    rates = [played.ask("workload:demand:rate", ago_s=3600 * hour).popitem()[1] for hour in range(0, 30 * 24, 7)]
    assert 250 < np.quantile(rates, 0.99) < 330
    assert max(rates) > 1.5 * min(rates)


def test_demand_belongs_to_the_workload_and_is_split_by_ready_pods(played: Played) -> None:
    played.deploy("eu", "shop", 3, "300")
    played.minutes(2)
    alone = played.ask('workload:requests:rate{workload="shop"}')
    assert alone["eu", "shop", "frankfurt"] == pytest.approx(played.ask("workload:demand:rate").popitem()[1])
    played.deploy("asia", "shop", 1, "300")
    played.minutes(2)
    split = played.ask('workload:requests:rate{workload="shop"}')
    assert sum(split.values()) == pytest.approx(played.ask("workload:demand:rate").popitem()[1])
    assert split["eu", "shop", "frankfurt"] == pytest.approx(3 * split["asia", "shop", "osaka"])
    played.clusters["eu"].delete("deployments", "shop")
    played.clusters["eu"].step()
    played.minutes(2)
    moved = played.ask('workload:requests:rate{workload="shop"}')
    assert list(moved) == [("asia", "shop", "osaka")]
    assert moved["asia", "shop", "osaka"] == pytest.approx(played.ask("workload:demand:rate").popitem()[1])


def test_a_workload_of_the_fleet_file_is_served_once_somebody_creates_it(played: Played) -> None:
    assert played.ask("workload:demand:rate").keys() == {("listed", "osaka")}
    assert ("asia", "listed", "osaka") not in played.ask("workload:requests:rate")
    played.deploy("asia", "listed", 2)
    played.minutes(2)
    assert 0.2 * PEAK_RPS[0] < played.ask("workload:requests:rate")["asia", "listed", "osaka"] < 1.5 * PEAK_RPS[1]


@pytest.mark.parametrize("label", ["much", "", "nan", "inf"])
def test_a_label_that_is_no_rate_plays_nothing(played: Played, label: str) -> None:
    played.deploy("eu", "shop", 1, label)
    played.minutes(2)
    assert not played.ask('workload:requests:rate{workload="shop"}')


def test_more_replicas_heal_an_overloaded_workload(played: Played) -> None:
    played.deploy("eu", "shop", 2, "300")
    played.minutes(2)
    place = ("eu", "shop", "frankfurt")
    before = {name: played.ask(name)[place] for name in ("workload:errors:ratio", "workload:latency_seconds:mean")}
    assert before["workload:errors:ratio"] > 0.5
    played.scale("eu", "shop", 20)
    played.minutes(2)
    for name, value in before.items():
        assert played.ask(name)[place] < value


def test_ready_pods_use_the_cpu_that_serving_takes_up_to_their_limit(played: Played) -> None:
    played.minutes(1)
    cluster = played.clusters["eu"]
    pods = [entry.obj for entry in cluster.backend.store.sorted("pods")]
    used = sum(cluster.backend.usage(pod).cpu_cores for pod in pods)
    demanded = played.ask('node_pool:cpu_usage:cores{cluster="eu"}').popitem()[1]
    assert used == pytest.approx(demanded)
    memory = sum(cluster.backend.usage(pod).memory_bytes for pod in pods)
    assert memory == pytest.approx(played.ask('node_pool:memory_usage:bytes{cluster="eu"}').popitem()[1])
    assert all(cluster.backend.usage(pod).cpu_cores <= 4 * 0.5 for pod in pods)


def test_pods_in_overload_use_their_limit_and_pods_that_are_not_ready_nothing(played: Played) -> None:
    played.deploy("eu", "shop", 2, "300")
    played.minutes(1)
    cluster = played.clusters["eu"]
    pods = [entry.obj for entry in cluster.backend.store.sorted("pods") if entry.key[1].startswith("shop")]
    assert [cluster.backend.usage(pod).cpu_cores for pod in pods] == [0.05, 0.05]
    unready = pods[0] | {"status": pods[0]["status"] | {"conditions": []}}
    assert cluster.backend.usage(unready).cpu_cores == 0


def test_pods_of_nobody_use_a_share_of_their_requests(played: Played) -> None:
    played.deploy("eu", "quiet", 1)
    played.minutes(1)
    cluster = played.clusters["eu"]
    pod = next(entry.obj for entry in cluster.backend.store.sorted("pods") if entry.key[1].startswith("quiet"))
    assert cluster.backend.usage(pod) == of_requests(pod)


def test_pods_on_silent_nodes_serve_nobody_although_they_still_count_as_ready(played: Played) -> None:
    cluster = played.clusters["eu"]
    played.deploy("eu", "shop", 4, "300")
    played.minutes(2)
    pods = [entry.obj for entry in cluster.backend.store.sorted("pods") if entry.key[1].startswith("shop")]
    cluster.set_outages(Outages(silent_nodes=frozenset(pod["spec"]["nodeName"] for pod in pods)))
    reading = next(r for r in played.simulation.workloads.readings().values() if r.workload.name == "shop")
    assert cluster.get("deployments", "shop")["status"]["readyReplicas"] == 4
    assert reading.replicas == 0


def test_a_reading_follows_ready_pods_at_once(played: Played) -> None:
    played.deploy("eu", "shop", 2, "300")
    played.simulation.clock.advance(20)
    workloads = played.simulation.workloads
    assert workloads.readings()["eu", "default", "shop"].replicas == 2
    assert workloads.readings() is workloads.readings()
    played.scale("eu", "shop", 1)
    played.simulation.clock.advance(5)
    assert workloads.readings()["eu", "default", "shop"].replicas == 1


def test_the_energy_counter_never_falls_and_grows_with_power(played: Played) -> None:
    played.minutes(LENGTH + 30)
    times = played.simulation.clock.now() - 60.0 * np.arange(LENGTH)[::-1]
    for site in SITES:
        power, energy = (
            evaluate(parse(f'{name}{{site="{site}"}}'), played.simulation.scrapes, times)[0].values
            for name in ("site:power:watts", "site:energy_kwh_total")
        )
        assert np.all(np.diff(energy) > 0)
        assert np.diff(energy) == pytest.approx(power[1:] / 60_000, rel=1e-6)


def test_power_is_that_of_the_ready_nodes_at_their_load_with_pue(played: Played) -> None:
    nodes = played.ask('node_pool:nodes_ready:count{cluster="eu"}').popitem()[1]
    cores = played.ask('node_pool:cpu_usage:cores{cluster="eu"}').popitem()[1]
    per_thread = float(watts_per_thread("skylake", cores / (4 * nodes)))
    assert played.ask("site:power:watts")["frankfurt",] == pytest.approx(4 * nodes * per_thread * 1.2)


def test_what_a_range_says_is_what_the_formulas_say_of_what_was_recorded(played: Played) -> None:
    played.deploy("eu", "shop", 5, "100")
    played.minutes(10)
    reading = played.simulation.workloads.readings()["eu", "default", "shop"]
    found = served(reading.workload.service, np.float32(reading.rate), reading.replicas, np.float32(reading.cores))
    assert played.ask("workload:latency_seconds:p95")["eu", "shop", "frankfurt"] == pytest.approx(float(found.p95_s))
    last = played.ask('avg_over_time(workload:utilisation:ratio{workload="shop"}[5m])')
    assert 1 < last["eu", "shop", "frankfurt"] < 3


def told(simulation: Simulation) -> str:
    times = simulation.clock.now() - 60.0 * np.arange(0, LENGTH, 7)[::-1]
    rows = evaluate(parse('{__name__=~"workload.*|site.*|node_pool.*"}'), simulation.scrapes, times)
    return json.dumps([[row.labels, row.values[row.present].tolist()] for row in rows])


def test_a_restored_fleet_has_the_same_series_and_goes_on_alike(played: Played) -> None:
    played.deploy("eu", "shop", 5, "100")
    played.minutes(30)
    saved = json.loads(json.dumps(played.simulation.snapshot()))
    restored = Simulation.restored(FLEET, saved, saved["now_s"])
    assert told(restored) == told(played.simulation)
    played.minutes(20)
    restored.clock.advance(1200)
    assert told(restored) == told(played.simulation)


def story() -> str:
    played = Played()
    played.deploy("eu", "shop", 5, "100")
    played.deploy("asia", "shop", 3, "100")
    played.minutes(30)
    return told(played.simulation)


def test_two_processes_tell_the_same() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_workloads as t; print(t.story())"
    )
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2")]
    told = [
        subprocess.run([sys.executable, "-c", code], env=each, capture_output=True, check=True, text=True).stdout
        for each in environments
    ]
    assert told[0] == told[1] != ""
