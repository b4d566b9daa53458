"""What Prometheus stores and shows while metrics are disturbed, and afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from deployments.local.faults.samples import MISSING, NAN, SKEW, Disturbance, recorded
from deployments.local.metrics import prometheus_app
from deployments.local.promql import stale

CPU = "node_pool:cpu_usage:cores"
WEB = f'{CPU}{{cluster="eu-eks",node_pool="web"}}'
STOP = "metrics-freeze"


@pytest.fixture
def prometheus(simulation):
    client = TestClient(prometheus_app(simulation.scrapes))

    def query(text: str, **more: Any) -> list[Any]:
        path = "/api/v1/query_range" if more else "/api/v1/query"
        body = client.get(path, params={"query": text, **more}).json()
        assert body["status"] == "success", body
        return body["data"]["result"]

    query.client = client
    return query


def value(query: Any, text: str = WEB) -> str | None:
    found = query(text)
    return found[0]["value"][1] if found else None


def test_frozen_metrics_keep_their_newest_sample_until_it_is_too_old(simulation, faults, prometheus):
    simulation.clock.advance(30)
    before = value(prometheus)
    faults.add([{"kind": "metrics-freeze", "cluster": "eu-eks", "pool": "web"}])
    simulation.clock.advance(240)
    assert value(prometheus) == before
    assert value(prometheus, WEB.replace("web", "batch"))
    simulation.clock.advance(60)
    assert value(prometheus) is None


def test_frozen_metrics_leave_a_hole_that_stays(simulation, faults, prometheus):
    began = simulation.clock.now()
    faults.add([{"kind": "metrics-freeze", "for_s": 600}])
    simulation.clock.advance(1200)
    [row] = prometheus(WEB, start=began, end=began + 1200, step=60)
    times = [at for at, _ in row["values"]]
    assert times == [began + 60 * i for i in (*range(6), *range(10, 21))]


def test_the_ready_nodes_of_stopped_metrics_are_those_of_the_moment(simulation, faults, prometheus):
    ready = 'node_pool:nodes_ready:count{cluster="eu-eks",node_pool="web"}'
    before = value(prometheus, ready)
    faults.add([{"kind": "site-partition", "site": "frankfurt"}])
    desired = simulation.node_pools.pool("eu-eks", "web").desired
    simulation.node_pools.update("eu-eks", "web", {"desired": desired - 1})
    simulation.clock.advance(200)
    assert value(prometheus, ready) == before == str(desired)
    faults.lift_all()
    simulation.clock.advance(60)
    assert value(prometheus, ready) == str(desired - 1)


def test_nan_is_told_while_it_lasts_and_stays_in_the_history(simulation, faults, prometheus):
    faults.add([{"kind": "metrics-nan", "site": "frankfurt", "for_s": 120}])
    simulation.clock.advance(60)
    assert value(prometheus) == "NaN"
    assert value(prometheus, 'up{cluster="us-gke"}') == "1"
    simulation.clock.advance(60)
    assert value(prometheus) != "NaN"
    now = simulation.clock.now()
    [row] = prometheus(WEB, start=now - 60, end=now, step=60)
    assert row["values"][0][1] == "NaN"


def test_missing_series_vanish_at_the_next_scrape_and_keep_their_past(simulation, faults, prometheus):
    faults.add([{"kind": "metrics-missing", "cluster": "eu-eks"}])
    simulation.clock.advance(60)
    assert value(prometheus) is None
    now = simulation.clock.now()
    assert prometheus(f"avg_over_time({WEB}[600s])")
    listed = prometheus.client.get("/api/v1/series", params={"match[]": WEB, "start": now - 30, "end": now}).json()
    assert listed["data"] == []
    faults.lift_all()
    simulation.clock.advance(60)
    assert value(prometheus)


def test_a_clock_that_is_behind_dates_samples_back(simulation, faults, prometheus):
    now = simulation.clock.now()
    faults.add([{"kind": "clock-skew", "cluster": "eu-eks", "seconds": -120}])
    simulation.clock.advance(600)
    truth = simulation.world.demand("cpu_cores", "eu-eks/web", [now + 600])[0]
    [row] = prometheus(WEB, start=now + 480, end=now + 480, step=60)
    assert float(row["values"][0][1]) == truth


def test_a_clock_that_is_ahead_hides_its_newest_samples_in_the_future(simulation, faults, prometheus):
    now = simulation.clock.now()
    faults.add([{"kind": "clock-skew", "cluster": "eu-eks", "seconds": 120}])
    simulation.clock.advance(600)
    truth = simulation.world.demand("cpu_cores", "eu-eks/web", [now + 480])[0]
    assert float(value(prometheus) or 0) == truth


def disturbed(*disturbances: Disturbance) -> dict[float, float]:
    scrapes = np.arange(0.0, 660.0, 60.0)
    return dict(zip(*(part.tolist() for part in recorded(disturbances, scrapes, scrapes)), strict=True))


def test_a_sample_that_is_not_newer_than_those_before_is_refused():
    assert list(disturbed(Disturbance(SKEW, 200, np.inf, -120))) == [0, 60, 120, 180, 240, 300, 360, 420, 480]
    assert disturbed(Disturbance(SKEW, 200, np.inf, -120))[240] == 360
    back = disturbed(Disturbance(SKEW, 100, 200, 180))
    assert back == {0: 0, 60: 60, 300: 120, 360: 180, 420: 420, 480: 480, 540: 540, 600: 600}


def test_a_missing_series_ends_with_a_staleness_marker_and_nan_is_none():
    missing = disturbed(Disturbance(MISSING, 500, np.inf), Disturbance(NAN, 400, np.inf))
    assert stale(np.array([missing[540.0], missing[480.0], 1.0])).tolist() == [True, False, False]
    assert np.isnan(missing[480.0])


def test_what_is_over_disturbs_nothing_later():
    assert disturbed(Disturbance(STOP, 100, 300)) == {at: at for at in (0, 60, 300, 360, 420, 480, 540, 600)}
