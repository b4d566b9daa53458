"""Bad input of `continuum forecast`, on the command line itself: one line that says what, where and how to mend it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deployments.command import forecast

HEAD = "unique_id,ds,y\n"
HOURS = [f"2026-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z" for hour in range(240)]
GOOD = "".join(f"a,{ds},{10 + hour % 24}\n" for hour, ds in enumerate(HOURS))


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    forecast.register(app)
    app.command("other")(lambda: None)  # with a single command typer would drop its name

    def running(*arguments: object):
        return CliRunner().invoke(app, ["forecast", *map(str, arguments)])

    return running


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text(HEAD + GOOD)
    return path


def refusal(result) -> str:
    """The one line of a refused command."""
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error ")
    assert "To mend it: " in line
    return line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Empty CSV file"),
        (HEAD.encode(), "no usable row (it has none)"),
        (b"unique_id,ds,y\na,2026-01-01T00:00:00Z,1\n", "no series has two rows"),
        (b"unique_id,ds,y\na,2026-01-01T00:00:00Z,many\n", "line 2, column y: 'many' is no number"),
        (b"unique_id,ds,y\na,2026-01-01T00:00:00Z,1e308\n", "line 2, column y: '1e308' is beyond 1e17"),
        (b"unique_id,ds,y\na,2026-01-01T00:00:00Z,NaN\na,2026-01-01T00:05:00Z,NaN\n", "it has no value at all"),
        (b"unique_id;ds;y\na;2026-01-01T00:00:00Z;1,5\n", "line 1: its columns are separated by semicolons"),
        (b"unique_id\tds\ty\na\t2026-01-01T00:00:00Z\t1\n", "line 1: its columns are separated by tabs"),
        (b'unique_id,ds,y\na,2026-01-01T00:00:00Z,"1,5"\n', "line 2, column y: '1,5' has a comma, decimals take a"),
        (b"unique_id,ds,y\na,yesterday,1\n", "line 2, column ds: 'yesterday' is no ISO 8601 time"),
        (b"unique_id,ds,y\na,2026-01-01T00:00:00Z,\xff\n", "is no UTF-8"),
        (b"unique_id,ds\na,2026-01-01T00:00:00Z\n", "column y is not there"),
    ],
)
def test_an_unusable_file_is_one_line(run, tmp_path, content, words):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    line = refusal(run(path))
    assert words in line
    assert "history.csv" in line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.csv", "there is no file here"), (".", "this is a folder"),
        ("broken.parquet", "not a readable Parquet file"), ("broken.csv.gz", "not a readable CSV file"),
        ("cut.csv.gz", "not a readable CSV file"),
    ],
)  # fmt: skip
def test_what_is_no_readable_file_is_one_line(run, tmp_path, name, words):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really PAR1")
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((HEAD + GOOD).encode())[:200])
    assert words in refusal(run(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--horizon", "0"], "--horizon: 0 is not between"), (["--horizon", "-1"], "--horizon: -1 is not between"),
        (["--freq", "7min"], "--freq: '7min': a step of 420 s does not divide a day"),
        (["--freq", "NaT"], "--freq"), (["--levels", "80;95"], "--levels"), (["--levels", "101"], "--levels"),
        (["--origin", "noon"], "--origin"),
        (["--origin", "2025-12-31T00:00:00Z"], "--origin: 2025-12-31T00:00:00+00:00 lies before the first value"),
        (["--origin", "2026-02-01T00:00:00Z"], "--origin: 2026-02-01T00:00:00+00:00 is more than a day after the last"),
        (["--time-zone", "Mars"], "--time-zone: 'Mars' is no time zone"),
        (["--out", "nowhere/out.csv"], "--out nowhere/out.csv: there is no folder nowhere"),
        (["--out", "out.xlsx"], "--out out.xlsx: no format has the suffix '.xlsx'"),
        (["--train", "nowhere.csv"], "nowhere.csv: there is no file here"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line(run, good, arguments, words):
    assert words in refusal(run(good, *arguments))


def test_out_over_the_input_is_refused_and_the_input_stays(run, good):
    assert "this is the input, and would be lost" in refusal(run(good, "--out", good))
    assert good.read_text() == HEAD + GOOD


def test_out_over_the_training_file_is_refused(run, good, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(HEAD + GOOD)
    assert "would be lost" in refusal(run(good, "--train", other, "--out", other))


def document(run, tmp_path: Path, text: bytes, *more: str):
    path = tmp_path / "history.csv"
    path.write_bytes(text)
    result = run(path, "--model", "last-value", "--horizon", 1, "--json", *more)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("a,2026-01-10T23:00:00Z,7\n", "line 242: series a has a value for this time already"),
        ("a,2026-01-11T00:00:00Z,many\n", "line 242, column y: 'many' is no number: row left out"),
        ("a,2026-01-11T00:00:00Z,1e308\n", "line 242, column y: '1e308' is beyond 1e17: row left out"),
        ("a,2026-01-10T23:30:00Z,7\n", "line 242: the time lies between the steps of 3600 s: row left out"),
        ("a,2026-01-11T00:00:00Z\n", "line 242: 2 cells where the header has 3: row left out"),
        (
            "".join(f"b,2026-01-0{day}T00:00:00Z,1\n" for day in range(1, 8)),
            "series b: its rows are not 3600 s apart but about 86400 s: series left out",
        ),
    ],
)
def test_a_bad_row_or_series_is_left_out_by_name_and_the_rest_is_forecast(run, tmp_path, row, line):
    made = document(run, tmp_path, (HEAD + GOOD + row).encode())
    (left,) = made["left_out"]
    assert left.startswith(line)
    assert made["forecast"][0]["ds"] == "2026-01-11T00:00:00+00:00"


def test_unsorted_rows_are_sorted_and_that_is_said(run, tmp_path):
    rows = GOOD.splitlines(keepends=True)
    made = document(run, tmp_path, (HEAD + "".join(reversed(rows))).encode())
    assert "1 series were not in time order: sorted" in made["notes"]
    assert made["left_out"] == []


def test_times_without_zone_are_utc_and_that_is_said(run, tmp_path):
    made = document(run, tmp_path, (HEAD + GOOD.replace("Z", "")).encode())
    assert made["notes"] == ["column ds: 240 time(s) without zone, first in line 2: taken as UTC"]
    assert made["forecast"][0]["ds"] == "2026-01-11T00:00:00+00:00"


def test_an_hour_that_comes_twice_locally_is_two_by_its_offset(run, tmp_path):
    local = ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00"]
    rows = "".join(f"a,2026-10-25T{clock},{value}\n" for value, clock in enumerate(local))
    made = document(run, tmp_path, (HEAD + rows).encode(), "--freq", "1h")
    assert (made["left_out"], made["forecast"][0]["ds"]) == ([], "2026-10-25T03:00:00+00:00")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(run, tmp_path):
    made = document(run, tmp_path, b"\xef\xbb\xbf" + (HEAD + GOOD).replace("\n", "\r\n").encode())
    assert (made["left_out"], made["notes"]) == ([], [])


def test_closer_rows_are_averaged_over_freq(run, tmp_path):
    made = document(run, tmp_path, (HEAD + GOOD).encode(), "--freq", "3h")
    assert made["step_s"] == 10_800
    assert made["notes"] == ["series a: 240 rows, not one each 10800 s: averaged over each step to 80 values"]
    assert made["forecast"][0]["y_hat"] == 32


def test_no_value_after_the_origin_enters_an_average(run, tmp_path):
    garbage = GOOD.replace("a,2026-01-10T23:00:00Z,33", "a,2026-01-10T23:00:00Z,99999")
    origin = ("--freq", "3h", "--origin", "2026-01-10T22:30:00Z")
    assert (document(run, tmp_path, (HEAD + GOOD).encode(), *origin)["forecast"]
            == document(run, tmp_path, (HEAD + garbage).encode(), *origin)["forecast"])  # fmt: skip


def test_interrupting_prints_no_traceback(tmp_path):
    pipe = tmp_path / "slow.csv"
    script = (
        "import signal, sys, tasks.forecasting.files as files\n"
        "def wait(*a, **k):\n    print('reading', flush=True)\n    signal.pause()\n"
        "files.read_history = wait\n"
        f"sys.argv = ['continuum', 'forecast', {str(pipe)!r}]\n"
        "from deployments.command import main\nmain()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])})  # fmt: skip
    try:
        assert child.stdout.readline() == "reading\n"
        child.send_signal(signal.SIGINT)
        _, words = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 130
    assert child.returncode == 130
    assert "Traceback" not in words
