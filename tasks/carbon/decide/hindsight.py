"""What a start that was chosen by a forecast came to, once the intensity is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.carbon.decide.grid import Floats, Intensity
from tasks.carbon.decide.shift import FlexibleRun, cheapest, emission_of


@dataclass(frozen=True)
class Hindsight:
    """g CO2e by the intensity that came: at once, as planned, and at the start that was best."""

    baseline_g: float
    planned_g: float
    perfect_g: float

    @property
    def saved_ratio(self) -> float | None:
        """Share of what it would have emitted at once; None where that is nothing."""
        return 1 - self.planned_g / self.baseline_g if self.baseline_g > 0 else None

    @property
    def captured_ratio(self) -> float | None:
        """Share of the perfect saving that the plan had; None where nothing was to be saved."""
        most = self.baseline_g - self.perfect_g
        return (self.baseline_g - self.planned_g) / most if most > 0 else None


def decide_hindsight(
    run: FlexibleRun, start_s: int, earliest_s: int, latest_s: int, known: Intensity
) -> Hindsight | None:
    """Hold a start against every one in [earliest, latest]; None where the intensity does not cover them all."""
    if known.start_s > earliest_s or known.end_s < max(latest_s, start_s) + run.duration_s:
        return None
    _, perfect, baseline = cheapest(run, known, earliest_s, latest_s)
    planned = emission_of(run, known, start_s)
    return None if planned is None else Hindsight(baseline * run.kw, planned * run.kw, perfect * run.kw)


def forecast_error(told: Intensity, came: Intensity, begin_s: int) -> float | None:
    """Mean absolute percentage error (a ratio) of a forecast, each of its steps from `begin_s` on that has come.

    What came may be in finer steps: it is averaged. None: nothing to compare, or another step that does not divide it.
    """
    if told.step_s % came.step_s or (told.start_s - came.start_s) % came.step_s:
        return None
    first = max(told.start_s, begin_s - (begin_s - told.start_s) % told.step_s)
    first += max(0, -(-(came.start_s - first) // told.step_s)) * told.step_s
    steps = (min(told.end_s, came.end_s) - first) // told.step_s
    if steps <= 0:
        return None
    part, place = told.step_s // came.step_s, (first - came.start_s) // came.step_s
    real: Floats = came.g_per_kwh[place : place + steps * part].reshape(steps, part).mean(axis=1)
    guess = told.g_per_kwh[(first - told.start_s) // told.step_s :][:steps]
    counted = real > 0
    return float(np.mean(np.abs(guess[counted] / real[counted] - 1))) if counted.any() else None
