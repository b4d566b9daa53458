"""Routing on the simulated fleet: an HTTPRoute follows demand and health; undone, refused, and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from blocks.errors import Conflict, InvalidInput
from blocks.fleet import Fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.tables import Verdict
from deployments.command import journal
from flows import traffic_routing as module
from flows.traffic_routing import TrafficRequest, traffic_routing
from tasks.traffic import report
from tasks.traffic.observe import observe_traffic
from tasks.traffic.watch import Rhythm
from tests.blocks.conftest import FakeTime
from tests.flows.test_approval import Suspended
from tests.flows.traffic_scenes import PATHS, api_of, make, stored

pytestmark = pytest.mark.server

SUBJECT = "edge-munich/gateway/default/shop"
NEAR, FAR = "shop-munich", "shop-dallas"
SHOP = {
    "name": "shop", "sites": ["munich", "dallas"], "capacity": {"munich": 100, "dallas": 100},
    "demand": {"munich": 50}, "health": {"munich": "http://munich.test/", "dallas": "http://dallas.test/"},
    "routes": [{"subject": SUBJECT, "backends": {"munich": NEAR, "dallas": FAR}}],
}  # fmt: skip


@pytest.fixture
def api(fleet: Fleet) -> KubernetesApi:
    found = api_of(fleet)
    make(found, "httproutes", "shop", {NEAR: 50, FAR: 50})
    return found


@pytest.fixture
def clock() -> FakeTime:
    """Of the checks; only sleeping moves it."""
    return FakeTime()


@pytest.fixture
def ill(clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """URLs that fail their checks."""
    failing = set[str]()

    def check(urls: Sequence[str]) -> list[int]:
        return [int(url not in failing) for url in urls]

    def observe(run: Any, functions: Any, watch_s: float) -> Any:
        return observe_traffic(run, functions, watch_s, check, Rhythm(clock.clock, clock.sleep))

    monkeypatch.setattr(module, "observe_traffic", observe)
    return failing


def asked(mode: str = "shadow", most_change: int = 100, **changed: Any) -> TrafficRequest:
    return TrafficRequest.model_validate(
        {"mode": mode, "most_change": most_change, "functions": [{**SHOP, **changed}]}
    )  # fmt: skip


def weights(api: KubernetesApi) -> list[int]:
    return [each["weight"] for each in stored(api, "httproutes", "shop")["spec"]["rules"][0]["backendRefs"]]


def one(told: dict[str, Any]) -> dict[str, Any]:
    (row,) = told["decisions"]
    return row  # type: ignore[no-any-return]


def test_shadow_says_what_it_would_do_and_writes_nothing(api: KubernetesApi, ill: set[str]) -> None:
    row = one(traffic_routing(asked()))
    assert (row["action"], row["weights"], row["result"]) == ("shift", {NEAR: 100, FAR: 0}, None)
    assert f"{FAR} 50, {NEAR} 50 -> {FAR} 0, {NEAR} 100" in row["words"]
    assert weights(api) == [50, 50]
    (section,) = Store.open().sections(flow="traffic-routing")
    assert section.content["table"]["rows"][0][0] == SUBJECT


def test_act_writes_a_second_pass_writes_nothing_and_undo_restores(api: KubernetesApi, ill: set[str]) -> None:
    row = one(traffic_routing(asked("act")))
    assert row["result"]["state"] == "done", row
    assert weights(api) == [100, 0]
    version = stored(api, "httproutes", "shop")["metadata"]["resourceVersion"]
    again = one(traffic_routing(asked("act")))
    assert (again["action"], again["result"]) == ("hold", None)
    assert stored(api, "httproutes", "shop")["metadata"]["resourceVersion"] == version
    store = Store.open()
    journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert weights(api) == [50, 50]


def test_a_weight_moves_by_no_more_than_the_limit_in_a_pass(api: KubernetesApi, ill: set[str]) -> None:
    for expected in ([70, 30], [90, 10], [100, 0]):
        traffic_routing(asked("act", most_change=20))
        assert weights(api) == expected


def test_a_site_that_is_down_loses_all_within_thirty_seconds_and_gets_it_back(
    api: KubernetesApi, ill: set[str], clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    monkeypatch.setattr(report, "emit", events.append)
    traffic_routing(asked("act"))
    assert events == []
    begin = clock.now_s
    ill.add("http://munich.test/")
    row = one(traffic_routing(asked("act", most_change=5)))
    assert (row["action"], row["result"]["state"]) == ("failover", "done"), row
    assert weights(api) == [0, 100]
    assert clock.now_s - begin <= 30
    (event,) = events
    assert (event.down, event.moved) == (["shop/munich"], [SUBJECT])
    held = one(traffic_routing(asked("act")))
    assert (held["action"], len(events)) == ("hold", 1)
    ill.clear()
    for expected in ([0, 100], [0, 100], [100, 0]):  # three checks, of one a run
        traffic_routing(asked("act"))
        assert weights(api) == expected


def test_users_keep_to_their_site_until_it_is_down_and_undo_forgets_them(api: KubernetesApi, ill: set[str]) -> None:
    def kept() -> str | None:
        session = stored(api, "httproutes", "shop")["spec"]["rules"][0].get("sessionPersistence")
        return session and session["sessionName"]

    keeping = [{**SHOP["routes"][0], "keep_users_s": 600}]  # type: ignore[index]
    first = one(traffic_routing(asked("act", routes=keeping)))
    assert (first["result"]["state"], kept(), weights(api)) == ("done", "continuum-site-1", [100, 0]), first
    assert "users keep to the site that they get now for 600 s" in first["words"]
    assert one(traffic_routing(asked("act", routes=keeping)))["action"] == "hold"
    ill.add("http://munich.test/")
    row = one(traffic_routing(asked("act", routes=keeping)))
    assert (row["action"], kept(), weights(api)) == ("failover", "continuum-site-2", [0, 100])
    store = Store.open()
    for each in (row, first):
        journal.undo_decision(store, Journal(store), each["id"], journal.appliers(), force=False)
    assert (kept(), weights(api)) == (None, [50, 50])


def test_users_whom_a_route_keeps_by_itself_are_told_at_a_failover(api: KubernetesApi, ill: set[str]) -> None:
    own = {"sessionName": "own"}
    refs = stored(api, "httproutes", "shop")["spec"]["rules"][0]
    api.patch_at(PATHS["httproutes"], "shop", {"spec": {"rules": [refs | {"sessionPersistence": own}]}})
    ill.add("http://munich.test/")
    row = one(traffic_routing(asked("act")))
    assert (row["action"], row["result"]["state"]) == ("failover", "done")
    assert "its own session persistence holds users at a site that is down" in row["words"]
    assert stored(api, "httproutes", "shop")["spec"]["rules"][0]["sessionPersistence"] == own


def test_users_cannot_be_kept_by_records_of_dns(fleet: Fleet) -> None:
    route = {"subject": "route53/Z1/shop.example/A", "backends": {"munich": "m", "dallas": "d"}, "keep_users_s": 60}
    with pytest.raises(InvalidInput, match=r"nothing at route53/Z1/shop\.example/A keeps a user to a site"):
        traffic_routing(asked(routes=[route]))


def test_checks_that_could_not_be_made_move_nothing(
    api: KubernetesApi, ill: set[str], clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic_routing(asked("act"))

    def observe(run: Any, functions: Any, watch_s: float) -> Any:
        return observe_traffic(run, functions, watch_s, lambda urls: [-1] * len(urls), Rhythm(clock.clock, clock.sleep))

    monkeypatch.setattr(module, "observe_traffic", observe)
    row = one(traffic_routing(asked("act")))
    assert row["action"] == "hold"
    assert weights(api) == [100, 0]


def test_where_all_sites_are_down_the_last_weights_are_held_and_it_is_told(api: KubernetesApi, ill: set[str]) -> None:
    ill |= {"http://munich.test/", "http://dallas.test/"}
    told = traffic_routing(asked("act"))
    assert one(told)["action"] == "hold"
    assert "no site of it is up: the last weights are held" in one(told)["words"]
    assert "shop at munich is down" in told["trouble"]
    assert weights(api) == [50, 50]


def test_a_change_by_others_after_the_decision_is_refused(
    api: KubernetesApi, ill: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    act: Callable[..., Any] = module.act_on

    def act_later(run: Any, approved: Any) -> Any:
        make(api, "httproutes", "shop", {NEAR: 10, FAR: 90})
        return act(run, approved)

    monkeypatch.setattr(module, "act_on", act_later)
    row = one(traffic_routing(asked("act")))
    assert row["result"]["state"] == "refused"
    assert "was changed to shop-dallas 90, shop-munich 10 since" in row["result"]["detail"]
    assert weights(api) == [10, 90]


def test_propose_waits_with_its_plan_and_writes_when_it_is_approved(api: KubernetesApi, ill: set[str]) -> None:
    run = Suspended(traffic_routing, {"request": asked("propose")})
    assert weights(api) == [50, 50]
    (row,) = run.decisions().values()
    assert (row.subject, row.state) == (SUBJECT, Verdict.PROPOSED)
    run.typed_in_the_ui(name="ada")
    told = one(run.go_on())
    assert told["result"]["state"] == "done", told
    assert weights(api) == [100, 0]


def test_a_proposal_that_a_failure_has_overtaken_is_not_written(api: KubernetesApi, ill: set[str]) -> None:
    run = Suspended(traffic_routing, {"request": asked("propose")})
    ill.add("http://munich.test/")
    run.typed_in_the_ui(name="ada")
    run.go_on()
    assert weights(api) == [50, 50]
    (row,) = run.decisions().values()
    assert "munich would get requests and is down" in row.detail


def test_an_undo_after_a_change_by_others_is_refused(api: KubernetesApi, ill: set[str]) -> None:
    row = one(traffic_routing(asked("act")))
    make(api, "httproutes", "shop", {NEAR: 10, FAR: 90})
    store = Store.open()
    with pytest.raises(Conflict, match="by somebody else"):
        journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert weights(api) == [10, 90]


def test_a_route_that_is_not_there_is_told_and_the_others_go_on(api: KubernetesApi, ill: set[str]) -> None:
    lost = {"subject": "edge-munich/gateway/default/lost", "backends": {"munich": NEAR, "dallas": FAR}}
    told = traffic_routing(asked("act", routes=[*SHOP["routes"], lost]))  # type: ignore[misc]
    assert [row["action"] for row in told["decisions"]] == ["shift", "hold"]
    assert any("lost" in line and "its weights stay as they are" in line for line in told["trouble"])
    assert weights(api) == [100, 0]


def test_demand_that_is_not_measured_is_told_and_what_was_given_is_taken(api: KubernetesApi, ill: set[str]) -> None:
    told = traffic_routing(asked("act", demand_query="no_such_metric"))
    assert any("no demand is measured in munich" in line for line in told["trouble"])
    assert weights(api) == [100, 0]


def test_what_the_inventory_does_not_have_is_named(fleet: Fleet) -> None:
    with pytest.raises(InvalidInput, match="the inventory has no site `mars`"):
        traffic_routing(asked(demand={"mars": 1}))
    with pytest.raises(InvalidInput, match="no function is given"):
        traffic_routing()
