"""Forecast the series of a file: each from its own last value, or all from one origin, without store or fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Forecast, Series, utc
from tasks.forecasting.decide import Model, fit, forecast
from tasks.forecasting.decide.choice import Choice, choose
from tasks.forecasting.decide.engines import GLOBAL_ENGINES, SEASONAL_NAIVE
from tasks.forecasting.decide.history import DAY_S
from tasks.forecasting.files import HistoryFile

FEW_VALUES = 3  # fewer say nothing of how a series varies


@dataclass(frozen=True)
class FileForecast:
    """Forecasts of S series, each with its own first step.

    Attributes
    ----------
    unique_id, method: S names and the engines that served them. step_s: seconds between steps.
    start_s: (S,) first step of each series, seconds since 1970 UTC, in the series' own phase.
    last: (S,) last value that was known. percents: bands, e.g. (80, 95).
    middle: (S, H) medians. low, high: (S, H, B) borders of the bands.
    """

    unique_id: tuple[str, ...]
    method: tuple[str, ...]
    step_s: int
    start_s: NDArray[np.int64]
    last: NDArray[np.float32]
    percents: tuple[float, ...]
    middle: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def times(self) -> NDArray[np.int64]:
        """(S, H) seconds since 1970 UTC."""
        return self.start_s[:, None] + self.step_s * np.arange(self.middle.shape[1])

    def table(self) -> pa.Table:
        """Long table `unique_id, ds, y_hat, lo_80, hi_80, ...`; empty numbers where no forecast could be made."""
        steps = self.middle.shape[1]
        names = pa.array(self.unique_id, pa.string()).take(pa.array(np.repeat(np.arange(len(self.unique_id)), steps)))
        columns = {"unique_id": names, "ds": pa.array(self.times().ravel(), pa.timestamp("s", tz="UTC"))}
        bands = [("y_hat", self.middle)]
        for place, percent in enumerate(self.percents):
            bands += [(f"lo_{percent:g}", self.low[:, :, place]), (f"hi_{percent:g}", self.high[:, :, place])]
        columns |= {name: pa.array(values.ravel(), pa.float32(), from_pandas=True) for name, values in bands}
        return pa.table(columns)


def quantile_levels(percents: tuple[float, ...]) -> tuple[float, ...]:
    """Quantile levels of the median and of central bands.

    >>> quantile_levels((80, 95))
    (0.025, 0.1, 0.5, 0.9, 0.975)
    """
    if not percents or not all(0 < percent < 100 for percent in percents) or len(set(percents)) < len(percents):
        raise InvalidInput(f"bands of {percents} %", where="--levels", fix="give different percents between 0 and 100")
    tails = {round((100 - percent) / 200, 9) for percent in percents}
    return tuple(sorted(tails | {0.5} | {round(1 - tail, 9) for tail in tails}))


def forecast_file(
    file: HistoryFile,
    horizon: int,
    percents: tuple[float, ...],
    engine: str,
    origin: datetime | None = None,
    training: HistoryFile | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FileForecast:
    """Forecast each series from its own last value, or all from `origin`; nothing later is read.

    Parameters
    ----------
    file:
        the history.
    horizon:
        steps.
    percents:
        central bands, e.g. (80, 95).
    engine:
        a name in `ENGINES`.
    origin:
        last moment that counts as known; None for each series' own end.
    training:
        another file to fit a model on, up to the origin; None to fit it on `file`.
    progress:
        called with the series done and all series.

    Raises
    ------
    InvalidInput: as `forecast`; a training file of another step; an origin more than a day after every value.
    """
    if origin is not None and origin.timestamp() - _newest_s(file).max() > DAY_S:
        raise InvalidInput(f"{origin.isoformat()} is more than a day after the last value, "
                           f"{utc(int(_newest_s(file).max())).isoformat()}", where="--origin",
                           fix="give an earlier time, or a newer file")  # fmt: skip
    levels = quantile_levels(percents)
    learned = _teacher(file, training)
    history = _known(file, origin)
    model: Model | None = None
    if engine in GLOBAL_ENGINES:
        lessons = _known(learned, origin)
        model = fit(lessons, horizon, levels, utc(lessons.end_s), engine=engine, calendar=learned.calendar)
        engine = engine if model else SEASONAL_NAIVE
    ends = _ends(history) if origin is None else np.full(len(history.unique_id), _column(history, file, origin))
    parts: dict[int, Forecast] = {}
    rows_of = {int(end): np.flatnonzero(ends == end) for end in np.unique(ends)}
    for done, (end, rows) in enumerate(rows_of.items()):
        part = replace(history, unique_id=tuple(history.unique_id[i] for i in rows), values=history.values[rows])
        as_of = utc(history.start_s + end * history.step_s)
        parts[end] = forecast(part, horizon, levels, as_of, engine=engine, model=model, calendar=file.calendar)
        progress(done + 1, len(rows_of))
    return _joined(file, history, rows_of, parts, percents)


def _teacher(file: HistoryFile, training: HistoryFile | None) -> HistoryFile:
    """The file to learn from.

    Raises
    ------
    InvalidInput: its step, or its features, are not those of the file to forecast.
    """
    learned = training or file
    if learned.history.step_s != file.history.step_s:
        raise InvalidInput(f"its step is {learned.history.step_s} s, that of the input {file.history.step_s} s",
                           where="--train", fix="train on a file of the same step")  # fmt: skip
    theirs, ours = (known.calendar.names if known.calendar else () for known in (learned, file))
    if theirs != ours:
        raise InvalidInput(f"its features are {', '.join(theirs) or 'none'}, those of the input "
                           f"{', '.join(ours) or 'none'}", where="--train",
                           fix="train on a file with the same further columns")  # fmt: skip
    return learned


def choose_engine(
    file: HistoryFile, horizon: int, percents: tuple[float, ...], origin: datetime | None = None,
    training: HistoryFile | None = None,
) -> Choice:  # fmt: skip
    """The engine that was best on the past of the file that is learned from: else as `forecast_file`."""
    learned = _teacher(file, training)
    return choose(_known(learned, origin), horizon, quantile_levels(percents), calendar=learned.calendar)


def forecast_notes(file: HistoryFile, made: FileForecast, origin: datetime | None = None) -> list[str]:
    """What a person should know about a forecast: how old its newest value is, and which features are not known."""
    return [*_age_note(file, origin), *_band_note(file, made), *_calendar_notes(file, made)]


def _band_note(file: HistoryFile, made: FileForecast) -> list[str]:
    """Bands without a width: what was hardly seen gives no band, and must not look certain."""
    flat = (made.low == made.high).all(axis=(1, 2)) & (np.isfinite(file.history.values).sum(axis=1) < FEW_VALUES)
    names = [name for name, without in zip(made.unique_id, flat, strict=True) if without]
    if not names:
        return []
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [f"the band of {shown} has no width, as nearly no value is known: that is no certainty"]


def _age_note(file: HistoryFile, origin: datetime | None) -> list[str]:
    if origin is None:
        return []
    age_s = int(origin.timestamp() - _newest_s(file).max())
    return [f"the newest value is {age_s} s older than --origin"] if age_s > file.history.step_s else []


def _newest_s(file: HistoryFile) -> NDArray[np.int64]:
    """(S,) time of the last value of each series."""
    return np.asarray(file.history.start_s + _ends(file.history) * file.history.step_s + file.phase_s)


def _calendar_notes(file: HistoryFile, made: FileForecast) -> list[str]:
    calendar = file.calendar
    if calendar is None or not (calendar.names or calendar.zones):
        return []
    notes = []
    steps = made.middle.shape[1]
    column = (made.start_s - file.phase_s - calendar.start_s)[:, None] // calendar.step_s + np.arange(steps)
    reach = calendar.values.shape[2]
    for name, values in zip(calendar.names, calendar.values, strict=True):
        ahead = np.take_along_axis(values, np.clip(column, 0, max(reach - 1, 0)), axis=1) if reach else values
        unknown = int((~np.isfinite(ahead) | (column >= reach)).sum()) if reach else column.size
        if unknown:
            notes.append(f"column {name}: not known for {unknown} of {column.size} steps of the forecast: it has its "
                         "usual value there, that is no effect; give rows with an empty y to tell it")  # fmt: skip
    return notes


def _known(file: HistoryFile, origin: datetime | None) -> Series:
    """The history, blank after the origin by each series' own clock."""
    if origin is None:
        return file.history
    if origin.tzinfo is None:
        raise InvalidInput(f"{origin.isoformat()} has no time zone", where="--origin", fix="add Z or an offset")
    late = file.history.times()[None, :] + file.phase_s[:, None] > origin.timestamp()
    return replace(file.history, values=np.where(late, np.float32(np.nan), file.history.values))


