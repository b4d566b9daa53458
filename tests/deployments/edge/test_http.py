"""The server keeps its bounds: odd, long, slow and many requests are refused, told, and harm nobody else."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.edge.http import BadRequest, Limits, Request, Response, parse_head

SMALL = Limits(body_bytes=1000, buffered_bytes=3000, connections=4, waiting=2, threads=1)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def echo(request: Request) -> Response:
    return Response(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)


def answer_of(connection, most: int = 65_536) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while len(received) < most and (part := connection.recv(65_536)):
        received += part
    return received


def closing(head: bytes, body: bytes = b"") -> bytes:
    return head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body


def test_a_connection_is_kept_and_requests_are_answered_in_order(serve):
    running = serve(echo)
    post = b"POST /b?x=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    got = answer_of(running.open(GET + post + closing(GET)))
    assert [line.rpartition(b"\r\n\r\n")[2] for line in got.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"GET /a ",
        b"POST /b abc",
        b"GET /a ",
    ]


def test_a_request_in_single_bytes_is_answered(serve):
    running = serve(echo)
    connection = running.open()
    for at in range(len(GET)):
        connection.sendall(GET[at : at + 1])
    assert b"GET /a " in connection.recv(1000)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/2.0\r\n\r\n", 505),
        (b"GET /a HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nContent-Length: +3\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST /a HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /a HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", 415),
        (b"GET /a HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"x" * 20_000, 431),
    ],
)
def test_what_is_no_request_is_told_so_and_the_connection_closed(serve, sent, status):
    running = serve(echo, Limits(body_bytes=1000))
    got = answer_of(running.open(sent))
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in got
    assert b'{"error": ' in got


def test_a_body_that_is_refused_unread_does_not_take_the_answer_along(serve):
    running = serve(echo, Limits(body_bytes=1000))
    connection = running.open(b"POST /a HTTP/1.1\r\nContent-Length: 900000\r\n\r\n")
    connection.sendall(bytes(900_000))
    assert answer_of(connection).startswith(b"HTTP/1.1 413 ")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(raw):
    with suppress(BadRequest):
        assert 0 <= parse_head(raw, 100).length <= 100


@pytest.mark.parametrize("sent", [b"", b"GET /a HTTP/1.1\r\nX: ", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"])
def test_a_slow_client_is_ended_while_others_are_answered(serve, sent):
    running = serve(echo)
    slow = running.open(sent)
    running.until(lambda: len(running.server.open) == 1 and running.server.buffered >= min(len(sent), 3))
    assert running.passes(9.0) == 0
    assert b"GET /a " in answer_of(running.open(closing(GET)))
    slow.sendall(b"")
    assert running.passes(25.0) == 1
    assert answer_of(slow).startswith(b"HTTP/1.1 408 ") or not sent


def test_trickling_a_head_does_not_buy_time(serve):
    running = serve(echo)
    slow = running.open(b"GET /a HTTP/1.1\r\n")
    running.until(lambda: running.server.buffered > 0)
    for at in range(3):
        running.passes(3.0)
        before = running.server.buffered
        slow.sendall(b"X%d: y\r\n" % at)
        running.until(lambda before=before: running.server.buffered > before)
    assert running.passes(3.0) == 1


def test_an_idle_connection_is_closed_in_the_end(serve):
    running = serve(echo)
    idle = running.open(GET)
    assert b"GET /a " in idle.recv(1000)
    assert running.passes(60.0) == 0
    assert running.passes(60.0) == 1
    assert idle.recv(10) == b""


def test_a_client_that_never_reads_is_ended(serve):
    big = Response(200, bytes(20_000_000))
    running = serve(lambda _: big)
    silent = running.open(GET * 3)
    running.until(lambda: any(each.unread for each in running.server.open))
    assert running.passes(100.0) == 1
    silent.close()


def test_more_connections_than_allowed_are_told_so(serve):
    running = serve(echo, SMALL)
    kept = [running.open() for _ in range(4)]
    running.until(lambda: len(running.server.open) == 4)
    assert answer_of(running.open(closing(GET))).startswith(b"HTTP/1.1 503 ")
    kept.pop().close()
    running.until(lambda: len(running.server.open) <= 4)
    assert b"GET /a " in answer_of(running.open(closing(GET)))


def test_bytes_under_way_are_bounded_over_all_connections(serve):
    running = serve(echo, SMALL)
    part = b"POST /a HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(950)
    kept = [running.open(part) for _ in range(3)]
    running.until(lambda: running.server.buffered == 2850)
    got = answer_of(running.open(part))
    assert got.startswith(b"HTTP/1.1 503 ")
    assert running.server.buffered == 2850
    for each in kept:
        each.close()
    running.until(lambda: running.server.buffered == 0)


def test_work_is_done_aside_and_too_much_of_it_is_refused(serve):
    gate = threading.Event()

    def work() -> Response:
        gate.wait(10)
        return Response(200, b"done")

    running = serve(lambda request: work if request.path == "/work" else Response(200, b"at once"), SMALL)
    waiting = [running.open(closing(GET.replace(b"/a", b"/work"))) for _ in range(2)]
    running.until(lambda: running.server.waiting == 2)
    assert answer_of(running.open(closing(GET))).endswith(b"at once")
    assert answer_of(running.open(closing(GET.replace(b"/a", b"/work")))).startswith(b"HTTP/1.1 503 ")
    gate.set()
    assert all(answer_of(each).endswith(b"done") for each in waiting)


def test_a_handler_that_fails_is_a_500_and_no_more(serve):
    def broken(_: Request) -> Response:
        raise ValueError("secret")

    running = serve(broken)
    got = answer_of(running.open(closing(GET)))
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in got


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(serve):
    running = serve(echo)
    connection = running.open(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"abc")
    assert b"POST /a abc" in connection.recv(1000)
