"""The engine is chosen by its score on the series' own past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blocks.series import Series
from tasks.forecasting.decide import choice
from tasks.forecasting.decide.choice import choose

LEVELS = (0.1, 0.5, 0.9)


def test_linear_is_chosen_where_it_beats_seasonal_naive(make_fleet):
    found = choose(make_fleet(), 4, LEVELS)
    assert found.engine == "linear"
    assert found.wql["linear"] < found.wql["seasonal-naive"]


def test_seasonal_naive_is_chosen_where_nothing_beats_it():
    day = np.tile(np.random.default_rng(0).uniform(1, 9, 24), 12)
    found = choose(Series(("a",), 0, 3600, day[None].astype(np.float32)), 4, LEVELS)
    assert found.engine == "seasonal-naive"


def test_a_past_too_short_to_score_gets_seasonal_naive_and_no_scores(make_fleet):
    history = make_fleet(days=1)
    found = choose(replace(history, values=history.values[:, :4]), 4, LEVELS)
    assert (found.engine, found.wql, found.windows) == ("seasonal-naive", {}, 0)


def test_trees_are_tried_only_on_files_of_a_measured_size(make_fleet, monkeypatch):
    assert "trees" not in choose(make_fleet(), 4, LEVELS).wql
    monkeypatch.setattr(choice, "TREES_FROM", 1_000)
    assert "trees" in choose(make_fleet(), 4, LEVELS).wql


def test_a_large_fleet_is_judged_by_some_of_its_series(make_fleet, monkeypatch):
    monkeypatch.setattr(choice, "SERIES", 3)
    assert choose(make_fleet(series=8), 4, LEVELS).series == 3


def test_the_order_of_the_series_does_not_matter(make_fleet):
    history = make_fleet()
    turned = replace(history, unique_id=history.unique_id[::-1], values=history.values[::-1].copy())
    assert choose(turned, 4, LEVELS).engine == choose(history, 4, LEVELS).engine
