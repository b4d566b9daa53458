import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.faults.samples import SampleFaults
from deployments.local.metrics import prometheus_app
from deployments.local.recorder import Recorder, Row
from deployments.local.scrapes import Scrapes
from deployments.local.series import Catalogue
from deployments.local.workloads import Workloads
from deployments.local.world import HISTORY_S, World

START_S = 1_767_614_400.0
CPU = "node_pool:cpu_usage:cores"
POOL = {"instance_type": "box", "min_nodes": 2, "max_nodes": 20, "node_cpu": 4, "node_memory": "16Gi"}
FLEET = Fleet.model_validate(
    {
        "name": "test",
        "metrics": {"url": "http://127.0.0.1"},
        "sites": [{"name": "berlin", "tier": "near-edge", "latitude": 0, "longitude": 0}],
        "clusters": [
            {"name": "eu", "site": "berlin", "provider": "eks", "node_pools": [{"name": p, **POOL} for p in names]}
            for names in [("db", "web")]
        ],
    }
)


class Api:
    def __init__(self, token=None):
        self.clock = SimulatedClock(START_S + 30, speed=0)
        self.world = World(FLEET, self.clock, START_S, 7)
        self.ready = {Row("nodes", "eu", "db"): 2.0, Row("nodes", "eu", "web"): 5.0}
        recorder = Recorder(self.clock, lambda: self.ready)
        recorder.begin(lambda times_s: {})
        catalogue = Catalogue(self.world, recorder, Workloads(FLEET, self.world, {}))
        self.client = TestClient(prometheus_app(Scrapes(self.world, catalogue, SampleFaults(FLEET, ())), token))

    def get(self, path, **params):
        response = self.client.get(path, params=params)
        assert response.headers["content-type"] == "application/json"
        return response.status_code, response.json()

    def query(self, query, **params):
        status, body = self.get("/api/v1/query", query=query, **params)
        assert status == 200, body
        return body["data"]

    def range(self, query, start, end, step):
        status, body = self.get("/api/v1/query_range", query=query, start=start, end=end, step=step)
        assert status == 200, body
        return body["data"]


@pytest.fixture
def api():
    return Api()


def test_an_instant_vector_has_the_value_of_the_last_scrape(api):
    data = api.query(f'{CPU}{{node_pool="web"}}')
    scraped = float(api.world.demand("cpu_cores", "eu/web", [START_S])[0])
    assert data == {
        "resultType": "vector",
        "result": [
            {
                "metric": {"__name__": CPU, "cluster": "eu", "node_pool": "web"},
                "value": [START_S + 30, repr(scraped)],
            }
        ],
    }


def test_time_is_the_simulated_present(api):
    api.clock.advance(0.5)
    assert api.query("time()") == {"resultType": "scalar", "result": [START_S + 30.5, "1767614430.5"]}


def test_a_range_is_a_matrix_of_times_and_texts(api):
    data = api.range(f'{CPU}{{node_pool="web"}}', START_S - 600, START_S, 300)
    times = START_S + np.array([-600.0, -300.0, 0.0])
    values = api.world.demand("cpu_cores", "eu/web", times)
    assert data["resultType"] == "matrix"
    assert data["result"][0]["values"] == [[int(t), repr(float(v))] for t, v in zip(times, values, strict=True)]


def test_a_scalar_over_a_range_is_one_series_without_labels(api):
    data = api.range("2", START_S, START_S + 60, "1m")
    assert data["result"] == [{"metric": {}, "values": [[START_S, "2"], [START_S + 60, "2"]]}]


def test_values_that_are_no_numbers_are_written_in_words(api):
    assert api.query("0 / 0")["result"][1] == "NaN"
    assert api.query("-1 / 0")["result"][1] == "-Inf"
    assert json.loads(api.client.get("/api/v1/query", params={"query": "1e21"}).text)["data"]["result"][1] == (
        "1000000000000000000000"
    )


