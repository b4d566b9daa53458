"""Labelled rows to learn from: digits of scikit-learn, AI4I and C-MAPSS of CONTINUUM_DATA, or a CSV or Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from blocks.carbon.hourly_files import read_csv
from blocks.errors import InvalidInput, NotConfigured
from blocks.settings import data_dir
from tasks.federation.decide.models import Labels, Rows
from tasks.federation.decide.split import Ints
from tasks.forecasting.cells import MISSING, numbers, text
from tasks.forecasting.tables import load_table

AI4I = ("industrial", "ai4i2020_rows_0_7000.csv.gz")
CMAPSS = ("industrial", "cmapss_train_FD001.csv.gz")
LAST_CYCLES = 30  # of an engine's life: the warning that maintenance needs
AI4I_NUMBERS = ("Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]",
                "Tool wear [min]")  # fmt: skip
LABELS = ("label", "target", "class", "y")  # columns that are taken for the label, in this order
MOST_CLASSES = 1000
LEAST_ROWS = 100


@dataclass(frozen=True)
class Dataset:
    """Rows with a label each.

    Attributes
    ----------
    rows: (N, F), as they are. labels: (N,) 0 ... classes - 1. classes: their names.
    units: (N,) the machine or tool of each row, where rows of one must stay together; else the row's own number.
    by_unit: whether devices hold whole units; else rows are dealt by label.
    """

    name: str
    rows: Rows
    labels: Labels
    classes: tuple[str, ...]
    units: Ints
    by_unit: bool = False


def read_dataset(name: str, label: str, refused: list[str]) -> Dataset:
    """The data set that `--dataset` names. label: its column, where a file has another than the usual ones.

    Raises
    ------
    InvalidInput, NotConfigured: no such file or data, or nothing to learn in it. Odd rows are named in `refused`.
    """
    if name in PUBLIC:
        return PUBLIC[name]()
    if not Path(name).suffix and not Path(name).exists():
        raise InvalidInput(f"no data set is named {name!r}", where="--dataset",
                           fix=f"use {', '.join(PUBLIC)} or a file")  # fmt: skip
    return _read_file(Path(name), label, refused)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    rows, labels = load_digits(return_X_y=True)
    names = tuple(map(str, range(10)))
    return Dataset("digits", rows.astype(np.float32), labels.astype(np.int64), names, np.arange(len(rows)))


def _ai4i() -> Dataset:
    """Failures of milling machines. A unit is one tool: consecutive rows until the wear falls."""
    frame = _frame("ai4i", AI4I)
    rows = np.column_stack([frame[list(AI4I_NUMBERS)], *(frame["Type"] == kind for kind in "LMH")])
    wear = frame["Tool wear [min]"].to_numpy()
    units = np.concatenate([[0], np.cumsum(np.diff(wear) < 0)])
    return Dataset("ai4i", rows.astype(np.float32), frame["Machine failure"].to_numpy(np.int64), ("works", "fails"),
                   units.astype(np.int64), by_unit=True)  # fmt: skip


def _cmapss() -> Dataset:
    """Sensors of turbofan engines, cycle by cycle until each fails. A unit is an engine; the label: soon?

    Saxena et al. 2008, FD001: what never changes (two settings, some sensors) is left out.
    """
    frame = _frame("cmapss", CMAPSS)
    unit, cycle = (frame[name].to_numpy(np.int64) for name in ("unit", "cycle"))
    left = frame.groupby("unit")["cycle"].transform("max").to_numpy(np.int64) - cycle
    values = frame.drop(columns=["unit", "cycle"]).to_numpy(np.float32)
    rows = values[:, np.ptp(values, axis=0) > 0]
    return Dataset("cmapss", rows, (left < LAST_CYCLES).astype(np.int64), ("runs on", "fails soon"), unit, by_unit=True)


def _frame(name: str, place: tuple[str, str]) -> pd.DataFrame:
    folder = data_dir()
    if folder is None or not folder.joinpath(*place).is_file():
        raise NotConfigured("the data are not at hand", where=f"--dataset {name}",
                            fix=f"set CONTINUUM_DATA to the folder where {'/'.join(place)} is")  # fmt: skip
    return read_csv(folder.joinpath(*place))


PUBLIC = {"digits": _digits, "ai4i": _ai4i, "cmapss": _cmapss}


def _read_file(path: Path, label: str, refused: list[str]) -> Dataset:
    """A CSV or Parquet of numbers and a label; a row with an empty or odd cell is left out and named in `refused`.

    Raises
    ------
    InvalidInput: no label column, a column of words, fewer than `LEAST_ROWS` rows, or fewer than two classes.
    """
    table, lines = load_table(path, refused)
    name = _label_column(table.column_names, label, str(path))
    features = [each for each in table.column_names if each != name]
    columns, good = [], np.ones(len(table), np.bool_)
    for each in features:
        values, _, odd = numbers(table.column(each), each, lines)
        absent = np.isnan(values) | (np.abs(values) > np.finfo(np.float32).max)
        if len(values) and absent.mean() > 0.5:
            raise InvalidInput("most of its cells are no numbers", where=f"{path}: column {each}",
                               fix="leave the column out, or code it as numbers")  # fmt: skip
        refused += odd
        columns.append(values)
        good &= ~absent
    words = text(table.column(name))
    good &= ~np.isin(np.array([word.lower() for word in words], dtype=object), list(MISSING))
    if len(good) and not good.all():
        refused.append(f"{int((~good).sum())} of {len(good)} rows have an empty or odd cell")
    codes, classes = pd.factorize(pd.Series(words[good]), sort=True)
    _check_size(path, name, len(codes), len(classes))
    rows = np.column_stack(columns)[good].astype(np.float32)
    return Dataset(path.name, rows, codes.astype(np.int64), tuple(classes), np.arange(len(rows)))


def _label_column(columns: list[str], label: str, path: str) -> str:
    found = [name for name in ([label] if label else LABELS) if name in columns]
    if not found:
        raise InvalidInput(f"it has no column `{label or LABELS[0]}`", where=path,
                           fix="name the column that is to be predicted by --label")  # fmt: skip
    return found[0]


def _check_size(path: Path, label: str, rows: int, classes: int) -> None:
    if rows < LEAST_ROWS:
        raise InvalidInput(f"{rows} rows are too few", where=str(path), fix=f"give {LEAST_ROWS} whole rows at least")
    if classes < 2 or classes > min(MOST_CLASSES, rows // 2):
        raise InvalidInput(f"its label has {classes} different values", where=f"{path}: column {label}",
                           fix=f"give 2 to {MOST_CLASSES} classes, each of several rows")  # fmt: skip
