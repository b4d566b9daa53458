from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.errors import Conflict
from blocks.fleet import Cluster
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import _client

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POOLS = [{"name": "edge", "instance_type": "box", "min_nodes": 0, "max_nodes": 9, "node_cpu": 4, "node_memory": "16Gi"}]


class LeaseServer:
    """Keeps one Lease and compares versions as the real API server does."""

    def __init__(self, server: Any) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.as_json = server.as_json
        server.handler = self.answer

    def answer(self, asked: Any) -> Any:
        if asked.method == "GET":
            return self.as_json(self.stored) if self.stored else self.refuse(404)
        body = asked.json()
        if asked.method == "POST" and self.stored:
            return self.refuse(409)
        if asked.method == "PUT" and body["metadata"].get("resourceVersion") != str(self.version):
            return self.refuse(409)
        self.version += 1
        body["metadata"] |= {"resourceVersion": str(self.version), "namespace": "default"}
        self.stored = body
        return self.as_json(body, 201)

    def refuse(self, code: int) -> Any:
        return self.as_json({"kind": "Status", "status": "Failure", "code": code, "message": "no"}, code)


@pytest.fixture
def leases(server) -> LeaseServer:
    return LeaseServer(server)


@pytest.fixture
def at(server):
    """The API as somebody sees it whose clock shows NOW plus some seconds."""
    cluster = Cluster(name="c", site="s", provider="k3s", kubernetes={"server": server.url}, node_pools=POOLS)
    return lambda seconds: KubernetesApi("c", _client(cluster), now=lambda: NOW + timedelta(seconds=seconds))


def test_the_first_takes_it_and_the_second_is_told_who_holds_it(leases, at) -> None:
    lease = at(0).acquire_lease("scaling", "run-a", 15)
    assert (lease.holder, lease.transitions, lease.renewed) == ("run-a", 0, NOW)
    assert leases.stored["spec"]["renewTime"] == "2026-05-01T12:00:00.000000Z"
    with pytest.raises(Conflict, match="held by run-a"):
        at(14).acquire_lease("scaling", "run-b", 15)


def test_one_that_expired_changes_hands_and_its_old_holder_finds_out(leases, at) -> None:
    old = at(0).acquire_lease("scaling", "run-a", 15)
    new = at(15).acquire_lease("scaling", "run-b", 15)
    assert (new.holder, new.transitions) == ("run-b", 1)
    for lost in (at(16).renew_lease, at(16).release_lease):
        with pytest.raises(Conflict):
            lost(old)
    assert leases.stored["spec"]["holderIdentity"] == "run-b"


def test_a_renewed_one_holds_on(leases, at) -> None:
    lease = at(10).renew_lease(at(0).acquire_lease("scaling", "run-a", 15))
    with pytest.raises(Conflict):
        at(24).acquire_lease("scaling", "run-b", 15)
    assert at(24).renew_lease(lease).renewed == NOW + timedelta(seconds=24)


def test_one_given_back_is_free_at_once(leases, at) -> None:
    at(1).release_lease(at(0).acquire_lease("scaling", "run-a", 15))
    assert at(2).lease("scaling").free(NOW)
    assert at(2).acquire_lease("scaling", "run-b", 15).holder == "run-b"


def test_its_holder_may_take_it_again_after_a_crash(leases, at) -> None:
    at(0).acquire_lease("scaling", "run-a", 15)
    assert at(3).acquire_lease("scaling", "run-a", 15).transitions == 0


def test_losing_the_race_to_create_it_is_a_conflict(leases, at, server) -> None:
    def race(asked):
        if asked.method == "GET" and leases.stored is None:
            leases.stored = {"metadata": {"name": "scaling"}}
            return leases.refuse(404)
        return leases.answer(asked)

    server.handler = race
    with pytest.raises(Conflict, match="quicker"):
        at(0).acquire_lease("scaling", "run-a", 15)


def test_there_is_none_before_it_is_taken(leases, at) -> None:
    assert at(0).lease("scaling") is None
