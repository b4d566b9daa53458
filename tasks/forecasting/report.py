"""Forecasts told to people: a table of peaks, and a picture for the pools where it matters most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from blocks.series import Forecast, Series
from tasks.forecasting.act import ShardMade
from tasks.forecasting.kinds import SHOWN
from tasks.forecasting.observe import Collected

PICTURES = 12  # pools drawn; the others are in the table
HISTORY_DRAWN_S = 86_400


def sections(
    made: Forecast,
    history: Series,
    capacity: Mapping[str, float],
    crossing: Sequence[tuple[str, datetime]],
    collected: Collected,
    shards: Sequence[ShardMade],
) -> list[dict[str, Any]]:
    """Report sections of one pass.

    Parameters
    ----------
    made, history: series named `cluster/pool/kind`, in the same order.
    capacity: what each series may reach, in its own unit.
    crossing: pools that outgrow it, earliest first.
    """
    first = dict(crossing)
    order = sorted(range(len(made.unique_id)), key=lambda row: _urgency(made.unique_id[row], first))
    return [
        {
            "title": "Demand forecast",
            "meta": f"as of {made.as_of:%Y-%m-%d %H:%M} UTC, {made.values.shape[1]} steps of {made.step_s // 60} min",
            "paragraphs": [_summary(made, crossing, shards), *collected.trouble],
            "table": {
                "columns": [
                    "pool",
                    "resource",
                    "now",
                    "peak (median)",
                    f"peak (p{_upper(made):.0f})",
                    "capacity",
                    "crosses at",
                ],
                "rows": [_row(made, history, capacity, first, row) for row in order],
            },
            "plots": [_plot(made, history, capacity, row) for row in order if _kind(made, row) == "cpu_cores"][
                :PICTURES
            ],
        }
    ]


def _urgency(name: str, first: Mapping[str, datetime]) -> tuple[bool, str, str]:
    pool = name.rsplit("/", 1)[0]
    return pool not in first, first[pool].isoformat() if pool in first else "", name


def _summary(made: Forecast, crossing: Sequence[tuple[str, datetime]], shards: Sequence[ShardMade]) -> str:
    methods: dict[str, int] = {}
    for shard in shards:
        for name, count in shard.methods.items():
            methods[name] = methods.get(name, 0) + count
    served = ", ".join(f"{count} by {name}" for name, count in sorted(methods.items(), key=lambda item: -item[1]))
    words = f"{len(made.unique_id)} series forecast ({served})."
    if crossing:
        words += f" {len(crossing)} pools will outgrow their present nodes: " + ", ".join(
            f"{pool} at {when:%H:%M} UTC" for pool, when in crossing[:10]
        )
        words += " and more." if len(crossing) > 10 else "."
    return words


def _row(
    made: Forecast, history: Series, capacity: Mapping[str, float], first: Mapping[str, datetime], row: int
) -> list[str]:
    name = made.unique_id[row]
    pool, kind = name.rsplit("/", 1)
    word, unit, one = SHOWN[kind]
    known = history.values[row][~np.isnan(history.values[row])]
    amounts = [
        known[-1] if known.size else np.nan,
        _peak(made, row, _level(made, 0.5)),
        _peak(made, row, _level(made, 0.9)),
        capacity.get(name, np.nan),
    ]
    cells = ["unknown" if np.isnan(amount) else f"{amount / one:.1f} {unit}" for amount in amounts]
    return [pool, word, *cells, f"{first[pool]:%H:%M} UTC" if pool in first else ""]


def _plot(made: Forecast, history: Series, capacity: Mapping[str, float], row: int) -> dict[str, Any]:
    shown = min(HISTORY_DRAWN_S // history.step_s, history.values.shape[1])
    start_s = history.end_s - shown * history.step_s
    recent = Series(history.unique_id[row : row + 1], start_s, history.step_s, history.values[row : row + 1, -shown:])
    return demand_plot(made, recent, capacity, row, title=f"{made.unique_id[row].rsplit('/', 1)[0]}: CPU demand")


def demand_plot(made: Forecast, seen: Series, capacity: Mapping[str, float], row: int, *, title: str) -> dict[str, Any]:
    """The plot of one series: what was seen (the one row of `seen`), its forecast, and its capacity where known."""
    name = made.unique_id[row]
    _, unit, one = SHOWN[_kind(made, row)]
    past, times = seen.times().tolist(), made.times().tolist()
    values = made.values[row].astype(np.float64) / one
    plot: dict[str, Any] = {
        "title": title,
        "unit": unit,
        "lines": [
            {"label": "observed", "t": past, "y": _listed(seen.values[0] / one)},
            {"label": "median", "t": times, "y": _listed(values[:, _level(made, 0.5)])},
        ],
        "bands": [{"label": "p10 to p90", "t": times, "low": _listed(values[:, _level(made, 0.1)]),
                   "high": _listed(values[:, _level(made, 0.9)])}],
        "steps": [],
        "marks": [],
    }  # fmt: skip
    if name in capacity:
        span = [past[0], times[-1]]
        plot["steps"] = [{"label": "capacity", "t": span, "y": [capacity[name] / one] * 2}]
    return plot


def _listed(values: Any) -> list[float | None]:
    """JSON has no NaN: a gap is null."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def _kind(made: Forecast, row: int) -> str:
    return made.unique_id[row].rsplit("/", 1)[1]


def _level(made: Forecast, wanted: float) -> int:
    return int(np.argmin(np.abs(np.array(made.levels) - wanted)))


def _upper(made: Forecast) -> float:
    return 100 * made.levels[_level(made, 0.9)]


def _peak(made: Forecast, row: int, level: int) -> float:
    values = made.values[row, :, level]
    return float(np.nanmax(values)) if (~np.isnan(values)).any() else float("nan")
