"""`continuum replay migration` as a person and as a script use it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from deployments.command import app

HEAD = "ts,workload,site,latency_ms,cost_usd,error_ratio,moved_bytes"


def replay(*words: object, fails: bool = False):
    told = CliRunner().invoke(app, ["replay", "migration", *map(str, words)])
    assert (told.exit_code != 0) == fails, told.output
    return told


def lines(quarters: int = 48) -> list[str]:
    """A site `a` that becomes far dearer than `b` after three hours."""
    found = []
    for quarter in range(quarters):
        when = f"2026-03-01T{quarter // 4:02d}:{quarter % 4 * 15:02d}Z"
        a = "20,0.7" if quarter < 12 else "60,3"
        found += [f"{when},shop,a,{a},0,1e9", f"{when},shop,b,20,0.8,0,1e9"]
    return found


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("\n".join([HEAD, *lines()]) + "\n")
    return path


def test_json_has_the_four_figures_of_each_policy(trace: Path) -> None:
    told = json.loads(replay(trace, "--json").stdout)
    assert set(told["policies"]) == {"never", "always-best", "seed-raw", "seed-smoothed", "default"}
    keys = {"cost_ratio", "moves_per_workload_day", "backflip_ratio", "peak_pass_ratio"}
    assert all(set(score) == keys for score in told["policies"].values())
    assert told["policies"]["never"]["cost_ratio"] > told["policies"]["seed-smoothed"]["cost_ratio"] >= 1


def test_parquet_says_the_same_as_csv(trace: Path, tmp_path: Path) -> None:
    pd.read_csv(trace).to_parquet(tmp_path / "trace.parquet", index=False)
    one, other = (json.loads(replay(path, "--json").stdout)["policies"] for path in (trace, tmp_path / "trace.parquet"))
    assert one == other


def test_garbage_is_named_and_the_rest_is_played(trace: Path) -> None:
    with trace.open("a") as file:
        file.write("2026-03-01T00:00Z,shop,a,soon,1,0,1\n2026-03-01T00:00Z,shop,a,5,1,7,1\n")
    told = replay(trace, "--json")
    assert json.loads(told.stdout)["left_out"] == 2
    assert "soon" in told.stderr


def test_a_workload_that_comes_late_and_one_with_refused_rows_alone_leave_a_ratio_that_is_one(trace: Path) -> None:
    late = [line.replace("shop", "late") for line in lines()[40:]]
    with trace.open("a") as file:
        file.write("\n".join([*late, "2026-03-01T00:00Z,ghost,nowhere,soon,1,0,1"]) + "\n")
    told = json.loads(replay(trace, "--json").stdout)
    assert (told["workloads"], told["sites"]) == (2, 2)
    assert all(score["cost_ratio"] >= 1 for score in told["policies"].values())


@pytest.mark.parametrize(("words", "said"), [
    ((), "one of a trace and --synthetic"), (("--synthetic", "1", "--policy", "best"), "no policy 'best'"),
    (("nowhere.csv",), "nowhere.csv"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(words: tuple[str, ...], said: str) -> None:
    told = replay(*words, fails=True)
    assert said in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_an_empty_trace_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(HEAD + "\n")
    assert "0 slots" in replay(path, fails=True).stderr


def test_a_trace_in_which_nothing_costs_anything_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "free.csv"
    rows = [f"2026-03-01T0{hour}:00Z,shop,{site},0,0,0,0" for hour in range(3) for site in "ab"]
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    assert "costs nothing" in replay(path, fails=True).stderr


def test_a_date_that_is_far_off_is_told_by_the_span(trace: Path) -> None:
    with trace.open("a") as file:
        file.write("9999-03-01T00:00Z,shop,a,5,1,0,1\n")
    assert "to 9999-03-01T00:00:00" in replay(trace, fails=True).stderr
