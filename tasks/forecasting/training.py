"""Score the engines on what the fleet has lived through, train them, and keep models, scores and choice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE

from blocks.series import Series
from blocks.store.series import SeriesStore
from blocks.store.tables import Scorecard
from tasks.forecasting.decide import GLOBAL_ENGINES, fit
from tasks.forecasting.decide.backtest import backtest, rolling_origins
from tasks.forecasting.decide.engines import SEASONAL_NAIVE
from tasks.forecasting.decide.group_scores import choose, scores_of
from tasks.forecasting.decide.lessons import lessons, lived
from tasks.forecasting.decide.plans import LEVELS, PLANS, Plan, coarser
from tasks.forecasting.kinds import KINDS, kind_of
from tasks.forecasting.models import code_version, shelf_of, to_arrays
from tasks.forecasting.observe import Collected, pools_of, read_pool_demand
from tasks.run import Run

LEASE_S = 4 * 3600
SCORED_BY = "forecast-training"  # whatever the plan: the subject of a scorecard names it

Scores = dict[str, dict[str, float]]  # by kind of demand


@dataclass(frozen=True)
class Lesson:
    """What is learned from: some pools of a fleet up to a moment.

    Attributes
    ----------
    metrics_of: the fleet's own name, under which its series are kept. pools: `cluster/pool`, those that are trained on.
    scored: those of them that are scored. origins: from how many moments.
    """

    fleet_name: str
    metrics_of: str
    as_of: datetime
    plan_name: str
    pools: tuple[str, ...]
    scored: tuple[str, ...]
    origins: int
    history_days: int

    @property
    def plan(self) -> Plan:
        """Step and horizon."""
        return PLANS[self.plan_name]

    def panels(self, pools: Sequence[str]) -> list[Series]:
        """The demand of the pools, a matrix a kind, in the plan's steps, from their first value on."""
        history = read_pool_demand(SeriesStore.open(), self.metrics_of, pools, self.as_of, self.history_days)
        return [coarser(lived(_of_kind(history, kind)), self.plan.step_s) for kind in KINDS]


@dataclass(frozen=True)
class Training:
    """What a training found: scores by engine and kind, digests of the models by engine, the choice by kind."""

    lesson: Lesson
    scores: dict[str, Scores]
    models: dict[str, str]
    choice: dict[str, str]


@contextmanager
def training_alone(run: Run, plan_name: str) -> Iterator[None]:
    """Hold the lease of a fleet's training while the block runs.

    Raises
    ------
    Conflict: another run is training for the same fleet and plan.
    """
    name = f"train/{run.fleet_name}/{plan_name}"
    run.journal.acquire(name, LEASE_S)
    try:
        yield
    finally:
        run.journal.release(name)


def lesson_of(
    run: Run, collected: Collected, plan_name: str, *, history_days: int, pools: int, scored: int, origins: int
) -> Lesson:
    """Pools that stand for the fleet, evenly spaced in the order of their names."""
    sample = _evenly(sorted(pools_of(run.fleet)), pools)
    return Lesson(run.fleet_name, run.fleet.name, collected.as_of, plan_name, sample, _evenly(sample, scored), origins,
                  history_days)  # fmt: skip


def train(run: Run, lesson: Lesson, engines: Sequence[str]) -> Training:
    """Score every engine, train those that learn, choose, and keep all of it; progress is an artifact.

    Seasonal naive is scored in any case: it is what the others must beat.
    """
    engines = list(dict.fromkeys([*engines, SEASONAL_NAIVE]))
    learning = [engine for engine in engines if engine in GLOBAL_ENGINES]
    advance = _progress(run, len(engines) * len(KINDS) + len(learning))
    scores = {engine: score_engine(lesson, engine, advance) for engine in engines}
    models = {engine: digest for engine in learning if (digest := train_engine(lesson, engine, advance))}
    # without a model nothing can serve but the baselines, whatever an engine's fallback scored under its name
    able = {engine: rows for engine, rows in scores.items() if engine in models or engine not in GLOBAL_ENGINES}
    choice = {kind: choose({engine: rows[kind] for engine, rows in able.items()}) for kind in KINDS}
    training = Training(lesson, scores, models, choice)
    _keep(run, training)
    return training


