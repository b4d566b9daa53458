"""When each flexible run starts: the cleanest hour that is safe, where it pays to wait for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tasks.carbon.decide.grid import Intensity, Jobs
from tasks.carbon.decide.plan import decide_plan

CHANGES = ("shift", "start-now")
SAFETY_S = 900  # workers take a while to start a run
SOON_S = 60  # a start so near is now
PASS_S = 1800  # until the next pass: what only we start is rather started so much too early than too late


@dataclass(frozen=True)
class FlexibleRun:
    """A run that has not begun and may begin later. Times are epoch seconds.

    Attributes
    ----------
    arrival_s: when it was to start before anybody moved it. planned_s: when it is to start now.
    duration_s: how long it takes at most. until_s: when it must have ended. kw: what it draws; savings are told by it.
    waits: nobody starts it but we, in one of our passes.
    """

    subject: str
    name: str
    zone: str
    arrival_s: int
    planned_s: int
    duration_s: int
    until_s: int
    kw: float = 1.0
    waits: bool = False


def decide_shifts(
    runs: Sequence[FlexibleRun], intensity: Mapping[str, Intensity], how: Mapping[str, str], now_s: int,
    least_saving_ratio: float = 0.02, signal: str = "average",
) -> list[dict[str, Any]]:  # fmt: skip
    """A record a run: `shift` gives it another start, `start-now` one that is due, `hold` leaves it.

    A start is never before the arrival, nor so late that the run would end after `until_s`, less a margin. A run is
    moved only where the new start saves `least_saving_ratio` of what the present one emits: forecasts tremble. One
    whose zone has no data, or whose data end too early, is left at its arrival, or brought back to it.

    Parameters
    ----------
    intensity: of each zone that is known, from `now_s` on. how: by zone, how its intensity is known, in words.
    signal: of that intensity; records bear it, as averages and marginals are never compared.
    """
    return [_record(run, intensity.get(run.zone), how.get(run.zone, ""), now_s, least_saving_ratio)
            | {"signal": signal} for run in runs]  # fmt: skip


def no_longer_fits(runs: Sequence[FlexibleRun], changes: Mapping[str, Mapping[str, Any]], now_s: int) -> dict[str, str]:
    """By subject, why a start that was decided before must not be set any more. changes: records by subject."""
    there, why = {run.subject: run for run in runs}, dict[str, str]()
    for subject, record in changes.items():
        run = there.get(subject)
        if run is None:
            why[subject] = "it has begun, or is gone"
        elif _text(run.planned_s) != record["seen"]:
            why[subject] = "its start was changed since"
        elif record["action"] == "start-now":
            continue  # sooner is always safe, however long ago it was decided
        elif datetime.fromisoformat(record["start"]).timestamp() > latest_s(run):
            why[subject] = "it would end too late"
        elif datetime.fromisoformat(record["start"]).timestamp() < now_s:
            why[subject] = "that hour is over"
    return why


def latest_s(run: FlexibleRun) -> int:
    """The latest safe start; may lie before the arrival, and then nothing is safe but the arrival."""
    return run.until_s - run.duration_s - SAFETY_S


def _record(run: FlexibleRun, known: Intensity | None, how: str, now_s: int, least: float) -> dict[str, Any]:
    earliest = max(run.arrival_s, now_s)
    latest = latest_s(run)
    reasons: list[dict[str, Any]] = []
    target, saved, promised = earliest, 0.0, dict[str, float | None]()
    if latest <= earliest:
        reasons.append({"code": "no-slack"})
    elif known is None or known.end_s < earliest + run.duration_s or known.start_s > earliest:
        reasons.append({"code": "no-data", "zone": run.zone})
    else:
        best, at_best, at_arrival = cheapest(run, known, earliest, latest)
        stays = min(max(run.planned_s, earliest), latest)
        at_present = emission_of(run, known, stays)
        target, emits = best, at_best
        if at_present is not None and at_best >= at_present * (1 - least):
            target, emits = stays, at_present
            if stays == run.planned_s and stays > earliest:
                reasons.append({"code": "gain-too-small", "saved_ratio": _ratio(at_present, at_best)})
        if emits >= at_arrival * (1 - least):  # so little is gained by waiting that it had better run
            target, emits = earliest, at_arrival
            reasons = [{"code": "gain-too-small", "saved_ratio": _ratio(at_arrival, at_best)}]
        saved = _ratio(at_arrival, emits)
        if target > earliest:
            reasons.append({"code": "cleaner-then", "saved_ratio": saved, "how": how})
        promised = {"baseline_g": at_arrival * run.kw, "planned_g": emits * run.kw}
    if max(run.planned_s, now_s) > latest > 0 and run.planned_s > earliest:
        reasons.append({"code": "too-late"})
    is_due = run.waits and target < now_s + PASS_S
    if is_due:
        target = earliest
    moved = is_due or abs(target - max(run.planned_s, now_s)) >= SOON_S
    action = "hold" if not moved else "start-now" if target <= now_s + SOON_S else "shift"
    return {
        "unique_id": run.subject, "action": action, "name": run.name, "zone": run.zone,
        "seen": _text(run.planned_s), "start": _text(target if moved else run.planned_s),
        "duration_s": run.duration_s, "kw": run.kw, "earliest": _text(earliest),
        "arrival": _text(run.arrival_s), "latest": _text(max(latest, run.arrival_s)), "saved_ratio": saved,
        "reasons": reasons, "promised": promised,
    }  # fmt: skip


def cheapest(run: FlexibleRun, known: Intensity, earliest: int, latest: int) -> tuple[int, float, float]:
    """The cheapest safe start, g CO2e of one kW there, and at once."""
    job = Jobs(np.array([earliest]), np.array([run.duration_s]), np.array([latest - earliest]), np.array([1.0]),
               np.array([False]))  # fmt: skip
    plan = decide_plan(known, job)
    return int(plan.start_s[0]), float(plan.planned_g[0]), float(plan.baseline_g[0])


def emission_of(run: FlexibleRun, known: Intensity, start_s: int) -> float | None:
    """CO2e of one kW from a start on, g; None where the data end before."""
    if start_s + run.duration_s > known.end_s:
        return None
    return cheapest(run, known, start_s, start_s)[2]


def _ratio(whole: float, rest: float) -> float:
    return 1 - rest / whole if whole > 0 else 0.0


def _text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()
