"""A pass as the flow makes it, without a Prefect server; and a forecast that any pass can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from blocks.fleet import Fleet
from blocks.series import Forecast, utc
from blocks.store import Journal, Store
from blocks.store.forecasts import save_forecast
from blocks.store.tables import Decision, Mode, now
from tasks.acting import Result
from tasks.forecasting.act import forecast_name
from tasks.forecasting.observe import demand_queries, source_time_s
from tasks.run import Run
from tasks.scaling.act import act_on, finish_left_over
from tasks.scaling.approve import approve
from tasks.scaling.decide import POLICIES, decide_scaling
from tasks.scaling.observe import View, observe_pools
from tasks.scaling.reaper import reap, renew
from tasks.scaling.record import record
from tasks.scaling.report import explain

POLICY = POLICIES["predictive"]
LATER = timedelta(minutes=10)  # after which the lease of an owner that says nothing has ended


@dataclass(frozen=True)
class Pass:
    """What one pass saw, decided and did."""

    view: View
    rows: tuple[Decision, ...]
    results: list[Result]
    left_over: list[Result]

    def of(self, subject: str) -> Decision:
        """The decision on one pool."""
        return next(row for row in self.rows if row.subject == subject)

    def words(self, subject: str) -> str:
        """The decision as people read it."""
        return explain(self.of(subject).content)

    def codes(self, subject: str) -> set[str]:
        """The reasons of one pool."""
        return {reason["code"] for reason in self.of(subject).reasons}


def run_of(fleet: Fleet, name: str = "one", *, store: Store | None = None, later: bool = False) -> Run:
    """A run with an owner of its own; `later`: when the leases of those before it have ended."""
    store = store or Store.open()
    journal = Journal(store, clock=lambda: now() + LATER) if later else Journal(store)
    return Run(name, "cluster-scaling", "default", fleet, store, journal, Mode.ACT)


def a_pass(run: Run, pools: Sequence[str] | None = None, *, before_acting: Callable[[], None] = lambda: None) -> Pass:
    """Mend, observe, decide, record and act, in the order of `flows/cluster_scaling.py`."""
    left_over = finish_left_over.fn(run) + reap.fn(run)
    view = observe_pools.fn(run, POLICY)
    decided = decide_scaling(view.pools, view.observed, view.forecast, POLICY, view.as_of)
    rows = record(run, decided, POLICY, frozenset(pools or view.pools.unique_id))
    approved = approve(run, rows, view, POLICY)
    ready = int(view.observed.ready.sum())
    before_acting()
    results = act_on.fn(run, approved, disruption_ratio=POLICY.disruption_ratio, fleet_nodes=ready)
    renew(run, rows)
    return Pass(view, rows, results, left_over)


def forecast_of_now(run: Run, *, age_s: float = 0.0) -> None:
    """Store a forecast that says: two hours like the last sample that there is."""
    as_of_s = source_time_s(run.fleet)
    made = utc(as_of_s - age_s)
    names: list[str] = []
    levels: list[float] = []
    for asked in demand_queries(run.fleet):
        recent = asked.read(as_of_s - 7200, as_of_s + 1, 60)
        for name, row in zip(recent.unique_id, recent.values, strict=True):
            names.append(f"{name}/{asked.kind}")
            levels.append(float(row[~np.isnan(row)][-1]))
    values = np.repeat(np.array(levels, np.float32)[:, None, None], 24, axis=1).repeat(2, axis=2)
    start_s = int(made.timestamp()) // 300 * 300 + 300
    flat = Forecast(tuple(names), made, start_s, 300, (0.5, 0.9), values, values, ("flat",) * len(names))
    save_forecast(
        run.store, flat, metric=forecast_name("default"), shard="0", engine="flat", flow_run_id=run.id
    )  # fmt: skip
