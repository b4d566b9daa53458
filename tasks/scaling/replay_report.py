"""A replay told to people: the table of policies, what it rests on, and the frontier as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from tasks.scaling.offline import PolicyScore, Replayed
from tasks.sections import section

_COLUMNS = (
    "policy", "violation min/day", "/ oracle", "node-hours", "USD", "kg CO2e", "changes/day",
)  # fmt: skip
_WORDS = {
    "quantile": lambda value: f"p{100 * value:g}",
    "predictive_target_ratio": lambda value: f"peak at {100 * value:g} %",
    "reactive_target_ratio": lambda value: f"use at {100 * value:g} %",
    "outrun_gain": lambda value: f"outrun x {value:g}",
    "down_stabilisation_s": lambda value: f"down after {value / 60:g} min",
    "min_horizon_s": lambda value: f"{value / 60:g} min ahead",
}
WIDTH, HEIGHT = 66, 18  # characters of the picture
Frontiers = Mapping[str, Sequence[tuple[float, float]]]


def replay_sections(done: Replayed, boot_minutes: int, every_minutes: int) -> list[dict[str, Any]]:
    """Sections of a report: scores, what they rest on, and the plot of every setting."""
    rows = [_row(name, score) for name, score in done.policies.items()]
    rows.append(["oracle", "0", "1.000", f"{done.oracle_node_hours:,.1f}", "", "", ""])
    tried = ", ".join(f"{count} of {name}" for name, count in done.settings.items())
    paragraphs = [
        f"{done.series} series, {done.days:.1f} days scored; nodes boot for {boot_minutes} min unless the pool says "
        f"otherwise; a decision every {every_minutes} min; the oracle sees 15 min ahead. Violation minutes and changes "
        "are means over the series, the other figures sums.",
        f"Settings tried: {tried}. The one with the fewest violations at no more node-hours than the seed's rule was "
        "chosen on the first half of the time; all figures are of the second. The seed's rule is its CPU part (up "
        "above 70 %, down below 30 %), with its one fixed setting.",
        *(f"{name}: {_setting(score)}." for name, score in done.policies.items() if score.setting),
    ]
    return [section("Replay of scaling policies", paragraphs, _COLUMNS, rows, [_plot(done)])]


def _row(name: str, score: PolicyScore) -> list[str]:
    return [
        name,
        f"{score.violation_minutes_per_day:.2f}",
        f"{score.node_hours_ratio:.3f}",
        f"{score.node_hours:,.1f}",
        "unknown" if score.usd is None else f"{score.usd:,.2f}",
        "unknown" if score.carbon_g is None else f"{score.carbon_g / 1000:,.2f}",
        f"{score.changes_per_day:.1f}",
    ]


def _setting(score: PolicyScore) -> str:
    return ", ".join(_WORDS[key](value) for key, value in score.setting.items() if key in _WORDS)


def _plot(done: Replayed) -> dict[str, Any]:
    return {
        "title": "Every setting on the second half: further left is cheaper, further down is safer",
        "unit": "violation minutes per day",
        "x_unit": "node-hours / oracle",
        "points": [
            {"label": name, "x": [x for x, _ in score.frontier], "y": [y for _, y in score.frontier]}
            for name, score in done.policies.items()
        ],
    }


def scatter(frontiers: Frontiers) -> str:
    """Every setting as a letter, in plain characters: node-hours to the right, violation minutes upwards (log).

    >>> print(scatter({"seed": [(1.5, 20.0)]}).splitlines()[-1])
    s = seed
    """
    letters = {name: name[0] for name in frontiers}
    points = [(x, max(y, 0.1), letters[name]) for name, line in frontiers.items() for x, y in line if x < 2.5]
    if not points:
        return "no setting uses less than 2.5 times the oracle's node-hours"
    low_x, high_x = min(x for x, _, _ in points), max(x for x, _, _ in points)
    low_y, high_y = log10(min(y for _, y, _ in points)), log10(max(y for _, y, _ in points))
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for x, y, letter in points:
        column = round((x - low_x) / ((high_x - low_x) or 1) * (WIDTH - 1))
        row = round((high_y - log10(y)) / ((high_y - low_y) or 1) * (HEIGHT - 1))
        grid[row][column] = letter
    labels = [f"{10 ** (high_y - (high_y - low_y) * row / (HEIGHT - 1)):8.1f}" for row in range(HEIGHT)]
    lines = [f"{label} |{''.join(cells).rstrip()}" for label, cells in zip(labels, grid, strict=True)]
    axis = f"{low_x:<{WIDTH // 2}.2f}{high_x:>{WIDTH // 2}.2f}"
    legend = ", ".join(f"{letter} = {name}" for name, letter in letters.items())
    return "\n".join(
        [
            "violation minutes per day (log)",
            *lines,
            f"{'':8} +{'-' * WIDTH}",
            f"{'':10}{axis}",
            f"{'':10}node-hours / oracle",
            legend,
        ]
    )
