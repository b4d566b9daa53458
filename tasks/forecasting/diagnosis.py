"""A page about a few series that a person opens: what moves them, and what was odd. One section a series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.series import Series, utc
from tasks.forecasting.decide.anomalies import mask
from tasks.forecasting.decide.decomposition import Decomposition, decompose
from tasks.sections import section

WORDS = {"trend": "trend", "daily": "rhythm of the day", "weekly": "rhythm of the week"}


def diagnosis(history: Series, row: int, unit: str = "") -> dict[str, Any]:
    """Report section of one series of a matrix.

    Raises
    ------
    InvalidInput: it spans less than three days.
    """
    alone = replace(history, unique_id=history.unique_id[row : row + 1], values=history.values[row : row + 1])
    made = decompose(alone)
    flagged = history.start_s + np.flatnonzero(mask(alone)[0]) * history.step_s
    known = alone.values[0][np.isfinite(alone.values[0])]
    told = ", ".join(f"{WORDS[name]} {strength:.2f}" for name, strength in made.strength.items())
    return section(
        alone.unique_id[0],
        [
            f"Strength, 0 to 1: {told}. Near 1 the part explains nearly all that the rest does not; a rhythm below 0.3 "
            "helps a forecast little.",
            f"{made.missing_ratio:.1%} of the steps were missing and were filled as for a forecast; {len(flagged)} "
            "points look like isolated outliers (marked) and would be kept from training.",
        ],
        ["least", "median", "mean", "p95", "greatest", "std of the rest"],
        [[f"{value:.4g}" for value in (
            known.min(), np.median(known), known.mean(), np.quantile(known, 0.95), known.max(), made.rest.std())]],
        _plots(made, unit, flagged.tolist()),
        meta=f"{utc(made.start_s):%Y-%m-%d %H:%M} to {utc(int(made.times()[-1])):%Y-%m-%d %H:%M} UTC, "
             f"means of {made.step_s // 60} min",
    )  # fmt: skip


def _plots(made: Decomposition, unit: str, flagged: list[int]) -> list[dict[str, Any]]:
    times = made.times().tolist()
    parts: list[tuple[str, list[tuple[str, NDArray[np.float64]]]]] = [
        ("observed and trend", [("observed", made.observed), ("trend", made.trend)]),
        ("rhythm of the day", [("daily", made.daily)]),
        ("rest", [("rest", made.rest)]),
    ]
    if made.weekly is not None:
        parts.insert(2, ("rhythm of the week", [("weekly", made.weekly)]))
    plots = []
    for title, lines in parts:
        drawn = [{"label": label, "t": times, "y": [None if np.isnan(y) else round(float(y), 6) for y in values]}
                 for label, values in lines]  # fmt: skip
        plots.append({"title": title, "unit": unit, "lines": drawn, "bands": [], "steps": [], "marks": []})
    plots[0]["marks"] = [{"t": when, "label": ""} for when in flagged[:200]]
    return plots
