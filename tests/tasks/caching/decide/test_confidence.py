"""What a plan tells of a request within the horizon is how often one comes: a reliability diagram, decile by decile."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.caching.decide.placement import Caches, decide_placement
from tasks.caching.decide.requests import Requests

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from caching_traces import independent, news

HORIZON_S, TOLERANCE = 4 * 3600.0, 0.04
LASTING = independent(2000, requests=100_000, sites=4, objects=3000, days=14)
FADING, _ = news(2000)


def told_and_came(requests: Requests, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every row of plans made at some moments of a log: the probability told, and whether the request came."""
    caches = Caches(np.full(requests.sites, 0.05 * requests.size.sum()), np.full(requests.sites, -1), np.zeros(0))
    told, came = [], []
    for now_s in requests.ts_s[0] + moments * (requests.ts_s[-1] - requests.ts_s[0]):
        now, end = np.searchsorted(requests.ts_s, [now_s, now_s + HORIZON_S]).tolist()
        past, rows = requests.rows(np.arange(now)), slice(now, end)
        made = decide_placement(past, caches, HORIZON_S)
        for site, chosen in enumerate(made.sites):
            told.append(made.confidence.of(chosen.value))
            came.append(np.isin(chosen.items, requests.object[rows][requests.site[rows] == site]))
    return np.concatenate(told), np.concatenate(came)


@pytest.mark.parametrize("requests", [LASTING, FADING], ids=["lasting", "fading"])
def test_each_decile_of_what_is_told_comes_true_within_the_tolerance(requests: Requests) -> None:
    told, came = told_and_came(requests, np.linspace(0.5, 0.97, 16))
    deciles = np.array_split(np.argsort(told, kind="stable"), 10)
    off = [float(told[rows].mean() - came[rows].mean()) for rows in deciles]
    assert max(map(abs, off)) <= TOLERANCE, off
    assert told[deciles[-1]].mean() > 3 * told[deciles[0]].mean()
