"""The diagnosis page of a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deployments.command import app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "demand.csv"
    steps = np.arange(5 * 24)
    values = 10 + 3 * np.sin(2 * np.pi * steps / 24)
    path.write_text(
        "ds,web\n" + "".join(f"{step * 3600},{value:.3f}\n" for step, value in zip(steps, values, strict=True))
    )
    return path


def run(*words: str):
    return CliRunner().invoke(app, ["diagnose", *words])


def test_a_page_with_its_plots_is_written(file: Path, tmp_path: Path):
    found = run("web", "--input", str(file), "--out", str(tmp_path / "page.html"))
    assert found.exit_code == 0, found.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3
    assert "rhythm of the day" in page


def test_json_has_the_same_sections(file: Path):
    found = run("web", "--input", str(file), "--json")
    assert json.loads(found.stdout)[0]["title"] == "web"


def test_an_unknown_series_is_refused_with_the_known_ones(file: Path):
    found = run("wbe", "--input", str(file))
    assert found.exit_code == 1
    assert "use one of web" in found.output


def test_a_file_or_a_fleet_is_needed(file: Path):
    assert "give one of --input FILE and --fleet" in run("web").output.replace("\n", " ")
