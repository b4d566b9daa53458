"""Network, storage and water: rows of the same accounts, whole numbers, and nothing where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blocks.errors import InvalidInput
from tasks.energy.decide.accounting import account
from tasks.energy.decide.lines import LINES, Usage, add_lines
from tests.tasks.energy.decide.test_accounting import EDGE, GRID, HOURS, START, WEB, samples

SEEN = samples(0.5)


def usage(amount: object, cluster: str = "eu", kind: str = "network_gb") -> Usage:
    values = np.broadcast_to(np.asarray(amount, float), (1, HOURS))
    return Usage(START, (cluster,), (kind,), ("shop",), values)


@settings(max_examples=40)
@given(st.sampled_from(sorted(LINES)), arrays(float, HOURS, elements=st.one_of(st.floats(0, 1e6), st.just(np.nan))),
       st.floats(0, 5), st.floats(0, 2))  # fmt: skip
def test_a_line_adds_its_energy_carbon_and_water_and_changes_no_other_row(kind, amount, factor, wue: float) -> None:
    before = account(SEEN, GRID, {"DE": 100.0}, wue={"eu": wue})
    after = add_lines(
        before, usage(amount, kind=kind), {(kind, "eu"): (factor, "mine")}, GRID, {"DE": 100.0}, {"eu": wue}
    )
    rows = len(before.pool)
    for name in ("energy_mwh", "location_mg", "market_mg", "water_ul", "embodied_mg", "hour"):
        assert np.array_equal(getattr(after, name)[:rows], getattr(before, name)), name
    kwh = np.nan_to_num(amount) * factor * LINES[kind].kwh * WEB.pue
    known = amount > 0
    assert after.energy_mwh[rows:] == pytest.approx(kwh[known] * 1e6, abs=0.6, rel=1e-9)
    assert after.location_mg[rows:] == pytest.approx((kwh * GRID["DE"] * 1000)[known], abs=2, rel=1e-6)
    assert after.water_ul[rows:] == pytest.approx((kwh / WEB.pue * wue * 1e6)[known], abs=2, rel=1e-6)
    assert {each.name for each in after.pools[2:]} == {LINES[kind].pool}


def test_without_a_factor_of_ones_own_the_published_one_counts_and_is_named() -> None:
    after = add_lines(account(SEEN, GRID), usage(1000), {}, GRID, {}, {})
    assert after.energy_mwh[-HOURS:].tolist() == [1_200_000] * HOURS  # 1,000 GB x 0.001 kWh/GB x PUE 1.2
    assert after.pools[-1].assumed == "0.001 kWh/GB (Cloud Carbon Footprint 2026), bounds not known"
    assert set(after.namespace[-HOURS:]) == {"shop"}
    assert set(after.market_mg[-HOURS:]) == {-1}


def test_water_is_known_only_where_its_factor_is() -> None:
    found = account(SEEN, GRID, wue={"eu": 0.5})
    web = found.pool == 0
    assert (found.water_ul[~web] == -1).all()
    it_kwh = (found.energy_mwh - found.overhead_mwh)[web].sum() / 1e6
    assert found.water_ul[web].sum() / 1e6 == pytest.approx(0.5 * it_kwh, rel=1e-6)


@pytest.mark.parametrize(("given", "words"), [
    (usage(-1), "-1 network_gb"), (usage(1, kind="tape"), "'tape' is no kind"),
    (usage(1, "nowhere"), "cluster nowhere"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_name(given: Usage, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        add_lines(account(SEEN, GRID), given, {}, GRID, {}, {})


def test_another_cut_of_the_time_is_not_known_where_it_does_not_reach() -> None:
    cut = usage([1, 2, 3]).span(START + 3600, START + 5 * 3600)
    assert np.array_equal(cut.amount, [[2, 3, np.nan, np.nan]], equal_nan=True)
    assert usage(1).of_clusters({EDGE.cluster}).amount.shape == (0, HOURS)
