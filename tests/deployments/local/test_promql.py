import numpy as np
import pytest

from blocks.errors import InvalidInput, Refused
from deployments.local.promql import Samples, evaluate, parse, parse_duration

MINUTES = np.arange(11) * 60.0


def store(*series):
    """Storage over (name, labels, times, values)."""
    held = [
        Samples({"__name__": name, **labels}, np.array(times, float), np.array(values, float))
        for name, labels, times, values in series
    ]

    def select(matchers, start_s, end_s):
        found = []
        for samples in held:
            if all(matcher.matches(samples.labels) for matcher in matchers):
                inside = (samples.times_s >= start_s) & (samples.times_s <= end_s)
                found.append(Samples(samples.labels, samples.times_s[inside], samples.values[inside]))
        return found

    return select


CORES = store(
    ("cores", {"cluster": "eu", "pool": "web"}, MINUTES, np.arange(11)),
    ("cores", {"cluster": "eu", "pool": "db"}, MINUTES, 10 * np.arange(11)),
    ("cores", {"cluster": "us", "pool": "web"}, MINUTES[:3], [1, 2, 3]),
)


def value(query, at_s=600.0, storage=CORES):
    """{label values: value} of an instant query; a plain number for a scalar."""
    result = evaluate(parse(query), storage, np.array([at_s]))
    if isinstance(result, np.ndarray):
        return float(result[0])
    return {tuple(v for k, v in sorted(row.labels.items()) if k != "__name__"): float(row.values[0]) for row in result}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 - 2 - 1", 4),
        ("-2 * -3", 6),
        ("8 / 2 / 2", 2),
        (".5e1 + 0x10", 21),
        ("time() # the present", 600),
        ("1 / 0", np.inf),
    ],
)
def test_scalars_follow_precedence(query, expected):
    assert value(query) == expected


@pytest.mark.parametrize(
    ("query", "pools"),
    [
        ("cores", {"db", "web"}),
        ('cores{pool="web"}', {"web"}),
        ("cores{pool!='web'}", {"db"}),
        ("{__name__=~`co.es`, pool=~'d.|x'}", {"db"}),
        ('cores{pool=~"w"}', set()),
        ('cores{pool!~"w.*",}', {"db"}),
        ('cores{zone=""}', {"db", "web"}),
        ('cores{zone!=""}', set()),
    ],
)
def test_matchers_pick_series_and_regular_expressions_are_anchored(query, pools):
    assert {labels[1] for labels in value(query)} == pools


def test_a_sample_is_stale_after_five_minutes():
    assert value('cores{cluster="us"}', 420.0) == {("us", "web"): 3.0}
    assert value('cores{cluster="us"}', 420.001) == {}


def test_nothing_is_seen_before_its_time():
    assert value('cores{pool="db"}', 119.0) == {("eu", "db"): 10.0}
    assert value("cores", -1.0) == {}


def test_a_range_of_steps_gives_the_value_at_each():
    row = evaluate(parse('cores{pool="db"}'), CORES, np.array([0.0, 90.0, 600.0, 901.0]))[0]
    assert row.values[row.present].tolist() == [0.0, 10.0, 100.0]
    assert row.present.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum by (pool) (cores)", {("db",): 20.0, ("web",): 5.0}),
        ("sum(cores) by (pool,)", {("db",): 20.0, ("web",): 5.0}),
        ("sum(cores)", {(): 25.0}),
        ("avg by (cluster) (cores)", {("eu",): 11.0, ("us",): 3.0}),
        ("max by (cluster) (cores)", {("eu",): 20.0, ("us",): 3.0}),
        ("min(cores)", {(): 2.0}),
        ("count by (cluster, pool, none) (cores)", {("eu", "db"): 1.0, ("eu", "web"): 1.0, ("us", "web"): 1.0}),
    ],
)
def test_aggregations_group_by_labels(query, expected):
    assert value(query, 120.0) == expected


def test_an_aggregation_leaves_out_series_that_have_gone():
    assert value("sum(cores)") == {(): 110.0}
    assert value("count(cores)") == {(): 2.0}