@task(name="score engine", task_run_name="score {engine}", cache_policy=NO_CACHE, persist_result=False)
def score_engine(lesson: Lesson, engine: str, advance: Callable[[], None]) -> Scores:
    """Rolling-origin scores of an engine by kind of demand. `advance` is called after each kind."""
    panels = lesson.panels(lesson.scored)
    begun = time.process_time()
    made = backtest(panels, lesson.plan.horizon, LEVELS, engine=engine, origins=lesson.origins, lessons=lessons,
                    progress=advance)  # fmt: skip
    each_s = (time.process_time() - begun) / len(panels)  # the kinds have as many series each
    return {kind: scores_of(found, each_s) for kind, found in zip(KINDS, made, strict=True)}


@task(name="train engine", task_run_name="train {engine}", cache_policy=NO_CACHE, persist_result=False)
def train_engine(lesson: Lesson, engine: str, advance: Callable[[], None]) -> str | None:
    """Fit an engine on all kinds of demand and save it; its digest, None where there is too little to learn from."""
    parts = [lessons(panel, lesson.as_of) for panel in lesson.panels(lesson.pools)]
    start_s = min(part.start_s for part in parts)
    history = Series(
        tuple(name for part in parts for name in part.unique_id), start_s, lesson.plan.step_s,
        np.concatenate([_from(part, start_s) for part in parts]),
    )  # fmt: skip
    model = fit(history, lesson.plan.horizon, LEVELS, lesson.as_of, engine=engine)
    advance()
    return shelf_of(SeriesStore.open(), lesson.fleet_name, lesson.plan).save(to_arrays(model)) if model else None


def _scored_span(lesson: Lesson) -> tuple[datetime, datetime]:
    """From the first origin that is scored until now."""
    panels = lesson.panels(lesson.scored)
    first = [moments[0] for panel in panels if (moments := rolling_origins(panel, lesson.plan.horizon, lesson.origins))]
    return min(first, default=lesson.as_of), lesson.as_of


def _keep(run: Run, training: Training) -> None:
    """Scorecards into the store; beside the models, a manifest that says what serves from now on."""
    lesson = training.lesson
    start, end = _scored_span(lesson)
    run.store.save_scorecards([
        Scorecard(flow=SCORED_BY, subject=f"{run.fleet_name}/{lesson.plan_name}/{kind}", method=engine,
                  period_start=start, period_end=end, scores=row)
        for engine, rows in training.scores.items() for kind, row in rows.items()
    ])  # fmt: skip
    if training.models:
        shelf_of(SeriesStore.open(), run.fleet_name, lesson.plan).record(lesson.as_of, _manifest(run, training, start))


def _manifest(run: Run, training: Training, scored_from: datetime) -> dict[str, Any]:
    lesson, plan = training.lesson, training.lesson.plan
    return {
        "fleet": run.fleet_name, "plan": lesson.plan_name, "step_s": plan.step_s, "horizon": plan.horizon,
        "levels": list(LEVELS), "groups": list(KINDS), "code": code_version(), "flow_run_id": run.id,
        "trained_at": lesson.as_of.isoformat(), "history_days": lesson.history_days, "pools": len(lesson.pools),
        "scored": {"from": scored_from.isoformat(), "pools": len(lesson.scored), "origins": lesson.origins},
        "choice": training.choice, "scores": training.scores,
        "models": {engine: {"digest": digest} for engine, digest in training.models.items()},
    }  # fmt: skip


def _progress(run: Run, steps: int) -> Callable[[], None]:
    """A function that moves the progress artifact on by one of so many steps."""
    artifact = create_progress_artifact(0.0, key=f"{run.flow}-progress", description="Engines scored and trained")
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        update_progress_artifact(artifact, progress=round(min(100.0, 100 * done / steps), 1))  # type: ignore[arg-type]

    return advance


def _evenly(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many of the names, evenly spaced.

    >>> _evenly(["a", "b", "c", "d", "e"], 3)
    ('a', 'c', 'e')
    """
    return tuple(names[place] for place in np.linspace(0, len(names) - 1, min(most, len(names))).astype(int))


def _of_kind(history: Series, kind: str) -> Series:
    rows = [row for row, name in enumerate(history.unique_id) if kind_of(name) == kind]
    return replace(history, unique_id=tuple(history.unique_id[row] for row in rows), values=history.values[rows])


def _from(part: Series, start_s: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(S, T) values with missing ones before, so that column 0 is at `start_s`."""
    return np.pad(part.values, ((0, 0), ((part.start_s - start_s) // part.step_s, 0)), constant_values=np.nan)
