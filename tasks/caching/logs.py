"""Access logs, streamed: CSV or Parquet `ts, site, object, bytes`, nginx or Varnish combined, CloudFront.

A line that does not fit is left out, counted by what is wrong with it, and the first few are named; the rest is used.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.caching.decide.requests import Requests

COLUMNS = ("ts", "site", "object", "bytes")
CHUNK_BYTES = 1 << 25
NAMED = 5  # lines left out that are named
DAY_S, AHEAD_DAYS = 86_400.0, 30  # a site that is so far ahead outweighs all others
MOST_BYTES, LAST_S = 10**15, 4_102_444_800  # a petabyte; the year 2100
_COMBINED = r'^\S+ \S+ \S+ \[([^\]]+)\] "(\S+) (\S+)[^"]*" (\d{3}) (\d+|-)'
_QUOTED = r'("(?:[^"]|"")*"|[^,"]*)(?:,|$)'

# Time: a number of seconds (or milli-, micro-, nanoseconds, by its size), or ISO 8601, UTC where it bears no offset.
_READ = """
SELECT number, coalesce(n / CASE WHEN n < 1e11 THEN 1 WHEN n < 1e14 THEN 1e3 WHEN n < 1e17 THEN 1e6 ELSE 1e9 END,
                        epoch(try_cast(ts AS TIMESTAMPTZ))) AS at,
       trim(site) AS site, trim(object) AS object, try_cast(bytes AS DOUBLE) AS size
FROM (SELECT *, try_cast(ts AS DOUBLE) AS n FROM ({rows}))
"""
_CSV = """
SELECT number, cells[{ts}] AS ts, cells[{site}] AS site, cells[{object}] AS object, cells[{bytes}] AS bytes
FROM (SELECT number, CASE WHEN contains(line, '"')
      THEN list_transform(regexp_extract_all(line, '{quoted}', 1), lambda x: CASE WHEN starts_with(x, '"')
                          THEN replace(x[2:-2], '""', '"') ELSE x END)
      ELSE string_split(line, ',') END AS cells FROM lines)
"""
_LINES = """
SELECT number, epoch(try_strptime(told.ts, '%d/%b/%Y:%H:%M:%S %z'))::VARCHAR AS ts, '{site}' AS site,
       nullif(told.object, '') AS object, replace(told.bytes, '-', '0') AS bytes
FROM (SELECT number, regexp_extract(line, '{pattern}', ['ts', 'method', 'object', 'status', 'bytes']) AS told
      FROM lines)
WHERE told.status = '' OR (told.method IN ('GET', 'HEAD') AND told.status IN ('200', '206', '304'))
"""
_CLOUDFRONT = """
SELECT number, cells[{date}] || 'T' || cells[{time}] || 'Z' AS ts, cells[{site}] AS site,
       cells[{object}] || CASE WHEN cells[{query}] IN ('-', '') THEN '' ELSE '?' || cells[{query}] END AS object,
       cells[{bytes}] AS bytes
FROM (SELECT number, string_split(line, chr(9)) AS cells FROM lines WHERE NOT starts_with(line, '#'))
WHERE cells[{status}] IS NULL
      OR (cells[{method}] IN ('GET', 'HEAD') AND cells[{status}] IN ('200', '206', '304', '000'))
