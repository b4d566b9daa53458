"""A plot of a report drawn: as SVG for a page, as a picture for the Prefect UI.

A plot is a dict: `title`, `unit`, and any of `lines`, `steps` ([{"label", "t", "y"}]),
`bands` ([{"label", "t", "low", "high"}]) and `marks` ([{"t", "label"}]); `t` are seconds since 1970 UTC. Or it has
`x_unit` and `points` ([{"label", "x", "y"}]), `arrows` ([[x, y], [x, y]]) over a plain axis, or `bars`
({"labels", "values"}). `free_y`: the axis does not begin at 0.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

INK = {"observed": "#1c2430", "median": "#1f6feb", "capacity": "#c2410c", "band": "#1f6feb", "past band": "#7c3aed"}
_OTHERS = ("#1f6feb", "#0f766e", "#7c3aed", "#b45309")  # the third is the past band's


def svg_of(plot: Mapping[str, Any]) -> str:
    """One plot as an SVG element, the same bytes for the same plot."""
    text = io.StringIO()
    _draw(plot, text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return re.sub(r'(<svg [^>]*?)width="[^"]+" height="[^"]+"', r"\1", svg[svg.index("<svg") :], count=1)


def picture_of(plot: Mapping[str, Any]) -> str:
    """One plot as the URL of a WebP picture that has it all in itself: 1,000 pixels wide, some 20 kB."""
    picture = io.BytesIO()
    _draw(plot, picture, format="webp", dpi=100, pil_kwargs={"quality": 50})
    return f"data:image/webp;base64,{b64encode(picture.getvalue()).decode()}"


def _draw(plot: Mapping[str, Any], file: IO[Any], **form: Any) -> None:
    import matplotlib as mpl
    from matplotlib import dates
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "continuum", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    ):
        figure = Figure(figsize=(10, 2.9), layout="constrained")
        axes = figure.subplots()
        for number, band in enumerate(plot.get("bands", ())):
            axes.fill_between(
                _times(band["t"]),
                _values(band["low"]),
                _values(band["high"]),
                alpha=0.18,
                lw=0,
                color=INK["band" if number == 0 else "past band"],
                label=band["label"],
            )
        for number, line in enumerate(plot.get("lines", ())):
            axes.plot(
                _times(line["t"]),
                _values(line["y"]),
                lw=1.2,
                color=INK.get(line["label"], _OTHERS[number % 4]),
                label=line["label"],
            )
        for step in plot.get("steps", ()):
            axes.step(
                _times(step["t"]), _values(step["y"]), where="post", lw=1.4, color=INK["capacity"], label=step["label"]
            )
        for mark in plot.get("marks", ()):
            axes.axvline(_times([mark["t"]])[0], color="#8b95a1", lw=0.8, ls=":")
            axes.annotate(mark["label"], (_times([mark["t"]])[0], 1.0), xycoords=("data", "axes fraction"),
                          fontsize=7.5, rotation=90, va="top", ha="right", color="#5b6675")  # fmt: skip
        for number, points in enumerate(plot.get("points", ())):
            axes.scatter(points["x"], points["y"], s=14, color=_OTHERS[number % 4], label=points["label"])
        for begin, end in plot.get("arrows", ()):
            axes.annotate("", end, begin, arrowprops={"arrowstyle": "->", "color": _OTHERS[1], "lw": 1.2})
        if "bars" in plot:
            axes.barh(plot["bars"]["labels"], _values(plot["bars"]["values"]), color=_OTHERS[0])
            axes.invert_yaxis()
        axes.set_title(plot["title"], loc="left", fontsize=10)
        axes.set_ylabel(plot["unit"])
        if not (plot.get("free_y") or "bars" in plot):
            axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6eaee", lw=0.7)
        if "x_unit" in plot:
            axes.set_xlabel(plot["x_unit"])
        else:
            locator: Any = dates.AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=4, fontsize=8)
        figure.savefig(file, **form)


def _times(seconds: Sequence[float]) -> NDArray[np.float64]:
    """Days since 1970, which is how the plotting library counts."""
    return np.array(seconds, np.float64) / 86_400


def _values(values: Sequence[float | None]) -> NDArray[np.float64]:
    """A gap is null in JSON and NaN in a drawing."""
    return np.array(values, np.float64)
