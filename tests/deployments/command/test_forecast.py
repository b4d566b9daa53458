"""`continuum forecast FILE` as a person and as a script use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pytest
import typer
from typer.testing import CliRunner

from deployments.command.forecast import register

COLUMNS = ["unique_id", "ds", "y_hat", "lo_80", "hi_80", "lo_95", "hi_95"]


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    app.command("other")(lambda: None)  # with a single command typer would drop its name

    def run(*arguments: object):
        return CliRunner().invoke(app, ["forecast", *map(str, arguments)])

    return run


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two hourly series of ten days, one bad row."""
    hours = np.arange(240)
    values = 50 + 20 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(0).normal(0, 1, 240)
    rows = ["unique_id,ds,y", "web,2026-01-01T00:00:00Z,broken"]
    for name in ("web", "db"):
        rows += [
            f"{name},{np.datetime64('2026-01-01') + np.timedelta64(int(h), 'h')}:00:00Z,{values[h]:.3f}" for h in hours
        ]
    path = tmp_path / "history.csv"
    path.write_text("\n".join(rows).replace(":00:00:00Z", ":00:00Z") + "\n")
    return path


def test_a_band_of_no_width_is_told_to_be_no_certainty(command, tmp_path):
    (tmp_path / "one.csv").write_text("time,a\n2026-03-01T00:00:00Z,5\n2026-03-01T00:05:00Z,\n")
    result = command(tmp_path / "one.csv", "--json")
    assert any("the band of a has no width" in note for note in json.loads(result.stdout)["notes"])


def test_json_is_one_document_with_every_step_and_band(command, history):
    result = command(history, "--freq", "1h", "--horizon", 6, "--model", "linear", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["step_s"] == 3600
    assert [row["model"] for row in document["series"]] == ["linear", "linear"]
    assert len(document["forecast"]) == 12
    assert list(document["forecast"][0]) == COLUMNS
    assert document["forecast"][0]["ds"] == "2026-01-11T00:00:00+00:00"
    assert document["left_out"] == ["line 2, column y: 'broken' is no number: row left out"]


def test_out_writes_the_columns_that_the_format_fixes(command, history, tmp_path):
    assert command(history, "--horizon", 6, "--out", tmp_path / "out.csv").exit_code == 0
    table = pa_csv.read_csv(tmp_path / "out.csv")
    assert table.column_names == COLUMNS
    assert len(table) == 12


def test_without_json_or_out_a_table_with_units_is_shown(command, history):
    result = command(history, "--horizon", 6)
    assert "6 steps of 3600 s (6 h), values in the unit of the file" in " ".join(result.stdout.split())
    assert "web" in result.stdout


def test_what_was_left_out_is_said_on_stderr(command, history):
    result = command(history, "--json")
    assert "line 2, column y: 'broken' is no number" in result.stderr


def test_origin_is_the_last_moment_that_is_read(command, history):
    result = command(history, "--origin", "2026-01-09T12:00:00Z", "--horizon", 1, "--json")
    assert json.loads(result.stdout)["forecast"][0]["ds"] == "2026-01-09T13:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--freq", "soon"], "--freq"), (["--freq", "7min"], "does not divide a day"),
        (["--levels", "high"], "--levels"),
        (["--origin", "noon"], "--origin"), (["--train", "nowhere.csv"], "nowhere.csv"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_on_stderr(command, history, arguments, words):
    result = command(history, *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_auto_says_what_was_chosen_and_its_scores(command, history):
    result = command(history, "--horizon", 6, "--json")
    choice = json.loads(result.stdout)["choice"]
    assert choice["wql"][choice["model"]] == min(choice["wql"].values())
    assert set(choice["wql"]) == {"linear", "seasonal-naive"}
    assert f"model {choice['model']}: the lowest weighted quantile loss of" in result.stderr


@pytest.mark.parametrize("model", ["linear", "trees", "seasonal-naive", "last-value"])
def test_a_named_model_is_not_questioned(command, history, model):
    document = json.loads(command(history, "--horizon", 3, "--model", model, "--json").stdout)
    assert document["choice"] is None
    assert {row["model"] for row in document["series"]} == {model}
