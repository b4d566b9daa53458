"""Lost nodes: when their pods are evicted, and how fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.local.kubernetes.controllers import zones
from deployments.local.kubernetes.outages import Outages
from tests.deployments.local.kubernetes.controllers.play import Play

NAMES = [f"n{number:02d}" for number in range(10)]


def lose(play: Play, *names: str) -> None:
    play.cluster.set_outages(Outages(silent_nodes=frozenset(names)))


def evicting(play: Play) -> list[str]:
    return [node["metadata"]["name"] for node in play.cluster.list("nodes")
            if any(taint["effect"] == "NoExecute" for taint in node["spec"].get("taints", ()))]  # fmt: skip


def closed(play: Play) -> list[str]:
    return [node["metadata"]["name"] for node in play.cluster.list("nodes")
            if any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", ()))]  # fmt: skip


def test_lost_nodes_are_given_up_one_every_ten_seconds(play: Play) -> None:
    play.nodes(*NAMES)
    lose(play, *NAMES[:3])
    play.advance(41)
    assert (closed(play), evicting(play)) == (NAMES[:3], NAMES[:1])
    play.advance(10)
    assert evicting(play) == NAMES[:2]
    play.advance(10)
    assert evicting(play) == NAMES[:3]


def test_a_small_zone_that_is_mostly_lost_keeps_its_pods_until_more_nodes_are_back(play: Play) -> None:
    play.nodes(*NAMES)
    lose(play, *NAMES[:6])
    play.advance(400)
    assert (closed(play), evicting(play)) == (NAMES[:6], [])
    lose(play, *NAMES[:5])
    play.advance(1)
    assert evicting(play) == NAMES[:1]


def test_a_large_zone_that_is_mostly_lost_is_given_up_slowly(play: Play) -> None:
    many = [f"n{number:02d}" for number in range(60)]
    play.nodes(*many)
    lose(play, *many[:40])
    play.advance(41)
    assert evicting(play) == many[:1]
    play.advance(100)
    assert evicting(play) == many[:2]


def test_nothing_is_evicted_while_every_node_is_lost_and_what_was_begun_is_taken_back(play: Play) -> None:
    play.nodes("a", "b")
    play.pod("p", {"nodeName": "a"})
    play.advance(5)
    lose(play, "a")
    play.advance(41)
    assert evicting(play) == ["a"]
    lose(play, "a", "b")
    play.advance(1000)
    assert (closed(play), evicting(play)) == (["a", "b"], [])
    assert "deletionTimestamp" not in play.get("pods", "p")["metadata"]
    lose(play, "a")
    play.advance(1)
    assert evicting(play) == ["a"]


def test_a_zone_that_is_wholly_lost_is_given_up_beside_one_that_is_well(play: Play) -> None:
    zone = "topology.kubernetes.io/zone"
    play.nodes(*NAMES[:3], labels={zone: "x"})
    play.nodes(*NAMES[3:6], labels={zone: "y"})
    lose(play, *NAMES[:3])
    play.advance(62)
    assert evicting(play) == NAMES[:3]


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_a_zone_loses_pace_only_when_more_than_half_of_it_is_lost(ready: list[bool]) -> None:
    lost = ready.count(False)
    found = zones.state(ready)
    assert (found == zones.FULL) == (lost == len(ready))
    assert (found == zones.PARTIAL) == (2 < lost < len(ready) and lost >= 0.55 * len(ready))
    rates = zones.rates({"z": ready})
    assert (rates is None) == (found == zones.FULL)


def test_a_node_that_is_well_again_takes_pods_at_once(play: Play) -> None:
    play.nodes("a", "b")
    lose(play, "a")
    play.advance(50)
    lose(play)
    play.advance(1)
    assert (closed(play), evicting(play)) == ([], [])
