"""A move scored after its time: what its place came to, beside what staying would have come to over the same slots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.migration.decide.replay import ERROR_WEIGHT, LATENCY_WEIGHT, MONEY_WEIGHT

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """(T,) what one place is, slot by slot; NaN where it is not measured.

    error_ratio is NaN throughout where nobody measures it: then it does not count.
    """

    latency_ms: Floats
    usd_per_hour: Floats
    carbon_g_per_hour: Floats
    error_ratio: Floats


def score_move(
    there: Course, stay: Course, *, usual_ms: float, usual_usd: float | None, carbon_usd_per_g: float, slot_s: float
) -> tuple[dict[str, float], dict[str, float]]:
    """What happened, and what staying would have been: means over the slots in which both places are known.

    usual_ms, usual_usd: what a slot is weighed against, as when the move was decided; None: money did not count.

    Returns
    -------
    `minutes` scored, `benefit_slots` (what staying would have cost more, in slots of the workload's usual cost, summed;
    0 for staying), and of each place `latency_ms`, `usd_per_hour`, `carbon_g_per_hour`, `error_ratio` as far as known.
    """
    money = [each.usd_per_hour + each.carbon_g_per_hour * carbon_usd_per_g for each in (there, stay)]
    both = np.isfinite(there.latency_ms) & np.isfinite(stay.latency_ms)
    if usual_usd is not None:
        both &= np.isfinite(money[0]) & np.isfinite(money[1])
    gain = LATENCY_WEIGHT * (stay.latency_ms - there.latency_ms) / max(usual_ms, 1e-9)
    if usual_usd is not None:
        gain = gain + MONEY_WEIGHT * (money[1] - money[0]) / max(usual_usd, 1e-9)
    gain = gain + ERROR_WEIGHT * np.nan_to_num(stay.error_ratio - there.error_ratio)
    minutes = float(both.sum()) * slot_s / 60
    happened, stayed = (_means(each, both) | {"minutes": minutes, "benefit_slots": benefit} for each, benefit in (
        (there, float(gain[both].sum())), (stay, 0.0)))  # fmt: skip
    return happened, stayed


def _means(course: Course, known: NDArray[np.bool_]) -> dict[str, float]:
    found = {}
    for name, values in vars(course).items():
        there = values[known & np.isfinite(values)]
        if len(there):
            found[name] = float(there.mean())
    return found
