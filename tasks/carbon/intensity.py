"""Carbon intensity as the fleet knows it: providers before what is carried, every forecast kept as it was issued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from blocks.carbon import METHODS, CarbonSeries, Signal
from blocks.carbon.configured import Provider, providers_of
from blocks.errors import ContinuumError, NotFound
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.series import Forecast
from blocks.store import Store
from blocks.store.forecasts import load_forecast, save_forecast
from tasks.carbon.offline import zone_series

STALE = timedelta(hours=6)  # a forecast that was issued so long ago plans nothing any more
MOST_GAP_S = 3600  # between now and a forecast's first value
KNOWN = ("actual", "estimated")  # what a plan can be held against afterwards

Intensity = Callable[[str, int, int], CarbonSeries]  # zone, begin, end


def open_providers(fleet: Fleet, signal: Signal) -> list[Provider]:
    """The fleet's providers of a signal, with their secrets.

    Raises
    ------
    NotConfigured: a key is missing.
    """
    return providers_of([resolve_secrets(each) for each in fleet.carbon], signal)


def metric_of(provider: str, zone: str) -> str:
    """The name that forecasts of a provider and zone are kept under."""
    return f"carbon intensity of {zone} by {provider}"


def forecast_of(
    store: Store, providers: Sequence[Provider], zone: str, as_of: datetime, flow_run_id: str
) -> tuple[CarbonSeries | None, list[str]]:
    """The first provider's newest forecast, kept with its issue time; and a line for each that could not tell.

    One that fails is replaced by what it told less than `STALE` ago, and its line says so. None: no provider has one.
    """
    trouble: list[str] = []
    for provider in providers:
        if not (provider.tells_forecasts and provider.knows(zone)):
            continue
        told: CarbonSeries | None = None
        try:
            told = provider.forecast(zone)
            told = _from(replace(told, issued_at=told.issued_at or as_of), int(as_of.timestamp()))
            _keep_forecast(store, provider.kind, told, flow_run_id)
        except ContinuumError as error:
            told = kept_forecast(store, provider, zone, as_of)
            trouble.append(str(error) + ("; what it told before counts" if told else ""))
        if told is None or told.issued_at is None:
            continue
        if told.issued_at < as_of - STALE:
            trouble.append(f"{told.source}: its forecast of {zone} is of {told.issued_at:%Y-%m-%dT%H:%MZ}, too old")
            continue
        return told, trouble
    return None, trouble


def _from(told: CarbonSeries, now_s: int) -> CarbonSeries:
    """A forecast that begins with the next step or hour: its first value is taken to hold from now on."""
    gap = -(-(told.start_s - now_s) // told.step_s)
    if not 0 < gap * told.step_s <= max(MOST_GAP_S, told.step_s):
        return told
    values = np.concatenate([np.full(gap, told.g_per_kwh[0]), told.g_per_kwh])
    return replace(told, start_s=told.start_s - gap * told.step_s, g_per_kwh=values)


def _keep_forecast(store: Store, provider: str, told: CarbonSeries, flow_run_id: str, metric: str = "") -> None:
    """Write a forecast down under its issue time; the same one again replaces itself. metric: see `metric_of`."""
    if told.issued_at is None:
        return
    values = told.g_per_kwh.astype(np.float32)[None, :, None]
    made = Forecast((told.zone,), told.issued_at, told.start_s, told.step_s, (0.5,), values, values, (told.source,))
    metric = metric or metric_of(provider, told.zone)
    save_forecast(store, made, metric=metric, shard="0", engine=provider, flow_run_id=flow_run_id)


def kept_forecast(store: Store, provider: Provider, zone: str, not_after: datetime) -> CarbonSeries | None:
    """The newest forecast of a provider that was issued by then; None where none was kept."""
    return _loaded(store, metric_of(provider.kind, zone), zone, provider.signal, not_after)


def keep_announced(store: Store, told: CarbonSeries, flow_run_id: str) -> None:
    """Write down what later forecasts of this source and zone are held against, see `watch_forecasts`."""
    _keep_forecast(store, told.source, told, flow_run_id, _announced(told))


def announced_forecast(store: Store, told: CarbonSeries, not_after: datetime) -> CarbonSeries | None:
    """What `keep_announced` wrote down last of the same source, zone and signal; None where it never did."""
    return _loaded(store, _announced(told), told.zone, told.signal, not_after)


def _announced(told: CarbonSeries) -> str:
    return f"announced {told.signal} {metric_of(told.source, told.zone)}"


def _loaded(store: Store, metric: str, zone: str, signal: Signal, not_after: datetime) -> CarbonSeries | None:
    kept = load_forecast(store, metric, not_after=not_after)
    if kept is None:
        return None
    values = kept.values[0, :, 0].astype(np.float64)
    return CarbonSeries(zone, kept.start_s, kept.step_s, values, signal, "forecast", kept.method[0], kept.as_of)


def known_of(
    providers: Sequence[Provider], zone: str, begin_s: int, end_s: int, signal: Signal = "average"
) -> CarbonSeries:
    """What was: of the providers the best; of average intensity what is known offline too, where that is better.

    Raises
    ------
    NotFound: nobody knows it. ContinuumError: a provider that should know it failed: nothing takes its place silently.
    """
    found: list[CarbonSeries] = []
    for provider in providers:
        try:
            found.append(provider.series(zone, begin_s, end_s).between(begin_s, end_s))
        except NotFound:
            continue
    if not any(each.method == "actual" for each in found) and signal == "average":
        with suppress(NotFound):
            found.append(zone_series(zone, begin_s, end_s))
    if not found:
        raise NotFound("no source knows it", where=f"carbon intensity of {zone}", fix="see `carbon` in fleet.yaml")
    return min(found, key=lambda each: METHODS.index(each.method))


def intensity_of(fleet: Fleet) -> Intensity:
    """Average intensity for accounts: the fleet's providers, and what is known offline."""
    providers = open_providers(fleet, "average")
    return lambda zone, begin_s, end_s: known_of(providers, zone, begin_s, end_s)
