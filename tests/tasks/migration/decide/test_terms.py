"""What places cost: as the plain loop over users says; what is not known is never near, and draws nobody."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.migration.decide.terms import costs_of, latency_to_come, mean_latency

RATES = arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 1.0, 5.0, 40.0]))
RTT = arrays(np.float64, (3, 2), elements=st.one_of(st.floats(1, 300), st.just(np.nan)))
GROWTH = arrays(np.float64, (3,), elements=st.one_of(st.floats(0.2, 4), st.just(np.nan)))


@given(RATES, RTT)
def test_mean_latency_is_that_of_a_loop_over_the_users(rates, rtt) -> None:
    found = mean_latency(rates, rtt)
    for row in range(4):
        for site in range(2):
            terms = [(rate, rtt[zone, site]) for zone, rate in enumerate(rates[row]) if rate]
            if not terms:
                assert found[row, site] == 1
            elif any(np.isnan(ms) for _, ms in terms):
                assert np.isnan(found[row, site])
            else:
                assert np.isclose(found[row, site], sum(r * ms for r, ms in terms) / sum(r for r, _ in terms))


@given(RATES, RTT, GROWTH)
def test_a_forecast_that_lacks_for_one_of_its_zones_moves_a_workload_nowhere(rates, rtt, growth) -> None:
    change = latency_to_come(rates, growth, rtt)
    assert np.isfinite(change).all()
    unknown = ((rates > 0) & np.isnan(growth)).any(axis=1)
    assert (change[unknown] == 0).all()
    assert np.allclose(latency_to_come(rates, np.full(3, 2.0), rtt), 0, atol=1e-6)  # all zones alike shift nothing


def test_users_who_wake_up_draw_a_workload_to_them() -> None:
    rtt = np.array([[10.0, 100.0], [100.0, 10.0]])
    change = latency_to_come(np.array([[5.0, 5.0]]), np.array([1.0, 3.0]), rtt)
    assert change[0, 0] > 0 > change[0, 1]


def test_a_price_that_lacks_at_an_allowed_place_makes_all_alike_and_elsewhere_is_of_no_matter() -> None:
    latency, errors = np.array([[1.0, 1.0]]), np.zeros((1, 2))
    money = np.array([[2.0, np.nan]])
    both = costs_of(latency, money, errors, np.array([[True, True]]))
    assert both.money.tolist() == [[1.0, 1.0]]
    one = costs_of(latency, money, errors, np.array([[True, False]]))
    assert one.money[0, 0] == 1.0
    assert np.isnan(one.total[0, 1])
