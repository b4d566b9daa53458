"""The review of the simulated fleet's week: what is there is looked at, what is not is said, and nothing is touched."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from blocks.fleet import Fleet
from blocks.series import Series
from blocks.store import Journal, Store
from blocks.store.series import SeriesStore
from blocks.store.tables import Decision, now
from flows.performance_review import performance_review
from flows.store_retention import store_retention
from tasks.forecasting.observe import source_time_s

pytestmark = pytest.mark.server


def test_a_pool_that_is_full_every_day_is_told_with_what_would_have_helped(fleet: Fleet) -> None:
    end_s = int(source_time_s(fleet)) // 86_400 * 86_400
    pool = fleet.clusters[0].node_pools[0]
    cores = np.full((1, 2016), 4 * pool.node_cpu * 0.95, np.float32)
    files, name = SeriesStore.open(), f"{fleet.clusters[0].name}/{pool.name}"
    for metric, values in ((f"cpu_cores of {fleet.name}", cores), (f"memory_bytes of {fleet.name}", cores),
                           (f"energy nodes_ready of {fleet.name}", np.full_like(cores, 4.0))):  # fmt: skip
        files.append(metric, Series((name,), end_s - 7 * 86_400, 300, values))
    told = performance_review()
    assert Journal(Store.open()).intents() == []
    (slow,) = told["bottlenecks"]
    assert (slow["pool"], slow["rule"], slow["resource"]) == (name, "saturated", "cpu_cores")
    assert slow["confidence"] > 0.8
    (advice,) = told["advice"]
    assert (advice["nodes"], advice["minutes_after"]) == (5, 0)
    assert advice["usd"] == pytest.approx(24 * pool.price_usd_per_hour, rel=0.05)
    assert told["known_ratio"] < 0.2  # the other pools have no past here
    assert any("no day-ahead forecast" in line for line in told["trouble"])
    page = Store.open().sections(flow="performance-review")
    assert page[0].content["table"]["rows"][0][0] == name
    assert len(page[0].content["plots"]) == 1


def test_the_store_forgets_what_is_old_and_says_how_much(fleet: Fleet) -> None:
    store = Store.open()
    for days in (1, 60):
        at = now() - timedelta(days=days)
        store.record_decisions([Decision(flow_run_id=str(days), flow="f", subject="s", action="hold", as_of=at,
                                         created_at=at)])  # fmt: skip
    told = store_retention()
    assert (told["forgotten"]["decision"], told["forgotten"]["intent"]) == (1, 0)
    assert [row.flow_run_id for row in store.decisions()] == ["1"]
    assert store.last_passes()[0].flow == "store-retention"
