"""Forecasts told to people: a table of peaks, and a picture for the pools where it matters most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.series import Forecast, Series, utc
from tasks.forecasting.act import PassMade, peak_crossings
from tasks.forecasting.kinds import SHOWN, kind_of
from tasks.forecasting.observe import Collected
from tasks.sections import section

PICTURES = 12  # pools drawn; the others are in the table
ROWS = 200  # of the table: the pools most at risk; the forecasts of all are in the store
HISTORY_DRAWN_S = 86_400
RISK_LEVEL = 0.9  # the quantile of the peak that is held against the capacity


def most_at_risk(made: Forecast, capacity: Mapping[str, float]) -> list[int]:
    """Rows of the forecast by risk: what crosses its capacity first, then by the share of it that the peak takes."""
    at_s = peak_crossings(made, capacity, made.levels[_level(made, RISK_LEVEL)])
    limits = np.array([capacity.get(name, np.nan) for name in made.unique_id])
    peaks = made.peaks[:, -1, _level(made, RISK_LEVEL)].astype(np.float64)
    share = np.divide(peaks, limits, out=np.zeros(len(peaks)), where=limits > 0)
    order = np.lexsort((np.array(made.unique_id), -np.nan_to_num(share), np.where(np.isnan(at_s), np.inf, at_s)))
    return [int(row) for row in order]


def sections(
    made: Forecast,
    history: Series,
    capacity: Mapping[str, float],
    crossing: Sequence[tuple[str, datetime]],
    collected: Collected,
    shards: PassMade,
    shown: Sequence[int],
    past: Forecast | None = None,
) -> list[dict[str, Any]]:
    """Report sections of one pass.

    Parameters
    ----------
    made: series named `cluster/pool/kind`. history: of the series that are shown, in the order of `shown`.
    capacity: what each series may reach, in its own unit.
    crossing: pools that outgrow it soon, earliest first.
    shown: rows of `made`, those most at risk first.
    past: a forecast of before, to be drawn against what came.
    """
    at_s = peak_crossings(made, capacity, made.levels[_level(made, RISK_LEVEL)])
    drawn = [(place, row) for place, row in enumerate(shown) if kind_of(made.unique_id[row]) == "cpu_cores"]
    more = len(made.unique_id) - min(len(shown), ROWS)
    paragraphs = [
        _summary(made, crossing, shards),
        *([f"The table shows the pools most at risk; {more} more series are in the store."] if more else []),
        *shards.serving.notes, *shards.trouble, *collected.trouble,
    ]  # fmt: skip
    return [section(
        f"Demand forecast, {shards.serving.plan.words}", paragraphs,
        ["pool", "resource", "now", "peak (median)", f"peak (p{100 * RISK_LEVEL:.0f})", "capacity", "crosses at",
         "minutes until then"],
        [_row(made, history, capacity, at_s, row, place) for place, row in enumerate(shown[:ROWS])],
        [_plot(made, history, capacity, row, place, past) for place, row in drawn[:PICTURES]],
        meta=f"as of {made.as_of:%Y-%m-%d %H:%M} UTC, {made.values.shape[1]} steps of {made.step_s // 60} min",
    )]  # fmt: skip


def cost_words(made: Forecast, cost: Mapping[str, float]) -> str:
    """What the fleet will cost if it follows the forecast; `cost` as of `record.fleet_cost`."""
    hours = made.values.shape[1] * made.step_s / 3600
    if not cost:
        return "No pool has a price (`price_usd_per_hour` in fleet.yaml), so no cost is projected."
    span = f"{cost['p10']:,.2f} to {cost['p90']:,.2f}, the sums of the pools' p10 and p90"
    return (f"Sized to this forecast, the {cost['pools']:.0f} pools with a price cost {cost['p50']:,.2f} USD in the "
            f"next {hours:g} h ({span}).")  # fmt: skip


def _summary(made: Forecast, crossing: Sequence[tuple[str, datetime]], shards: PassMade) -> str:
    methods: dict[str, int] = {}
    for shard in shards.shards:
        for name, count in shard.methods.items():
            methods[name] = methods.get(name, 0) + count
    served = ", ".join(f"{count} by {name}" for name, count in sorted(methods.items(), key=lambda item: -item[1]))
    words = f"{len(made.unique_id)} series forecast ({served})."
    if shards.serving.digests:
        words += f" The models were trained at {shards.serving.trained_at[:16].replace('T', ' ')} UTC."
    if crossing:
        words += f" {len(crossing)} pools will outgrow their present nodes: " + ", ".join(
            f"{pool} at {when:%H:%M} UTC" for pool, when in crossing[:10]
        )
        words += " and more." if len(crossing) > 10 else "."
    return words


def _row(
    made: Forecast, history: Series, capacity: Mapping[str, float], at_s: NDArray[np.float64], row: int, place: int
) -> list[Any]:
    name = made.unique_id[row]
    word, unit, one = SHOWN[kind_of(name)]
    known = history.values[place][~np.isnan(history.values[place])]
    amounts = [
        known[-1] if known.size else np.nan,
        made.peaks[row, -1, _level(made, 0.5)],
        made.peaks[row, -1, _level(made, RISK_LEVEL)],
        capacity.get(name, np.nan),
    ]
    cells = ["unknown" if np.isnan(amount) else f"{amount / one:.1f} {unit}" for amount in amounts]
    crosses = not np.isnan(at_s[row])
    minutes = max(0, round((at_s[row] - made.as_of.timestamp()) / 60)) if crosses else ""
    return [name.rsplit("/", 1)[0], word, *cells, f"{utc(at_s[row]):%H:%M} UTC" if crosses else "", minutes]


def _plot(
    made: Forecast, history: Series, capacity: Mapping[str, float], row: int, place: int, past: Forecast | None
) -> dict[str, Any]:
    name = made.unique_id[row]
    drawn = min(HISTORY_DRAWN_S // history.step_s, history.values.shape[1])
    start_s = history.end_s - drawn * history.step_s
    recent = Series((name,), start_s, history.step_s, history.values[place : place + 1, -drawn:])
    plot = demand_plot(made, recent, capacity, row, title=f"{name.rsplit('/', 1)[0]}: CPU demand")
    if past is not None and name in past.unique_id:
        _add_past(plot, past, past.unique_id.index(name))
    return plot


def _add_past(plot: dict[str, Any], past: Forecast, row: int) -> None:
    """Draw what was forecast before beside what has come since."""
    _, _, one = SHOWN[kind_of(past.unique_id[row])]
    values, times = past.values[row].astype(np.float64) / one, past.times().tolist()
    when = f"forecast at {past.as_of:%H:%M}"
    plot["lines"].append({"label": f"median, {when}", "t": times, "y": _listed(values[:, _level(past, 0.5)])})
    plot["bands"].append({"label": f"p10 to p90, {when}", "t": times, "low": _listed(values[:, _level(past, 0.1)]),
                          "high": _listed(values[:, _level(past, 0.9)])})  # fmt: skip


def demand_plot(made: Forecast, seen: Series, capacity: Mapping[str, float], row: int, *, title: str) -> dict[str, Any]:
    """The plot of one series: what was seen (the one row of `seen`), its forecast, and its capacity where known."""
    name = made.unique_id[row]
    _, unit, one = SHOWN[kind_of(made.unique_id[row])]
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


def _level(made: Forecast, wanted: float) -> int:
    return int(np.argmin(np.abs(np.array(made.levels) - wanted)))
