"""The report of `bench_forecast` as tables."""

from __future__ import annotations

import sys
from typing import Any

from forecast_scores import GOALS
from forecast_speed import GOALS as SPEED_GOALS
from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 160  # where the output is no terminal


def show(report: dict[str, Any]) -> None:
    """Print all tables."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    about = report["machine"]
    console.print(f"{about['cpu']}, {about['cores']} cores (one used), Python {about['python']}, NumPy {about['numpy']}"
                  f"{', --quick' if report['quick'] else ''}")  # fmt: skip
    for horizon, found in report.get("accuracy", {}).items():
        for group in found["verdicts"]:
            console.print(_engines(f"{horizon}: {group}", found["panels"][group]))
        console.print(_panels(f"{horizon}: each panel, ratios to seasonal naive", found))
        console.print(_verdicts(horizon, found))
    console.print(_speed(report["speed"]))
    for horizon, found in report.get("peers", {}).items():
        console.print(_peers(horizon, found))
    if "boosting" in report:
        console.print(_boosting(report["boosting"]))
    console.print(f"{report['wall_s']:.0f} s in all")


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None or value != value else f"{value:,.{digits}f}"


def percent(value: float) -> str:
    """A share in per cent."""
    return number(100 * value, 1)


def _engines(title: str, rows: dict[str, Any]) -> Table:
    table = _table(title, "engine", "series", "windows", "MASE", "median", "MASE ratio", "WQL ratio", "80 %", "95 %",
                   "worst panel", "within 5", "within 8", "peak p90", "CPU-s", "series/CPU-s")  # fmt: skip
    for engine, row in rows.items():
        worst = f"{100 * row['coverage_error_worst_panel']:.1f} {row['worst_panel'].split('-5')[0]}"
        table.add_row(
            engine, str(row["series"]), str(row["windows"]), number(row["mase"]), number(row["mase_median"]),
            number(row["mase_ratio"]), number(row["wql_ratio"]), percent(row["coverage_80"]),
            percent(row["coverage_95"]), worst, percent(row["series_within_5_points"]),
            percent(row["series_within_8_points"]), percent(row["peak_coverage_p90"]), number(row.get("cpu_s"), 1),
            number(row.get("series_per_cpu_s"), 0),
        )  # fmt: skip
    return table


def _panels(title: str, found: dict[str, Any]) -> Table:
    table = _table(title, "panel", "series",
                   *(f"{engine} {what}" for engine in ("linear", "trees") for what in ("MASE", "WQL", "80 %", "95 %")),
                   "heaviest series in MASE")  # fmt: skip
    for panel, rows in found["panels"].items():
        cells = []
        for engine in ("linear", "trees"):
            row = rows[engine]
            cells += [number(row["mase_ratio"]), number(row["wql_ratio"]), percent(row["coverage_80"]),
                      percent(row["coverage_95"])]  # fmt: skip
        most = rows["linear"]["heaviest"]["mase"]
        table.add_row(panel, str(rows["linear"]["series"]), *cells, f"{percent(most['share'])} % {most['series']}")
    return table


def _verdicts(horizon: str, found: dict[str, Any]) -> Table:
    engines = [(group, engine) for group in found["verdicts"] for engine in ("linear", "trees")]
    table = _table(f"{horizon}: against what was promised", "figure", "must", "stretch",
                   *(f"{engine}, {group}" for group, engine in engines))  # fmt: skip
    for goal in GOALS[horizon]:
        cells = [f"{number(found['panels'][group][engine][goal.row])} {found['verdicts'][group][engine][goal.row]}"
                 for group, engine in engines]  # fmt: skip
        table.add_row(goal.row, f"{goal.must:g}", f"{goal.stretch:g}", *cells)
    return table


def _speed(found: dict[str, Any]) -> Table:
    title = (f"{found['series']:,} generated series x {found['days']} d, {found['horizon']} steps x "
             f"{found['quantiles']} quantiles; peak memory {found['peak_memory_mb']:,} MB")  # fmt: skip
    table = _table(title, "engine", "fit CPU-s", "calibrate CPU-s", "predict CPU-s", "calibrate series/CPU-s",
                   "predict series/CPU-s", "25 series, all CPU-s", "against the promise")  # fmt: skip
    for engine, row in found.items():
        if not isinstance(row, dict) or engine == "verdicts":
            continue
        said = [f"{goal.row.split('_')[0]} {goal.must:,.0f} ({goal.stretch:,.0f}): "
                f"{found['verdicts'][engine][goal.row]}" for goal in SPEED_GOALS.get(engine, ())]  # fmt: skip
        table.add_row(
            engine, number(row.get("fit_cpu_s"), 2), number(row.get("calibrate_cpu_s"), 2),
            number(row["predict_cpu_s"]), number(row.get("calibrate_series_per_cpu_s"), 0),
            number(row["predict_series_per_cpu_s"], 0), number(row.get("everything_25_series_cpu_s"), 1),
            "; ".join(said),
        )  # fmt: skip
    return table


def _peers(horizon: str, found: dict[str, Any]) -> Table:
    cost = found["engines_cpu_s_per_series"]
    title = f"{horizon}: libraries with a model per series, and the engines on the very windows each one answered"
    table = _table(title, "", "windows", "series", "steps seen", "CPU-s a series", "MASE", "median", "WQL", "80 %",
                   "95 %", "slower than linear", "than trees")  # fmt: skip
    for about, row in found["peers"].items():
        if "scores" not in row:
            table.add_row(about, f"0 of {row['windows_asked']}")
            continue
        slower = [f"{row['times_slower'][engine]['than_a_forecast']:,.0f}x "
                  f"({row['times_slower'][engine]['than_with_calibration']:,.0f}x)"
                  for engine in ("linear", "trees")]  # fmt: skip
        table.add_row(
            about, f"{row['windows']} of {row['windows_asked']}", str(row["series"]), f"{row['steps_of_past']:,}",
            number(row["cpu_s_per_series"]), *_scores(row["scores"]), *slower,
        )  # fmt: skip
        for engine, scores in row["engines"].items():
            said = row.get("verdicts", {}).get(engine, "")
            took = f"{cost[engine]['predict']:.6f}" if engine in cost else ""
            table.add_row(f"  {engine}  {said}", "", "", "", took, *_scores(scores))
    table.caption_justify = "left"
    table.caption = ("times slower than a forecast with stored calibration (than with calibrating it from 24 origins); "
                     "fitting the global model is in neither")  # fmt: skip
    return table


def _scores(found: dict[str, float]) -> list[str]:
    return [*(number(found[name]) for name in ("mase", "mase_median", "wql")),
            *(percent(found[name]) for name in ("coverage_80", "coverage_95"))]  # fmt: skip


def _boosting(found: dict[str, Any]) -> Table:
    title = (f"2 h, 5 min: trees alone, nothing calibrated or combined; {found['windows']:,} windows, "
             f"{found['rows_learned']:,} rows learned, {found['rows_predicted']:,} predicted")  # fmt: skip
    table = _table(title, "", "MASE", "median", "WQL", "80 %", "95 %", "fit CPU-s", "predict CPU-s")
    for name in ("linear alone", "scikit-learn", "LightGBM"):
        row = found.get(name)
        if row is None:
            continue
        table.add_row(name, *_scores(row), number(row.get("fit_cpu_s"), 2), number(row.get("predict_cpu_s"), 2))
    return table
