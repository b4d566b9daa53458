"""The simulated API against a real Prometheus server that holds the same samples."""

import shutil
import socket
import subprocess

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.faults.samples import SampleFaults
from deployments.local.metrics import prometheus_app
from deployments.local.promql import Matcher, Samples, evaluate, parse
from deployments.local.recorder import Recorder
from deployments.local.scrapes import Scrapes
from deployments.local.series import Catalogue
from deployments.local.workloads import Workloads
from deployments.local.world import World

START_S = 1_767_614_400.0
SINCE_S = START_S - 4 * 3600
POOL = {"instance_type": "box", "min_nodes": 2, "max_nodes": 20, "node_cpu": 4, "node_memory": "16Gi"}
FLEET = Fleet.model_validate(
    {
        "name": "test",
        "metrics": {"url": "http://127.0.0.1"},
        "sites": [{"name": "berlin", "tier": "near-edge", "latitude": 0, "longitude": 0}],
        "clusters": [
            {"name": name, "site": "berlin", "provider": "eks", "node_pools": [{"name": p, **POOL} for p in pools]}
            for name, pools in [("eu", ("db", "web")), ("us", ("web",))]
        ],
    }
)
DEMAND = ("node_pool:cpu_usage:cores", "node_pool:memory_usage:bytes", "node_pool_cpu_seconds_total")

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs the binaries prometheus and promtool (Debian package `prometheus`)",
)


def broken():
    """A gauge and a counter with gaps of 2 to 12 minutes, uneven scrapes and restarts."""
    draw = np.random.default_rng(3)
    times = SINCE_S + np.cumsum(draw.choice([60.0, 61.5, 60.0, 120.0, 720.0], size=120, p=[0.4, 0.3, 0.2, 0.07, 0.03]))
    counter = np.cumsum(draw.exponential(20, times.size))
    counter[40:] -= counter[40]
    counter[41:] -= counter[41] * 0.7
    return [
        Samples({"__name__": "broken_gauge", "i": "1"}, times, draw.normal(0, 100, times.size)),
        Samples({"__name__": "broken_total", "i": "1"}, times, np.abs(counter)),
    ]


def broken_storage(matchers, start_s, end_s):
    found = []
    for samples in broken():
        if all(matcher.matches(samples.labels) for matcher in matchers):
            inside = (samples.times_s >= start_s) & (samples.times_s <= end_s)
            found.append(Samples(samples.labels, samples.times_s[inside], samples.values[inside]))
    return found


def openmetrics(series):
    """The exposition text that promtool makes blocks of, one metric family after the other."""
    lines = []
    for name in sorted({samples.labels["__name__"] for samples in series}):
        lines.append(f"# TYPE {name.removesuffix('_total')} {'counter' if name.endswith('_total') else 'gauge'}")
        for samples in series:
            if samples.labels["__name__"] == name:
                labels = ",".join(f'{k}="{v}"' for k, v in samples.labels.items() if k != "__name__")
                pairs = zip(samples.times_s.tolist(), samples.values.tolist(), strict=True)
                lines += [f"{name}{{{labels}}} {value!r} {at!r}" for at, value in pairs]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def world():
    return World(FLEET, SimulatedClock(START_S, speed=0), START_S, 7)


@pytest.fixture(scope="module")
def scrapes(world):
    recorder = Recorder(world.clock, dict)
    return Scrapes(world, Catalogue(world, recorder, Workloads(FLEET, world, {})), SampleFaults(FLEET, ()))


@pytest.fixture(scope="module")
def simulated(scrapes):
    return TestClient(prometheus_app(scrapes))


