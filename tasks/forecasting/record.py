"""Keep what a forecast pass has to tell, and read its forecast back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from blocks.errors import NotFound
from blocks.series import Forecast, Series
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from tasks.forecasting.act import ShardMade, forecast_name
from tasks.forecasting.observe import Collected, read_demand
from tasks.forecasting.report import sections
from tasks.publish import publish
from tasks.run import Run

SHOWN_DAYS = 2


def newest_forecast(run: Run) -> Forecast:
    """The forecast that this pass has just made, all shards together.

    Raises
    ------
    NotFound: there was nothing to forecast.
    """
    made = load_forecast(run.store, forecast_name(run.fleet_name))
    if made is None:
        raise NotFound("there is no demand to forecast", where=f"fleet {run.fleet_name}",
                       fix="check the metrics queries in fleet.yaml with `continuum doctor`")  # fmt: skip
    return made


def publish_forecast(
    run: Run, made: Forecast, capacity: Mapping[str, float], crossing: Sequence[tuple[str, datetime]],
    collected: Collected, shards: Sequence[ShardMade],
) -> dict[str, Any]:  # fmt: skip
    """Save the report's sections and artifacts; a summary for whoever called the flow."""
    recent = read_demand(SeriesStore.open(), run.fleet, made.as_of, SHOWN_DAYS)
    row_of = {name: row for row, name in enumerate(recent.unique_id)}
    history = Series(
        made.unique_id, recent.start_s, recent.step_s, recent.values[[row_of[name] for name in made.unique_id]]
    )
    publish(run, sections(made, history, capacity, crossing, collected, shards))
    return {
        "flow_run_id": run.id,
        "as_of": made.as_of.isoformat(),
        "series": len(made.unique_id),
        "methods": {name: made.method.count(name) for name in sorted(set(made.method))},
        "crossing": [{"pool": pool, "at": when.isoformat()} for pool, when in crossing],
        "trouble": list(collected.trouble),
    }