def test_nothing_after_the_simulated_present_is_told(api):
    asked_early = api.range(CPU, START_S - 3600, START_S + 3600, 60)
    api.clock.advance(3600)
    asked_late = api.range(CPU, START_S - 3600, START_S + 3600, 60)
    for early, late in zip(asked_early["result"], asked_late["result"], strict=True):
        known = [point for point in early["values"] if point[0] <= START_S + 30]
        assert known == late["values"][: len(known)]
        beyond = [point for point in early["values"] if point[0] > START_S + 30]
        assert {value for _, value in beyond} == {known[-1][1]}  # the last scrape, until it is stale
        assert beyond[-1][0] == START_S + 300


def test_history_reaches_back_thirty_days_and_no_further(api):
    first_s = START_S - HISTORY_S
    assert api.query(CPU, time=first_s - 1)["result"] == []
    assert len(api.query(CPU, time=first_s)["result"]) == 2


def test_thirty_days_at_five_minutes_fit_one_query(api):
    data = api.range(f'{CPU}{{node_pool="web"}}', START_S - HISTORY_S, START_S, 300)
    assert len(data["result"][0]["values"]) == 8641


def test_ready_nodes_are_those_of_the_last_scrape(api):
    metric = 'node_pool:nodes_ready:count{node_pool="web"}'
    api.ready[Row("nodes", "eu", "web")] = 6.0
    assert api.query(metric)["result"][0]["value"][1] == "5"
    api.clock.advance(30)
    assert api.query(metric)["result"][0]["value"][1] == "6"


def test_ready_nodes_have_six_hours_of_history(api):
    metric = "node_pool:nodes_ready:count"
    assert api.query(metric, time=START_S - 359 * 60 - 1)["result"] == []
    assert api.query(metric, time=START_S - 359 * 60)["result"][1]["value"][1] == "5"
    assert len(api.range(metric, START_S - 3600, START_S, 60)["result"][0]["values"]) == 61
    assert api.get("/api/v1/series", end=START_S - 6 * 3600, **{"match[]": metric})[1]["data"] == []


def test_the_rate_of_cpu_seconds_is_the_cores_in_use(api):
    rate = api.query('rate(node_pool_cpu_seconds_total{node_pool="web"}[5m])', time=START_S)["result"][0]["value"][1]
    times = START_S - np.arange(0, 301, 1.0)
    assert float(rate) == pytest.approx(api.world.demand("cpu_cores", "eu/web", times).mean(), rel=1e-3)


def test_every_cluster_is_up(api):
    assert [row["value"][1] for row in api.query("up")["result"]] == ["1"]


def test_a_form_posted_says_the_same_as_a_url(api):
    posted = api.client.post("/api/v1/query", data={"query": f"sum({CPU})", "time": str(START_S)})
    assert posted.json() == api.get("/api/v1/query", query=f"sum({CPU})", time=START_S)[1]


def test_times_may_be_written_as_rfc_3339(api):
    assert api.query("time()", time="2026-01-05T13:00:00+01:00")["result"][0] == START_S


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"start": 0, "end": 11_001, "step": 1}, "exceeded maximum resolution of 11,000 points per timeseries"),
        ({"start": 10, "end": 1, "step": 1}, 'invalid parameter "end": end timestamp must not be before start time'),
        ({"start": 0, "end": 1, "step": 0}, 'invalid parameter "step": zero or negative'),
        ({"start": 0, "end": 1, "step": "x"}, 'invalid parameter "step": cannot parse "x" to a valid duration'),
        ({"start": 0, "end": 1}, 'invalid parameter "step": cannot parse "" to a valid duration'),
        ({"start": "noon", "end": 1, "step": 1}, 'invalid parameter "start": cannot parse "noon"'),
        ({"start": "nan", "end": 1, "step": 1}, 'invalid parameter "start": cannot parse "nan"'),
        ({"start": "2026-01-05T13:00:00", "end": 1, "step": 1}, 'invalid parameter "start": cannot parse'),
        ({"start": 0, "end": 1, "step": 1, "query": "up[5m]"}, 'invalid parameter "query": invalid expression type'),
    ],
)
def test_a_wrong_range_is_refused_as_prometheus_does(api, params, error):
    status, body = api.get("/api/v1/query_range", **{"query": "1", **params})
    assert status == 400
    assert body["status"] == "error"
    assert body["errorType"] == "bad_data"
    assert body["error"].startswith(error)


