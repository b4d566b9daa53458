"""The services of carbon intensity that an inventory names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from pydantic import SecretStr

from blocks.carbon.generation import Eia, Entsoe
from blocks.carbon.providers import CarbonAwareSdk, ElectricityMaps, UkCarbonIntensity, WattTime
from blocks.carbon.series import METHODS, CarbonForecaster, CarbonSeries, CarbonSource, Signal
from blocks.errors import NotConfigured, NotFound
from blocks.fleet import CarbonAccess

UK_ZONES = {"GB": "GB"}
_NONE = SecretStr("")
DAY_S = 86_400
MOST_DAYS = {"uk": 13, "electricity-maps": 10, "watttime": 32, "entsoe": 300, "eia": 15}  # of one answer


class Provider:
    """One service under our names of grid zones: what was, and, where it tells that, what is to come."""

    def __init__(self, access: CarbonAccess) -> None:
        """Secrets of `access` are resolved.

        Raises
        ------
        NotConfigured: a key, a user or a URL is missing.
        """
        self.kind, self._zones = access.kind, access.zones or (UK_ZONES if access.kind == "uk" else {})
        made = _made(access)
        self.signal: Signal = made.signal
        self._source: CarbonSource | None = None if isinstance(made, CarbonAwareSdk) else made
        self._forecaster: CarbonForecaster | None = None if isinstance(made, Entsoe | Eia) else made

    def knows(self, zone: str) -> bool:
        """Whether it may be asked for a zone of ours."""
        return not self._zones or zone in self._zones

    @property
    def tells_forecasts(self) -> bool:
        """Whether it has any."""
        return self._forecaster is not None

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """See `CarbonSource.series`."""
        if self._source is None or not self.knows(zone):
            raise NotFound(f"it does not know zone {zone}", where=self.kind, fix="give another source, or `zones`")
        most = MOST_DAYS[self.kind] * DAY_S
        parts = [replace(self._source.series(self._zones.get(zone, zone), at, min(at + most, end_s)), zone=zone)
                 for at in range(start_s, end_s, most)]  # fmt: skip
        return _joined(parts)

    def forecast(self, zone: str) -> CarbonSeries:
        """See `CarbonForecaster.forecast`."""
        if self._forecaster is None or not self.knows(zone):
            raise NotFound(f"it has no forecast of zone {zone}", where=self.kind, fix="give another source, or `zones`")
        return replace(self._forecaster.forecast(self._zones.get(zone, zone)), zone=zone)


def providers_of(found: Sequence[CarbonAccess], signal: Signal) -> list[Provider]:
    """Those of one signal, in order: average and marginal are never mixed."""
    return [each for each in map(Provider, found) if each.signal == signal]


def _joined(parts: Sequence[CarbonSeries]) -> CarbonSeries:
    """Answers that follow each other as one, called by the weakest."""
    step = parts[0].step_s
    for before, after in pairwise(parts):
        if after.start_s > before.end_s or after.step_s != step or (after.start_s - before.start_s) % step:
            raise NotFound("a gap between its answers", where=before.source, fix="ask for another time")
    values = [each.g_per_kwh[: (after.start_s - each.start_s) // step] for each, after in pairwise(parts)]
    method = max((each.method for each in parts), key=METHODS.index)
    return replace(parts[0], g_per_kwh=np.concatenate([*values, parts[-1].g_per_kwh]), method=method)


def _made(
    access: CarbonAccess,
) -> UkCarbonIntensity | ElectricityMaps | WattTime | CarbonAwareSdk | Entsoe | Eia:
    where, at = f"carbon, {access.kind}", {"url": access.url} if access.url else {}
    token = access.token or _NONE
    match access.kind:
        case "uk":
            return UkCarbonIntensity(**at)
        case "electricity-maps":
            return ElectricityMaps(token, **at)
        case "watttime":
            if not (access.username and access.zones):
                raise NotConfigured("it needs a user, and its own names of zones", where=where,
                                    fix="give username, password and zones: {US-CAL-CISO: CAISO_NORTH}")  # fmt: skip
            return WattTime(access.username, access.password or _NONE, **at)
        case "carbon-aware-sdk":
            if not access.url:
                raise NotConfigured("it needs a URL", where=where, fix="give the URL of your own web API")
            return CarbonAwareSdk(access.url, access.signal)
        case "entsoe":
            return Entsoe(token, **at)
        case "eia":
            return Eia(token, **at)
