"""`continuum federate simulate`: its JSON, what must hold on digits, files that do and do not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from blocks.settings import data_dir
from deployments.command import app

SEED = int(os.environ.get("CONTINUUM_FEDERATION_SEED", "0"))
KEYS = ["accuracy", "last5_mean", "worst_accepted_drop", "refused_updates", "epsilon", "bytes_up", "bytes_down",
        "digest"]  # fmt: skip


def federate(*words: object) -> Result:
    return CliRunner().invoke(app, ["federate", "simulate", *map(str, words)])


def told(*words: object, seed: int = SEED) -> Any:
    answer = federate("--dataset", "digits", "--seed", seed, *words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def gap(answer: Any) -> float:
    return float(answer["accuracy"]["centralised"] - answer["accuracy"]["federated"])


def test_softmax_comes_near_training_in_one_place_and_the_same_seed_gives_the_same_model() -> None:
    first = told()
    assert list(first)[:8] == KEYS
    assert list(first["accuracy"]) == ["centralised", "federated", "local"]
    assert gap(first) <= 0.025
    assert first["accuracy"]["local"] < first["accuracy"]["federated"]
    assert first["digest"] == told()["digest"] != told("--rounds", 49)["digest"]
    assert first["bytes_up"] == 50 * 6 * (650 + 2 * 4)
    assert first["bytes_down"] == 50 * 6 * 650 * 4


def test_the_network_with_every_device_comes_nearer() -> None:
    assert gap(told("--model", "mlp", "--fraction", 1)) <= 0.015


def test_a_third_of_the_devices_may_stay_silent() -> None:
    assert told("--dropout", 0.3)["accuracy"]["federated"] >= 0.93


def test_a_fifth_of_the_devices_may_turn_their_updates_around() -> None:
    answer = told("--attack", "sign-flip:0.2", "--assume-hostile", 0.2)
    assert answer["last5_mean"] >= 0.92
    assert answer["worst_accepted_drop"] <= 0.02


def test_updates_that_are_no_numbers_are_refused_alone() -> None:
    answer = told("--attack", "nan:0.1", "--rounds", 10)
    assert answer["refused_updates"] > 0
    assert answer["accuracy"]["federated"] > 0.8


def test_with_every_device_hostile_or_silent_the_first_model_stays() -> None:
    assert told("--attack", "nan:1", "--rounds", 3)["accepted_rounds"] == 0
    assert told("--dropout", 0.99, "--rounds", 3)["accepted_rounds"] == 0


def test_a_privacy_budget_ends_the_rounds_and_few_devices_are_warned_of() -> None:
    pytest.importorskip("dp_accounting")
    answer = federate("--dataset", "digits", "--dp", "2,1", "--rounds", 9, "--epsilon-budget", 1, "--json")
    record = json.loads(answer.stdout)
    assert 0 < record["epsilon"] <= 1
    assert record["rounds"] < 9
    assert "budget is spent" in answer.stderr
    assert "few for DP" in answer.stderr


def test_each_round_can_be_written_down(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    answer = told("--rounds", 3, "--record", file)
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [each["round"] for each in records] == [0, 1, 2]
    assert records[-1]["digest"] == answer["digest"]


def test_a_secure_sum_learns_as_well_and_a_round_of_too_few_answers_is_not_opened() -> None:
    answer = told("--secure", "--dropout", 0.2)
    assert (answer["rule"], answer["secure_aggregation"]) == ("secure-mean", "on")
    assert told("--rounds", 1)["secure_aggregation"] == "off"
    assert answer["accuracy"]["federated"] >= 0.93
    assert told("--secure", "--dropout", 0.9, "--rounds", 3)["accepted_rounds"] == 0


def frame(rows: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(rows, 2))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": np.where(x[:, 0] + x[:, 1] > 0, "up", "down")})


def of_file(file: Path, *words: object) -> Result:
    return federate("--dataset", file, "--devices", 4, "--rounds", 5, *words, "--json")


def test_csv_with_odd_rows_and_parquet_are_read(tmp_path: Path) -> None:
    table = frame()
    table.to_parquet(tmp_path / "d.parquet")
    text = table.to_csv(index=False, lineterminator="\r\n")
    (tmp_path / "d.csv").write_text("﻿" + text + "nan,1,up\r\nxyz,1,up\r\n1,2\r\n1,2,\r\n\r\n", newline="")
    csv, parquet = of_file(tmp_path / "d.csv"), of_file(tmp_path / "d.parquet")
    assert json.loads(csv.stdout) == json.loads(parquet.stdout)
    assert "line 203, column a: 'xyz' is no number" in csv.stderr
    assert json.loads(csv.stdout)["accuracy"]["federated"] > 0.85


@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        (lambda t: t.rename(columns={"label": "z"}), (), "no column `label`"),
        (lambda t: t, ("--label", "nope"), "no column `nope`"),
        (lambda t: t.assign(a="word"), (), "column a"),
        (lambda t: t.assign(label="up"), (), "1 different values"),
        (lambda t: t.assign(label=t["a"]), (), "200 different values"),
        (lambda t: t.head(20), (), "20 rows are too few"),
        (lambda t: t, ("--devices", 150), "too few for 150 devices"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, change: Any, words: tuple[object, ...], says: str
) -> None:
    change(frame()).to_csv(tmp_path / "d.csv", index=False)
    answer = of_file(tmp_path / "d.csv", *words)
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not answer.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--attack", "sign-flip"), "write sign-flip:0.2"),
        (("--attack", "magic:0.2"), "'magic'"),
        (("--attack", "sign-flip:nan"), "out of range"),
        (("--fraction", 0), "out of range"),
        (("--fraction", "nan"), "out of range"),
        (("--dropout", 1), "out of range"),
        (("--alpha", -1), "out of range"),
        (("--model", "cnn"), "use softmax, mlp"),
        (("--aggregator", "sum"), "use auto"),
        (("--dp", "1"), "noise multiplier and clip norm"),
        (("--epsilon-budget", 1), "give --dp"),
        (("--secure", "--assume-hostile", 0.2), "sums alone"),
        (("--secure", "--devices", 2), "too few to hide in"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_line(words: tuple[object, ...], says: str) -> None:
    answer = federate("--dataset", "digits", *words)
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["ai4i", "cmapss"])
def test_machines_are_refused_where_their_data_are_not_and_learnt_by_unit_where_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given = data_dir()
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    answer = federate("--dataset", name)
    assert (answer.exit_code, "set CONTINUUM_DATA" in answer.stderr) == (1, True)
    if given is None:
        pytest.skip("CONTINUUM_DATA is not set: no data of machines")
    monkeypatch.setenv("CONTINUUM_DATA", str(given))
    record = json.loads(federate("--dataset", name, "--rounds", 10, "--json").stdout)
    assert record["accuracy"]["federated"] > 0.9
