from __future__ import annotations

import pytest

from blocks.errors import OperationFailed, Throttled, TimedOut, Unauthorized, Unreachable
from blocks.kubernetes import PoolNodes
from blocks.node_pools import Operation, PoolState, with_ready
from blocks.node_pools.guards import Waiter

RUNNING, DONE = Operation("op", "web", "running"), Operation("op", "web", "done")


def reader(*answers):
    """Give or raise these one after the other, then the last one for ever."""
    waiting = list(answers)

    def read(_: Operation) -> Operation:
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return read


@pytest.fixture
def waiter(fake_time) -> Waiter:
    return Waiter(fake_time.clock, fake_time.sleep)


def test_pauses_grow_from_a_tenth_of_a_second_to_five(waiter, fake_time) -> None:
    assert waiter.wait(RUNNING, reader(*[RUNNING] * 9, DONE), 600, where="pool c/web") == DONE
    assert fake_time.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_trouble_while_asking_is_no_verdict_on_the_operation(waiter, fake_time) -> None:
    read = reader(Unreachable("down"), Throttled("busy", retry_after_s=9), TimedOut("late"), DONE)
    assert waiter.wait(RUNNING, read, 600, where="pool c/web") == DONE
    assert fake_time.slept == [0.1, 9, 0.4]


def test_an_api_that_stays_away_is_timed_out_with_the_last_trouble(waiter, fake_time) -> None:
    with pytest.raises(TimedOut, match=r"op is not done after 60 s \(down\).*do not repeat"):
        waiter.wait(RUNNING, reader(Unreachable("down")), 60, where="pool c/web")
    assert 50 < fake_time.now_s <= 60


@pytest.mark.parametrize("error", [Unauthorized("no"), Unreachable("bad certificate", retryable=False)])
def test_what_waiting_cannot_mend_is_raised_at_once(waiter, fake_time, error) -> None:
    with pytest.raises(type(error)):
        waiter.wait(RUNNING, reader(error), 600, where="pool c/web")
    assert fake_time.slept == []


def test_a_failed_operation_is_raised_with_its_reason(waiter) -> None:
    with pytest.raises(OperationFailed, match="no capacity"):
        waiter.wait(RUNNING, reader(Operation("op", "web", "failed", "no capacity")), 600, where="pool c/web")


def test_ready_nodes_join_where_the_cloud_does_not_know_them() -> None:
    cloud, edge = PoolState("web", 1, 9, 3, None, "v"), PoolState("edge", 1, 9, 3, 3, "v")
    other = PoolState("new", 0, 9, 1, None, "v")
    joined = with_ready([cloud, edge, other], {"web": PoolNodes(5, 4, 2), "edge": PoolNodes(9, 9, 9)})
    assert [state.ready for state in joined] == [2, 3, 0]
