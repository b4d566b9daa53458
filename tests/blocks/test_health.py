"""Health checks over real sockets."""

from __future__ import annotations

import threading
import time

import pytest

from blocks.health import FAILED, UNKNOWN, WELL, answers
from tests.blocks.conftest import Server, as_json


@pytest.mark.parametrize(("status", "answer"), [(200, WELL), (204, WELL), (302, WELL), (404, FAILED), (503, FAILED)])
def test_a_status_says_whether_it_is_well(server: Server, status: int, answer: int) -> None:
    server.handler = lambda _: as_json({}, status)
    assert answers([server.url]) == [answer]


def test_no_server_is_a_failure_and_no_such_name_is_not_known() -> None:
    assert answers(["http://127.0.0.1:9/", "http://no-such-name.invalid/"]) == [FAILED, UNKNOWN]


def test_one_that_hangs_holds_up_no_other(server: Server) -> None:
    hang, begin = threading.Event(), time.monotonic()
    server.handler = lambda asked: hang if asked.path == "/hang" else as_json({})
    urls = [f"{server.url}/hang", *[f"{server.url}/{row}" for row in range(3)]]
    assert answers(urls, timeout_s=2.0) == [FAILED, *[WELL] * 3]
    assert time.monotonic() - begin < 4.5
    hang.set()
