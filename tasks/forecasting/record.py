"""Keep what a forecast pass has to tell, and read its forecast back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from blocks.errors import NotFound, StoreUnavailable
from blocks.events import Anomaly
from blocks.fleet import Fleet, pool_id
from blocks.series import Forecast, Series
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from tasks.forecasting.act import PassMade, forecast_name
from tasks.forecasting.decide.cost import projected_cost
from tasks.forecasting.observe import Collected, read_pool_demand
from tasks.forecasting.report import ROWS, cost_words, most_at_risk, sections
from tasks.forecasting.report_anomalies import anomaly_sections
from tasks.publish import publish
from tasks.run import Run

SHOWN_DAYS = 2
AGES = (1.0, 0.5, 0.25)  # of a past forecast, in horizons, in the order in which they are looked for
OLDEST_PAST = 2  # horizons ago: an older forecast has nothing to say of what is drawn


def newest_forecast(run: Run, shards: PassMade) -> Forecast:
    """The forecast that this pass has just made, all shards together.

    Raises
    ------
    NotFound: there was nothing to forecast.
    """
    made = load_forecast(run.store, forecast_name(run.fleet_name, shards.serving.plan))
    if made is None:
        raise NotFound("there is no demand to forecast", where=f"fleet {run.fleet_name}",
                       fix="check the metrics queries in fleet.yaml with `continuum doctor`")  # fmt: skip
    return made


def earlier_forecast(run: Run, name: str, made: Forecast) -> Forecast | None:
    """The forecast of one horizon before, to be held against what came; where there is none yet, a younger one.

    None where none can be read, or it is so old that it says nothing of what is drawn.
    """
    span = timedelta(seconds=made.step_s * made.values.shape[1])
    for share in AGES:
        try:
            past = load_forecast(run.store, name, not_after=made.as_of - share * span)
        except StoreUnavailable:  # it is only a picture
            return None
        if past is not None:
            return past if past.as_of >= made.as_of - OLDEST_PAST * span else None
    return None


def publish_forecast(
    run: Run, made: Forecast, capacity: Mapping[str, float], crossing: Sequence[tuple[str, datetime]],
    collected: Collected, shards: PassMade, anomalies: Sequence[Anomaly],
) -> dict[str, Any]:  # fmt: skip
    """Save the report's sections and artifacts; a summary for whoever called the flow."""
    shown = most_at_risk(made, capacity)[:ROWS]
    past = earlier_forecast(run, forecast_name(run.fleet_name, shards.serving.plan), made)
    told = sections(made, _recent(run, made, shown), capacity, crossing, collected, shards, shown, past)
    cost = fleet_cost(run.fleet, made)
    told[0]["paragraphs"].insert(1, cost_words(made, cost))
    publish(run, [*told, *anomaly_sections(anomalies, shards.shards)])
    return {
        "flow_run_id": run.id,
        "as_of": made.as_of.isoformat(),
        "series": len(made.unique_id),
        "methods": {name: made.method.count(name) for name in sorted(set(made.method))},
        "engines": shards.serving.engine_of,
        "trained_at": shards.serving.trained_at,
        "calibrations_renewed": sum(shard.renewed for shard in shards.shards),
        "crossing": [{"pool": pool, "at": when.isoformat()} for pool, when in crossing],
        "anomalies": [anomaly.model_dump(mode="json") for anomaly in anomalies],
        "projected_cost_usd": cost,
        "doubtful": sum(shard.doubtful for shard in shards.shards),
        "trouble": [*collected.trouble, *shards.serving.notes, *shards.trouble],
    }


def fleet_cost(fleet: Fleet, made: Forecast) -> dict[str, float]:
    """USD over the horizon by level, e.g. `p50`, summed over the pools that have a price; empty where none has."""
    sizes: dict[str, float] = {}
    prices: dict[str, float] = {}
    reserved: dict[str, int] = {}
    for cluster, pool in fleet.pools():
        name = pool_id(cluster.name, pool.name)
        sizes |= {f"{name}/cpu_cores": float(pool.node_cpu), f"{name}/memory_bytes": float(pool.node_memory)}
        if pool.usd_per_hour is not None:
            prices[name], reserved[name] = pool.usd_per_hour, pool.reserved_nodes
    found = projected_cost(made, sizes, prices, reserved)
    if not found:
        return {}
    total = np.sum(list(found.values()), axis=0)
    return {"pools": len(found)} | {f"p{100 * level:g}": round(float(usd), 2)
                                    for level, usd in zip(made.levels, total, strict=True)}  # fmt: skip


def _recent(run: Run, made: Forecast, shown: Sequence[int]) -> Series:
    """The last days of the rows that are shown, in their order."""
    names = [made.unique_id[row] for row in shown]
    pools = sorted({name.rsplit("/", 1)[0] for name in names})
    recent = read_pool_demand(SeriesStore.open(), run.fleet.name, pools, made.as_of, SHOWN_DAYS)
    row_of = {name: row for row, name in enumerate(recent.unique_id)}
    return Series(tuple(names), recent.start_s, recent.step_s, recent.values[[row_of[name] for name in names]])
