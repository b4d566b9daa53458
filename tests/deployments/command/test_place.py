"""`continuum place`: each command's answer, its JSON, and a line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deployments.command import app

PROBLEM = {
    "sites": [
        {"name": "munich", "capacity": {"cpu": 4, "memory_gb": 8}, "lat": 48.1, "lon": 11.6, "open_cost": 5},
        {"name": "berlin", "capacity": {"cpu": 4, "memory_gb": 8}, "lat": 52.5, "lon": 13.4, "open_cost": 5},
    ],
    "zones": [{"name": "hamburg", "lat": 53.6, "lon": 10.0}],
    "workloads": [{"name": "shop", "requests": {"cpu": 1}, "demand": {"hamburg": 10}}],
    "functions": [
        {"name": "f", "sites": ["munich", "berlin"], "capacity": {"munich": 100, "berlin": 100},
         "demand": {"hamburg": 120}},
    ],
}  # fmt: skip
PMED = "4 4 1\n1 2 3\n2 3 4\n3 4 5\n1 4 10\n"
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,A\nn2,64000,262144,2,A\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np1,1000,1024,1,500,\np2,1000,1024,1,1000,A\n"


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(PROBLEM))
    return file


def place(*words: object) -> Result:
    return CliRunner().invoke(app, ["place", *map(str, words)])


def as_json(*words: object) -> Any:
    answer = place(*words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_a_workload_goes_where_its_users_are(problem: Path) -> None:
    told = as_json("workloads", problem)
    assert told["assignments"] == [{"workload": "shop", "site": "berlin"}]
    assert told["unplaced"] == told["violations"] == []
    assert told["bound"] <= told["objective"]
    assert told["gap"] == pytest.approx(0)
    assert told["seconds"] >= 0


def test_words_and_a_report_with_a_map_tell_the_runner_up(problem: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    answer = place("workloads", problem, "--out", report)
    assert answer.exit_code == 0, answer.output
    assert "1 of 1 replicas placed" in answer.stdout
    assert "munich" in answer.stdout
    assert report.read_text().count("<svg") == 1


def test_replicas_stand_where_the_budget_lets_users_wait_least(tmp_path: Path) -> None:
    file = tmp_path / "two.json"
    sites = [{"name": name, "capacity": {"cpu": 4}, "usd_per_unit": 1} for name in ("a", "b")]
    latency = {"x": {"a": 1, "b": 9}, "y": {"a": 9, "b": 1}}
    work = [{"name": "shop", "requests": {"cpu": 1}, "demand": {"x": 1, "y": 1}}]
    file.write_text(json.dumps({"sites": sites, "latency_ms": latency, "workloads": work}))
    told = as_json("replicas", file, "--budget", 2)
    assert told["functions"] == [{"function": "shop", "sites": ["a", "b"]}]
    assert (told["objective"], told["usd_per_hour"], told["unplaced"]) == (2, 2, [])
    assert told["gap"] == pytest.approx(0, abs=1e-5)
    assert as_json("replicas", file, "--budget", 2, "--most", 1)["objective"] == 10
    poor = as_json("replicas", file, "--budget", 0.5)
    assert (poor["unplaced"], poor["gap"]) == (["shop"], None)
    assert "1 without a site: shop" in place("replicas", file, "--budget", 0.5).stdout


def test_the_cheapest_sites_are_opened(problem: Path, tmp_path: Path) -> None:
    assert as_json("sites", problem)["open"] == ["berlin"]
    file = tmp_path / "pmed"
    file.write_text(PMED)
    told = as_json("sites", file, "--format", "orlib-pmed")
    assert (told["open"], told["objective"], told["gap"]) == (["2"], 16.0, 0.0)


def test_latency_under_load_is_told_where_processing_time_and_servers_are_given(tmp_path: Path) -> None:
    function = {"name": "f", "sites": ["munich"], "capacity": {"munich": 200}, "demand": {"hamburg": 50},
                "processing_ms": 10, "servers": {"munich": 1}}  # fmt: skip
    file = tmp_path / "busy.json"
    file.write_text(json.dumps(PROBLEM | {"functions": [function]}))
    (row,) = as_json("traffic", file)["under_load"]
    assert (row["utilisation_ratio"], row["mean_ms"]) == (pytest.approx(0.5), pytest.approx(20))  # M/M/1
    file.write_text(json.dumps(PROBLEM | {"functions": [function | {"processing_ms": 19.5}]}))
    (row,) = as_json("traffic", file)["under_load"]
    assert (row["utilisation_ratio"], row["mean_ms"]) == (pytest.approx(0.975), None)
    assert "too busy to say" in place("traffic", file).stdout


def test_requests_are_spread_within_nine_tenths_of_each_capacity(problem: Path) -> None:
    told = as_json("traffic", problem)
    assert told["weights"]["f"]["hamburg"] == {"berlin": 75, "munich": 25}
    assert told["unserved"] == 0
    assert told["mean_latency_ms"] > 0


def test_pods_are_packed_onto_gpus(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text(NODES)
    pods.write_text(PODS)
    told = as_json("gpus", "--nodes", nodes, "--pods", pods, "--seeds", 2)
    assert 0.5 < told["gpu_allocated_ratio"] <= 1
    assert told["decisions_per_s"] > 0


def test_the_same_seed_generates_the_same_problem_and_it_can_be_placed(tmp_path: Path) -> None:
    first, second = (as_json("generate", "--workloads", 40, "--sites", 6, "--seed", 3) for _ in range(2))
    assert first == second
    file = tmp_path / "tight.json"
    assert place("generate", "--workloads", 40, "--sites", 6, "--tight", "--out", file).exit_code == 0
    assert as_json("workloads", file)["unplaced"] == []


def test_the_schema_names_every_field_of_a_site() -> None:
    schema = json.loads(place("schema").stdout)
    assert {"name", "capacity", "usd_per_unit", "labels"} <= set(schema["$defs"]["PlacementSite"]["properties"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("workloads", "nowhere.json"), "nowhere.json: cannot be read"),
        (("sites", "nowhere", "--format", "orlib"), "no format is named `orlib`"),
        (("gpus", "--nodes", "a", "--pods", "b", "--policy", "best"), "no policy is named 'best'"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], said: str) -> None:
    answer = place(*words)
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert "To mend it" in answer.stderr
    assert answer.stdout == ""


def test_a_replica_without_capacity_is_named(problem: Path) -> None:
    document = json.loads(problem.read_text())
    del document["functions"][0]["capacity"]["munich"]
    problem.write_text(json.dumps(document))
    answer = place("traffic", problem)
    assert answer.exit_code == 1
    assert "functions[0].sites[0]: `munich` has a replica and no capacity" in answer.stderr
