"""Routing over real sockets: health checks of a server that goes away, and weighted records of a DNS service."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.fleet import CloudAccess, Fleet
from blocks.health import answers
from blocks.inventory import save_fleet
from blocks.store import Journal, Store
from deployments.command import journal
from flows import traffic_routing as module
from flows.traffic_routing import TrafficRequest, traffic_routing
from tasks.traffic.observe import observe_traffic
from tasks.traffic.watch import Rhythm
from tests.blocks.conftest import FakeTime, Server, as_json, server
from tests.blocks.traffic.test_route53 import Zone

pytestmark = pytest.mark.server
__all__ = ["server"]  # a fixture


def test_records_leave_a_site_whose_server_fails_and_undo_brings_them_back(
    fleet: Fleet, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    time, zone, failing = FakeTime(), Zone({"munich": 90, "dallas": 10}), set[str]()
    server.handler = lambda asked: (
        as_json({}, 503 if asked.path in failing else 200) if asked.path.startswith("/ready") else zone(asked)
    )

    def observe(run: Any, functions: Any, watch_s: float) -> Any:
        return observe_traffic(run, functions, watch_s, answers, Rhythm(time.clock, time.sleep))

    monkeypatch.setattr(module, "observe_traffic", observe)
    save_fleet(fleet.model_copy(update={"dns": CloudAccess(endpoint_url=server.url)}), "default")
    request = TrafficRequest.model_validate({"mode": "act", "functions": [{
        "name": "shop", "sites": ["munich", "dallas"], "capacity": {"munich": 100, "dallas": 100},
        "demand": {"munich": 10}, "health": {site: f"{server.url}/ready/{site}" for site in ("munich", "dallas")},
        "routes": [{"subject": "route53/Z1/shop.example/A", "backends": {"munich": "munich", "dallas": "dallas"}}],
    }]})  # fmt: skip
    (row,) = traffic_routing(request)["decisions"]
    assert (row["result"]["state"], zone.weights) == ("done", {"munich": 100, "dallas": 0}), row
    failing.add("/ready/munich")
    (row,) = traffic_routing(request)["decisions"]
    assert (row["action"], row["result"]["state"]) == ("failover", "done"), row
    assert zone.weights == {"munich": 0, "dallas": 100}
    assert len(zone.batches) == 2
    store = Store.open()
    journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert zone.weights == {"munich": 100, "dallas": 0}
