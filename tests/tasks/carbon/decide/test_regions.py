"""Regions by what they emit: never a dirtier one. The seed's score, kept as an option, does pick such."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blocks.errors import InvalidInput
from tasks.carbon.decide.regions import decide_region, environmental_score, score_errs

grids = arrays(float, (3, 8), elements=st.floats(1, 999))
shares = arrays(float, (3, 8), elements=st.floats(0, 1))
pues = arrays(float, 3, elements=st.floats(1, 2.5))


@settings(max_examples=50)
@given(grids, shares, pues, st.integers(1, 8))
def test_by_emissions_no_region_and_hour_emits_less(grams, renewable, pue, hours: int) -> None:
    each = [grams[region, at : at + hours].mean() * pue[region] for region in range(3) for at in range(9 - hours)]
    chosen = decide_region(grams, renewable, pue, hours)
    assert chosen.g_per_kwh == pytest.approx(min(each))
    assert decide_region(grams, renewable, pue, hours, "environmental-score").g_per_kwh >= chosen.g_per_kwh


@settings(max_examples=50)
@given(grids, shares, pues)
def test_the_score_errs_in_the_hours_that_a_loop_finds(grams, renewable, pue) -> None:
    worse = []
    for hour in range(8):
        scores = [environmental_score(grams[each, hour], renewable[each, hour], pue[each]) for each in range(3)]
        emits = grams[:, hour] * pue
        worse.append(emits[int(np.argmax(scores))] / emits.min())
    found = score_errs(grams, renewable, pue)
    assert found.hours_ratio == np.mean([each > 1 for each in worse])
    assert found.times == pytest.approx(np.mean([each for each in worse if each > 1] or [1.0]))


def test_windy_and_dirty_beats_nuclear_and_clean_by_the_score_alone() -> None:
    grams, renewable = np.array([[250.0], [60.0]]), np.array([[0.7], [0.2]])
    assert decide_region(grams, renewable, np.ones(2), 1).region == 1
    assert decide_region(grams, renewable, np.ones(2), 1, "environmental-score").region == 0
    assert score_errs(grams, renewable, np.ones(2)).times == pytest.approx(250 / 60)


@pytest.mark.parametrize(("grams", "renewable", "pue", "hours"), [
    (-1.0, 0.5, 1.0, 1), (np.nan, 0.5, 1.0, 1), (100.0, 1.5, 1.0, 1), (100.0, 0.5, 0.9, 1), (100.0, 0.5, 1.0, 9),
])  # fmt: skip
def test_what_cannot_be_is_refused(grams: float, renewable: float, pue: float, hours: int) -> None:
    with pytest.raises(InvalidInput):
        decide_region(np.full((2, 8), grams), np.full((2, 8), renewable), np.full(2, pue), hours)
