"""Series files: appending twice changes nothing, newer values win, and a crash leaves no half file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs as arrow_fs

from blocks.errors import InvalidInput, NotFound, StoreUnavailable
from blocks.series import Series
from blocks.store.series import SeriesStore

MIDNIGHT = 20_484 * 86_400  # 2026-01-31T00:00Z
DAY = date(2026, 1, 31)
NAN = float("nan")


def series(start: int, rows: dict[str, list[float]], step_s: int = 300) -> Series:
    return Series(tuple(rows), MIDNIGHT + start * step_s, step_s, np.array(list(rows.values()), np.float32))


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SeriesStore]:
    clock = count(1)
    if request.param == "folder":
        yield SeriesStore.open(str(tmp_path), clock_ns=lambda: next(clock))
    else:
        # Arrow's handler takes the generic path that S3, GCS and Azure take; folders exist as soon as an object does.
        handler = arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(pytest.importorskip("fsspec").filesystem("memory")))
        yield SeriesStore(handler, f"bucket{tmp_path}", clock_ns=lambda: next(clock))


def test_a_window_comes_back_in_the_order_asked_for(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"b": [1, 2], "a": [3, NAN]}))
    read = store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 900, ["b", "unknown", "a"])
    assert read.unique_id == ("b", "unknown", "a")
    assert (read.start_s, read.step_s, read.values.dtype) == (MIDNIGHT, 300, np.float32)
    np.testing.assert_array_equal(read.values, [[1, 2, NAN], [NAN, NAN, NAN], [3, NAN, NAN]])


def test_without_ids_every_series_of_that_time_comes_ascending(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"b": [1]}))
    store.append("cpu_cores", series(1, {"a": [2]}), shard="1")
    store.append("cpu_cores", series(2, {"c": [3]}))
    assert store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 600).unique_id == ("a", "b")


def test_a_read_begins_with_the_step_that_holds_its_start(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"a": [1, 2, 3]}))
    read = store.read("cpu_cores", MIDNIGHT + 310, MIDNIGHT + 601)
    assert read.start_s == MIDNIGHT + 300
    np.testing.assert_array_equal(read.values, [[2, 3]])


def test_a_window_over_midnight_is_cut_into_days(store: SeriesStore) -> None:
    paths = store.append("cpu_cores", series(286, {"a": [1, 2, 3]}))
    assert [path.rpartition("step_s=300/")[2][:29] for path in paths] == [
        "day=2026-01-31/85800-86400.0.", "day=2026-02-01/00000-00300.0."]  # fmt: skip
    read = store.read("cpu_cores", MIDNIGHT + 285 * 300, MIDNIGHT + 290 * 300)
    np.testing.assert_array_equal(read.values, [[NAN, 1, 2, 3, NAN]])


def test_the_same_window_again_changes_no_byte(tmp_path: Path) -> None:
    store = SeriesStore.open(str(tmp_path))
    window = series(0, {"a": [1, 2], "b": [3, 4]})
    assert len(store.append("cpu_cores", window)) == 1
    before = contents(tmp_path)
    assert store.append("cpu_cores", window) == []
    assert contents(tmp_path) == before


def test_a_late_repeat_never_hides_newer_values(store: SeriesStore) -> None:
    first = series(0, {"a": [1, 1]})
    store.append("cpu_cores", first)
    store.append("cpu_cores", series(1, {"a": [2, 2]}))
    store.append("cpu_cores", first)
    np.testing.assert_array_equal(store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 900).values, [[1, 2, 2]])
    store.compact("cpu_cores", DAY)
    assert store.append("cpu_cores", first) == []
    np.testing.assert_array_equal(store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 900).values, [[1, 2, 2]])


def test_a_corrected_window_keeps_the_values_it_does_not_know(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"a": [1, 2], "b": [3, 4]}))
    store.append("cpu_cores", series(0, {"a": [NAN, 9]}))
    np.testing.assert_array_equal(store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 600).values, [[1, 9], [3, 4]])


windows = st.lists(
    st.tuples(st.integers(280, 292), st.sampled_from([("a",), ("b", "a"), ("c", "a", "b")]), st.integers(1, 6),
              st.sampled_from(["0", "1"]), st.integers(0, 10_000)),
    min_size=1, max_size=6)  # fmt: skip


@given(windows, st.booleans())
@settings(max_examples=40)
def test_reading_gives_the_newest_known_value_of_every_step(appends: list, compacted: bool) -> None:
    # Brute force: a dictionary of (name, step) that each append of a new window overwrites where it knows a value.
    with tempfile.TemporaryDirectory() as root:
        clock = count(1)
        store = SeriesStore.open(root, clock_ns=lambda: next(clock))
        known: dict[tuple[str, int], float] = {}
        for begin, ids, length, shard, seed in appends:
            values = np.random.default_rng(seed).integers(0, 4, (len(ids), length)).astype(np.float32)
            values[values == 0] = NAN
            window = Series(ids, MIDNIGHT + begin * 300, 300, values)
            if store.append("cpu_cores", window, shard=shard):
                known |= {(name, begin + step): float(values[row, step]) for row, name in enumerate(ids)
                          for step in range(length) if not np.isnan(values[row, step])}  # fmt: skip
        if compacted:
            assert store.compact("cpu_cores", DAY) >= 0
        read = store.read("cpu_cores", MIDNIGHT + 278 * 300, MIDNIGHT + 300 * 300, ["c", "b", "a"])
    found = {(name, 278 + step): float(read.values[row, step]) for row, name in enumerate(read.unique_id)
             for step in range(read.values.shape[1]) if not np.isnan(read.values[row, step])}  # fmt: skip
    assert found == known


def test_compaction_leaves_one_file_and_the_same_values(store: SeriesStore) -> None:
    for step in range(6):
        store.append("cpu_cores", series(step, {"a": [step], "b": [-step]}), shard=str(step % 2))
    before = store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 86_400)
    assert store.uncompacted(date(2026, 2, 1)) == [("cpu_cores", DAY)]
    assert store.compact("cpu_cores", DAY) == 6
    assert store.uncompacted(date(2026, 2, 1)) == []
    assert store.compact("cpu_cores", DAY) == 0
    np.testing.assert_array_equal(store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 86_400).values, before.values)
    store.append("cpu_cores", series(0, {"a": [7]}))
    assert store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300, ["a"]).values[0, 0] == 7


def test_a_compaction_that_was_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SeriesStore.open(str(tmp_path))
    for step in range(3):
        store.append("cpu_cores", series(step, {"a": [step]}))
    loose = contents(tmp_path)
    store.compact("cpu_cores", DAY)
    for name, content in loose.items():  # as if it had been killed before it deleted them
        (tmp_path / name).write_bytes(content)
    store.append("cpu_cores", series(1, {"a": [9]}))
    assert store.compact("cpu_cores", DAY) == 5
    np.testing.assert_array_equal(store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 900).values, [[0, 9, 2]])


def test_two_compactions_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = SeriesStore.open(str(tmp_path)), SeriesStore.open(str(tmp_path))
    slow.append("cpu_cores", series(0, {"a": [1]}))
    listed = slow._files

    def then_the_other(folder: str) -> list[str]:
        files = listed(folder)
        monkeypatch.setattr(slow, "_files", listed)
        fast.append("cpu_cores", series(1, {"a": [2]}))
        fast.compact("cpu_cores", DAY)
        return files

    monkeypatch.setattr(slow, "_files", then_the_other)
    slow.compact("cpu_cores", DAY)
    assert fast.read("cpu_cores", MIDNIGHT, MIDNIGHT + 600).values.tolist() == [[1, 2]]


def test_a_day_that_is_not_over_is_not_compacted(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"a": [1]}))
    assert store.uncompacted(DAY) == []


def test_a_reader_lists_again_when_a_compaction_takes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SeriesStore.open(str(tmp_path))
    store.append("cpu_cores", series(0, {"a": [1]}))
    listed = store._files

    def then_compact(folder: str) -> list[str]:
        monkeypatch.setattr(store, "_files", listed)
        files = listed(folder)
        SeriesStore.open(str(tmp_path)).compact("cpu_cores", DAY)
        return files

    monkeypatch.setattr(store, "_files", then_compact)
    assert store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300).values.tolist() == [[1]]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_breaks_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = SeriesStore.open(str(tmp_path))
    store.append("cpu_cores", series(0, {"a": [1]}))
    before = contents(tmp_path)
    monkeypatch.setattr(step, full)
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        store.append("cpu_cores", series(0, {"a": [2]}))
    assert contents(tmp_path) == before


def test_a_left_over_temporary_file_is_not_read(tmp_path: Path) -> None:
    store = SeriesStore.open(str(tmp_path))
    path = Path(store.append("cpu_cores", series(0, {"a": [1]}))[0])
    (path.parent / ".tmp-1234").write_bytes(b"half")
    assert store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300).values.tolist() == [[1]]


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    store = SeriesStore.open(str(tmp_path))
    path = Path(store.append("cpu_cores", series(0, {"a": [1]}))[0])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreUnavailable, match=rf"{path.name}: the file is damaged.*move it away"):
        store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300)


def test_a_large_file_is_read_only_where_the_wanted_series_are(tmp_path: Path) -> None:
    store = SeriesStore.open(str(tmp_path))
    store.append("cpu_cores", series(0, {f"{i:05d}": [float(i)] for i in range(2500)}))
    read = store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300, ["02400", "00001", "nobody"])
    np.testing.assert_array_equal(read.values, [[2400], [1], [NAN]])


def test_names_too_long_for_statistics_are_found(tmp_path: Path) -> None:
    store, name = SeriesStore.open(str(tmp_path)), "x" * 10_000
    store.append("cpu_cores", series(0, {name: [1]}))
    assert store.read("cpu_cores", MIDNIGHT, MIDNIGHT + 300, [name]).values.tolist() == [[1]]


def test_an_unknown_metric_is_not_found(store: SeriesStore) -> None:
    with pytest.raises(NotFound, match="metric cpu_cores: nothing of it is kept"):
        store.read("cpu_cores", 0, 300)


def test_a_known_metric_without_data_in_that_time_is_missing_not_zero(store: SeriesStore) -> None:
    store.append("cpu_cores", series(0, {"a": [1]}))
    read = store.read("cpu_cores", MIDNIGHT + 86_400, MIDNIGHT + 87_000, ["a"])
    assert np.isnan(read.values).all()
    assert read.values.shape == (1, 2)
    assert store.read("cpu_cores", MIDNIGHT + 86_400, MIDNIGHT + 87_000).values.shape == (0, 2)


def test_a_metric_kept_in_two_steps_wants_the_step_named(store: SeriesStore) -> None:
    store.append("cpu:usage/cores", series(0, {"a": [1]}))
    store.append("cpu:usage/cores", series(0, {"a": [2]}, step_s=60))
    with pytest.raises(InvalidInput, match=r"several steps: \[60, 300\] s"):
        store.read("cpu:usage/cores", MIDNIGHT, MIDNIGHT + 60)
    assert store.read("cpu:usage/cores", MIDNIGHT, MIDNIGHT + 60, step_s=60).values.tolist() == [[2]]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Series(("a",), 300, 7 * 60, np.zeros((1, 1), np.float32)), "grid"),
        (Series(("a",), 301, 300, np.zeros((1, 1), np.float32)), "grid"),
        (Series(("a", "b"), 300, 300, np.zeros((1, 1), np.float32)), "do not fit"),
        (Series(("a", "a"), 300, 300, np.zeros((2, 1), np.float32)), "a is there twice"),
    ],
)
def test_a_window_that_cannot_be_kept_is_refused(tmp_path: Path, broken: Series, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        SeriesStore.open(str(tmp_path)).append("cpu_cores", broken)
    assert contents(tmp_path) == {}


def test_an_empty_window_writes_nothing(tmp_path: Path) -> None:
    store = SeriesStore.open(str(tmp_path))
    assert store.append("cpu_cores", Series((), MIDNIGHT, 300, np.zeros((0, 5), np.float32))) == []
    assert store.append("cpu_cores", series(0, {"a": []})) == []


def test_an_unknown_object_store_is_refused() -> None:
    with pytest.raises(InvalidInput, match="s3://BUCKET/PATH"):
        SeriesStore.open("ftp://host/path")


def test_the_default_is_a_folder_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_SERIES_URL", raising=False)
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    path = SeriesStore.open().append("cpu_cores", series(0, {"a": [1]}))[0]
    assert Path(path).is_relative_to(tmp_path / "series")
