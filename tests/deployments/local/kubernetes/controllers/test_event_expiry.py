"""Events do not stay."""

from __future__ import annotations

import pytest

from deployments.local.kubernetes.controllers import event_expiry
from tests.deployments.local.kubernetes.controllers.play import Play


def test_events_go_an_hour_after_they_were_last_written(play: Play) -> None:
    play.nodes("a")
    play.pod("p", container={"image": "does-not-exist"})
    play.advance(600)
    play.cluster.delete("pods", "p", grace_s=0)
    play.advance(3000)
    assert not play.events("Started")
    assert play.events("Failed")
    play.advance(1000)
    assert play.cluster.list("events") == []


def test_a_repeated_event_is_counted_and_lives_on(play: Play) -> None:
    play.nodes("a")
    play.pod("p", fail="crash")
    play.advance(3 * 3600)
    (started,) = play.events("Started")
    assert started["count"] > 10
    assert started["involvedObject"]["fieldPath"] == "spec.containers{main}"


def test_a_cluster_keeps_only_so_many_events_and_drops_the_oldest(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_expiry, "MOST", 7)
    play.nodes("a")
    for number in range(5):
        play.pod(f"p{number}")
        play.advance(3)
    left = play.cluster.list("events")
    assert len(left) == 7
    assert any(event["involvedObject"]["name"] == "p4" for event in left)
    assert not any(event["involvedObject"]["name"] == "p0" for event in left)


def test_events_of_a_restored_cluster_are_forgotten_too(play: Play) -> None:
    play.nodes("a")
    play.pod("p")
    play.advance(5)
    play.restore()
    assert play.cluster.list("events")
    play.advance(3700)
    assert play.cluster.list("events") == []