def test_eleven_thousand_points_and_the_first_are_allowed(api):
    assert len(api.range("1", 0, 11_000, 1)["result"][0]["values"]) == 11_001
    assert len(api.range("1", 0, 0.3, 0.1)["result"][0]["values"]) == 4


def test_an_unknown_function_is_refused_with_what_is_known(api):
    status, body = api.get("/api/v1/query", query="predict_linear(up[5m], 60)")
    assert (status, body["errorType"]) == (400, "bad_data")
    assert "unknown function with name 'predict_linear'" in body["error"]
    assert "the simulated Prometheus knows" in body["error"]


def test_rows_of_one_label_set_are_an_execution_error(api):
    status, body = api.get("/api/v1/query", query='{__name__=~"node_pool:.*"} * 1')
    assert (status, body["errorType"]) == (422, "execution")


@pytest.mark.parametrize("query", ["(" * 900, "1" + "+1" * 3000])
def test_endless_nesting_is_refused(api, query):
    status, body = api.get("/api/v1/query", query=query)
    assert status == 400
    assert "nested too deeply" in body["error"]


def test_labels_and_their_values_are_listed(api):
    assert api.get("/api/v1/labels")[1]["data"] == ["__name__", "cluster", "instance", "job", "node_pool"]
    assert api.get("/api/v1/labels", **{"match[]": CPU})[1]["data"] == ["__name__", "cluster", "node_pool"]
    assert api.get("/api/v1/label/node_pool/values")[1]["data"] == ["db", "web"]
    assert api.get("/api/v1/label/node_pool/values", label="x")[1]["data"] == ["db", "web"]
    assert api.get("/api/v1/label/a-b/values")[0] == 400


def test_series_are_found_by_any_of_several_selectors(api):
    status, body = api.get("/api/v1/series", **{"match[]": ['up{cluster="eu"}', f'{CPU}{{node_pool="web"}}', "up"]})
    assert status == 200
    assert body["data"] == [
        {"__name__": CPU, "cluster": "eu", "node_pool": "web"},
        {"__name__": "up", "cluster": "eu", "instance": "eu", "job": "node-pools"},
    ]


def test_series_of_another_time_are_not_listed(api):
    assert api.get("/api/v1/series", end=START_S - HISTORY_S - 60, **{"match[]": "up"})[1]["data"] == []


@pytest.mark.parametrize("match", [[], ["1"], ["up[5m]"]])
def test_series_want_a_selector(api, match):
    status, body = api.get("/api/v1/series", **{"match[]": match})
    assert (status, body["errorType"]) == (400, "bad_data")


def test_it_says_that_it_is_simulated(api):
    assert "simulated" in api.get("/api/v1/status/buildinfo")[1]["data"]["version"]
    assert api.client.get("/-/healthy").status_code == 200


def test_an_unknown_path_and_method_are_told_apart(api):
    assert api.client.get("/api/v1/nothing").status_code == 404
    assert api.client.put("/api/v1/query").status_code == 405


@pytest.mark.parametrize(("header", "status"), [(None, 401), ("Bearer wrong", 401), ("Bearer s3cret", 200)])
def test_a_token_is_asked_for_where_one_is_set(header, status):
    headers = {"Authorization": header} if header else {}
    client = Api(token="s3cret").client
    assert client.get("/api/v1/query", params={"query": "1"}, headers=headers).status_code == status
    assert client.get("/-/healthy").status_code == 200
