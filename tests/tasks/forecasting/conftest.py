"""A small fleet of demand series with a day's rhythm, from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blocks.series import Series

STEP_S = 900
DAY = 96

MakeFleet = Callable[..., Series]


def fleet(series: int = 4, days: int = 12, seed: int = 1) -> Series:
    """Series with a daily wave, a slow walk and noise; step 15 min, no hole, all above zero."""
    rng = np.random.default_rng(seed)
    steps = np.arange(days * DAY)
    wave = 4 * np.sin(2 * np.pi * steps / DAY + rng.uniform(0, 6, (series, 1)))
    walk = np.cumsum(rng.normal(0, 0.05, (series, len(steps))), axis=1)
    values = 12 + wave + np.clip(walk, -4, 4) + rng.normal(0, 0.3, (series, len(steps)))
    names = tuple(f"pool-{number}" for number in range(series))
    return Series(names, 1_767_225_600, STEP_S, values.astype(np.float32))


@pytest.fixture
def make_fleet() -> MakeFleet:
    return fleet


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the trees, for laws that hold of any number of them: they are most of a test's seconds."""
    monkeypatch.setattr("tasks.forecasting.decide.trees.TREES", 6)
