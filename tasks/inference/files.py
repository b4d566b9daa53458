"""Held-back predictions of an edge and a cloud model from a CSV or Parquet file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.forecasting.cells import numbers, text
from tasks.forecasting.tables import load_table
from tasks.inference.decide.calibration import Bools, Floats
from tasks.inference.decide.threshold import Predictions

# What a column may be called, in any case; the first that is there counts.
NAMES = {
    "edge_confidence": ("edge_confidence", "confidence", "edge_probability", "edge_prob", "edge_p", "probability", "p"),
    "edge_correct": ("edge_correct", "edge_right"),
    "cloud_correct": ("cloud_correct", "cloud_right"),
    "edge_prediction": ("edge_prediction", "edge_pred", "edge_label", "edge"),
    "cloud_prediction": ("cloud_prediction", "cloud_pred", "cloud_label", "cloud"),
    "label": ("label", "target", "truth", "y_true", "true_label", "class", "y"),
    "edge_cost": ("edge_cost", "edge_usd", "cost_edge"),
    "cloud_cost": ("cloud_cost", "cloud_usd", "cost_cloud"),
}
YES_NO = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
LEAST_ROWS = 50


def read_predictions(path: Path, edge_cost: float, cloud_cost: float, refused: list[str]) -> Predictions:
    """Rows whose cells can all be read; the others are left out and named in `refused`.

    Parameters
    ----------
    edge_cost, cloud_cost: of an answer, in any one unit, where the file has no such column.

    Raises
    ------
    InvalidInput: a column is missing, fewer than `LEAST_ROWS` rows are left, or the cloud costs nothing.
    """
    table, lines = load_table(path, refused)
    door = _Door(table, lines, str(path), refused)
    confidence = door.numbers("edge_confidence", 1.0)
    edge, cloud = door.correct("edge"), door.correct("cloud")
    costs = [door.numbers(f"{name}_cost", np.inf, default) for name, default in
             (("edge", edge_cost), ("cloud", cloud_cost))]  # fmt: skip
    kept = door.good
    if kept.sum() < LEAST_ROWS:
        raise InvalidInput(f"{kept.sum()} of its {len(kept)} rows can be read", where=str(path),
                           fix=f"give {LEAST_ROWS} held-back rows at least")  # fmt: skip
    if costs[1][kept].sum() <= 0:
        raise InvalidInput("the cloud's answers cost nothing", where=str(path), fix="give its cost, or ask it always")
    return Predictions(confidence[kept], edge[kept], cloud[kept], costs[0][kept], costs[1][kept])


class _Door:
    """Columns by any of their names; `good` are the rows that every column read so far could be read in."""

    def __init__(self, table: pa.Table, lines: NDArray[np.int64], path: str, refused: list[str]) -> None:
        self.table, self.lines, self.path, self.refused = table, lines, path, refused
        self.good = np.ones(len(table), np.bool_)
        self.columns = {name.lower().replace(" ", "_"): name for name in table.column_names}

    def find(self, what: str) -> str:
        """The column of this meaning, or nothing."""
        return next((self.columns[name] for name in NAMES[what] if name in self.columns), "")

    def numbers(self, what: str, most: float, default: float | None = None) -> Floats:
        """Numbers of 0 ... most."""
        name = self.find(what)
        if not name and default is not None:
            return np.full(len(self.table), default)
        if not name:
            raise self._absent(what)
        values, wrong, odd = numbers(self.table.column(name), name, self.lines)
        self.refused += odd
        out = ~wrong & ~((values >= 0) & (values <= most))
        self._leave_out(out, name, f"is empty or not in 0 to {most:g}")
        self.good &= ~wrong
        return values

    def correct(self, who: str) -> Bools:
        """Whether each answer was right: by its own column, or its prediction beside the label."""
        name = self.find(f"{who}_correct")
        if name:
            words = [YES_NO.get(word.lower()) for word in text(self.table.column(name))]
            self._leave_out(np.array([word is None for word in words], np.bool_), name, "is not 0 or 1")
            return np.array([bool(word) for word in words], np.bool_)
        told, label = self.find(f"{who}_prediction"), self.find("label")
        if not told or not label:
            raise self._absent(f"{who}_correct")
        answers, truth = _words(self.table.column(told)), _words(self.table.column(label))
        self._leave_out((answers == "") | (truth == ""), told, "or the label is empty")
        return np.asarray(answers == truth, np.bool_)

    def _leave_out(self, out: Bools, name: str, why: str) -> None:
        self.refused += [f"line {line}, column {name}: {why}: row left out" for line in self.lines[out & self.good]]
        self.good &= ~out

    def _absent(self, what: str) -> InvalidInput:
        wanted = {"edge_correct": "edge_correct, or edge_prediction and label",
                  "cloud_correct": "cloud_correct, or cloud_prediction and label"}  # fmt: skip
        return InvalidInput(f"it has no column `{what}`", where=self.path, fix=f"give {wanted.get(what, what)}")


def _words(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Labels as text; a whole number is written the same whether it was 3 or 3.0."""
    return np.array([word[:-2] if word.endswith(".0") and word[:-2].lstrip("-").isdigit() else word
                     for word in text(column)], dtype=object)  # fmt: skip
