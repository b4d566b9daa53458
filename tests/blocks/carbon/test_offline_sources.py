"""Typical days and hourly files: they say how they know, and refuse by name what they do not know."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from blocks.carbon import CarbonSeries, HourlyFiles, TypicalDay, best_series, read_hourly
from blocks.errors import ContinuumError, InvalidInput, NotFound, Refused
from blocks.tables import carbon_profile

HOUR_S = 3600


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def hourly(path: Path, start: str, values: list[float], zone: str = "DE") -> Path:
    begin = second(start)
    times = (datetime.fromtimestamp(begin + at * HOUR_S, UTC) for at in range(len(values)))
    lines = [f"{when:%Y-%m-%dT%H:%MZ},{each}" for when, each in zip(times, values, strict=True)]
    path.write_text(f"hour_utc,{zone}\n" + "\n".join(lines) + "\n")
    return path


def test_a_typical_day_is_the_carried_table_by_month_and_utc_hour() -> None:
    series = TypicalDay().series("DE", second("2026-01-31 22:30"), second("2026-02-01 01:00"))
    profile = carbon_profile("DE").mean_g_per_kwh
    assert series.start_s == second("2026-01-31 22:00")
    assert series.g_per_kwh.tolist() == [profile[0, 22], profile[0, 23], profile[1, 0]]
    assert (series.method, series.signal) == ("typical day", "average")
    assert "2021-2023" in series.source
    assert "ODbL" in series.source


def test_an_unknown_zone_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(NotFound, match="no grid zone 'DEE'") as refusal:
        TypicalDay().series("DEE", 0, HOUR_S)
    assert "DE" in refusal.value.fix


def test_a_file_has_one_column_or_one_a_zone(tmp_path: Path) -> None:
    single = tmp_path / "one.csv"
    single.write_text("hour_utc,gco2_per_kwh\n2022-03-27T00:00Z,5\n2022-03-27T01:00Z,6\n")
    assert read_hourly(single).series().g_per_kwh.tolist() == [5.0, 6.0]
    many = tmp_path / "many.csv.gz"
    many.write_bytes(gzip.compress(b"hour_index_2022_utc,AT,DE\n0,1,2\n1,3,4\n"))
    table = read_hourly(many)
    assert (table.start_s, table.origin_s) == (second("2022-01-01 00:00"),) * 2
    assert table.series("DE").g_per_kwh.tolist() == [2.0, 4.0]


def test_local_times_across_a_clock_change_are_hours_in_utc(tmp_path: Path) -> None:
    file = tmp_path / "spring.csv"
    file.write_text("hour_utc,DE\n2022-03-27T01:00+01:00,1\n2022-03-27T03:00+02:00,2\n2022-03-27T04:00+02:00,3\n")
    series = read_hourly(file).series("DE")
    assert (series.start_s, series.step_s, len(series.g_per_kwh)) == (second("2022-03-27 00:00"), HOUR_S, 3)


@pytest.mark.parametrize("minutes", [15, 30])
def test_the_step_is_that_of_the_file(tmp_path: Path, minutes: int) -> None:
    file = tmp_path / "grid.csv"
    file.write_text(f"hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T00:{minutes}Z,2\n")
    assert read_hourly(file).step_s == minutes * 60


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("when,DE\n2022-01-01T00:00Z,1\n", "first column is `when`"),
        ("hour_utc\n2022-01-01T00:00Z\n", "it has no values"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\nnoon,2\n", ":3: `noon` is no time"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T01:00Z,1\n2022-01-01T03:00Z,1\n", ":4: .* does not follow"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T00:00Z,1\n", ":3: .* does not follow"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T01:00Z,-7\n", ":3: DE is -7"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T01:00Z,\n", ":3: DE is no number"),
        ("hour_utc,DE\n2022-01-01T00:00Z,1\n2022-01-01T01:00Z,x\n2022-01-01T02:00Z,y\n", ":3: .*and 1 more"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_hourly(file).series("DE")
    assert re.search(told, str(refusal.value)), str(refusal.value)
    assert refusal.value.fix


def test_a_truncated_or_absent_file_is_one_line(tmp_path: Path) -> None:
    half = tmp_path / "half.csv.gz"
    half.write_bytes(gzip.compress(b"hour_utc,DE\n" + b"2022-01-01T00:00Z,1\n" * 99)[:40])
    for file in (half, tmp_path / "none.csv"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_hourly(file)


def test_several_years_are_one_history_and_say_that_they_are_actual(tmp_path: Path) -> None:
    hourly(tmp_path / "a.csv", "2021-12-31 22:00", [1, 2])
    hourly(tmp_path / "b.csv", "2022-01-01 00:00", [3, 4])
    series = HourlyFiles(tmp_path).series("DE", second("2021-12-31 23:00"), second("2022-01-01 01:30"))
    assert (series.g_per_kwh.tolist(), series.method) == ([2.0, 3.0, 4.0], "actual")


def test_another_years_history_keeps_weekday_and_hour_and_says_so(tmp_path: Path) -> None:
    hourly(tmp_path / "a.csv", "2021-01-01 00:00", list(range(24 * 20)))
    begin = second("2022-01-10 05:00")
    series = HourlyFiles(tmp_path).series("DE", begin, begin + 2 * HOUR_S)
    then = begin - 364 * 86400
    assert series.start_s == begin
    assert series.g_per_kwh[0] == (then - second("2021-01-01 00:00")) / HOUR_S
    assert series.method == "history of another year"
    assert "52 weeks earlier" in series.source


def test_a_time_that_no_year_covers_is_refused(tmp_path: Path) -> None:
    hourly(tmp_path / "a.csv", "2021-01-01 00:00", [1, 2, 3])
    with pytest.raises(NotFound, match="no year of it covers"):
        HourlyFiles(tmp_path).series("DE", second("2022-06-01 00:00"), second("2022-06-02 00:00"))


def test_the_better_method_wins_and_the_other_signal_is_refused(tmp_path: Path) -> None:
    begin = second("2022-01-10 05:00")
    hourly(tmp_path / "a.csv", "2022-01-10 00:00", list(range(24)))
    files = HourlyFiles(tmp_path)
    assert best_series([TypicalDay(), files], "DE", begin, begin + HOUR_S).method == "actual"
    assert best_series([files, TypicalDay()], "FR", begin, begin + HOUR_S).method == "typical day"
    with pytest.raises(Refused, match="average intensity was given where marginal"):
        best_series([files], "DE", begin, begin + HOUR_S, signal="marginal")
    with pytest.raises(NotFound):
        best_series([files], "XX", begin, begin + HOUR_S)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_series_with_a_negative_or_missing_value_names_the_zone_and_the_time(value: float) -> None:
    with pytest.raises(ContinuumError, match="g/kWh at 1970-01-01T01:00Z") as refusal:
        CarbonSeries("DE", 0, HOUR_S, np.array([1.0, value]), "average", "actual", "a test")
    assert "carbon intensity of DE" in str(refusal.value)
