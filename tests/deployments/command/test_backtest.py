"""`continuum backtest FILE ...` as a person and as a script use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deployments.command.backtest import register

FIELDS = [
    "mase", "wql", "coverage_80", "coverage_95", "coverage_80_worst_panel", "series_within_5_points",
    "series_within_8_points", "cpu_s", "series_per_cpu_s",
]  # fmt: skip


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    app.command("other")(lambda: None)  # with a single command typer would drop its name

    def run(*arguments: object):
        return CliRunner().invoke(app, ["backtest", *map(str, arguments)])

    return run


@pytest.fixture
def write(tmp_path: Path):
    def writing(name: str, hours: int = 240, series: int = 2) -> Path:
        """Wide hourly file."""
        t, rng = np.arange(hours), np.random.default_rng(0)
        values = 50 + 20 * np.sin(2 * np.pi * t / 24)[:, None] + rng.normal(0, 1, (hours, series))
        path = tmp_path / name
        head = ",".join(["t_s", *(f"s{number}" for number in range(series))])
        np.savetxt(path, np.column_stack([t * 3600, values]), "%.3f", ",", header=head, comments="")
        return path

    return writing


def test_json_has_exactly_the_models_asked_for_with_every_field(command, write):
    result = command(write("a.csv"), "--horizon", 6, "--models", "linear,seasonal-naive", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(document["models"]) == ["linear", "seasonal-naive"]
    for fields in document["models"].values():
        assert list(fields)[: len(FIELDS)] == FIELDS
        assert all(isinstance(fields[name], float) for name in FIELDS)


def test_auto_is_every_model(command, write):
    result = command(write("a.csv", 120), "--horizon", 3, "--origins", 4, "--json")
    assert list(json.loads(result.stdout)["models"]) == ["linear", "trees", "seasonal-naive", "last-value"]


def test_each_file_is_a_panel_with_the_origins_it_has(command, write):
    result = command(write("a.csv"), write("b.csv", 100, 1), "--models", "last-value", "--horizon", 6, "--json")
    panels = json.loads(result.stdout)["panels"]
    assert [(panel["series"], panel["steps"], panel["origins"]) for panel in panels] == [(2, 240, 40), (1, 100, 19)]


def test_speed_counts_series_times_origins(command, write):
    result = command(write("a.csv"), "--models", "last-value", "--origins", 10, "--horizon", 6, "--json")
    fields = json.loads(result.stdout)["models"]["last-value"]
    assert fields["series_per_cpu_s"] == pytest.approx(20 / fields["cpu_s"], rel=0.05)


def test_a_file_too_short_is_named_and_the_others_are_scored(command, write):
    result = command(
        write("long.csv"), write("short.csv", 5), "--models", "last-value", "--horizon", 6, "--freq", "1h", "--json"
    )
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [Path(panel["file"]).name for panel in document["panels"]] == ["long.csv"]
    assert document["left_out"][0].endswith(
        "short.csv: its 5 steps of 3600 s are too short to score 6 steps ahead: at least 8 are needed: file left out"
    )
    assert "short.csv: its 5 steps" in result.stderr


def test_an_unreadable_file_is_named_and_the_others_are_scored(command, write, tmp_path):
    result = command(tmp_path / "nowhere.csv", write("a.csv"), "--models", "last-value", "--horizon", 6, "--json")
    assert result.exit_code == 0
    assert "nowhere.csv: there is no file here" in json.loads(result.stdout)["left_out"][0]


def test_nothing_long_enough_is_an_error(command, write):
    result = command(write("short.csv", 5), "--models", "last-value", "--horizon", 6)
    assert result.exit_code == 1
    assert "no file is left to score" in result.stderr.splitlines()[-1]


def test_the_table_marks_the_best(command, write):
    result = command(write("a.csv"), "--models", "seasonal-naive,last-value", "--horizon", 6)
    assert "seasonal-naive*" in result.stdout
    assert "last-value*" not in result.stdout


def test_a_model_that_could_not_learn_is_said_to_be_seasonal_naive(command, write):
    result = command(write("a.csv", 60, 1), "--models", "linear", "--horizon", 6, "--json")
    assert any(note.startswith("linear: too little past to learn from") for note in json.loads(result.stdout)["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "best"], "no model is called 'best'"), (["--models", "linear,linear"], "there twice"),
        (["--origins", "0"], "--origins"), (["--horizon", "0"], "--horizon"), (["--levels", "high"], "--levels"),
        (["--freq", "soon"], "--freq"), (["--time-zone", "Mars"], "--time-zone"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_on_stderr(command, write, arguments, words):
    result = command(write("a.csv"), *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_one_file_twice_is_refused(command, write):
    path = write("a.csv")
    assert "this file is named twice" in command(path, path).stderr
