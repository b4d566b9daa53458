"""What all three clouds have in common, through their official SDKs and the simulated clouds."""

from __future__ import annotations

import pytest

from blocks.errors import Conflict, NotFound, OperationFailed, Refused, TimedOut
from blocks.node_pools import NodePools, Operation, connect

PROVIDERS = ["eks", "gke", "aks"]


@pytest.fixture(params=PROVIDERS)
def provider(request) -> str:
    return request.param


@pytest.fixture
def pools(clouds, provider, waiter, monkeypatch) -> NodePools:
    made = connect(clouds.cluster(provider))
    monkeypatch.setattr(made, "_waiter", waiter)
    return made


def test_pools_are_listed_with_their_sizes_bounds_and_marks(pools) -> None:
    mine, theirs, web = pools.list()
    assert (web.name, web.min_nodes, web.max_nodes, web.desired, web.ready) == ("web", 2, 20, 5, None)
    assert (web.autoscaled, web.hands_off, web.owner, web.busy_operation) == (False, False, None, None)
    assert (mine.autoscaled, theirs.hands_off) == (True, True)
    assert pools.describe("web") == web


def test_a_size_is_asked_for_waited_for_and_then_seen(pools, clouds) -> None:
    before = pools.describe("web")
    op = pools.set_desired("web", 8, if_match=before.version, token="intent-1")
    assert op.state == "running"
    busy = pools.describe("web")
    assert busy.busy_operation
    assert (busy.desired, busy.version != before.version) == (8, True)
    assert pools.wait(op, 600).state == "done"
    after = pools.describe("web")
    assert (after.desired, after.busy_operation) == (8, None)
    assert clouds.pools.log()[-1]["to"] == 8


def test_an_operation_is_found_again_by_its_id_alone(pools, clouds) -> None:
    op = pools.set_desired("web", 8)
    found = pools.operation(Operation(op.id, "web", "running"))
    assert (found.id, found.state) == (op.id, "running")
    clouds.after(600)
    assert pools.operation(Operation(op.id, "web", "running")).state == "done"


def test_the_size_it_has_changes_nothing(pools, clouds) -> None:
    assert pools.set_desired("web", 5) == Operation("", "web", "done")
    assert pools.wait(Operation("", "web", "done"), 1).state == "done"
    assert clouds.pools.log() == []


@pytest.mark.parametrize(("desired", "words"), [(1, "below min_nodes 2"), (21, "above max_nodes 20")])
def test_a_size_outside_the_bounds_never_reaches_the_cloud(pools, clouds, desired, words) -> None:
    with pytest.raises(Refused, match=words):
        pools.set_desired("web", desired)
    assert clouds.pools.log() == []


def test_a_hands_off_pool_is_never_written(pools, clouds) -> None:
    for write in (lambda: pools.set_desired("theirs", 6), lambda: pools.set_bounds("theirs", 2, 8)):
        with pytest.raises(Refused, match="hands-off"):
            write()
    assert clouds.pools.log() == []


def test_the_size_of_an_autoscaled_pool_is_left_to_the_autoscaler_and_its_floor_moves(pools, clouds) -> None:
    with pytest.raises(Refused, match="autoscaler"):
        pools.set_desired("mine", 6)
    op = pools.set_bounds("mine", 6, 9)
    pools.wait(op, 600)
    state = pools.describe("mine")
    assert (state.min_nodes, state.max_nodes, state.desired, state.autoscaled) == (6, 9, 6, True)


def test_bounds_outside_the_inventory_never_reach_the_cloud(pools, clouds) -> None:
    with pytest.raises(Refused, match=r"1-10 leave the inventory's 1-9"):
        pools.set_bounds("mine", 1, 10)
    with pytest.raises(Refused, match="impossible"):
        pools.set_bounds("mine", 5, 4)
    assert clouds.pools.log() == []


def test_a_pool_that_changed_since_it_was_read_is_a_conflict(pools, clouds) -> None:
    seen = pools.describe("web").version
    pools.wait(pools.set_desired("web", 8), 600)
    with pytest.raises(Conflict, match="changed since"):
        pools.set_desired("web", 9, if_match=seen)
    assert pools.describe("web").desired == 8


def test_a_second_change_while_one_runs_is_a_conflict(pools) -> None:
    op = pools.set_desired("web", 8)
    with pytest.raises(Conflict, match="running"):
        pools.set_desired("web", 9)
    pools.wait(op, 600)
    assert pools.describe("web").desired == 8


def test_the_clouds_own_word_of_a_running_operation_is_a_conflict_too(pools, monkeypatch) -> None:
    monkeypatch.setattr(type(pools._inventory), "check", lambda *_, **__: None)
    pools.set_desired("web", 8)
    with pytest.raises(Conflict):
        pools.set_desired("web", 9)


def test_an_operation_that_fails_says_why(pools, clouds, provider) -> None:
    clouds.pools.fail_next(f"c-{provider}", "web", "no machines left in this zone")
    with pytest.raises(OperationFailed, match="no machines left"):
        pools.wait(pools.set_desired("web", 8), 600)
    assert pools.describe("web").desired == 5


def test_an_operation_that_does_not_end_in_time_goes_on(pools, fake_time) -> None:
    op = pools.set_desired("web", 8)
    with pytest.raises(TimedOut, match="goes on"):
        pools.wait(op, 3)
    assert fake_time.now_s <= 3
    assert pools.operation(op).state == "running"


def test_a_pool_and_a_cluster_that_are_not_there_are_not_found(pools, clouds, provider) -> None:
    with pytest.raises(NotFound):
        pools.describe("none")
    elsewhere = clouds.cluster(provider).model_copy(update={"name": "other"})
    with pytest.raises(NotFound):
        connect(elsewhere).list()
