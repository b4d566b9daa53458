"""A Prometheus server (or anything with its query API) as series on a grid."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Self

import numpy as np
import requests
from numpy.typing import NDArray

from blocks.errors import ContinuumError, InvalidInput, TimedOut, Unreachable
from blocks.fleet import Metrics
from blocks.http import credentials, fetch_json, session, shown
from blocks.series import Series, utc

MAX_POINTS = 10_000  # Prometheus refuses more than 11,000 points a series in one request
LONGEST_GET = 2_000  # longer queries go in a body, because proxies cut long URLs

_FIELD = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")


class RangeSeries(NamedTuple):
    """One series of a range query: its labels, (T,) times in epoch seconds, (T,) float64 values in its own unit."""

    labels: dict[str, str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]


class Sample(NamedTuple):
    """One value of an instant query; a scalar has no labels."""

    labels: dict[str, str]
    time_s: float
    value: float


class PrometheusSource:
    """Queries one server. All times are epoch seconds of the server's own clock (see `now`)."""

    def __init__(self, url: str, http: requests.Session) -> None:
        self._url, self._http, self._where = url.rstrip("/"), http, f"metrics {shown(url)}"

    def __repr__(self) -> str:
        return f"PrometheusSource({shown(self._url)!r})"

    @classmethod
    def from_metrics(cls, metrics: Metrics) -> Self:
        """The server that an inventory names.

        Raises
        ------
        NotConfigured: a credential's variable is unset, or the CA file is not there.
        """
        auth = credentials(
            username=metrics.username,
            password=metrics.password,
            token=metrics.token,
            where=f"metrics {shown(metrics.url)}",
        )
        return cls(metrics.url, session(auth=auth, ca_file=metrics.ca_file, verify_tls=metrics.verify_tls))

    def now(self) -> datetime:
        """The server's time, UTC: every question about "now" asks the source of the data, never this machine."""
        with _wellformed(self._where):
            return utc(self.instant("time()")[0].value)

    def instant(self, query: str, at_s: float | None = None) -> list[Sample]:
        """The value of every series of `query` at `at_s` (default: the server's now); NaN and infinities as they are.

        Raises
        ------
        ContinuumError: see `blocks.http.fetch_json`; `InvalidInput` for a query that the server refuses.
        """
        data = self._ask("query", {"query": query} | ({} if at_s is None else {"time": _number(at_s)}))
        with _wellformed(self._where):
            if data["resultType"] in ("scalar", "string"):
                return [Sample({}, float(data["result"][0]), float(data["result"][1]))]
            return [Sample(row["metric"], float(row["value"][0]), float(row["value"][1])) for row in data["result"]]

    def range(self, query: str, start_s: float, end_s: float, step_s: int) -> list[RangeSeries]:
        """Every series of `query` at start_s, start_s + step_s, ... up to and including end_s.

        Asked in pieces of at most `MAX_POINTS` points a series; pieces are joined by label set, the first of two
        values for one time stays. Times without a value are absent: the server itself carries a value forward
        for its look-back (5 min by default) and ends it at a staleness marker.

        Raises
        ------
        ContinuumError: see `instant`.
        """
        pieces: dict[tuple[tuple[str, str], ...], list[RangeSeries]] = {}
        for first_s, last_s in _pieces(start_s, end_s, step_s):
            asked = {"query": query, "start": _number(first_s), "end": _number(last_s), "step": _number(step_s)}
            data = self._ask("query_range", asked)
            with _wellformed(self._where):
                for row in data["result"]:
                    times, values = zip(*row["values"], strict=True)
                    piece = RangeSeries(row["metric"], np.array(times, np.float64), np.array(values, np.float64))
                    pieces.setdefault(tuple(sorted(piece.labels.items())), []).append(piece)
        return [_joined(pieces[key]) for key in sorted(pieces)]

    def matrix(self, query: str, start_s: float, end_s: float, step_s: int, *, label: str = "") -> Series:
        """The series of `query` on the grid: columns at the multiples of `step_s` in [start_s, end_s).

        Parameters
        ----------
        query :
            PromQL whose result has one series per id.
        start_s, end_s, step_s :
            epoch seconds; `end_s` itself is not asked, so windows that follow each other share no column.
        label :
            how a series is named: a label (`node_pool`), a template (`{cluster}/{node_pool}/cpu_cores`),
            or empty for the whole sorted label set.

        Returns
        -------
        Series: rows sorted by id, float32, the query's unit. NaN where there is no sample, or one that is
            NaN, infinite or beyond float32: missing is not zero.

        Raises
        ------
        InvalidInput: two series with one id, a label that a series lacks, or an empty range.
        """
        first = math.ceil(start_s / step_s) * step_s
        columns = math.ceil((end_s - first) / step_s)
        if columns <= 0:
            raise InvalidInput(f"no multiple of {step_s} s in [{start_s:g}, {end_s:g})", where=self._where)
        rows: dict[str, RangeSeries] = {}
        for series in self.range(query, first, first + (columns - 1) * step_s, step_s):
            name = series_id(series.labels, label, where=self._where)
            if name in rows:
                raise InvalidInput(
                    f"two series are named {name}", where=self._where, fix=f"aggregate, e.g. sum by (...) ({query})"
                )
            rows[name] = series
        values = np.full((len(rows), columns), np.nan, np.float32)
        for row, name in enumerate(sorted(rows)):
            column = np.rint((rows[name].times_s - first) / step_s).astype(np.int64)
            inside = (column >= 0) & (column < columns)
            with np.errstate(over="ignore"):
                values[row, column[inside]] = rows[name].values[inside]
        values[~np.isfinite(values)] = np.nan
        return Series(tuple(sorted(rows)), first, step_s, values)

    def _ask(self, endpoint: str, asked: Mapping[str, str]) -> Any:
        """The `data` of an answer; the API reports failures in the body too, whatever the status."""
        url = f"{self._url}/api/v1/{endpoint}"
        if len(asked["query"]) > LONGEST_GET:
            body = fetch_json(self._http, "POST", url, data=dict(asked), where=self._where)
        else:
            body = fetch_json(self._http, "GET", url, params=dict(asked), where=self._where)
        if not isinstance(body, dict) or body.get("status") not in ("success", "error"):
            raise Unreachable("an answer that is not Prometheus'", where=self._where, fix="check the URL and its path")
        if body["status"] == "error":
            raise _of_body(body, self._where)
        if warnings := body.get("warnings"):
            # A store behind the server is away: what is missing must not be taken for demand that went.
            told = " ".join(str(warnings[0]).split())[:200]
            raise Unreachable(
                f"the answer may be partial: {told}", where=self._where, fix="look at the server's stores"
            )
        return body["data"]