def _column(history: Series, file: HistoryFile, origin: datetime) -> int:
    """Column of the last step that any series has reached at the origin."""
    return int((origin.timestamp() - int(file.phase_s.min()) - history.start_s) // history.step_s)


def _ends(history: Series) -> NDArray[np.int64]:
    """(S,) column of the last value of each series."""
    return np.asarray(history.values.shape[1] - 1 - np.isfinite(history.values[:, ::-1]).argmax(axis=1))


def _joined(
    file: HistoryFile, history: Series, rows_of: dict[int, NDArray[np.int64]], parts: dict[int, Forecast],
    percents: tuple[float, ...],
) -> FileForecast:  # fmt: skip
    """The parts in the order of the file."""
    order = np.argsort(np.concatenate(list(rows_of.values())), kind="stable")
    values = np.concatenate([part.values for part in parts.values()])[order]
    method = [name for part in parts.values() for name in part.method]
    start = np.concatenate([np.full(len(rows_of[end]), part.start_s) for end, part in parts.items()])[order]
    place = {level: i for i, level in enumerate(next(iter(parts.values())).levels)}
    tails = [round((100 - percent) / 200, 9) for percent in percents]
    ends = _ends(history)
    return FileForecast(
        history.unique_id, tuple(method[i] for i in order), history.step_s, start + file.phase_s,
        history.values[np.arange(len(ends)), ends], percents, values[:, :, place[0.5]],
        values[:, :, [place[tail] for tail in tails]], values[:, :, [place[round(1 - tail, 9)] for tail in tails]],
    )  # fmt: skip
