"""`continuum fleet faults` as a person types it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from blocks.fleet_file import load_fleet
from deployments.command import app
from deployments.local.faults.kinds import KINDS
from deployments.local.files import FLEET_FILE, new_tokens, write_fleet

FAULT = {"id": "f1", "kind": "site-kill", "state": "active", "parameters": {"site": "munich"},
         "begins": "2026-03-02T08:00:00+00:00", "ends": None, "struck": 3}  # fmt: skip
SAID = {"time": "2026-03-02T08:01:00+00:00", "scheduled": [], "active": [FAULT], "ended": [], "campaign": {}}


class _Handler(BaseHTTPRequestHandler):
    asked: list[tuple[str, str, Any]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        data = json.dumps(SAID).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[list[tuple[str, str, Any]]]:
    """What was asked of a stand-in simulation whose fleet file is `fleet.yaml`."""
    handler = type("Handler", (_Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        fleet = load_fleet(FLEET_FILE)
        write_fleet(tmp_path / "fleet.yaml", fleet, f"http://127.0.0.1:{http.server_port}", new_tokens(fleet))
        yield handler.asked
        http.shutdown()


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["fleet", "faults", *map(str, arguments)], env={"COLUMNS": "220"})


def test_without_a_file_every_kind_is_listed_with_its_parameters() -> None:
    done = run()
    assert done.exit_code == 0
    assert all(name in done.stdout for name in KINDS)
    assert "[delay_s]" in done.stdout
    assert "after_s: simulated seconds" in done.stdout
    assert [row["kind"] for row in json.loads(run("--json").stdout)] == list(KINDS)


def test_the_faults_of_a_running_simulation_are_listed(tmp_path: Path, asked: list[Any]) -> None:
    done = run(tmp_path / "fleet.yaml")
    assert done.exit_code == 0, done.stderr
    for text in ("f1", "site-kill", "site=munich", "when lifted", "1 fault (1 active, 0 scheduled, 0 ended)"):
        assert text in done.stdout
    assert json.loads(run(tmp_path / "fleet.yaml", "--json").stdout) == SAID
    assert asked == [("GET", "/faults", None)] * 2


@pytest.mark.parametrize(
    ("option", "value", "request_made"),
    [
        ("--add", '{"kind": "cluster-kill"}', ("POST", "/faults", {"kind": "cluster-kill"})),
        ("--lift", "f1", ("DELETE", "/faults/f1", None)),
        ("--lift", "all", ("DELETE", "/faults", None)),
    ],
)
def test_faults_are_added_and_lifted(
    tmp_path: Path, asked: list[Any], option: str, value: str, request_made: tuple[str, str, Any]
) -> None:
    assert run(tmp_path / "fleet.yaml", option, value).exit_code == 0
    assert asked == [request_made, ("GET", "/faults", None)]


def refused(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return str(done.stderr)


def test_what_cannot_be_asked_is_one_line(tmp_path: Path, asked: list[Any]) -> None:
    assert "no fleet is named" in refused("--lift", "f1")
    assert "is not JSON" in refused(tmp_path / "fleet.yaml", "--add", "{")
    assert not asked
    real = yaml.safe_load((tmp_path / "fleet.yaml").read_text()) | {"simulated": False}
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(real))
    assert "is not the fleet of a running simulation" in refused(tmp_path / "real.yaml")
    assert "is not the fleet of a running simulation" in refused(FLEET_FILE)


def test_a_simulation_that_has_ended_is_one_line(tmp_path: Path) -> None:
    fleet = load_fleet(FLEET_FILE)
    write_fleet(tmp_path / "fleet.yaml", fleet, "http://127.0.0.1:9", new_tokens(fleet))
    assert "no connection" in refused(tmp_path / "fleet.yaml")
