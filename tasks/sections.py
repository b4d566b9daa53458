"""A section of a report: a title, paragraphs, a table, plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def section(
    title: str, paragraphs: Iterable[str], columns: Sequence[str] = (), rows: Iterable[Sequence[Any]] = (),
    plots: Sequence[dict[str, Any]] = (), **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `tasks.publish` saves and `deployments.report` draws.

    `more` may hold `chart` (a picture in plain characters, for the Prefect UI, which shows no SVG).

    >>> section("Nodes", ["Two of three are Ready."], ["node"], [["a"]])["table"]
    {'columns': ['node'], 'rows': [['a']]}
    """
    table = {"columns": list(columns), "rows": [list(row) for row in rows]} if columns else None
    return {"title": title, "paragraphs": list(paragraphs), "table": table, "plots": list(plots)} | more


def site_map(
    kinds: Iterable[tuple[str, Sequence[tuple[float, float]]]],
    arrows: Iterable[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> list[dict[str, Any]]:
    """A plot of places by their longitude and latitude, with arrows between some; nothing where there is no place.

    >>> site_map([("sites", [(8.7, 50.1)]), ("zones", [])])[0]["points"]
    [{'label': 'sites (1)', 'x': [8.7], 'y': [50.1]}]
    """
    points = [{"label": f"{label} ({len(places)})", "x": [x for x, _ in places], "y": [y for _, y in places]}
              for label, places in kinds if places]  # fmt: skip
    return [{"title": "Where they stand", "unit": "degrees north", "x_unit": "degrees east", "free_y": True,
             "points": points, "arrows": [list(map(list, each)) for each in arrows]}] if points else []  # fmt: skip
