"""`continuum energy model` as a person and as a script use it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deployments.command import app


def run(*words: str):
    return CliRunner().invoke(app, ["energy", "model", *words])


def test_the_parts_are_told_beside_the_seeds_formula() -> None:
    told = run("m5.2xlarge", "--utilisation", "0.4")
    assert told.exit_code == 0
    assert "8 threads of skylake, 32 GiB" in told.stdout
    assert "190.0" in told.stdout


def test_json_is_one_document_whose_parts_add_up() -> None:
    watts = json.loads(run("p3.2xlarge", "--gpu-utilisation", "0.7", "--json").stdout)["watts"]
    assert watts["central"] == pytest.approx(watts["cpu"] + watts["memory"] + watts["gpu"])
    assert watts["gpu"] > 200


def test_a_machine_of_ones_own_needs_its_family_and_threads() -> None:
    told = run("box", "--cpu-family", "coffeelake", "--threads", "12", "--memory-gib", "32", "--json")
    assert json.loads(told.stdout)["machine"]["threads"] == 12
    refused = run("box", "--cpu-family", "coffeelake")
    assert (refused.exit_code, "instance type box: no such instance type is known" in refused.stderr) == (1, True)


@pytest.mark.parametrize("words", [("--utilisation", "1.4"), ("--utilisation", "nan"), ("--pue", "0.5"),
                                   ("--cpu-family", "abacus"), ("--threads", "-2")])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(words: tuple[str, str]) -> None:
    refused = run("m5.large", *words)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
