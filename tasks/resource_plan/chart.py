"""A picture in plain characters, for where no SVG is shown: the Prefect UI and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

ROWS, COLUMNS = 8, 48
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def chart(values: Sequence[float], *, mark: float | None = None, rows: int = ROWS, columns: int = COLUMNS) -> str:
    """Bars from zero, the most of each group of neighbours; `mark` is a level drawn across where no bar is.

    >>> print(chart([1, 2, 4, 4], mark=3, rows=2, columns=4))
    4 ┤──██
      ┤▄███
    0 ┴────
    """
    if not values:
        return ""
    each = -(-len(values) // columns)
    bars = [max(values[begin : begin + each]) for begin in range(0, len(values), each)]
    top = max(*bars, mark or 0, 1)
    width = len(f"{top:g}")
    lines = []
    for row in range(rows, 0, -1):
        cells = [min(max(round((bar / top * rows - (row - 1)) * 8), 0), 8) for bar in bars]
        here = mark is not None and row - 1 < mark / top * rows <= row
        drawn = "".join("─" if here and not cell else _EIGHTHS[cell] for cell in cells)
        lines.append(f"{f'{top:g}' if row == rows else '':>{width}} ┤{drawn}")
    return "\n".join([*lines, f"{0:>{width}} ┴{'─' * len(bars)}"])