def test_a_nan_spreads_through_sum_but_gives_way_in_max():
    storage = store(("x", {"i": "1"}, [600], [np.nan]), ("x", {"i": "2"}, [600], [1]))
    assert np.isnan(value("sum(x)", storage=storage)[()])
    assert value("max(x)", storage=storage) == {(): 1.0}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('rate(cores{pool="db"}[5m])', 10 / 60),
        ('increase(cores{pool="db"}[5m])', 50.0),
        ('max_over_time(cores{pool="db"}[5m])', 100.0),
        ('avg_over_time(cores{pool="db"}[2m])', 90.0),
        ('rate(cores{pool="db"}[5m]) * 60', 10.0),
        ('100 - cores{pool="db"}', 0.0),
    ],
)
def test_functions_of_a_range(query, expected):
    assert value(query)[("eu", "db")] == pytest.approx(expected)


def test_a_counter_that_restarts_still_counts_up():
    storage = store(("c_total", {}, [0, 60, 120, 180], [0, 100, 20, 60]))
    assert value("increase(c_total[3m])", 180.0, storage)[()] == pytest.approx(160.0)


def test_a_rate_needs_two_samples():
    assert value('rate(cores{pool="db"}[59s])') == {}


def test_a_counter_is_not_extrapolated_below_zero():
    storage = store(("c_total", {}, [100, 160, 220], [1, 61, 121]))
    assert value("increase(c_total[4m])", 220.0, storage)[()] == pytest.approx(121.0)


def test_computed_values_lose_the_name_and_samples_keep_it():
    kept, lost = (evaluate(parse(q), CORES, np.array([600.0]))[0].labels for q in ("cores", "cores + 0"))
    assert kept["__name__"] == "cores"
    assert "__name__" not in lost


def test_two_rows_of_one_label_set_are_refused():
    storage = store(("a", {"i": "1"}, [600], [1]), ("b", {"i": "1"}, [600], [1]))
    with pytest.raises(Refused, match="same labelset"):
        value('{i="1"} * 2', storage=storage)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "1:1: parse error: no expression found"),
        ("sum(", "1:5: parse error: unexpected 'end of input'"),
        ("foo(1)", "1:1: parse error: unknown function with name 'foo'"),
        ("topk(2, cores)", "unknown function with name 'topk'"),
        ("{}", "at least one non-empty matcher"),
        ('{a=~".*"}', "at least one non-empty matcher"),
        ("rate(cores)", "1:6: parse error: expected type range vector"),
        ("sum(cores[5m])", "expected type instant vector"),
        ("cores[5m] + 1", "only scalar and instant vector"),
        ("cores / cores", "no / between two vectors"),
        ("cores > 1", "1:7: parse error: unexpected '>'"),
        ("cores offset 5m", "unexpected 'offset'"),
        ("cores @ 1", "unexpected '@'"),
        ("rate(cores[5m:1m])", "unexpected ':1m', expected ']'"),
        ("sum without (pool) (cores)", "unexpected 'without', expected 'by'"),
        ("cores[5]", "expected a duration"),
        ("cores[0s]", "greater than 0"),
        ('cores{pool=~"("}', "error parsing"),
        ("cores{pool=web}", "expected string"),
        ("cores{pool}", "expected one of = != =~ !~"),
        ('cores{pool="web"', r"expected '}'"),
        ("sum by (a-b) (cores)", r"unexpected '-', expected '\)'"),
        ("1 $ 2", "unexpected character '\\$'"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place_and_what_is_known(query, message):
    with pytest.raises(InvalidInput, match=message) as refusal:
        parse(query)
    assert "max_over_time" in refusal.value.fix


def test_a_range_has_no_value_at_a_time():
    with pytest.raises(InvalidInput, match="range vector"):
        value("cores[5m]")


def test_durations_add_up():
    assert parse_duration("1d2h3m4s5ms") == 93_784.005


@pytest.mark.parametrize("text", ["", "5", "m", "5m x", "1.5h"])
def test_other_texts_are_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
