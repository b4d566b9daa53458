"""A training told to people: the scorecard, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.forecasting.decide.engines import SEASONAL_NAIVE
from tasks.forecasting.kinds import KINDS, SHOWN
from tasks.forecasting.observe import Collected
from tasks.forecasting.training import Training
from tasks.publish import publish
from tasks.run import Run
from tasks.sections import section

# Columns of the scorecard: the score, what it is called, and its decimals.
COLUMNS = (
    ("mase", "MASE", 3), ("wql", "WQL", 4), ("coverage_80", "coverage of 80 %", 3),
    ("coverage_95", "coverage of 95 %", 3), ("within_5", "series within 5 points", 2),
    ("within_8", "within 8 points", 2), ("peak_90", "peaks within p90", 3), ("cpu_s", "CPU s", 2),
    ("series_per_cpu_s", "forecasts a CPU s", 0),
)  # fmt: skip


def publish_training(run: Run, collected: Collected, training: Training) -> dict[str, Any]:
    """Save the report's section and artifacts; a summary for whoever called the flow."""
    publish(run, [scorecard(training, collected.trouble)])
    lesson = training.lesson
    return {
        "flow_run_id": run.id,
        "as_of": lesson.as_of.isoformat(),
        "plan": lesson.plan_name,
        "pools": len(lesson.pools),
        "choice": training.choice,
        "models": training.models,
        "scores": training.scores,
        "trouble": list(collected.trouble),
    }


def scorecard(training: Training, trouble: Sequence[str]) -> dict[str, Any]:
    """The scorecard, a row an engine and kind of demand, the best first."""
    lesson = training.lesson
    rows = [
        [SHOWN[kind][0], engine, "chosen" if training.choice[kind] == engine else "",
         *(_shown(training.scores[engine][kind], name, digits) for name, _, digits in COLUMNS),
         _ratio(training, kind, engine)]
        for kind in KINDS for engine in sorted(training.scores, key=lambda name: _wql(training, kind, name))
    ]  # fmt: skip
    return section(
        f"Scorecard of the forecast engines, {lesson.plan.words}", [_words(training), *trouble],
        ["resource", "engine", "serves", *(words for _, words, _ in COLUMNS), "WQL to seasonal naive"], rows,
        meta=f"as of {lesson.as_of:%Y-%m-%d %H:%M} UTC, {len(lesson.scored)} pools from {lesson.origins} moments",
    )  # fmt: skip


def _words(training: Training) -> str:
    if not training.models:
        return ("There is too little history to learn from (a model needs about two days): seasonal naive and the last "
                "value serve, or a model that a pass can fit.")  # fmt: skip
    chosen = ", ".join(f"{SHOWN[kind][0]} by {engine}" for kind, engine in training.choice.items())
    return (
        f"Trained {' and '.join(training.models)} on {len(training.lesson.pools)} pools. From now on: {chosen}. The "
        "lowest weighted quantile loss (WQL) is chosen; an engine that does not beat seasonal naive never is."
    )


def _wql(training: Training, kind: str, engine: str) -> float:
    return training.scores[engine][kind].get("wql", float("inf"))


def _ratio(training: Training, kind: str, engine: str) -> Any:
    naive = _wql(training, kind, SEASONAL_NAIVE) if SEASONAL_NAIVE in training.scores else float("inf")
    own = _wql(training, kind, engine)
    return round(own / naive, 3) if 0 < naive < float("inf") and own < float("inf") else ""


def _shown(scores: dict[str, float], name: str, digits: int) -> Any:
    if name not in scores:
        return ""
    return round(scores[name], digits) if digits else round(scores[name])
