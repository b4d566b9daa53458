"""Why the carbon of two periods differs: load, efficiency, intensity, and what is merely known better or worse.

Carbon = work x (energy / work) x (carbon / energy). Each factor's part is its log-mean Divisia term (LMDI-I; Ang 2005),
which leaves no residual; energy of hours whose use was not known is taken out first, and its change told as `data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class Period:
    """What a period came to: work in core-hours, kWh and g of it where the use is known; g where it was assumed."""

    core_hours: float
    kwh: float
    g: float
    assumed_g: float = 0.0


@dataclass(frozen=True)
class Change:
    """g CO2e by cause; they add up to the difference of the two periods."""

    load: float
    efficiency: float
    intensity: float
    data: float

    @property
    def total(self) -> float:
        """In all, g CO2e."""
        return self.load + self.efficiency + self.intensity + self.data


def explain_change(before: Period, after: Period) -> Change:
    """The causes of the difference in g CO2e from one period to the next.

    A period without work, energy or carbon has no efficiency or intensity to compare: all of the difference is load's.

    >>> change = explain_change(Period(100, 10, 4000), Period(200, 20, 8000))
    >>> round(change.load), round(change.efficiency), round(change.intensity)
    (4000, 0, 0)
    """
    data = after.assumed_g - before.assumed_g
    if min(before.core_hours, before.kwh, before.g, after.core_hours, after.kwh, after.g) <= 0:
        return Change(after.g - before.g, 0.0, 0.0, data)
    rise = log(after.g) - log(before.g)
    mean = (after.g + before.g) / 2 if abs(rise) < 1e-6 else (after.g - before.g) / rise
    busier = log(after.core_hours) - log(before.core_hours)
    load = mean * busier
    efficiency = mean * (log(after.kwh) - log(before.kwh) - busier)
    return Change(load, efficiency, after.g - before.g - load - efficiency, data)
