"""One zone's carbon intensity as a source tells it: where each number comes from is part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput, NotFound, Refused

Floats = NDArray[np.float64]
Signal = Literal["average", "marginal"]
SIGNALS: tuple[Signal, ...] = ("average", "marginal")
Method = Literal["actual", "estimated", "forecast", "history of another year", "typical day"]

# From the best to the worst. What was measured comes before what was modelled, any model of this year before another
# year's weather, and that before a day without weather.
METHODS: tuple[Method, ...] = ("actual", "estimated", "forecast", "history of another year", "typical day")
G_PER_LB = 453.59237


@dataclass(frozen=True)
class CarbonSeries:
    """(T,) g CO2e/kWh of one zone; value i holds for `step_s` seconds from `start_s` + i x `step_s` (epoch) on.

    Attributes
    ----------
    signal :
        average (what a kWh of the mix emitted) or marginal (what one kWh more would): never compared, never summed.
    method :
        of the weakest value in it, see `METHODS`.
    source :
        provider, version or years, licence: what a report prints.
    issued_at :
        when the provider issued it; None where it says nothing. Forecasts can be scored by it later.

    Raises
    ------
    InvalidInput: no values, or one that is missing or negative.
    """

    zone: str
    start_s: int
    step_s: int
    g_per_kwh: Floats
    signal: Signal
    method: Method
    source: str
    issued_at: datetime | None = None

    def __post_init__(self) -> None:
        if not len(self.g_per_kwh):
            raise InvalidInput("no values", where=self._where(), fix="ask for another time")
        odd = np.flatnonzero(~(self.g_per_kwh >= 0) | np.isinf(self.g_per_kwh))
        if len(odd):
            when = datetime.fromtimestamp(self.start_s + int(odd[0]) * self.step_s, UTC)
            raise InvalidInput(f"{self.g_per_kwh[odd[0]]:g} g/kWh at {when:%Y-%m-%dT%H:%MZ}", where=self._where(),
                               fix="give 0 or more; a missing value is not zero")  # fmt: skip

    @property
    def how(self) -> str:
        """Method and source in words."""
        return self.source if self.source.startswith(self.method) else f"{self.method}, {self.source}"

    @property
    def end_s(self) -> int:
        """The first second that is not covered."""
        return self.start_s + self.step_s * len(self.g_per_kwh)

    def between(self, start_s: int, end_s: int) -> CarbonSeries:
        """The steps that touch [start, end).

        Raises
        ------
        NotFound: the series does not cover all of it.
        """
        if start_s < self.start_s or end_s > self.end_s or start_s >= end_s:
            raise NotFound(f"covers {_day(self.start_s)} to {_day(self.end_s)}, not {_day(start_s)} to {_day(end_s)}",
                           where=self._where(), fix="give data of that time")  # fmt: skip
        first, last = (start_s - self.start_s) // self.step_s, -(-(end_s - self.start_s) // self.step_s)
        return replace(self, start_s=self.start_s + first * self.step_s, g_per_kwh=self.g_per_kwh[first:last])

    def _where(self) -> str:
        return f"carbon intensity of {self.zone or 'the zone'} ({self.source})"


class CarbonSource(Protocol):
    """Whatever tells the carbon intensity of a zone in a time that has been, or that it can vouch for."""

    @property
    def signal(self) -> Signal:
        """Average or marginal: one source has one signal."""
        ...

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The steps that touch [start, end), epoch seconds.

        Raises
        ------
        NotFound: no such zone, or not that time. ContinuumError: see `blocks.http.fetch_json`.
        """
        ...


class CarbonForecaster(Protocol):
    """Whatever tells the intensity to come."""

    @property
    def signal(self) -> Signal:
        """Average or marginal."""
        ...

    def forecast(self, zone: str) -> CarbonSeries:
        """The newest forecast, with its issue time.

        Raises
        ------
        NotFound: no such zone. ContinuumError: see `blocks.http.fetch_json`.
        """
        ...


def best_series(
    sources: Sequence[CarbonSource], zone: str, start_s: int, end_s: int, signal: Signal = "average"
) -> CarbonSeries:
    """What the first source knows of [start, end); a later one only where its method is better (`METHODS`).

    A source that does not know the zone or the time is passed over; any other failure is raised, so that a provider
    that is down is not silently replaced by a typical day.

    Raises
    ------
    NotFound: none knows it. Refused: a source has the other signal.
    """
    found: list[CarbonSeries] = []
    missing: list[NotFound] = []
    for source in sources:
        if source.signal != signal:
            raise Refused(f"a source of {source.signal} intensity was given where {signal} was asked for",
                          where=f"carbon intensity of {zone}", fix="keep average and marginal apart")  # fmt: skip
        try:
            found.append(source.series(zone, start_s, end_s))
        except NotFound as error:
            missing.append(error)
    if not found:
        raise missing[-1] if missing else NotFound("no source", where=f"carbon intensity of {zone}", fix="name one")
    return min(found, key=lambda series: METHODS.index(series.method))


def from_points(times_s: Sequence[float], values: Sequence[float], step_s: int, *, where: str) -> tuple[int, Floats]:
    """Start and dense values of points that a provider listed in any order.

    Raises
    ------
    NotFound: no points. InvalidInput: two for one time, one off the step, or a gap.
    """
    if not len(times_s):
        raise NotFound("no values for that time", where=where, fix="ask for another time or zone")
    order = np.argsort(np.asarray(times_s), kind="stable")
    times = np.asarray(times_s, np.float64)[order]
    gaps = np.flatnonzero(np.diff(times) != step_s)
    if len(gaps):
        raise InvalidInput(f"no step of {step_s // 60} min after {_day(int(times[gaps[0]]))}", where=where,
                           fix="ask for a time without gaps; a missing value is not zero")  # fmt: skip
    return int(times[0]), np.asarray(values, np.float64)[order]


def _day(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%MZ}"