"""
_CLOUDFRONT_FIELDS = {"date": "date", "time": "time", "site": "x-edge-location", "bytes": "sc-bytes",
                      "method": "cs-method", "object": "cs-uri-stem", "status": "sc-status",
                      "query": "cs-uri-query"}  # fmt: skip

Told = Callable[[float], None]


@dataclass
class AccessLog:
    """A log as arrays, the names behind its numbers, and what was left out of it.

    `left_out` counts lines by what is wrong with them, `first` names some; `not_cacheable` counts requests that no
    cache answers (no GET, or a status other than 200, 206 and 304).
    """

    requests: Requests
    sites: list[str]
    objects: pa.Array
    left_out: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    not_cacheable: int = 0

    def object_name(self, number: int) -> str:
        """The name behind a number."""
        return str(self.objects[number].as_py())

    @property
    def distinct_bytes(self) -> int:
        """Bytes of all objects together."""
        return int(self.requests.size.sum())

    def notes(self) -> list[str]:
        """What people should know of the log: lines left out, sites whose clock seems to be ahead."""
        told = [f"{many} lines left out: {words}" for words, many in sorted(self.left_out.items())]
        told += [f"left out, e.g. {line}" for line in self.first]
        last_s = np.zeros(len(self.sites))
        np.maximum.at(last_s, self.requests.site, self.requests.ts_s)
        ahead_s = last_s - np.median(last_s)
        for site in np.flatnonzero(ahead_s > AHEAD_DAYS * DAY_S).tolist():
            told.append(f"site {self.sites[site]}: its newest request is {ahead_s[site] / DAY_S:.1f} days after most "
                        "sites': see to its clock, or leave it out")  # fmt: skip
        return told

    def record(self) -> dict[str, Any]:
        """What was read, for a JSON document."""
        return {"requests": len(self.requests), "sites": len(self.sites), "objects": len(self.objects),
                "distinct_bytes": self.distinct_bytes, "left_out": sum(self.left_out.values()),
                "left_out_first": self.first, "not_cacheable": self.not_cacheable}  # fmt: skip


class _Rows:
    """What has been read so far."""

    def __init__(self) -> None:
        self.at: list[NDArray[np.float64]] = []
        self.size: list[NDArray[np.float64]] = []
        self.names: tuple[list[pa.Array], list[pa.Array]] = ([], [])
        self.left_out: Counter[str] = Counter()
        self.first: list[str] = []
        self.seen = self.kept = 0

    def take(self, table: pa.Table, where: str, seen: int) -> None:
        """Keep the rows of a batch that fit."""
        at, size = (_floats(table[name]) for name in ("at", "size"))
        site, item = (table[name].combine_chunks().fill_null("") for name in ("site", "object"))
        empty_site, empty_item = (pa.compute.equal(each, "").to_numpy(zero_copy_only=False) for each in (site, item))
        wrong = {"ts is no time": ~((at >= 0) & (at <= LAST_S)), "site is empty": empty_site,
                 "object is empty": empty_item, "bytes is no size": ~((size >= 0) & (size <= MOST_BYTES))}  # fmt: skip
        good = np.ones(len(at), np.bool_)
        for words, rows in wrong.items():
            bad = np.flatnonzero(rows & good)
            good[bad] = False
            if len(bad):
                self.left_out[words] += len(bad)
                line = table["number"][int(bad[0])].as_py()
                if len(self.first) < NAMED:
                    self.first.append(f"{where}:{line}: {words}")
        mask = pa.array(good)
        self.at.append(at[good])
        self.size.append(np.floor(size[good]))
        for names, column in zip(self.names, (site, item), strict=True):
            names.append(column.filter(mask).dictionary_encode())
        self.seen += seen
        self.kept += len(at)


def read_log(path: Path, told: Told = lambda _: None) -> AccessLog:
    """The log in a file, or in all files of a folder; `told` is called with the share that is read.

    The site of an nginx or Varnish log is its file's name up to the first dot. The size of an object is the largest
    that was sent of it, as answers to `If-None-Match` and ranges are smaller.

    Raises
    ------
    InvalidInput: no such file, no format that we know, a column is absent, or no line fits.
    """
    files = (
        sorted(each for each in path.iterdir() if each.is_file() and each.name[0] != ".") if path.is_dir() else [path]
    )
    if not files or not files[0].is_file():
        raise InvalidInput(
            "there is no log here", where=str(path), fix="give a CSV, Parquet or access log, or a folder of them"
        )
    rows, connection = _Rows(), duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    for number, file in enumerate(files):
        for batch, seen, share in _batches(connection, file):
            rows.take(batch, str(file), seen)
            told((number + share) / len(files))
    return _made(rows, str(path))


def _made(rows: _Rows, where: str) -> AccessLog:
    at = np.concatenate(rows.at) if rows.at else np.zeros(0)
    if not len(at):
        first = f" ({rows.first[0]})" if rows.first else ""
        raise InvalidInput(f"no line of it is a request{first}", where=where,
                           fix=f"give {', '.join(COLUMNS)}, or a log of nginx, Varnish or CloudFront")  # fmt: skip
    order = np.argsort(at, kind="stable")
    numbers, names = zip(*(_numbered(column) for column in rows.names), strict=True)
    size = np.zeros(len(names[1]))
    np.maximum.at(size, numbers[1], np.concatenate(rows.size))
    requests = Requests(at[order], numbers[0][order], numbers[1][order], np.maximum(size, 1.0), len(names[0]))
    return AccessLog(requests, names[0].to_pylist(), names[1], rows.left_out, rows.first, rows.seen - rows.kept)


def _numbered(chunks: list[pa.Array]) -> tuple[NDArray[np.int64], pa.Array]:
    whole = pa.chunked_array(chunks).unify_dictionaries()
    return np.concatenate([each.indices.to_numpy() for each in whole.chunks]).astype(np.int64), whole.chunk(
        0
    ).dictionary


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.combine_chunks().cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))


def _batches(connection: duckdb.DuckDBPyConnection, file: Path) -> Iterator[tuple[pa.Table, int, float]]:
    """Rows, the number of lines behind them, and the share of the file that is done."""
    if file.suffix == ".parquet":
        yield from _parquet(connection, file)
        return
    sql = None
    for lines, first, share in _chunks(file):
        if sql is None:
            sql, header = _sql_of(file, lines)
            lines, first = lines[header:], first + header
        numbers = np.arange(first, first + len(lines))
        full = np.array([bool(line) and not line.startswith("#") for line in lines], np.bool_)
        told = pa.table({"line": pa.array(lines, pa.string()), "number": numbers}).filter(pa.array(full))
        connection.register("lines", told)
        yield connection.sql(_READ.format(rows=sql)).to_arrow_table(), told.num_rows, share


def _parquet(connection: duckdb.DuckDBPyConnection, file: Path) -> Iterator[tuple[pa.Table, int, float]]:
    try:
        found = connection.read_parquet(str(file))
        absent = [name for name in COLUMNS if name not in found.columns]
        if absent:
            raise _no_column(file, absent[0], found.columns)
        columns = ", ".join(f'"{name}"::VARCHAR AS {name}' for name in COLUMNS)
        rows = found.project(f"row_number() OVER () AS number, {columns}")
        total, done = max(found.count("*").fetchall()[0][0], 1), 0
        for batch in connection.sql(_READ.format(rows="SELECT * FROM rows")).to_arrow_reader(1 << 20):
            done += batch.num_rows
            yield pa.Table.from_batches([batch]), batch.num_rows, done / total
        del rows
    except duckdb.Error as error:
        raise InvalidInput(f"not a readable Parquet file ({str(error).splitlines()[0]:.80})", where=str(file),
                           fix="write it again, or give CSV") from error  # fmt: skip


def _chunks(file: Path) -> Iterator[tuple[list[str], int, float]]:
    """Lines without their ends, the number of the first of them, and the share of the file that is read."""
    first, rest = 1, b""
    size = max(file.stat().st_size, 1)
    try:
        with file.open("rb") as raw:
            source: IO[bytes] = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw  # type: ignore[assignment]
            while chunk := source.read(CHUNK_BYTES):
                head, end, tail = (rest + chunk).rpartition(b"\n")
                rest = tail
                if end:
                    lines = _decoded(head, first)
                    yield lines, first, min(raw.tell() / size, 1.0)
                    first += len(lines)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"cannot be read ({error})", where=str(file), fix="check the file") from error
    if rest:
        yield _decoded(rest, first), first, 1.0


def _decoded(text: bytes, first: int) -> list[str]:
    if first == 1:
        text = text.removeprefix(b"\xef\xbb\xbf")
    return [line.rstrip("\r") for line in text.decode("utf-8", "replace").split("\n")]


def _sql_of(file: Path, lines: list[str]) -> tuple[str, int]:
    """How to read a text log, and how many lines its header takes."""
    for number, line in enumerate(lines):
        if line.startswith("#Fields:"):
            fields = line.removeprefix("#Fields:").split()
            absent = [name for name in _CLOUDFRONT_FIELDS.values() if name not in fields]
            if absent:
                raise _no_column(file, absent[0], fields)
            places = {name: fields.index(field) + 1 for name, field in _CLOUDFRONT_FIELDS.items()}
            return _CLOUDFRONT.format(**places), number + 1
        if not line.strip() or line.startswith("#"):
            continue
        if re.match(_COMBINED, line):
            site = file.name.split(".")[0].replace("'", "''")
            return _LINES.format(site=site, pattern=_COMBINED), number
        try:
            header = [name.strip().lower() for name in next(csv.reader([line]))]
        except (csv.Error, StopIteration):
            raise _no_column(file, COLUMNS[0], [repr(line[:40])]) from None
        absent = [name for name in COLUMNS if name not in header]
        if absent:
            raise _no_column(file, absent[0], header)
        return _CSV.format(quoted=_QUOTED, **{name: header.index(name) + 1 for name in COLUMNS}), number + 1
    raise InvalidInput("it is empty", where=str(file), fix=f"give {', '.join(COLUMNS)}")


def _no_column(file: Path, absent: str, found: list[str]) -> InvalidInput:
    return InvalidInput(f"it has no column `{absent}` (but {', '.join(found)[:120]})", where=str(file),
                        fix=f"give {', '.join(COLUMNS)}, or a log of nginx, Varnish or CloudFront")  # fmt: skip
