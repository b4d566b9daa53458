"""Series files: Parquet by metric, step and day, in a local folder or an object store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from pyarrow import fs as arrow_fs

from blocks import settings
from blocks.errors import InvalidInput, NotFound, StoreUnavailable
from blocks.series import Series
from blocks.store.series_file import (
    DAY_S,
    Window,
    day_file_name,
    digest,
    file_name,
    is_whole_day,
    load_holds,
    load_table,
    load_window,
    merged,
    overlay,
    store_bytes,
    store_table,
    store_window,
    window_of,
)

_READ_ATTEMPTS = 5


class SeriesStore:
    """Series of any number of metrics.

    Layout: ROOT/metric=NAME/step_s=300/day=2026-01-31/FROM-TO.SHARD.DIGEST.parquet (seconds of the day), and
    `day.DIGEST.parquet` after compaction. A file is written whole under a name that only depends on what it holds, and
    never changes: readers, writers and compactions need no lock, and a repeated append finds its own name.

    Parameters
    ----------
    clock_ns: nanoseconds since 1970; orders the appends, the newest of overlapping values wins.
    """

    def __init__(
        self, filesystem: arrow_fs.FileSystem, root: str, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._fs, self._root, self._clock_ns = filesystem, root.rstrip("/"), clock_ns

    @classmethod
    def open(cls, url: str | None = None, *, clock_ns: Callable[[], int] = time.time_ns) -> Self:
        """Series below `url` (default `settings.series_url()`): a folder, `s3://`, `gs://` or `abfs://`.

        Raises
        ------
        InvalidInput: not a folder or a URL of a known object store.
        """
        url = url or settings.series_url()
        if "://" not in url:
            return cls(arrow_fs.LocalFileSystem(), str(Path(url).expanduser().resolve()), clock_ns=clock_ns)
        try:
            filesystem, root = arrow_fs.FileSystem.from_uri(url)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise InvalidInput(
                "no object store is known by that URL",
                where="CONTINUUM_SERIES_URL",
                fix="give a folder, s3://BUCKET/PATH, gs://BUCKET/PATH or abfs://...",
            ) from error
        return cls(filesystem, root, clock_ns=clock_ns)

    def append(self, metric: str, series: Series, shard: str = "0") -> list[str]:
        """Keep a window of series; returns the paths written, none where all of it was there already.

        The same window again (same names, times and values) changes nothing, also after newer values came or after
        `compact`. Where windows overlap, the newest value that is not missing stays.

        Raises
        ------
        InvalidInput: a step that does not divide the day, a start off the grid, doubled names, a wrong shape.
        """
        _check(series, shard)
        order = np.argsort(np.array(series.unique_id, dtype=object), kind="stable")
        ids = tuple(series.unique_id[row] for row in order)
        values = np.asarray(series.values, np.float32)[order]
        written = []
        for start_s, end_s in _days(series.start_s, series.end_s if ids else series.start_s):
            part = values[:, (start_s - series.start_s) // series.step_s : (end_s - series.start_s) // series.step_s]
            name = digest(ids, start_s, series.step_s, part)
            window = Window(ids, start_s, series.step_s, part, self._clock_ns(), frozenset({name}))
            folder = self._folder(metric, series.step_s, _day(start_s))
            path = f"{folder}/{file_name(start_s, end_s, shard, name)}"
            with self._translated():
                there = self._files(folder)
                days = [file for file in there if is_whole_day(_base(file))]
                if path in there or any(name in load_holds(self._fs, file) for file in days):
                    continue
                store_window(self._fs, path, window)
            written.append(path)
        return written

    def read(self, metric: str, start_s: int, end_s: int, ids: Sequence[str] | None = None, *,
             step_s: int | None = None) -> Series:  # fmt: skip
        """Dense (S, T) matrix of [start_s, end_s), its first column the step that holds start_s; NaN is not known.

        `ids` gives the rows and their order (default: every series known in that time, ascending); `step_s` is needed
        only where a metric is kept in several.

        Raises
        ------
        NotFound: nothing was ever kept of this metric (in this step).
        InvalidInput: several steps and none chosen, or an id given twice.
        StoreUnavailable: a file cannot be read, or is damaged.
        """
        if ids is not None and len(set(ids)) != len(ids):
            raise InvalidInput("a series is asked for twice", where=f"metric {metric}", fix="give each id once")
        with self._translated():
            step_s = self._step(metric, step_s)
            first = start_s // step_s * step_s
            columns = max(0, -(-(end_s - first) // step_s))
            wanted = None if ids is None else sorted(ids)
            windows = [window for begin, end in _days(first, first + columns * step_s)
                       for window in self._day_windows(metric, step_s, begin, end, wanted)]  # fmt: skip
        if ids is None:
            ids = sorted(set().union(*{window.unique_id for window in windows}))
        return Series(tuple(ids), first, step_s, overlay(windows, ids, first, step_s, columns))

    def compact(self, metric: str, day: date) -> int:
        """Merge a day's files into one; returns how many were merged. Anything else may go on meanwhile."""
        count = 0
        start_s = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        with self._translated():
            for step_s in self._steps(metric):
                folder = self._folder(metric, step_s, day)
                windows = {path: window for path in self._loose(folder) if (window := self._load(path)) is not None}
                if not windows:
                    continue
                whole = merged(list(windows.values()), start_s, start_s + DAY_S)
                target = f"{folder}/{day_file_name(whole.holds)}"
                store_window(self._fs, target, whole)
                for path in windows.keys() - {target}:  # killed before this is done, the next compaction merges again
                    with suppress(FileNotFoundError):  # another compaction was faster
                        self._fs.delete_file(path)
                        count += 1
        return count

    def uncompacted(self, before: date) -> list[tuple[str, date]]:
        """(metric, day) of each day before `before` that `compact` would change, ascending."""
        found = set()
        with self._translated():
            for metric in self._children(self._root, "metric"):
                for step_s in self._steps(metric):
                    days = self._children(f"{self._metric_folder(metric)}/step_s={step_s}", "day")
                    found |= {(metric, day) for day in map(date.fromisoformat, days)
                              if day < before and self._loose(self._folder(metric, step_s, day))}  # fmt: skip
        return sorted(found)

    def forget(self, before: date, *, dry: bool = False) -> int:
        """Take away every file of the days before `before`; how many there are. `dry` only counts."""
        count = 0
        with self._translated():
            for metric in self._children(self._root, "metric"):
                for step_s in self._steps(metric):
                    for day in self._children(f"{self._metric_folder(metric)}/step_s={step_s}", "day"):
                        if date.fromisoformat(day) >= before:
                            continue
                        folder = self._folder(metric, step_s, date.fromisoformat(day))
                        count += len(self._files(folder))
                        if not dry:
                            self._fs.delete_dir(folder)
        return count

    def write_table(self, path: str, table: pa.Table) -> None:
        """Write another table beside the series (`path` below the root), whole or not at all."""
        with self._translated():
            store_table(self._fs, f"{self._root}/{path}", table, compression="zstd")

    def read_table(self, path: str) -> pa.Table:
        """Read a table that `write_table` wrote. StoreUnavailable: it is gone or damaged."""
        with self._translated():
            return load_table(self._fs, f"{self._root}/{path}")

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write another file beside the series, whole or not at all."""
        with self._translated():
            store_bytes(self._fs, f"{self._root}/{path}", content)

    def read_bytes(self, path: str) -> bytes:
        """Content of a file that `write_bytes` wrote. NotFound: it is not there."""
        with self._translated():
            try:
                with self._fs.open_input_stream(f"{self._root}/{path}", compression=None) as source:
                    return bytes(source.read())
            except FileNotFoundError as error:
                raise NotFound("there is no such file", where=path) from error

    def reader(self, path: str) -> pa.NativeFile:
        """A file to seek and read in, so that it need not fit into memory. NotFound: there is none."""
        with self._translated():
            try:
                return self._fs.open_input_file(f"{self._root}/{path}")
            except FileNotFoundError as error:
                raise NotFound("there is no such file", where=path) from error

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, ascending; none where there is no folder."""
        selector = arrow_fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True)
        with self._translated():
            found = [info.base_name for info in self._fs.get_file_info(selector) if info.is_file]
        return sorted(name for name in found if not name.startswith("."))

    def remove(self, path: str) -> None:
        """Take a file away; nothing happens where it is gone already."""
        with self._translated(), suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._root}/{path}")

    def _day_windows(self, metric: str, step_s: int, start_s: int, end_s: int,
                     ids: Sequence[str] | None) -> list[Window]:  # fmt: skip
        """Windows of one day that reach into [start_s, end_s)."""
        folder, midnight = self._folder(metric, step_s, _day(start_s)), start_s // DAY_S * DAY_S
        for _ in range(_READ_ATTEMPTS):
            windows = []
            for path in self._files(folder):
                begin, end = window_of(_base(path)) or (0, 0)
                if midnight + begin < end_s and midnight + end > start_s:
                    windows.append(self._load(path, ids))
            if None not in windows:
                return [window for window in windows if window is not None]
            # A compaction took a file away between our listing and our reading: list again.
        raise StoreUnavailable("its files keep changing", where=folder, fix="read again when the compaction has ended")

    def _load(self, path: str, ids: Sequence[str] | None = None) -> Window | None:
        try:
            return load_window(self._fs, path, ids)
        except FileNotFoundError:
            return None

    def _loose(self, folder: str) -> list[str]:
        """A day's files, where they are not yet one compacted file."""
        files = self._files(folder)
        return files if len(files) > 1 or any(not is_whole_day(_base(file)) for file in files) else []

    def _files(self, folder: str) -> list[str]:
        selector = arrow_fs.FileSelector(folder, allow_not_found=True)
        # Paths are put together here: some object stores begin the ones they list with another prefix.
        names = (info.base_name for info in self._fs.get_file_info(selector))
        return sorted(f"{folder}/{name}" for name in names if window_of(name))

    def _children(self, folder: str, key: str) -> list[str]:
        selector = arrow_fs.FileSelector(folder, allow_not_found=True)
        names = [info.base_name for info in self._fs.get_file_info(selector)]
        return sorted(unquote(name.removeprefix(f"{key}=")) for name in names if name.startswith(f"{key}="))

    def _steps(self, metric: str) -> list[int]:
        return sorted(int(step) for step in self._children(self._metric_folder(metric), "step_s"))

    def _step(self, metric: str, step_s: int | None) -> int:
        steps = self._steps(metric)
        if not steps or (step_s is not None and step_s not in steps):
            raise NotFound("nothing of it is kept" + (f" in steps of {step_s} s" if steps else ""),
                           where=f"metric {metric}", fix="run demand-forecasting once, or check the name")  # fmt: skip
        if step_s is None and len(steps) > 1:
            raise InvalidInput(f"it is kept in several steps: {steps} s", where=f"metric {metric}", fix="give step_s")
        return step_s or steps[0]

    def _metric_folder(self, metric: str) -> str:
        return f"{self._root}/metric={quote(metric, safe='')}"

    def _folder(self, metric: str, step_s: int, day: date) -> str:
        return f"{self._metric_folder(metric)}/step_s={step_s}/day={day.isoformat()}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"the series cannot be reached: {error.strerror or error}",
                where=self._root,
                fix="check the folder or bucket, its free space and the right to write there",
            ) from error


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _day(second: int) -> date:
    return datetime.fromtimestamp(second, UTC).date()


