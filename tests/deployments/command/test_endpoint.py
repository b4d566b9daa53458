"""`continuum endpoint probe`: its JSON, its exit codes and its one-line refusals."""

from __future__ import annotations

import json

from typer.testing import CliRunner, Result

from deployments.command import app


def probe(*words: str) -> Result:
    return CliRunner().invoke(app, ["endpoint", "probe", *words])


def test_a_server_that_conforms_is_exit_code_0(world) -> None:
    world.answers |= {"/v2/health/live": {}, "/v2/health/ready": {}, "/v2": {"name": "s"}}
    answer = probe(world.url, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["conforms"]) == (0, True)


def test_a_server_of_something_else_is_exit_code_1_with_its_table(world) -> None:
    answer = probe(world.url)
    assert answer.exit_code == 1
    assert "failed" in answer.stdout


def test_an_unreachable_server_is_one_line() -> None:
    answer = probe("http://127.0.0.1:9", "--json")
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "no connection" in answer.stderr
    assert answer.stderr.strip().count("\n") == 0


def test_loading_needs_a_model() -> None:
    answer = probe("http://127.0.0.1:9", "--load")
    assert answer.exit_code == 1
    assert "--model" in answer.stderr
