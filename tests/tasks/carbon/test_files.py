"""Jobs and capacity from CSV files, and mistakes by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.errors import InvalidInput
from tasks.carbon.files import read_capacity, read_jobs, seconds_of

HEAD = "job,arrival,duration_h,slack_h,kw"


def written(path: Path, *lines: str) -> Path:
    file = path / "jobs.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_every_column_is_read_and_times_without_offset_are_utc(tmp_path: Path) -> None:
    read = read_jobs(written(tmp_path, HEAD + ",interruptible", "a,1970-01-01T01:00,1.5,24,2,true",
                             "b,1970-01-01T01:00+01:00,0.25,0,0,no"), 0, False)  # fmt: skip
    jobs = read.jobs
    assert (read.names, read.counted) == (("a", "b"), False)
    assert jobs.arrival_s.tolist() == [3600, 0]
    assert jobs.duration_s.tolist() == [5400, 900]
    assert (jobs.slack_s.tolist(), jobs.kw.tolist(), jobs.interruptible.tolist()) == ([86400, 0], [2, 0], [True, False])


def test_slack_and_pausing_of_the_command_fill_what_the_file_leaves_open(tmp_path: Path) -> None:
    bare = read_jobs(written(tmp_path, "job,arrival,duration_h,kw", "a,2022-01-01T00:00Z,1,1"), 7200, True).jobs
    assert (bare.slack_s.tolist(), bare.interruptible.tolist()) == ([7200], [True])
    lines = (HEAD + ",interruptible", "a,2022-01-01T00:00Z,1,,1,", "b,2022-01-01T00:00Z,1,3,1,false")
    told = read_jobs(written(tmp_path, *lines), 7200, True).jobs
    assert (told.slack_s.tolist(), told.interruptible.tolist()) == ([7200, 10800], [True, False])


def test_arrivals_may_be_counted_in_hours(tmp_path: Path) -> None:
    read = read_jobs(written(tmp_path, HEAD, "a,3,1,1,1", "b,4.5,1,1,1"), 0, False)
    assert (read.counted, read.jobs.arrival_s.tolist()) == (True, [10800, 16200])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("b,yesterday,1,1,1", ":3: arrival is `yesterday`. To mend it: write 2022-01-31T13:00Z"),
        ("b,2022-01-01T00:00Z,0,1,1", ":3: duration_h is `0`. To mend it: give a number above 0"),
        ("b,2022-01-01T00:00Z,1,-1,1", ":3: slack_h is `-1`. To mend it: give a number 0 or more"),
        ("b,2022-01-01T00:00Z,1,1,", ":3: kw is ``. To mend it: give a number 0 or more"),
        ("b,2022-01-01T00:00Z,1e300,1,1", ":3: duration_h is `1e300`. To mend it: give 87840 (ten years) at most"),
        ("b,2022-01-01T00:00Z,1,1e9,1", ":3: slack_h is `1e9`. To mend it: give 87840 (ten years) at most"),
        ("b,2022-01-01T00:00Z,1,1,inf", ":3: kw is `inf`. To mend it: give a number 0 or more"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_own(tmp_path: Path, line: str, told: str) -> None:
    file = written(tmp_path, HEAD, "a,2022-01-01T00:00Z,1,1,1", line)
    with pytest.raises(InvalidInput) as refusal:
        read_jobs(file, 0, False)
    assert str(refusal.value) == f"{file}{told}"


def test_blank_lines_are_passed_over_and_lines_still_count_from_the_top(tmp_path: Path) -> None:
    file = written(tmp_path, HEAD, "", "a,2022-01-01T00:00Z,1,1,1", "b,2022-01-01T00:00Z,x,1,1", "c,2022-01-01,y,1,1")
    with pytest.raises(InvalidInput, match=r":4: duration_h is `x` \(and 1 more\)"):
        read_jobs(file, 0, False)


@pytest.mark.parametrize(("lines", "told"), [((HEAD,), "it has no jobs"), (("job,arrival,kw", "a,1,1"), "duration_h")])
def test_a_file_without_jobs_or_columns_is_refused(tmp_path: Path, lines: tuple[str, ...], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_jobs(written(tmp_path, *lines), 0, False)


def test_hours_that_are_counted_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r":2: arrival is `1e300`.*count 10000000 hours"):
        read_jobs(written(tmp_path, HEAD, "a,1e300,1,1,1"), 0, False)


def test_a_span_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        seconds_of("9" * 400, "--slack")
    with pytest.raises(InvalidInput, match="`soon` is no span of time"):
        seconds_of("soon", "--slack")


def test_capacity_is_one_kw_a_step_without_gaps(tmp_path: Path) -> None:
    good = written(tmp_path, "hour_utc,kw", "1970-01-01T00:00Z,5", "1970-01-01T01:00Z,6")
    assert [each if isinstance(each, int) else each.tolist() for each in read_capacity(good)] == [0, 3600, [5, 6]]
    with pytest.raises(InvalidInput, match="out of order"):
        read_capacity(written(tmp_path, "hour_utc,kw", "1970-01-01T01:00Z,5", "1970-01-01T00:00Z,6"))
