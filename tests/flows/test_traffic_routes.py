"""Weights in objects of a simulated cluster: only they change, never all to 0, and never over somebody's write."""

from __future__ import annotations

import pytest

from blocks.errors import Conflict, InvalidInput, Refused
from blocks.fleet import Fleet
from blocks.traffic import KINDS, new_session, open_route
from tests.flows.traffic_scenes import PATHS, api_of, make, stored

pytestmark = pytest.mark.server

CASES = [
    ("gateway", "httproutes", {"a": 1, "b": 1}, {"a": 70, "b": 30}),
    ("istio", "virtualservices", {"a": 50, "b": 50}, {"a": 70, "b": 30}),
    ("ingress", "ingresses", {"main": 90, "canary": 10}, {"main": 40, "canary": 60}),
]


def without_weights(found: dict) -> str:
    found["metadata"] = {key: found["metadata"][key] for key in ("name", "labels")}
    for rule in found["spec"].get("rules", []) + found["spec"].get("http", []):
        for each in rule.get("backendRefs", []) + rule.get("route", []):
            each.pop("weight")
    return str(found)


@pytest.mark.parametrize(("kind", "plural", "before", "after"), CASES)
def test_only_the_weights_change(fleet: Fleet, kind: str, plural: str, before: dict, after: dict) -> None:
    api = api_of(fleet)
    make(api, plural, "one", before)
    route, was = open_route(fleet, f"edge-munich/{kind}/default/one"), without_weights(stored(api, plural, "one"))
    state = route.read()
    assert state.weights == before
    route.write(after, state.session, state.version)
    assert route.read().weights == after
    assert without_weights(stored(api, plural, "one")) == was


@pytest.mark.parametrize(("kind", "plural", "before", "after"), CASES)
def test_a_foreign_write_since_is_refused(fleet: Fleet, kind: str, plural: str, before: dict, after: dict) -> None:
    api = api_of(fleet)
    make(api, plural, "two", before)
    route = open_route(fleet, f"edge-munich/{kind}/default/two")
    version = route.read().version
    api.patch_at(PATHS[plural], "two", {"metadata": {"labels": {"by": "others"}}})
    with pytest.raises(Conflict, match="somebody wrote it"):
        route.write(after, None, version)
    assert route.read().weights == before


def test_a_write_between_our_look_and_our_patch_is_refused(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    api = api_of(fleet)
    make(api, "httproutes", "raced", {"a": 1, "b": 1})
    route = open_route(fleet, "edge-munich/gateway/default/raced")
    state, looked = route.read(), route._get  # type: ignore[attr-defined]

    def get_then_lose() -> dict:
        found = looked()
        api.patch_at(PATHS["httproutes"], "raced", {"metadata": {"labels": {"by": "others"}}})
        return found

    monkeypatch.setattr(route, "_get", get_then_lose)
    with pytest.raises(Conflict, match="somebody wrote it"):
        route.write({"a": 70, "b": 30}, None, state.version)
    monkeypatch.undo()
    assert route.read().weights == state.weights


def test_weights_are_never_all_zero(fleet: Fleet) -> None:
    make(api_of(fleet), "httproutes", "three", {"a": 1, "b": 1})
    route = open_route(fleet, "edge-munich/gateway/default/three")
    with pytest.raises(Refused, match="all weights would be 0"):
        route.write({"a": 0, "b": 0}, None, route.read().version)


def test_a_route_that_others_own_is_left_alone(fleet: Fleet) -> None:
    make(api_of(fleet), "httproutes", "argo", {"a": 1, "b": 1}, **{"argocd.argoproj.io/instance": "shop"})
    with pytest.raises(Refused, match="belongs to argo-cd"):
        open_route(fleet, "edge-munich/gateway/default/argo").read()


def test_a_subject_that_is_no_route_is_named(fleet: Fleet) -> None:
    assert set(KINDS) == {case[0] for case in CASES}
    for subject in ("mars/gateway/default/one", "edge-munich/traefik/default/one", "edge-munich/gateway/one"):
        with pytest.raises(InvalidInput, match=subject):
            open_route(fleet, subject)


def test_what_keeps_users_is_set_renewed_and_taken_away_with_the_weights(fleet: Fleet) -> None:
    api = api_of(fleet)
    make(api, "httproutes", "kept", {"a": 1, "b": 1})
    route = open_route(fleet, "edge-munich/gateway/default/kept")
    state = route.read()
    assert state.session is None
    names = []
    for keep_s in (60, 3600):
        route.write({"a": 70, "b": 30}, new_session(state.session, keep_s), state.version)
        state = route.read()
        assert state.session is not None
        assert (state.weights, state.kept_s) == ({"a": 70, "b": 30}, keep_s)
        names.append(state.session["sessionName"])
    assert names == ["continuum-site-1", "continuum-site-2"]
    route.write({"a": 70, "b": 30}, None, state.version)
    assert "sessionPersistence" not in stored(api, "httproutes", "kept")["spec"]["rules"][0]


def test_a_route_that_can_keep_nobody_says_so(fleet: Fleet) -> None:
    make(api_of(fleet), "virtualservices", "none", {"a": 50, "b": 50})
    route = open_route(fleet, "edge-munich/istio/default/none")
    with pytest.raises(Refused, match="nothing at it keeps a user to a backend"):
        route.write({"a": 70, "b": 30}, new_session(None, 60), route.read().version)
