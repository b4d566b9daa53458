"""When each flexible job runs: the cheapest start, or the cheapest slots, beside running at arrival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.carbon.decide.contiguous import cheapest_starts
from tasks.carbon.decide.grid import Bools, Floats, Intensity, Ints, Jobs, at_arrival, covered, cut
from tasks.carbon.decide.interruptible import cheapest_seconds, cheapest_slots
from tasks.carbon.decide.restarts import cheapest_with_restarts, slots_with_restarts


@dataclass(frozen=True)
class Plan:
    """The bare optimum, a row a job: no PUE, no least saving, no safety margin, no capacity.

    Attributes
    ----------
    baseline_g, planned_g :
        (N,) g CO2e at arrival and as planned; NaN for a job that the data do not cover.
    start_s :
        (N,) epoch seconds of the start of jobs that run without a pause; the arrival of others (see `runs`).
    covered, cut :
        (N,) whether the job could be planned, and whether its window was cut at the end of the data.
    """

    intensity: Intensity
    jobs: Jobs
    restart_h: float
    baseline_g: Floats
    planned_g: Floats
    start_s: Ints
    covered: Bools
    cut: Bools

    @property
    def saving_ratio(self) -> float:
        """Share of the baseline of all planned jobs that the plan saves; 0 where there is nothing to save."""
        total = float(np.nansum(self.baseline_g))
        return 1 - float(np.nansum(self.planned_g)) / total if total > 0 else 0.0

    def runs(self, row: int) -> list[tuple[int, int]]:
        """(begin, end) of each run of a covered job, epoch seconds."""
        begin, last = int(self.jobs.arrival_s[row]), int(self.jobs.duration_s[row])
        if not self.jobs.interruptible[row]:
            return [(int(self.start_s[row]), int(self.start_s[row]) + last)]
        if self.restart_h:
            return slots_with_restarts(self.intensity, self.jobs, row, self.restart_h)
        return cheapest_slots(self.intensity, begin, begin + int(self.jobs.slack_s[row]) + last, last)


def decide_plan(intensity: Intensity, jobs: Jobs, restart_h: float = 0.0) -> Plan:
    """Choose start times that emit least; exact for each job by itself.

    Parameters
    ----------
    intensity :
        one zone's g CO2e/kWh; a job draws its kW evenly while it runs.
    jobs :
        jobs without a pause start at arrival, arrival + step ... arrival + slack; others use any seconds of
        arrival ... arrival + slack + duration.
    restart_h :
        hours of full power that each restart of a job that pauses costs.

    Raises
    ------
    InvalidInput: restarts cost something and a job that may pause is not in whole steps.

    >>> night = Intensity(0, 3600, np.array([300.0, 100.0, 200.0, 100.0]))
    >>> two_hours = Jobs(*(np.array([each]) for each in (0, 7200, 7200)), np.array([2.0]), np.array([False]))
    >>> plan = decide_plan(night, two_hours)
    >>> plan.baseline_g.tolist(), plan.planned_g.tolist(), plan.runs(0)
    ([800.0], [600.0], [(3600, 10800)])
    """
    base = at_arrival(intensity, jobs)
    pausing = np.flatnonzero(jobs.interruptible)
    firm = np.flatnonzero(~jobs.interruptible)
    starts, best = jobs.arrival_s.copy(), np.full(len(jobs), np.nan)
    starts[firm], best[firm] = cheapest_starts(intensity, jobs.take(firm))
    some = jobs.take(pausing)
    best[pausing] = (
        cheapest_with_restarts(intensity, some, restart_h) if restart_h else cheapest_seconds(intensity, some)
    )
    # sums in another order differ in the last digits; running at arrival is always allowed
    best = np.minimum(best, base)
    return Plan(intensity, jobs, restart_h, base * jobs.kw, best * jobs.kw, starts, covered(intensity, jobs),
                cut(intensity, jobs))  # fmt: skip
