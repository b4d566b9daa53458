"""What `continuum doctor` says of a Prefect server: its password."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.doctor import Check, examine

SEEN: list[str | None] = []


class Version(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        SEEN.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps("3.8.8").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server at an address that is not the laptop's own; all of 127/8 is loopback, and only 127.0.0.1 is ours."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.2")
    with ThreadingHTTPServer(("127.0.0.2", 0), Version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.2:{server.server_port}/api"
        server.shutdown()


def check() -> Check:
    return next(check for check in examine(None, act=False) if check.name == "Prefect server")


def test_a_server_beyond_the_laptop_that_asks_for_no_password_fails(elsewhere: str) -> None:
    with temporary_settings({PREFECT_API_URL: elsewhere}):
        found = check()
    assert found.level == "failed"
    assert "PREFECT_SERVER_API_AUTH_STRING" in found.detail


def test_the_password_is_shown_to_the_server_and_to_nobody_else(elsewhere: str) -> None:
    with temporary_settings({PREFECT_API_URL: elsewhere, PREFECT_API_AUTH_STRING: "continuum:a-secret"}):
        found = check()
    assert found.level == "ok"
    assert SEEN[-1] == "Basic " + base64.b64encode(b"continuum:a-secret").decode()
    assert "a-secret" not in found.detail