def _days(start_s: int, end_s: int) -> Iterator[tuple[int, int]]:
    """[start_s, end_s) cut at UTC midnights.

    >>> list(_days(86_000, 87_000))
    [(86000, 86400), (86400, 87000)]
    """
    while start_s < end_s:
        midnight = min((start_s // DAY_S + 1) * DAY_S, end_s)
        yield start_s, midnight
        start_s = midnight


def _check(series: Series, shard: str) -> None:
    where = f"series from {series.start_s} s"
    if not shard:
        raise InvalidInput("the shard has no name", where=where, fix="give one, e.g. '0'")
    if series.step_s <= 0 or DAY_S % series.step_s or series.start_s % series.step_s:
        raise InvalidInput(f"a step of {series.step_s} s does not lie on the day's grid", where=where,
                           fix="resample to a step that divides the day, starting on a multiple of it")  # fmt: skip
    if series.values.ndim != 2 or series.values.shape[0] != len(series.unique_id):
        raise InvalidInput(f"{len(series.unique_id)} names do not fit values of shape {series.values.shape}",
                           where=where, fix="give one row a name")  # fmt: skip
    if len(set(series.unique_id)) != len(series.unique_id):
        doubled = next(name for name in series.unique_id if series.unique_id.count(name) > 1)
        raise InvalidInput(f"{doubled} is there twice", where=where, fix="sum or drop one of the two")
