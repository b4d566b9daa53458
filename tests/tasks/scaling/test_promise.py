from __future__ import annotations

import numpy as np
import pytest

from tasks.scaling.decide.promise import exceedance


def test_node_hours_and_usd_are_those_of_the_change_over_the_horizon(stage):
    promised = stage.scene(cpu_cores=20.0).decide().promised  # 6 -> 8 at 0.2 USD
    assert promised.horizon_s[0] == 3600.0
    assert promised.node_hours_delta[0] == pytest.approx(2.0)
    assert promised.usd_delta[0] == pytest.approx(0.4)


def test_an_unknown_price_promises_no_usd(stage):
    assert np.isnan(stage.scene(cpu_cores=20.0, price_usd_per_hour=np.nan).decide().promised.usd_delta[0])


def test_a_scale_up_promises_fewer_violation_minutes(stage):
    promised = stage.scene(peak_cpu=31.2).decide().promised
    assert promised.peak_nodes[0] == pytest.approx(7.8)
    # 6 nodes hold 21.6 cores at 90 %: below every quantile; 9 nodes hold 32.4, above the p90, once booted
    assert promised.violation_minutes_if_not[0] > 50
    assert 5 < promised.violation_minutes_if_changed[0] < 12


def test_until_nodes_have_booted_a_scale_up_does_not_help(stage):
    quick, slow = (stage.scene(peak_cpu=31.2, boot_s=boot_s, steps=24).decide().promised for boot_s in (60.0, 2400.0))
    assert slow.violation_minutes_if_changed[0] > quick.violation_minutes_if_changed[0] + 25


def test_a_scale_down_takes_effect_at_once(stage):
    promised = stage.scene(peak_cpu=17.5, cpu_cores=13.9, boot_s=3000.0, numbers={"min_horizon_s": 0}).decide().promised
    assert promised.violation_minutes_if_changed[0] > promised.violation_minutes_if_not[0]


def test_the_promise_reaches_as_far_as_the_forecast(stage):
    promised = stage.scene(cpu_cores=20.0, steps=6).decide().promised
    assert promised.horizon_s[0] == 1800.0
    assert promised.node_hours_delta[0] == pytest.approx(1.0)


def test_violations_are_unknown_without_a_forecast_of_any_resource(stage):
    promised = stage.scene(peak_cpu=np.nan, peak_memory=np.nan).decide().promised
    assert np.isnan(promised.violation_minutes_if_not[0])
    assert np.isnan(promised.peak_nodes[0])


@pytest.mark.parametrize("levels", [(0.5,), (0.1, 0.5, 0.9), (0.01, 0.99)])
def test_chance_of_exceeding_falls_from_one_to_zero(levels):
    quantiles = np.broadcast_to(10.0 + np.arange(len(levels)), (400, len(levels)))
    chance = exceedance(np.linspace(-500, 500, 400), quantiles, levels)
    assert (np.diff(chance) <= 1e-12).all()
    assert chance[0] == pytest.approx(1.0, abs=1e-3)
    assert chance[-1] == pytest.approx(0.0, abs=1e-3)


def test_chance_of_exceeding_a_quantile_is_one_minus_its_level():
    levels = (0.1, 0.5, 0.9)
    quantiles = np.array([[1.0, 2.0, 4.0]] * 3)
    assert exceedance(np.array([1.0, 2.0, 4.0]), quantiles, levels).tolist() == pytest.approx([0.9, 0.5, 0.1])


def test_nodes_that_are_paid_for_anyway_cost_nothing_more(stage):
    def usd(paid: int) -> float:
        promised = stage.scene(cpu_cores=20.0).decide().promised
        free = stage.scene(cpu_cores=20.0, paid_nodes=paid).decide().promised
        assert free.node_hours_delta[0] == promised.node_hours_delta[0]
        return float(free.usd_delta[0] / promised.usd_delta[0])

    assert [usd(paid) for paid in (0, 1, 100)] == [1, 1, 0]
