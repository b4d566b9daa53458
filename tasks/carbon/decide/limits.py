"""The limits of shifting (Sukprasert et al., EuroSys 2024): what perfect knowledge saves over a year of starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.carbon.decide.grid import Floats

JOB_HOURS = (1, 6, 12, 24, 48, 96, 168)
SLACK_HOURS = 24


@dataclass(frozen=True)
class Shifting:
    """Percent of the mean intensity saved by waiting, and what pausing adds to it."""

    deferral: float
    interruption: float


@dataclass(frozen=True)
class Moving:
    """Savings on the mean zone, g CO2e/kWh: one move to the cleanest zone, or the cleanest of every hour."""

    one_move: float
    infinite_moves: float


def temporal_limit(g_per_kwh: Floats, job_hours: int, slack_hours: int = SLACK_HOURS) -> Shifting:
    """Savings of one job length: (Z, T) hourly g CO2e/kWh of a year.

    Only starts whose whole window (length + slack) lies inside the year count. The saving is the mean over all zones
    and starts, per hour of the job, over the mean intensity of all zones and hours: no mean of ratios.
    """
    wide = job_hours + slack_hours
    until = np.pad(np.cumsum(g_per_kwh, axis=1), ((0, 0), (1, 0)))
    run = until[:, job_hours:] - until[:, :-job_hours]
    waits = np.lib.stride_tricks.sliding_window_view(run, slack_hours + 1, axis=1)
    base, deferred, paused = 0.0, 0.0, 0.0
    for zone, wait in enumerate(waits):
        window = np.lib.stride_tricks.sliding_window_view(g_per_kwh[zone], wide)
        kept = np.partition(window, min(job_hours, wide - 1), axis=1)[:, :job_hours]
        base, deferred, paused = base + wait[:, 0].sum(), deferred + wait.min(axis=1).sum(), paused + kept.sum()
    scale = 100 / (waits.shape[0] * waits.shape[1] * job_hours * g_per_kwh.mean())
    return Shifting(float((base - deferred) * scale), float((deferred - paused) * scale))


def spatial_limit(g_per_kwh: Floats) -> Moving:
    """Savings of moving freely: (Z, T) g CO2e/kWh. No latency, no capacity: nobody can have them.

    >>> spatial_limit(np.array([[100.0, 300.0], [50.0, 350.0]]))
    Moving(one_move=0.0, infinite_moves=25.0)
    """
    mean = float(g_per_kwh.mean())
    return Moving(mean - float(g_per_kwh.mean(axis=1).min()), mean - float(g_per_kwh.min(axis=0).mean()))
