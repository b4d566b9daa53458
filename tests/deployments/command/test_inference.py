"""`continuum inference calibrate`: its JSON, the spellings of columns, files that do and do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from deployments.command import app


def frame(rows: int = 800) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    p, label = draw.beta(4, 1, rows), draw.integers(0, 10, rows)
    edge = np.where(draw.random(rows) < p, label, (label + 1) % 10)
    cloud = np.where(draw.random(rows) < 0.99, label, (label + 1) % 10)
    return pd.DataFrame({"edge_confidence": p, "edge_prediction": edge, "cloud_prediction": cloud, "label": label})


def calibrate(file: Path, *words: object) -> Result:
    return CliRunner().invoke(app, ["inference", "calibrate", str(file), *map(str, words)])


def written(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path / "p.csv", index=False)
    return path / "p.csv"


def told(file: Path, *words: object) -> Any:
    answer = calibrate(file, *words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_the_json_has_the_four_fields_and_the_threshold_gives_them_on_the_file(tmp_path: Path) -> None:
    table = frame()
    found = told(written(tmp_path, table), "--target-drop", "1pt")
    assert list(found)[:4] == ["threshold", "escalated_ratio", "accuracy", "cost_ratio"]
    up = table["edge_confidence"] < found["threshold"]
    assert found["escalated_ratio"] == pytest.approx(up.mean())
    right = np.where(up, table["cloud_prediction"], table["edge_prediction"]) == table["label"]
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["cost_ratio"] == pytest.approx(0.1 + up.mean())


def test_columns_may_be_spelt_in_several_ways_and_the_file_may_be_parquet(tmp_path: Path) -> None:
    table = frame()
    plain = told(written(tmp_path, table))
    right = {who: table[f"{who}_prediction"] == table["label"] for who in ("edge", "cloud")}
    other = pd.DataFrame({"Confidence": table["edge_confidence"], "edge_correct": right["edge"],
                          "Cloud correct": right["cloud"].astype(int)})  # fmt: skip
    assert told(written(tmp_path, other)) == plain
    table.astype({"label": float}).to_parquet(tmp_path / "p.parquet")
    assert told(tmp_path / "p.parquet") == plain


def test_costs_come_from_the_options_or_from_the_file(tmp_path: Path) -> None:
    table = frame()
    given = told(written(tmp_path, table), "--edge-cost", 0, "--cloud-cost", 2)
    assert given["cost_ratio"] == pytest.approx(given["escalated_ratio"])
    assert told(written(tmp_path, table.assign(edge_cost=0.0, cloud_cost=2.0))) == given


def test_odd_rows_are_named_and_left_out(tmp_path: Path) -> None:
    table = frame()
    file = written(tmp_path, table)
    plain = told(file)
    file.write_text(file.read_text() + "1.5,1,1,1\nnan,1,1,1\nabc,1,1,1\n0.5,,1,1\n-1,1,1,1\n1,2\n")
    answer = calibrate(file, "--json")
    assert json.loads(answer.stdout) == plain
    assert "line 802, column edge_confidence: is empty or not in 0 to 1" in answer.stderr
    assert "line 804, column edge_confidence: 'abc' is no number" in answer.stderr


def test_a_drop_may_be_written_in_points_percent_or_as_a_ratio(tmp_path: Path) -> None:
    file = written(tmp_path, frame())
    assert (
        told(file, "--target-drop", "2pt") == told(file, "--target-drop", "2%") == told(file, "--target-drop", "0.02")
    )
    for odd in ("1", "abc", "nan", "-1pt", "200pt", ""):
        answer = calibrate(file, "--target-drop", odd)
        assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1)
        assert "write 1pt" in answer.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="edge_confidence"), "no column `edge_confidence`"),
        (lambda t: t.drop(columns="cloud_prediction"), "give cloud_correct, or cloud_prediction and label"),
        (lambda t: t.drop(columns="label"), "give edge_correct, or edge_prediction and label"),
        (lambda t: t.head(10), "10 of its 10 rows"),
        (lambda t: t.head(0), "0 of its 0 rows"),
        (lambda t: t.assign(edge_confidence="x"), "0 of its 800 rows"),
        (lambda t: t.assign(cloud_cost=0.0), "cost nothing"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, change: Any, says: str) -> None:
    answer = calibrate(written(tmp_path, change(frame())), "--json")
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not answer.stdout
