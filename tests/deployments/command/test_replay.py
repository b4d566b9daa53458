"""`continuum replay scaling DEMAND` as a person and as a script use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deployments.command.replay import register


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)

    def run(*arguments: object):
        return CliRunner().invoke(app, ["replay", "scaling", *map(str, arguments)])

    return run


@pytest.fixture
def demand(tmp_path: Path) -> Path:
    rows = [f"{1_767_571_200 + 300 * i},{10 + 8 * np.sin(i / 46):.3f}" for i in range(2 * 288 + 1)]
    path = tmp_path / "demand.csv"
    path.write_text("t_s,web\n" + "\n".join(rows) + "\n")
    return path


def test_the_document_has_scores_and_frontiers_of_each_policy(command, demand):
    document = json.loads(command(demand, "--policy", "seed,target-tracking", "--json").stdout)
    assert set(document["policies"]) == set(document["frontiers"]) == {"seed", "target-tracking"}
    seed = document["policies"]["seed"]
    assert {"violation_minutes_per_day", "node_hours_ratio", "usd", "gco2e", "changes_per_day"} <= set(seed)
    assert (seed["usd"], seed["gco2e"]) == (None, None)
    assert document["frontiers"]["seed"] == [[seed["node_hours_ratio"], seed["violation_minutes_per_day"]]]
    assert len(document["frontiers"]["target-tracking"]) == 40


def test_people_get_a_table_a_picture_and_a_page(command, demand, tmp_path):
    page = tmp_path / "replay.html"
    result = command(demand, "--policy", "seed", "--out", page)
    assert result.exit_code == 0
    assert "node-hours / oracle" in result.stdout
    assert "The seed's rule is its CPU part" in " ".join(result.stdout.split())
    assert "<svg" in page.read_text()


def test_only_the_newest_days_are_played(command, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("t_s,web\n" + "".join(f"{300 * i},{5 + i % 7}\n" for i in range(5 * 288)))
    document = json.loads(command(path, "--policy", "seed", "--days", "2", "--json").stdout)
    assert document["scored_days"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["DEMAND", "--policy", "clever"], "no policy is called 'clever'"),
        (["DEMAND", "--policy", ","], "no policy is named"),
        (["DEMAND", "--pool", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_bad_input_gets_one_line(command, demand, arguments, words):
    result = command(*[demand if each == "DEMAND" else each for each in arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.strip().splitlines() if line.startswith("error ")]
    assert words in line
    assert "To mend it: " in line
