"""Parts that end are started anew; the proxy passes over a server that is down."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from pydantic import SecretStr

from deployments.children import Child
from deployments.prefect_server import free_port
from deployments.server.layout import Layout
from deployments.server.parts import Part, parts, rest
from deployments.server.serve import STEADY_S, Serving, wait_until_ready
from tests.tasks.caching.cache_servers import found

QUICK_END = [sys.executable, "-c", "import sys; sys.exit('no database')"]
STAYS = [sys.executable, "-c", "import time; time.sleep(600)"]


def a_layout(url: str = "http://127.0.0.1:1", **more: object) -> Layout:
    given = {
        "database": SecretStr("postgresql://d"),
        "redis": SecretStr("redis://r"),
        "auth": SecretStr("c:" + "x" * 20),
    }
    return Layout.model_validate({"url": url, **given, **more})


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[Serving, list[str]]]:
    said: list[str] = []
    running = Serving(a_layout(), tmp_path, said.append)
    yield running, said
    running.stop()


def ended(child: Child) -> None:
    while child.running():
        time.sleep(0.01)


def test_a_part_that_was_killed_is_started_anew_at_once(serving: tuple[Serving, list[str]]) -> None:
    running, said = serving
    running.start(Part("one", STAYS, dict(os.environ)))
    (kept,) = running.kept
    before = kept.child._process.pid
    os.kill(before, signal.SIGKILL)
    ended(kept.child)
    long_after = kept.since + STEADY_S + 1
    running.look(long_after)
    running.look(long_after)
    assert kept.child.running()
    assert kept.child._process.pid != before
    assert said[0].startswith("one ended")


def test_a_part_that_ends_again_and_again_is_left_longer_each_time(serving: tuple[Serving, list[str]]) -> None:
    running, said = serving
    running.start(Part("one", QUICK_END, dict(os.environ)))
    (kept,), pauses, now_s = running.kept, [], running.kept[0].since
    for _ in range(3):
        ended(kept.child)
        running.look(now_s)
        assert kept.due is not None
        pauses.append(kept.due - now_s)
        running.look(kept.due - 0.001)
        assert not kept.child.running()
        now_s = kept.due
        running.look(now_s)
    assert pauses == [1, 2, 4]
    assert "no database" in said[0]


def test_a_rolling_restart_ends_where_a_server_does_not_come_back(serving: tuple[Serving, list[str]]) -> None:
    running, said = serving
    running.start(Part("one", QUICK_END, dict(os.environ), ready=f"http://127.0.0.1:{free_port()}", rolls=True))
    running.start(Part("two", STAYS, dict(os.environ), rolls=True))
    two = running.kept[1].child
    running.restart_servers()
    assert said[-1].startswith("the restart ends here: one")
    assert two is running.kept[1].child
    assert two.running()


def test_a_server_that_does_not_come_back_gets_requests_again_once_it_is_started_anew(
    serving: tuple[Serving, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, resting = serving[0], list[int | None]()
    monkeypatch.setattr("deployments.server.serve.rest", lambda *told: resting.append(told[3]))
    monkeypatch.setattr("deployments.server.serve.DRAIN_S", 0.0)
    gone = free_port()
    running.start(Part("one", QUICK_END, dict(os.environ), f"http://127.0.0.1:{gone}", rolls=True, port=gone))
    running.start(Part("two", STAYS, dict(os.environ), rolls=True, port=free_port()))
    running.restart_servers()
    assert resting == [gone, None]


@pytest.mark.skipif(found() is None, reason="no nginx on this machine")
def test_a_proxy_that_cannot_be_told_ends_the_restart_and_no_server(serving: tuple[Serving, list[str]]) -> None:
    running, said = serving
    for name in ("one", "two"):
        running.start(Part(name, STAYS, dict(os.environ), rolls=True, port=free_port()))
    before = [each.child for each in running.kept]
    running.restart_servers()
    assert said[-1].startswith("the restart ends here: proxy: did not take")
    assert [each.child for each in running.kept] == before


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.headers['Host']} {self.server.server_port}".encode())  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.skipif(found() is None, reason="no nginx on this machine")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_proxy_speaks_tls_and_passes_over_a_server_that_is_down(tmp_path: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "key.pem", "-out", "ca.pem", "-days", "1", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], cwd=tmp_path, check=True, capture_output=True)  # fmt: skip
    ca = tmp_path / "ca.pem"
    url = f"https://localhost:{free_port()}"
    layout = a_layout(url, certificate=ca, key=tmp_path / "key.pem", ca=ca)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as stays, ThreadingHTTPServer(("127.0.0.1", 0), Answer) as ends:
        for server in (stays, ends):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        ports = [stays.server_port, ends.server_port]
        (proxy,) = (each for each in parts(layout, tmp_path, ports) if each.name == "proxy")
        with Child("proxy", proxy.command, env=proxy.env, log=tmp_path / "log") as child:
            wait_until_ready(proxy, child)
            trusts = ssl.create_default_context(cafile=str(ca))

            def answers() -> set[str]:
                return {urlopen(url, context=trusts, timeout=10).read().decode() for _ in range(4)}

            names = [f"{url.removeprefix('https://')} {port}" for port in ports]
            assert answers() == set(names)
            rest(layout, tmp_path, ports, ends.server_port)
            while answers() != {names[0]}:  # the proxy's new process takes over in a moment
                time.sleep(0.01)
            rest(layout, tmp_path, ports, None)
            while answers() != set(names):
                time.sleep(0.01)
            ends.shutdown()
            ends.server_close()
            assert answers() == {names[0]}
        stays.shutdown()
