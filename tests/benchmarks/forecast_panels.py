"""The real traces that forecasts are judged on: a panel is a data set, a matrix one file of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.forecasting.files import read_history

STEP_S, QUARTER_S, DAY_S = 300, 900, 86_400
SHORTEST_DAYS = 3  # of history, beside the horizon, that a day-ahead forecast is asked for
PLANETLAB = "planetlab"

# Panel, files, seconds between their rows. The files of a panel cover different times: each is a matrix of its own.
SOURCES = (
    ("bitbrains", "bitbrains-small/cpu_mhz_5min.csv.gz", 300),
    (PLANETLAB, "planetlab-cpu/*.csv.gz", 300),
    ("nab-aws", "nab/realAWSCloudwatch/*.csv.gz", 300),
    ("nab-traffic", "nab/realTraffic/*.csv.gz", 300),
    ("datacenter-5min", "datacenter-5min/*.csv.gz", 300),
    ("worldcup98", "worldcup98/*.csv.gz", 60),
)


@dataclass(frozen=True)
class Matrix:
    """One file: the panel it belongs to, its name and its series."""

    panel: str
    file: str
    history: Series


def matrices(folder: Path, machines: int) -> list[Matrix]:
    """Every file of the panels at 5 min.

    Parameters
    ----------
    machines:
        of each PlanetLab day, evenly spaced among its 898-1,516.
    """
    found = []
    for panel, pattern, step_s in SOURCES:
        for path in sorted(folder.glob(pattern)):
            history = averaged(_read(path, step_s), STEP_S)
            if panel == PLANETLAB:
                rows = np.unique(np.linspace(0, len(history.unique_id) - 1, machines).astype(int))
                history = chosen(history, rows)
            found.append(Matrix(panel, path.name.removesuffix(".csv.gz"), history))
    return found


def day_ahead(found: list[Matrix], horizon: int) -> list[Matrix]:
    """The same at 15 min; without the matrices that are shorter than three days and the horizon."""
    coarse = [replace(matrix, history=averaged(matrix.history, QUARTER_S)) for matrix in found]
    shortest = SHORTEST_DAYS * DAY_S // QUARTER_S + horizon
    return [matrix for matrix in coarse if matrix.history.values.shape[1] >= shortest]


def chosen(history: Series, rows: np.ndarray) -> Series:
    """Some of the series."""
    return replace(history, unique_id=tuple(history.unique_id[row] for row in rows), values=history.values[rows])


def averaged(history: Series, step_s: int) -> Series:
    """Means of the values known in each longer step; a longer step that the matrix fills only in part counts too."""
    each = step_s // history.step_s
    before = (history.start_s % step_s) // history.step_s
    after = -(before + history.values.shape[1]) % each
    padded = np.pad(history.values, ((0, 0), (before, after)), constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of an empty step is the NaN we want
        values = np.nanmean(padded.reshape(len(padded), -1, each), axis=2).astype(np.float32)
    return Series(history.unique_id, history.start_s - before * history.step_s, step_s, values)


def _read(path: Path, step_s: int) -> Series:
    """The product's reader; where it refuses the file as irregular (NAB's travel times), means by slot."""
    try:
        return read_history(path, step_s).history
    except InvalidInput:
        table = pd.read_csv(path, parse_dates=["timestamp"])
        slot = ((table["timestamp"] - pd.Timestamp(0)) // pd.Timedelta(seconds=step_s)).astype(int)
        mean = table["value"].groupby(slot).mean()
        values = mean.reindex(range(slot.min(), slot.max() + 1)).to_numpy(np.float32)
        return Series((path.name.removesuffix(".csv.gz"),), int(slot.min()) * step_s, step_s, values[None])