def series_id(labels: Mapping[str, str], label: str = "", *, where: str = "") -> str:
    """Name of a series by one label, a template of labels, or all of them.

    >>> series_id({"cluster": "eu", "node_pool": "web"}, "{cluster}/{node_pool}/cpu_cores")
    'eu/web/cpu_cores'
    >>> series_id({"node_pool": "web", "cluster": "eu"})
    '{cluster="eu",node_pool="web"}'

    Raises
    ------
    InvalidInput: the series lacks a label that is asked for.
    """
    if not label:
        return "{" + ",".join(f'{name}="{labels[name]}"' for name in sorted(labels)) + "}"
    template = label if "{" in label else f"{{{label}}}"
    if missing := [name for name in _FIELD.findall(template) if name not in labels]:
        raise InvalidInput(
            f"series {series_id(labels)} has no label {missing[0]}", where=where, fix=f"keep it: by ({missing[0]})"
        )
    return _FIELD.sub(lambda match: labels[match[1]], template)


def increase(counter: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Growth of counters since their last known value, with resets.

    increase[t] = c[t] - c[p] where p is the last known column before t, or c[t] where c[t] < c[p]: a counter that
    fell was restarted from zero in between, so what it holds is the least it grew by.

    counter: (S, T), any unit; NaN is missing. Read counters as float64: float32 has steps of 64 at 1e9.
    Returns (S, T) float64; NaN where c[t] is missing or nothing is known before it.

    >>> increase(np.array([[1.0, 4.0, np.nan, 9.0, 2.0]])).tolist()
    [[nan, 3.0, nan, 5.0, 2.0]]
    """
    counter = np.asarray(counter, np.float64)
    last = _last_known(counter)
    before = np.where(last >= 0, np.take_along_axis(counter, np.maximum(last, 0), axis=1), np.nan)
    return np.where(counter < before, counter, counter - before)


def rate(counter: NDArray[np.floating[Any]], step_s: float) -> NDArray[np.float64]:
    """`increase` per second since the last known column; (S, T) float64, the counter's unit / s.

    >>> rate(np.array([[0.0, 60.0, np.nan, 180.0]]), 60).tolist()
    [[nan, 1.0, nan, 1.0]]
    """
    last = _last_known(counter)
    elapsed_s = (np.arange(last.shape[1]) - last) * step_s
    return increase(counter) / np.where(last >= 0, elapsed_s, np.nan)


def _last_known(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """(S, T) index of the last column before t that is not NaN, or -1."""
    known = np.where(np.isnan(values), -1, np.arange(values.shape[1]))
    before = np.full(values.shape, -1, np.int64)
    before[:, 1:] = np.maximum.accumulate(known, axis=1)[:, :-1]
    return before


def _pieces(start_s: float, end_s: float, step_s: int) -> Iterator[tuple[float, float]]:
    """First and last time of each request.

    >>> list(_pieces(0, 20_000, 1))
    [(0, 9999), (10000, 19999), (20000, 20000)]
    """
    last = math.floor((end_s - start_s) / step_s)
    for first in range(0, last + 1, MAX_POINTS):
        yield start_s + first * step_s, start_s + min(first + MAX_POINTS - 1, last) * step_s


def _joined(pieces: list[RangeSeries]) -> RangeSeries:
    times = np.concatenate([piece.times_s for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    unique, first = np.unique(times, return_index=True)
    return RangeSeries(pieces[0].labels, unique, values[first])


def _number(seconds: float) -> str:
    """Seconds as Prometheus reads them, without an exponent."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


_BODY_ERRORS: dict[str, tuple[type[ContinuumError], str]] = {
    "bad_data": (InvalidInput, "correct the query"),
    "execution": (InvalidInput, "correct the query, or ask for less"),
    "timeout": (TimedOut, "ask for a shorter range"),
    "canceled": (TimedOut, "ask again"),
}


def _of_body(body: Mapping[str, Any], where: str) -> ContinuumError:
    kind, fix = _BODY_ERRORS.get(str(body.get("errorType")), (Unreachable, "look at the server's log"))
    return kind(f"the query failed: {' '.join(str(body.get('error')).split())[:200]}", where=where, fix=fix)


@contextmanager
def _wellformed(where: str) -> Iterator[None]:
    """Turn what a malformed answer provokes into one error."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unreachable("an answer that is not Prometheus'", where=where, fix="check the URL and its path") from error
