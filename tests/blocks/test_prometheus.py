from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from blocks.errors import InvalidInput, TimedOut, Unreachable
from blocks.fleet import Metrics
from blocks.prometheus import MAX_POINTS, PrometheusSource, increase, rate


def success(server, result, kind="matrix", **more):
    return server.as_json({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def series(labels, *points):
    return {"metric": labels, "values": [[time, value] for time, value in points]}


@pytest.fixture
def source(server) -> PrometheusSource:
    return PrometheusSource.from_metrics(Metrics(url=server.url + "/prometheus/"))


def grid(server):
    """A server that has the value time/1000 at every point it is asked for."""

    def answer(asked):
        start, end, step = (float(asked.query[name]) for name in ("start", "end", "step"))
        times = [start + index * step for index in range(int((end - start) // step) + 1)]
        return success(server, [series({"node_pool": "web"}, *((t, str(t / 1000)) for t in times))])

    server.handler = answer


def test_now_is_the_servers_own_time(server, source) -> None:
    server.answers(success(server, [1_780_000_000.5, "1780000000.5"], "scalar"))
    assert source.now() == datetime.fromtimestamp(1_780_000_000.5, UTC)
    assert (server.asked[0].path, server.asked[0].query) == ("/prometheus/api/v1/query", {"query": "time()"})


def test_an_instant_query_gives_labels_and_values_as_they_are(server, source) -> None:
    server.answers(success(server, [{"metric": {"a": "b"}, "value": [5, "+Inf"]}], "vector"))
    assert source.instant("up", 5) == [({"a": "b"}, 5.0, math.inf)]
    assert server.asked[0].query["time"] == "5"


@pytest.mark.parametrize(("points", "requests"), [(MAX_POINTS, 1), (MAX_POINTS + 1, 2), (25_000, 3)])
def test_no_request_asks_for_more_points_than_the_limit(server, source, points, requests) -> None:
    grid(server)
    found = source.range("x", 0, (points - 1) * 60, 60)
    assert len(server.asked) == requests
    assert found[0].times_s.tolist() == [60.0 * index for index in range(points)]


def test_pieces_that_overlap_keep_the_first_value_of_a_time(server, source) -> None:
    first, second = series({}, (0, "1"), (60, "2")), series({}, (60, "9"), (120, "3"))
    server.answers(success(server, [first]), success(server, [second]))
    found = source.range("x", 0, MAX_POINTS * 60, 60)
    assert found[0].times_s.tolist() == [0, 60, 120]
    assert found[0].values.tolist() == [1, 2, 3]


def test_a_series_that_appears_later_is_kept(server, source) -> None:
    server.answers(success(server, []), success(server, [series({"pod": "late"}, (MAX_POINTS * 60, "1"))]))
    assert [found.labels for found in source.range("x", 0, MAX_POINTS * 60, 60)] == [{"pod": "late"}]


def test_a_matrix_is_on_the_grid_with_gaps_and_odd_values_missing(server, source) -> None:
    web = series({"cluster": "eu", "node_pool": "web"}, (300, "1.5"), (900, "NaN"), (1200, "+Inf"), (1500, "1e300"))
    batch = series({"cluster": "eu", "node_pool": "batch"}, (600, "2"))
    server.answers(success(server, [web, batch]))
    found = source.matrix("x", 1, 1800, 300, label="{cluster}/{node_pool}/cpu_cores")
    assert (found.unique_id, found.start_s, found.step_s) == (("eu/batch/cpu_cores", "eu/web/cpu_cores"), 300, 300)
    assert found.values.dtype == np.float32
    nan = math.nan
    np.testing.assert_array_equal(found.values, [[nan, 2, nan, nan, nan], [1.5, nan, nan, nan, nan]])
    assert (server.asked[0].query["start"], server.asked[0].query["end"]) == ("300", "1500")


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from([15, 60, 300]))
def test_windows_that_follow_each_other_cover_the_whole_without_overlap(start, length, step) -> None:
    class Asked(PrometheusSource):
        def range(self, query, start_s, end_s, step_s):
            return []

    source = Asked("http://unused", None)  # type: ignore[arg-type]
    middle = start + length // 2

    def columns(begin, end):
        try:
            return source.matrix("x", begin, end, step).times().tolist()
        except InvalidInput:
            return []

    parts = columns(start, middle) + columns(middle, start + length)
    assert parts == columns(start, start + length) == [t for t in range(start, start + length) if t % step == 0]


def test_two_series_of_one_name_are_refused_with_the_way_out(server, source) -> None:
    rows = [series({"pool": "web", "zone": zone}, (0, "1")) for zone in "ab"]
    server.answers(success(server, rows))
    with pytest.raises(InvalidInput, match=r"two series are named web.*sum by"):
        source.matrix("x", 0, 60, 60, label="pool")
    assert len(source.matrix("x", 0, 60, 60).unique_id) == 2


def test_a_series_without_the_label_is_named(server, source) -> None:
    server.answers(success(server, [series({"zone": "a"}, (0, "1"))]))
    with pytest.raises(InvalidInput, match=r'zone="a".*no label pool'):
        source.matrix("x", 0, 60, 60, label="pool")


@pytest.mark.parametrize(
    ("error_type", "kind"), [("bad_data", InvalidInput), ("timeout", TimedOut), ("internal", Unreachable)]
)
def test_an_error_inside_a_200_body_is_an_error(server, source, error_type, kind) -> None:
    server.answers(server.as_json({"status": "error", "errorType": error_type, "error": "the words"}))
    with pytest.raises(kind, match="the words"):
        source.instant("up")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"status": "success", "data": {}},
        {"hello": 1},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": ["x", "y"]}]}},
    ],
)
def test_json_of_something_else_is_unreachable(server, source, body) -> None:
    server.answers(server.as_json(body))
    with pytest.raises(Unreachable, match="not Prometheus"):
        source.instant("up")


def test_an_answer_that_may_be_partial_is_no_answer(server, source) -> None:
    server.answers(success(server, [], warnings=["one store is down"]))
    with pytest.raises(Unreachable, match="may be partial: one store is down"):
        source.range("x", 0, 60, 60)


def test_a_long_query_goes_in_a_body(server, source) -> None:
    server.answers(success(server, []))
    source.range("x" * 3000, 0, 60, 60)
    assert server.asked[0].method == "POST"
    assert server.asked[0].body.startswith(b"query=xxx")


def test_credentials_are_sent_and_never_shown(server) -> None:
    server.answers(success(server, []))
    metrics = Metrics(url=server.url, token=SecretStr("hunter2"))
    source = PrometheusSource.from_metrics(metrics)
    source.range("x", 0, 60, 60)
    assert server.asked[0].headers["authorization"] == "Bearer hunter2"
    server.answers(server.as_html())
    with pytest.raises(Unreachable) as caught:
        source.instant("up")
    assert "hunter2" not in f"{source!r} {caught.value} {metrics!r}"


counters = st.lists(st.one_of(st.integers(0, 1000).map(float), st.just(math.nan)), min_size=1, max_size=20)


@settings(max_examples=100)
@given(counters)
def test_a_counter_grows_by_the_sum_of_its_increases_whatever_is_missing(values) -> None:
    grown = increase(np.array([values]))
    known = [value for value in values if not math.isnan(value)]
    expected = sum(b - a if b >= a else b for a, b in itertools.pairwise(known))
    assert np.nansum(grown) == expected
    assert not (grown < 0).any()
    assert np.isnan(grown[0, np.isnan(values)]).all()


def test_a_rate_over_a_gap_is_spread_over_its_length() -> None:
    found = rate(np.array([[0.0, np.nan, np.nan, 90.0, 30.0]]), 10)
    np.testing.assert_array_equal(found, [[np.nan, np.nan, np.nan, 3.0, 3.0]])
