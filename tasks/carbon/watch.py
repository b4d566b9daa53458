"""Look at the forecasts of the fleet's grids, and announce those that have moved."""

from __future__ import annotations

import logging
from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.carbon import SIGNALS, CarbonSeries
from blocks.events import CarbonMoved
from blocks.fleet import Fleet
from blocks.store import Store
from blocks.store.tables import now
from tasks.carbon.decide.moved import decide_movement
from tasks.carbon.intensity import STALE, announced_forecast, forecast_of, keep_announced, open_providers
from tasks.carbon.offline import grid_of
from tasks.publish import emit
from tasks.run import Run

logger = logging.getLogger(__name__)


@task(name="watch carbon forecasts", cache_policy=NO_CACHE, persist_result=False)
def watch_forecasts(run: Run) -> list[str]:
    """Fetch and keep the newest forecast of each zone, and emit one event for those that moved; their names.

    A forecast is held against the one that was announced last, not against that of the hour before: one that trembles
    is announced once, and one that creeps is announced when it has gone far enough. After `STALE` every plan has been
    made anew anyway, and the newest one takes that place without a word. A provider that fails is logged.
    """
    as_of = now()
    moved: dict[str, CarbonSeries] = {}
    for signal in SIGNALS:
        providers = open_providers(run.fleet, signal)
        for zone in _zones(run.fleet) if providers else []:
            told, trouble = forecast_of(run.store, providers, zone, as_of, run.id)
            for line in trouble:
                logger.warning("%s", line)
            if told is not None and _compared(run.store, told, as_of, run.id):
                moved[f"{zone} {signal}"] = told
    zones = sorted({told.zone for told in moved.values()})
    if zones:
        issued = " ".join(f"{key} {told.issued_at}" for key, told in sorted(moved.items()))
        emit(CarbonMoved(fleet=run.fleet_name, zones=zones), identity=issued)
    for told in moved.values():  # after the event: a run that is killed between the two announces it again, once
        keep_announced(run.store, told, run.id)
    return zones


def _compared(store: Store, told: CarbonSeries, as_of: datetime, flow_run_id: str) -> bool:
    """Whether it has moved; one that nothing recent can be compared with is what later ones are compared with."""
    before = announced_forecast(store, told, as_of)
    if before is not None and before.issued_at is not None and before.issued_at >= as_of - STALE:
        movement = decide_movement(grid_of(before), grid_of(told), int(as_of.timestamp()))
        if movement is not None:
            return movement.moved
    keep_announced(store, told, flow_run_id)
    return False


def _zones(fleet: Fleet) -> list[str]:
    """Where the fleet's sites are, and those that its providers were given by name."""
    named = {zone for access in fleet.carbon for zone in access.zones}
    return sorted(named | {site.grid_zone for site in fleet.sites if site.grid_zone})