@pytest.fixture(scope="module")
def real(scrapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    held = [s for name in DEMAND for s in scrapes([Matcher("__name__", "=", name)], SINCE_S, START_S)]
    (folder / "samples.om").write_text(openmetrics(held + broken()))
    (folder / "prometheus.yml").write_text("global: {}\n")
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.om", folder / "data"]
    subprocess.run(backfill, check=True, capture_output=True, timeout=30)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address={address}",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        log = []
        for line in server.stderr:
            log.append(line)
            if "ready to receive web requests" in line:
                break
        else:
            pytest.fail("prometheus did not start:\n" + "".join(log))
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            yield client
    finally:
        server.terminate()
        server.communicate(timeout=10)


def asked(client, path, params):
    """{labels: [(time, value)]} of an answer, one pair for an instant vector."""
    response = client.get(path, params=params)
    assert response.status_code == 200, response.text
    return {
        tuple(sorted(row["metric"].items())): [(at, float(value)) for at, value in row.get("values") or [row["value"]]]
        for row in response.json()["data"]["result"]
    }


def assert_same(ours, theirs):
    assert theirs, "nothing to compare"
    assert ours.keys() == theirs.keys()
    for labels, points in theirs.items():
        assert [at for at, _ in ours[labels]] == [at for at, _ in points], labels
        assert [value for _, value in ours[labels]] == pytest.approx([value for _, value in points], rel=1e-6), labels


QUERIES = [
    "node_pool:cpu_usage:cores",
    'node_pool:memory_usage:bytes{cluster=~"e.", node_pool!="db"}',
    '{__name__=~"node_pool:cpu.*", cluster!~"u.*"}',
    "sum by (cluster) (node_pool:cpu_usage:cores)",
    "sum(node_pool:memory_usage:bytes)",
    "avg by (node_pool) (node_pool:cpu_usage:cores)",
    "max(node_pool:cpu_usage:cores)",
    "min by (cluster) (node_pool:cpu_usage:cores)",
    "count by (cluster) (node_pool:cpu_usage:cores)",
    "rate(node_pool_cpu_seconds_total[5m])",
    "sum by (node_pool) (rate(node_pool_cpu_seconds_total[7m30s]))",
    "increase(node_pool_cpu_seconds_total[1h])",
    "max_over_time(node_pool:cpu_usage:cores[1h])",
    "avg_over_time(node_pool:cpu_usage:cores[90s])",
    "node_pool:memory_usage:bytes / 1e9",
    "100 - -node_pool:cpu_usage:cores * 2",
    "time() - node_pool:cpu_usage:cores",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("at_s", [START_S - 3600, START_S - 17.25, START_S - 1803.5])
def test_an_instant_query_answers_as_a_real_server(simulated, real, query, at_s):
    ours, theirs = (asked(client, "/api/v1/query", {"query": query, "time": at_s}) for client in (simulated, real))
    assert_same(ours, theirs)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("start_s", "step"), [(SINCE_S + 3600, "5m"), (START_S - 7000.5, "47.5")])
def test_a_range_query_answers_as_a_real_server(simulated, real, query, start_s, step):
    params = {"query": query, "start": start_s, "end": START_S, "step": step}
    ours, theirs = (asked(client, "/api/v1/query_range", params) for client in (simulated, real))
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "query",
    [
        "broken_gauge",
        "sum(broken_gauge)",
        "rate(broken_total[5m])",
        "increase(broken_total[20m])",
        "max_over_time(broken_gauge[10m])",
        "avg_over_time(broken_gauge[3m])",
    ],
)
def test_gaps_and_restarts_are_judged_as_by_a_real_server(real, query):
    start_s, step_s, points = SINCE_S - 300.0, 30.0, 500
    params = {"query": query, "start": start_s, "end": start_s + step_s * (points - 1), "step": step_s}
    theirs = asked(real, "/api/v1/query_range", params)
    steps = start_s + step_s * np.arange(points)
    rows = evaluate(parse(query), broken_storage, steps)
    ours = {
        tuple(sorted(row.labels.items())): list(zip(steps[row.present], row.values[row.present], strict=True))
        for row in rows
    }
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/v1/query", {"query": ""}),
        ("/api/v1/query", {"query": "{}"}),
        ("/api/v1/query", {"query": "up", "time": "noon"}),
        ("/api/v1/query", {"query": '{__name__=~"node_pool:.*"} * 1', "time": START_S}),
        ("/api/v1/query_range", {"query": "up", "start": 0, "end": 11_001, "step": 1}),
        ("/api/v1/query_range", {"query": "up", "start": 1, "end": 0, "step": 1}),
        ("/api/v1/query_range", {"query": "up", "start": 0, "end": 1, "step": 0}),
        ("/api/v1/query_range", {"query": "up", "start": 0, "end": 1, "step": "x"}),
        ("/api/v1/query_range", {"query": "up[5m]", "start": 0, "end": 1, "step": 1}),
        ("/api/v1/series", {}),
        ("/api/v1/label/a-b/values", {}),
    ],
)
def test_a_refusal_has_a_real_servers_status_and_type(simulated, real, path, params):
    ours, theirs = (client.get(path, params=params) for client in (simulated, real))
    assert ours.status_code == theirs.status_code >= 400
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.json().keys() == theirs.json().keys()
    assert ours.json()["errorType"] == theirs.json()["errorType"]


def test_labels_and_series_are_listed_as_by_a_real_server(simulated, real):
    params = {"match[]": list(DEMAND), "start": SINCE_S, "end": START_S}
    for path in ("/api/v1/labels", "/api/v1/label/node_pool/values"):
        assert simulated.get(path, params=params).json() == real.get(path, params=params).json()
    ours, theirs = (client.get("/api/v1/series", params=params).json()["data"] for client in (simulated, real))
    assert sorted(ours, key=str) == sorted(theirs, key=str)
