"""Keep score: what starts that were chosen by a forecast came to by the intensity that came, and how far it was off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.carbon import CarbonSeries, Signal
from blocks.carbon.configured import Provider
from blocks.errors import ContinuumError
from blocks.store.tables import Decision, Outcome, Scorecard, now
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.hindsight import Hindsight, decide_hindsight, forecast_error
from tasks.carbon.decide.shift import FlexibleRun
from tasks.carbon.intensity import KNOWN, kept_forecast, known_of
from tasks.carbon.offline import grid_of
from tasks.run import Run

FLOW = "carbon-scheduling"
MOST_AGE = timedelta(days=40)  # what nobody could tell by then is not asked for any more


@dataclass(frozen=True)
class Marked:
    """One run's last decision, by the intensity that came; and the error of the forecast that it rested on."""

    name: str
    zone: str
    mode: str
    promised_ratio: float
    came: Hindsight
    how: str
    forecast_error: float | None


@task(name="score earlier starts", cache_policy=NO_CACHE, persist_result=False)
def score_due(run: Run, providers: Sequence[Provider], signal: Signal) -> list[Marked]:
    """Score every decision whose time is over and whose intensity is known by now, once; the last of each run is told.

    Only what was measured or estimated for those hours counts: a typical day, or a forecast, would be held against
    itself.
    """
    found = [row for row in run.store.decisions(flow=FLOW, since=now() - MOST_AGE, limit=None) if _is_over(row)]
    done = run.store.outcomes([row.id for row in found])
    told: dict[str, Marked] = {}
    outcomes, cards = [], []
    for row in reversed(found):  # oldest first
        marked = (
            None
            if row.id in done or row.content.get("signal", "average") != signal
            else _marked(run, providers, signal, row)
        )
        if marked is None:
            continue
        told[row.subject] = marked
        came = marked.came
        outcomes.append(Outcome(decision_id=row.id, measured_at=now(), happened={"emitted_g": came.planned_g},
                                baselines={"at arrival": {"emitted_g": came.baseline_g},
                                           "perfect": {"emitted_g": came.perfect_g}}))  # fmt: skip
        ways = {"planned": came.planned_g, "at arrival": came.baseline_g, "perfect": came.perfect_g}
        cards += [Scorecard(flow=FLOW, subject=row.subject, method=method, period_start=_time(row, "earliest"),
                            period_end=_end(row), scores={"emitted_g": grams})
                  for method, grams in ways.items()]  # fmt: skip
        if marked.forecast_error is not None:
            cards.append(Scorecard(flow=FLOW, subject=f"zone {marked.zone}", method="forecast", period_start=row.as_of,
                                   period_end=_end(row), scores={"mape_ratio": marked.forecast_error}))  # fmt: skip
    run.store.save_outcomes(outcomes)
    run.store.save_scorecards(cards)
    return list(told.values())


def _marked(run: Run, providers: Sequence[Provider], signal: Signal, row: Decision) -> Marked | None:
    """None where nobody knows yet what the intensity was."""
    told = row.content
    earliest_s, latest_s = (int(_time(row, name).timestamp()) for name in ("earliest", "latest"))
    try:
        series = known_of(providers, told["zone"], earliest_s, int(_end(row).timestamp()), signal)
    except ContinuumError:
        return None
    if series.method not in KNOWN:
        return None
    job = FlexibleRun(
        row.subject, told["name"], told["zone"], earliest_s, earliest_s, told["duration_s"], 0, told["kw"]
    )
    start_s = max(int(_time(row, "start").timestamp()), earliest_s)
    came = decide_hindsight(job, start_s, earliest_s, latest_s, grid_of(series))
    if came is None:
        return None
    error = _error_of(run, providers, row, series)
    return Marked(told["name"], told["zone"], row.mode, told["saved_ratio"], came, series.how, error)


def _error_of(run: Run, providers: Sequence[Provider], row: Decision, came: CarbonSeries) -> float | None:
    """Of the forecast that was known when it was decided."""
    for provider in providers:
        kept = kept_forecast(run.store, provider, row.content["zone"], row.as_of)
        if kept:
            known = Intensity(kept.start_s, kept.step_s, kept.g_per_kwh)
            return forecast_error(known, grid_of(came), int(row.as_of.timestamp()))
    return None


def _is_over(row: Decision) -> bool:
    return bool(row.content.get("promised")) and "duration_s" in row.content and _end(row) < now()


def _end(row: Decision) -> datetime:
    """When the last start that was looked at would have ended."""
    last = max(_time(row, name) for name in ("latest", "start", "earliest"))
    return last + timedelta(seconds=row.content["duration_s"])


def _time(row: Decision, name: str) -> datetime:
    return datetime.fromisoformat(row.content[name])
