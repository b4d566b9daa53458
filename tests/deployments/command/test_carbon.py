"""`continuum carbon`: the fields of its JSON, what wins over what, and one line for bad input."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from blocks.settings import data_dir
from blocks.tables import carbon_profile
from deployments.command import app

HEAD = "job,arrival,duration_h,slack_h,kw"
VALUES = [500, 400, 100, 300, 100, 600, 600, 600]


@pytest.fixture
def hourly(tmp_path: Path) -> Path:
    file, begin = tmp_path / "intensity.csv", datetime(2022, 3, 27, tzinfo=UTC)
    rows = [f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%MZ},{value}" for hour, value in enumerate(VALUES)]
    file.write_text("hour_utc,gco2_per_kwh\n" + "\n".join(rows) + "\n")
    return file


def jobs(path: Path, *lines: str, head: str = HEAD) -> Path:
    file = path / "jobs.csv"
    file.write_text("\n".join((head, *lines)) + "\n")
    return file


def carbon(*words: object) -> Result:
    return CliRunner().invoke(app, ["carbon", *map(str, words)])


def plan(*words: object) -> Any:
    answer = carbon("plan", *words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_a_plan_is_the_bare_optimum_with_both_ends_of_the_slack_allowed(tmp_path: Path, hourly: Path) -> None:
    told = plan(jobs(tmp_path, "a,2022-03-27T00:00Z,1,2,2", "b,2022-03-27T00:00Z,2,3,1"), "--intensity", hourly)
    assert list(told)[:5] == ["jobs", "baseline_g", "planned_g", "saving_ratio", "seconds"]
    assert (told["jobs"], told["baseline_g"], told["planned_g"]) == (2, 2 * 500 + 900, 2 * 100 + 400)
    assert told["saving_ratio"] == pytest.approx(1 - 600 / 1900)


def test_pausing_jobs_take_the_cheapest_hours(tmp_path: Path, hourly: Path) -> None:
    file = jobs(tmp_path, "a,2022-03-27T00:00Z,2,4,1")
    assert plan(file, "--intensity", hourly)["planned_g"] == 400
    assert plan(file, "--intensity", hourly, "--interruptible")["planned_g"] == 200
    assert plan(file, "--intensity", hourly, "--interruptible", "--restart-h", 0.5)["planned_g"] == 250


def test_the_column_of_the_file_wins_over_the_option(tmp_path: Path, hourly: Path) -> None:
    with_column = jobs(tmp_path, "a,2022-03-27T00:00Z,1,0,1")
    assert plan(with_column, "--intensity", hourly, "--slack", "24h")["planned_g"] == 500
    without = jobs(tmp_path, "a,2022-03-27T00:00Z,1,1", head="job,arrival,duration_h,kw")
    assert plan(without, "--intensity", hourly, "--slack", "60min")["planned_g"] == 400
    assert plan(without, "--intensity", hourly)["planned_g"] == 100


def test_a_zone_is_planned_by_the_carried_typical_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    told = plan(jobs(tmp_path, "a,2026-06-15T18:00Z,1,24,1"), "--intensity", "DE")
    june = carbon_profile("DE").mean_g_per_kwh[5]
    assert (told["baseline_g"], told["planned_g"]) == pytest.approx((june[18], june.min()))
    assert told["intensity"]["method"] == "typical day"
    assert "2021-2023" in told["intensity"]["source"]


def test_capacity_spreads_jobs_that_would_all_take_the_same_hour(tmp_path: Path, hourly: Path) -> None:
    file = jobs(tmp_path, "a,2022-03-27T00:00Z,1,3,1", "b,2022-03-27T00:00Z,1,3,1")
    room = tmp_path / "room.csv"
    times = [line.split(",")[0] for line in hourly.read_text().splitlines()[1:]]
    room.write_text("hour_utc,kw\n" + "\n".join(f"{when},1" for when in times) + "\n")
    told = plan(file, "--intensity", hourly, "--capacity", room)
    assert (told["baseline_g"], told["planned_g"]) == (1000, pytest.approx(400))
    room.write_text("hour_utc,kw\n" + "\n".join(f"{when},0.1" for when in times) + "\n")
    answer = carbon("plan", file, "--intensity", hourly, "--capacity", room)
    assert answer.exit_code == 1
    assert "2 hours of 2 jobs find no room. To mend it: give more kw" in answer.stderr


def test_starts_are_written_for_people_and_schedulers(tmp_path: Path, hourly: Path) -> None:
    made = tmp_path / "plan.csv"
    carbon("plan", jobs(tmp_path, "a,2022-03-27T00:00Z,2,4,1"), "--intensity", hourly, "--interruptible",
           "--out", made)  # fmt: skip
    assert list(csv.DictReader(made.read_text().splitlines())) == [
        {"job": "a", "start_utc": "2022-03-27T02:00Z", "end_utc": "2022-03-27T05:00Z", "runs": "2",
         "baseline_g": "900", "planned_g": "200"}
    ]  # fmt: skip


def test_windows_past_the_end_are_cut_and_jobs_outside_are_left_out_by_name(tmp_path: Path, hourly: Path) -> None:
    file = jobs(tmp_path, "a,2022-03-27T06:00Z,1,24,1", "late,2022-03-28T00:00Z,1,24,1")
    answer = carbon("plan", file, "--intensity", hourly, "--json")
    told = json.loads(answer.stdout)
    assert (told["jobs"], told["left_out"], told["windows_cut"]) == (1, 1, 1)
    assert "left out, as the intensity does not cover their run at arrival: late" in answer.stderr
    outside = carbon("plan", jobs(tmp_path, "late,2022-03-28T00:00Z,1,24,1"), "--intensity", hourly)
    assert outside.exit_code == 1
    assert "no job lies inside the intensity data. To mend it: they cover 2022-03-27T00:00Z to" in outside.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--intensity", "XX"], "no grid zone 'XX'"),
        (["--intensity", "none.csv"], "none.csv: cannot be read: no such file"),
        (["--intensity", "DE", "--slack", "soon"], "--slack: `soon` is no span of time"),
    ],
)
def test_bad_words_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    answer = carbon("plan", jobs(tmp_path, "a,2022-03-27T06:00Z,1,24,1"), *words)
    assert answer.exit_code == 1
    assert told in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_jobs_that_lie_centuries_apart_are_refused(tmp_path: Path) -> None:
    file = jobs(tmp_path, "a,1950-01-01T00:00Z,1,1,1", "b,2250-01-01T00:00Z,1,1,1")
    answer = carbon("plan", file, "--intensity", "DE")
    assert (answer.exit_code, "more than ten years apart" in answer.stderr) == (1, True)


def test_the_papers_table_is_refused_in_one_line_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    answer = carbon("reproduce", "eurosys24")
    assert answer.exit_code == 1
    assert "CONTINUUM_DATA is not set" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(data_dir() is None, reason="CONTINUUM_DATA is not set")
def test_every_cell_of_the_papers_table_is_within_a_hundredth_of_a_point() -> None:
    answer = carbon("reproduce", "eurosys24", "--json")
    told = json.loads(answer.stdout)
    deferral = {"1": 15.59, "6": 12.63, "12": 8.53, "24": 3.61, "48": 2.35, "96": 1.34, "168": 0.78}
    interruption = {"1": 0.0, "6": 0.81, "12": 2.69, "24": 5.0, "48": 3.64, "96": 2.61, "168": 1.93}
    assert told["deferral"] == pytest.approx(deferral, abs=0.01)
    assert told["interruption"] == pytest.approx(interruption, abs=0.01)
    assert {name: round(value, 3) for name, value in told["spatial"].items()} == {
        "one_move": 352.476, "infinite_moves": 353.566}  # fmt: skip


def test_a_forecast_follows_its_history_and_says_how_it_was_chosen(tmp_path: Path) -> None:
    file, begin = tmp_path / "history.csv", datetime(2022, 1, 1, tzinfo=UTC)
    rows = [f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%MZ},{300 - 5 * (hour % 24)}" for hour in range(24 * 60)]
    file.write_text("hour_utc,gco2_per_kwh\n" + "\n".join(rows) + "\n")
    answer = carbon("forecast", file, "--hours", 24, "--json")
    told = json.loads(answer.stdout)
    assert told["start"] == "2022-03-02T00:00Z"
    assert told["gco2_per_kwh"] == pytest.approx([300 - 5 * hour for hour in range(24)], rel=1e-3)
    assert told["captured_ratio"][told["method"]] == pytest.approx(1)


def test_without_history_there_is_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    answer = carbon("forecast", "DE")
    assert answer.exit_code == 1
    assert "a typical day has no weather to forecast from" in answer.stderr


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """Two regions over four hours; in the first two the windier one is dirtier."""
    file = tmp_path / "regions.csv"
    rows = [(0, "A", 300, 90), (0, "B", 250, 10), (1, "A", 300, 90), (1, "B", 200, 10), (2, "A", 100, 90),
            (2, "B", 250, 10), (3, "A", 90, 95), (3, "B", 250, 10), (6, "A", 1, 99)]  # fmt: skip
    lines = [f"2022-03-27T{hour:02d}:00Z,{zone},{grams},{share}" for hour, zone, grams, share in rows]
    file.write_text("\n".join(["hour_utc,zone,gco2_per_kwh,renewable_pct", *lines]) + "\n")
    return file


def test_a_region_is_chosen_by_emissions_unless_the_seeds_score_is_asked_for(regions: Path) -> None:
    told = json.loads(carbon("regions", regions, "--hours", 2, "--json").stdout)
    assert (told["by"], told["zone"], told["start"], told["g_per_kwh"]) == ("emissions", "A", "2022-03-27T02:00Z", 95)
    assert told["score_dirtier"] == {"hours_ratio": 0.5, "times": pytest.approx((300 / 250 + 300 / 200) / 2)}
    assert told["left_out"] == ["1 hours are left out: not known of all regions, or beside the longest stretch"]
    words = carbon("regions", regions, "--by", "environmental-score").stdout
    assert "by environmental-score" in words
    assert "dirtier region than the cleanest in 50.0% of 4 hours" in words


@pytest.mark.parametrize(("words", "said"), [
    (("--by", "seed"), "no rule is named 'seed'"), (("--hours", "9"), "9 h of 4 h of data"),
])  # fmt: skip
def test_a_rule_or_time_that_is_none_is_refused_in_one_line(regions: Path, words: tuple[str, ...], said: str) -> None:
    refused = carbon("regions", regions, *words)
    assert (refused.exit_code, said in refused.stderr, refused.stderr.count("\n")) == (1, True, 1)


def test_one_region_alone_or_a_negative_intensity_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "regions.csv"
    file.write_text("hour_utc,zone,gco2_per_kwh,renewable_pct\n2022-03-27T00:00Z,A,-3,20\n2022-03-27T00:00Z,B,3,20\n")
    refused = carbon("regions", file)
    assert refused.exit_code == 1
    assert "no hour is known of all regions" in refused.stderr
    file.write_text("hour_utc,zone,gco2_per_kwh,renewable_pct\n2022-03-27T00:00Z,A,-3,20\n")
    assert "-3 is not within 0 to 100000" in carbon("regions", file).stderr
