"""What metrics measure of workloads and places, smoothed over hours; and what is forecast of the zones of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydantic import Field

from blocks.errors import ContinuumError
from blocks.fleet import Fleet
from blocks.fleet_values import Model
from blocks.inventory import resolve_secrets
from blocks.prometheus import PrometheusSource, series_id
from blocks.series import Series
from blocks.store.forecasts import load_forecast
from tasks.forecasting.act import forecast_name
from tasks.forecasting.decide.plans import PLANS
from tasks.migration.decide.moves import smoothed
from tasks.run import Run

SLOT = timedelta(minutes=15)
SLOTS = 20  # that are smoothed over: with a weight of 0.25, 0.3 % of a value come from before
OLDEST_FORECAST = timedelta(hours=3)  # it is made every hour

LABELS = {"rtt_ms": ("site", "to"), "demand_rps": ("namespace", "workload", "site"), "carbon_g_per_kwh": ("site",),
          "error_ratio": ("namespace", "workload", "cluster")}  # fmt: skip


class Queries(Model):
    """PromQL of what the fleet's metrics measure; without a query a value is reckoned, or not looked at."""

    rtt_ms: str = Field("", description="ms there and back, labels `site` (a cluster's) and `to` (the users'); none: "
                        "by distance. With it, no workload goes where it is not measured")  # fmt: skip
    demand_rps: str = Field("", description="requests per second of users, labels `namespace`, `workload`, `site`; "
                            "none, or no answer for a workload: as `users` says")  # fmt: skip
    carbon_g_per_kwh: str = Field("", description="of the grid, label `site`; none: of a typical day")
    error_ratio: str = Field("", description="share of requests that fail, 0-1, labels `namespace`, `workload`, "
                             "`cluster`; none: pods that are not Ready alone")  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Smoothed values by the labels of `LABELS`, joined by slashes; None for what no query asks for.

    What a query has no fresh answer for is absent.
    """

    values: Mapping[str, Mapping[str, float]]
    trouble: tuple[str, ...] = ()

    def of(self, name: str) -> Mapping[str, float] | None:
        """The values of one query; None where there is none."""
        return self.values.get(name)


def measure(fleet: Fleet, queries: Queries, as_of: datetime, alpha: float) -> Measured:
    """The newest values, each smoothed over the slots before it (EWMA); a query that fails has none, and is told."""
    values, trouble = {}, list[str]()
    for name, query in queries.model_dump().items():
        if query:
            try:
                found = read_slots(fleet, query, name, as_of - SLOT * SLOTS, as_of)
                values[name] = _newest(found, alpha)
            except ContinuumError as error:
                values[name] = {}
                trouble.append(f"{name} is not measured: {error}")
    return Measured(values, tuple(trouble))


def read_slots(fleet: Fleet, query: str, name: str, begin: datetime, end: datetime) -> Series:
    """Values of a query at the quarters of an hour in (begin, end].

    Raises
    ------
    ContinuumError: it has no answer, or series without the labels that it must have.
    """
    source = PrometheusSource.from_metrics(resolve_secrets(fleet).metrics)
    label = "/".join(f"{{{each}}}" for each in LABELS[name])
    step = int(SLOT.total_seconds())
    return source.matrix(query, begin.timestamp() + 1, end.timestamp() + 1, step, label=label)


def key_of(name: str, **labels: str) -> str:
    """Under which `Measured` has a value.

    >>> key_of("rtt_ms", site="frankfurt", to="munich")
    'frankfurt/munich'
    """
    return series_id(labels, "/".join(f"{{{each}}}" for each in LABELS[name]))


def _newest(found: Series, alpha: float) -> dict[str, float]:
    """Smoothed values of the series whose newest slot is measured; negative ones are none."""
    values = np.where(found.values >= 0, found.values, np.nan)
    smooth = values[:, 0]
    for column in values.T[1:]:
        smooth = smoothed(smooth, column, alpha)
    fresh = np.isfinite(values[:, -1])
    return {each: float(smooth[row]) for row, each in enumerate(found.unique_id) if fresh[row]}


def zone_growth(
    run: Run, zones: Sequence[str], as_of: datetime, horizon_s: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(Z,) mean demand of the horizon over that of now, by the stored day-ahead forecast of the pools at each site.

    What people ask for rises and falls with what the pools near them are asked for. NaN where a site has no pool that
    is forecast, or the forecast is old.
    """
    nothing = np.full(len(zones), np.nan)
    made = load_forecast(run.store, forecast_name(run.fleet_name, PLANS["day-ahead"]), not_after=as_of)
    if made is None or as_of - made.as_of > OLDEST_FORECAST:
        return nothing
    times = made.start_s + made.step_s * np.arange(made.values.shape[1])
    ahead = (times >= as_of.timestamp()) & (times < as_of.timestamp() + horizon_s)
    here = np.abs(times - as_of.timestamp()).argmin()
    median = np.abs(np.array(made.levels) - 0.5).argmin()
    site_of = {cluster.name: cluster.site for cluster in run.fleet.clusters}
    sums = {zone: np.zeros(made.values.shape[1]) for zone in zones}
    for row, name in enumerate(made.unique_id):
        if name.endswith("/cpu_cores") and (site := site_of.get(name.split("/", 1)[0])) in sums:
            sums[site] += made.values[row, :, median]
    course = np.array([sums[zone] for zone in zones]).reshape(len(zones), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = course[:, ahead].mean(axis=1) / course[:, here] if ahead.any() else nothing
    return np.where(np.isfinite(growth) & (growth > 0), growth, np.nan)
