"""Stored report sections rendered into one HTML file that needs nothing else to be read.

A section is a dict: `title`, `paragraphs` (list of str), `table` ({"columns", "rows"} or None), `plots` (list).
What a plot is: `tasks/drawing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from tasks.drawing import svg_of


def render(sections: Sequence[Mapping[str, Any]], *, title: str, subtitle: str, footer: str, simulated: bool) -> str:
    """One HTML document of the sections, in the order given; plots become inline SVG."""
    # The template is our own; everything that comes from outside is escaped.
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html.j2").render(
        title=title, subtitle=subtitle, footer=footer, simulated=simulated,
        sections=[{**section, "figures": [Markup(svg_of(plot)) for plot in section["plots"]]}  # escaped  # nosec B704
                  for section in sections],
    )  # fmt: skip
