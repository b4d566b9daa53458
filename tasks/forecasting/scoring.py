"""Score engines on files: each file is a panel, one model serves them all, and all are judged on the same windows."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from blocks.errors import InvalidInput
from tasks.forecasting.decide import ENGINES
from tasks.forecasting.decide.backtest import Backtest, backtest, rolling_origins
from tasks.forecasting.decide.engines import GLOBAL_ENGINES, SEASONAL_NAIVE
from tasks.forecasting.decide.scorecard import Line, scorecard
from tasks.forecasting.files import HistoryFile
from tasks.forecasting.offline import quantile_levels

ALWAYS = (80.0, 95.0)  # bands that every scorecard states


@dataclass(frozen=True)
class Panel:
    """A file and the name it is called by."""

    name: str
    file: HistoryFile


@dataclass(frozen=True)
class FileScores:
    """A scorecard.

    Attributes
    ----------
    lines: by model. cpu_s: CPU seconds of each, fitting and calibrating included. forecasts: series x origins.
    origins: of each panel, by name. notes: what a reader of the scores should know.
    """

    lines: dict[str, Line]
    cpu_s: dict[str, float]
    forecasts: int
    origins: dict[str, int]
    notes: list[str]

    def best(self) -> str:
        """The model with the lowest weighted quantile loss; the first one where none has any."""
        return min(self.lines, key=lambda name: (math.isnan(self.lines[name].wql), self.lines[name].wql))


def engines_of(models: str) -> tuple[str, ...]:
    """Engines of `auto` (all) or of a list with commas.

    Raises
    ------
    InvalidInput: no engine is called like that, or one is there twice.
    """
    if models.strip() == "auto":
        return ENGINES
    names = tuple(name.strip() for name in models.split(","))
    unknown = next((name for name in names if name not in ENGINES), None)
    if unknown is not None or len(set(names)) < len(names):
        what = f"no model is called {unknown!r}" if unknown is not None else f"a model is there twice in {models!r}"
        raise InvalidInput(what, where="--models", fix=f"write auto, or some of {','.join(ENGINES)}")
    return names


def why_too_short(file: HistoryFile, horizon: int) -> str | None:
    """Why nothing can be scored on a file; None where something can."""
    steps = file.history.values.shape[1]
    if steps < horizon + 2:
        return (f"its {steps} steps of {file.history.step_s} s are too short to score {horizon} steps ahead: "
                f"at least {horizon + 2} are needed")  # fmt: skip
    return None


def score_files(
    panels: Sequence[Panel],
    horizon: int,
    percents: Sequence[float],
    engines: Sequence[str],
    origins: int,
    progress: Callable[[str, int], None] = lambda _engine, _done: None,
) -> FileScores:
    """Backtest engines on panels of one step.

    Parameters
    ----------
    panels:
        files that are long enough (`why_too_short`).
    horizon:
        steps.
    percents:
        central bands whose quantiles the loss is taken over; 80 and 95 are added.
    engines:
        names in `ENGINES`. Seasonal naive is scored in any case, to set the others against it.
    origins:
        of each panel.
    progress:
        called with the engine and the number of panels done, before the first panel and after each.

    Raises
    ------
    InvalidInput: impossible bands, a horizon or an engine; panels of different features.
    """
    _check_features(panels)
    bands = tuple(sorted({*percents, *ALWAYS}, reverse=True))
    levels, histories = quantile_levels(bands), [panel.file.history for panel in panels]
    made: dict[str, list[Backtest]] = {}
    cpu_s: dict[str, float] = {}
    for engine in [*engines, *({SEASONAL_NAIVE} - set(engines))]:
        done = itertools.count(1)

        def tell(engine: str = engine, done: Iterator[int] = done) -> None:
            progress(engine, next(done))

        progress(engine, 0)
        begun = time.process_time()
        made[engine] = backtest(histories, horizon, levels, engine=engine, origins=origins, progress=tell,
                                calendars=[panel.file.calendar for panel in panels])  # fmt: skip
        cpu_s[engine] = time.process_time() - begun
    naive = made[SEASONAL_NAIVE]
    lines = scorecard(histories, {name: made[name] for name in engines}, naive, horizon, origins, bands)
    each = {panel.name: len(rolling_origins(panel.file.history, horizon, origins)) for panel in panels}
    forecasts = sum(len(panel.file.history.unique_id) * each[panel.name] for panel in panels)
    return FileScores(lines, {name: cpu_s[name] for name in engines}, forecasts, each, _notes(made, each, origins))


def _check_features(panels: Sequence[Panel]) -> None:
    """One model learns one set of features."""
    names = [panel.file.calendar.names if panel.file.calendar else () for panel in panels]
    other = next((place for place, found in enumerate(names) if found != names[0]), None)
    if other is not None:
        raise InvalidInput(f"its further columns are {', '.join(names[other]) or 'none'}, those of {panels[0].name} "
                           f"{', '.join(names[0]) or 'none'}", where=panels[other].name,
                           fix="score files with different features one by one")  # fmt: skip


def _notes(made: dict[str, list[Backtest]], each: dict[str, int], origins: int) -> list[str]:
    notes = [f"{name}: {count} of {origins} origins, its last quarter has no more steps"
             for name, count in each.items() if count < origins]  # fmt: skip
    naive = made[SEASONAL_NAIVE]
    for engine, parts in made.items():
        # backtest scores seasonal naive where a model could not be fitted: then all its losses are the same
        if engine in GLOBAL_ENGINES and all(np.array_equal(part.loss, plain.loss, equal_nan=True)
                                            for part, plain in zip(parts, naive, strict=True)):  # fmt: skip
            notes.append(f"{engine}: too little past to learn from, seasonal naive was scored in its place")
    return notes
