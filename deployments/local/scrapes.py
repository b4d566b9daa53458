"""What the simulated Prometheus holds: series of the world and of the running fleet, as if scraped once a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deployments.local.faults.samples import SampleFaults, reach_s, recorded
from deployments.local.promql import STALE, Matcher, Samples, stale
from deployments.local.recorder import LENGTH
from deployments.local.series import Series
from deployments.local.world import HISTORY_S, World

SCRAPE_S = 60


class Scrapes:
    """Every sample from 30 days before the world's start to the newest scrape, none after the simulated present.

    Scrapes fall on whole minutes. What is a function of time has its whole history; what depends on the running fleet
    has the last six hours. A value of NaN is no sample; the first one after a value marks the end of the series.
    """

    def __init__(self, world: World, series: Callable[[], Sequence[Series]], faults: SampleFaults) -> None:
        self._clock, self._series, self._faults = world.clock, series, faults
        self._first_s = np.ceil((world.start_s - HISTORY_S) / SCRAPE_S) * SCRAPE_S

    def now_s(self) -> float:
        """The simulated present, to the millisecond as Prometheus counts."""
        return round(self._clock.now(), 3)

    def __call__(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> list[Samples]:
        """Samples with start_s <= time <= end_s of every series that fits all matchers."""
        found = [self._samples(series, start_s, end_s) for series in self._matching(matchers)]
        return [samples for samples in found if samples.times_s.size]

    def labels(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> list[Mapping[str, str]]:
        """Labels of every series that fits all matchers and has samples in that time."""
        return [series.labels for series in self._matching(matchers) if self._has(series, start_s, end_s)]

    def _samples(self, series: Series, start_s: float, end_s: float) -> Samples:
        disturbances = self._faults.of(series.labels)
        around_s = reach_s(disturbances)
        first_s, last_s = max(start_s - around_s, self._since_s(series)), min(end_s + around_s, self._newest_s())
        times = np.arange(np.ceil(first_s / SCRAPE_S), np.floor(last_s / SCRAPE_S) + 1) * SCRAPE_S
        values = series.read(times) if times.size else times
        there = ~np.isnan(values)
        ends = ~there & np.roll(there, 1) & (np.arange(times.size) > 0)
        kept = there | ends
        times, values = recorded(disturbances, times[kept], np.where(ends, STALE, values)[kept])
        within = (times >= start_s) & (times <= end_s)
        return Samples(series.labels, times[within], values[within])

    def _has(self, series: Series, start_s: float, end_s: float) -> bool:
        """Without reading what has a value at every minute."""
        if series.recorded or self._faults.of(series.labels):
            return not bool(stale(self._samples(series, start_s, end_s).values).all())
        return start_s <= self._newest_s() and self._since_s(series) <= end_s

    def _since_s(self, series: Series) -> float:
        return self._newest_s() - (LENGTH - 1) * SCRAPE_S if series.recorded else self._first_s

    def _newest_s(self) -> float:
        return float(self._clock.now() // SCRAPE_S * SCRAPE_S)

    def _matching(self, matchers: Sequence[Matcher]) -> list[Series]:
        return [series for series in self._series() if all(matcher.matches(series.labels) for matcher in matchers)]
