"""What the models learn from: a history up to a moment, without its isolated excursions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from blocks.series import Series
from tasks.forecasting.decide.anomalies import mask
from tasks.forecasting.decide.history import last_column


def lessons(history: Series, as_of: datetime) -> Series:
    """The columns at or before `as_of`; points of isolated excursions (`anomalies.mask`) are NaN, missing to a model.

    The mask looks a day ahead of each point, yet never beyond `as_of`.
    """
    known = history.values[:, : max(last_column(history, as_of) + 1, 0)]
    if not known.size:
        return replace(history, values=known)
    flagged = mask(replace(history, values=known))
    return replace(history, values=np.where(flagged, np.float32(np.nan), known))


def lived(history: Series) -> Series:
    """The history from its first column with any value on; no column where there is none."""
    known = np.asarray(np.isfinite(history.values).any(axis=0))
    first = int(known.argmax()) if known.any() else len(known)
    return replace(history, start_s=history.start_s + first * history.step_s, values=history.values[:, first:])
