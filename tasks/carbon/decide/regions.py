"""In which region and hour to run: by what is emitted, or by the seed's score, and how often that one errs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from blocks.errors import InvalidInput
from tasks.carbon.decide.grid import Floats

Rule = Literal["emissions", "environmental-score"]
RULES: tuple[Rule, ...] = ("emissions", "environmental-score")  # the first is the default
SEED_WEIGHTS = 0.4, 0.4, 0.2  # of carbon, renewables, PUE
SEED_MOST_G, SEED_WORST_PUE, SEED_PUE_SPAN = 1000.0, 2.5, 1.5


@dataclass(frozen=True)
class Choice:
    """A region and the hour to start in; g CO2e for each kWh of IT, PUE in it, in the mean of the run."""

    region: int
    hour: int
    g_per_kwh: float


@dataclass(frozen=True)
class Dirtier:
    """How often the score's region emits more than the cleanest one in that hour.

    Attributes
    ----------
    hours_ratio: share of the hours, 0-1. times: mean of what it emits over the cleanest, in those hours; 1 where none.
    """

    hours_ratio: float
    times: float


def environmental_score(g_per_kwh: Floats, renewable_ratio: Floats, pue: Floats) -> Floats:
    """The seed's score, 0-1, higher is better: 0.4 carbon + 0.4 renewables + 0.2 PUE. Kept to be compared with.

    Renewables count twice (they are in the intensity), and nuclear power not at all; PUE adds where it should multiply.

    >>> environmental_score(np.array([500.0]), np.array([0.5]), np.array([1.0])).tolist()
    [0.6000000000000001]
    """
    carbon = np.maximum(0.0, 1 - g_per_kwh / SEED_MOST_G)
    efficiency = np.maximum(0.0, (SEED_WORST_PUE - pue) / SEED_PUE_SPAN)
    parts = zip(SEED_WEIGHTS, (carbon, renewable_ratio, efficiency), strict=True)
    return np.asarray(sum(weight * part for weight, part in parts))


def decide_region(
    g_per_kwh: Floats, renewable_ratio: Floats, pue: Floats, duration_h: int, rule: Rule = "emissions"
) -> Choice:
    """Where and when a job of whole hours runs that may start in any hour in which it still ends inside the data.

    By emissions: the least of all regions and hours. By the seed's score: the region that scores best in the first
    hour, then its cleanest hours (its "greenest region and time").

    Parameters
    ----------
    g_per_kwh, renewable_ratio: (R, T) by region and hour. pue: (R,).

    Raises
    ------
    InvalidInput: shapes differ, a value is out of range, or the job is longer than the data.

    >>> grid, wind = np.array([[300.0, 200.0], [250.0, 400.0]]), np.array([[0.9, 0.9], [0.1, 0.1]])
    >>> decide_region(grid, wind, np.ones(2), 1), decide_region(grid, wind, np.ones(2), 1, "environmental-score").region
    (Choice(region=0, hour=1, g_per_kwh=200.0), 0)
    """
    _check(g_per_kwh, renewable_ratio, pue)
    if not 1 <= duration_h <= g_per_kwh.shape[1]:
        raise InvalidInput(
            f"{duration_h} h of {g_per_kwh.shape[1]} h of data", where="duration", fix="give a shorter one"
        )
    emits = np.lib.stride_tricks.sliding_window_view(g_per_kwh * pue[:, None], duration_h, axis=1).mean(axis=2)
    if rule == "environmental-score":
        region = int(environmental_score(g_per_kwh[:, 0], renewable_ratio[:, 0], pue).argmax())
        hour = int(emits[region].argmin())
    else:
        region, hour = divmod(int(emits.argmin()), emits.shape[1])
    return Choice(region, hour, float(emits[region, hour]))


def score_errs(g_per_kwh: Floats, renewable_ratio: Floats, pue: Floats) -> Dirtier:
    """How often the region that scores best is not the one that emits least; by emissions it always is.

    Parameters: see `decide_region`.
    """
    _check(g_per_kwh, renewable_ratio, pue)
    emits = g_per_kwh * pue[:, None]
    chosen = environmental_score(g_per_kwh, renewable_ratio, pue[:, None]).argmax(axis=0)
    there, least = emits[chosen, np.arange(emits.shape[1])], emits.min(axis=0)
    worse = there > least
    with np.errstate(divide="ignore", invalid="ignore"):
        times = float((there / least)[worse].mean()) if worse.any() else 1.0
    return Dirtier(float(worse.mean()), times)


def _check(g_per_kwh: Floats, renewable_ratio: Floats, pue: Floats) -> None:
    if g_per_kwh.shape != renewable_ratio.shape or pue.shape != g_per_kwh.shape[:1] or not g_per_kwh.size:
        raise InvalidInput("shapes differ, or are empty", where="regions", fix="give the same hours of each region")
    for name, values, least, most in (("g/kWh", g_per_kwh, 0, np.inf), ("renewables", renewable_ratio, 0, 1),
                                      ("PUE", pue, 1, np.inf)):  # fmt: skip
        if not ((values >= least) & (values <= most) & np.isfinite(values)).all():
            raise InvalidInput(f"{name} out of range", where="regions", fix=f"give numbers of {least} to {most:g}")
