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
