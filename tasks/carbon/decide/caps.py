"""How much of a queue or a scaler may run in this hour: more of its day's work where the grid is cleaner.

The hourly virtual capacity curve of Google's carbon-intelligent computing (Radovanovic et al. 2021): what a UTC day
must be able to do is kept, only its hours are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np

from tasks.carbon.decide.grid import HOUR_S, Floats, Intensity, emitted

CAP, HOLD = "cap", "hold"
DAY_S = 24 * HOUR_S
LATEST_GAP_S = HOUR_S  # two passes: what was allowed in a longer silence is not counted


@dataclass(frozen=True)
class Capped:
    """One work pool or ScaledObject, in units of runs or replicas.

    Attributes
    ----------
    least, most: between which the cap moves; `most` is what it has without us.
    hours_a_day: unit-hours that every UTC day must have room for, at most 24 x most.
    seen: its cap as it is; None where it has none. running: units at work now; None where that is not known.
    offered_h: unit-hours that caps have allowed since the day began, counted low.
    """

    subject: str
    zone: str
    least: int
    most: int
    hours_a_day: float
    seen: int | None
    running: int | None
    offered_h: float = 0.0


def decide_caps(
    subjects: Sequence[Capped], intensity: Mapping[str, Intensity], how: Mapping[str, str], now_s: int
) -> list[dict[str, Any]]:
    """A record a subject: `cap` sets the one of this hour, `hold` leaves what is there.

    A cap is never below `least`, nor below what runs. Where the intensity until the end of the day, or what runs, is
    not known, a cap is never lowered: it is `most`, or more where it is more.
    """
    return [_record(each, intensity.get(each.zone), how.get(each.zone, ""), now_s) for each in subjects]


def curve(subject: Capped, known: Intensity, now_s: int) -> tuple[Floats, list[int]]:
    """(H,) mean g CO2e/kWh and the cap of each hour until the end of the UTC day; the first hour may be a part of one.

    The exact optimum for units of equal power: the cleanest hours get `most` until the day's unit-hours have room.

    >>> pool = Capped("p", "DE", 1, 4, 30.0, 4, 0)
    >>> grid = Intensity(20 * 3600, 3600, np.array([300.0, 100.0, 200.0, 400.0]))
    >>> curve(pool, grid, 20 * 3600)[1], curve(Capped("p", "DE", 1, 4, 30.0, 4, 0, offered_h=23.0), grid, 20 * 3600)[1]
    ([4, 4, 4, 4], [1, 4, 1, 1])
    """
    borders = np.append(now_s, np.arange(now_s // HOUR_S + 1, now_s // DAY_S * 24 + 25) * HOUR_S)
    lasts_h = np.diff(borders) / HOUR_S
    grams = emitted(known, borders[:-1] - known.start_s, np.diff(borders)) / lasts_h
    lacking = subject.hours_a_day - subject.offered_h - subject.least * lasts_h.sum()
    caps = [subject.least] * len(lasts_h)
    for place in np.argsort(grams, kind="stable").tolist():
        more = min(subject.most - subject.least, ceil(max(lacking, 0.0) / lasts_h[place] - 1e-9))
        caps[place] += more
        lacking -= more * lasts_h[place]
    return grams, caps


def offered_h(caps: Sequence[tuple[int, int | None]], most: int, now_s: int) -> float:
    """Unit-hours that caps have allowed since the UTC day began, counted low.

    caps: (moment, cap seen then) of each pass and of now, ascending. Between two passes the cap counts that the later
    one found, no more than `most`; a silence of over an hour counts nothing.

    >>> offered_h([(0, 2), (1800, 4), (3600, 4), (90_000, 4)], 4, 90_000), offered_h([(0, 2), (1800, None)], 4, 1800)
    (0.0, 2.0)
    """
    begin = now_s // DAY_S * DAY_S
    found = 0.0
    for (before, _), (after, cap) in pairwise(caps):
        if after - before <= LATEST_GAP_S:
            found += (most if cap is None else min(cap, most)) * max(0, after - max(before, begin)) / HOUR_S
    return found


def cap_no_longer_fits(
    subjects: Sequence[Capped], changes: Mapping[str, Mapping[str, Any]], now_s: int
) -> dict[str, str]:
    """By subject, why a cap that was decided before must not be set any more. changes: records by subject."""
    there, why = {each.subject: each for each in subjects}, dict[str, str]()
    for subject, record in changes.items():
        found = there.get(subject)
        if found is None:
            why[subject] = "it cannot be looked at, or is gone"
        elif found.seen != record["seen"]:
            why[subject] = "its cap was changed since"
        elif record["cap"] < (found.running if found.running is not None else found.most):
            why[subject] = "more runs now"
        elif datetime.fromisoformat(record["until"]).timestamp() <= now_s:
            why[subject] = "that hour is over"
    return why


def _record(each: Capped, known: Intensity | None, how: str, now_s: int) -> dict[str, Any]:
    day_end = now_s // DAY_S * DAY_S + DAY_S
    hours: list[dict[str, Any]] = []
    reason: dict[str, Any]
    if known is None or known.start_s > now_s or known.end_s < day_end:
        cap, reason = each.most, {"code": "no-intensity", "zone": each.zone}
    elif each.running is None:
        cap, reason = each.most, {"code": "running-unknown"}
    else:
        grams, caps = curve(each, known, now_s)
        first = now_s // HOUR_S * HOUR_S
        hours = [{"hour": _text(max(now_s, first + HOUR_S * place)), "g_per_kwh": round(float(gram), 1), "cap": most}
                 for place, (gram, most) in enumerate(zip(grams, caps, strict=True))]  # fmt: skip
        cap = max(caps[0], each.running)
        reason = {"code": "hour-of-the-day", "how": how, "g_per_kwh": float(grams[0]),
                  "mean_g_per_kwh": float(grams.mean())}  # fmt: skip
        if each.running > caps[0]:
            reason = {"code": "what-runs", "running": each.running}
    if not hours and each.seen is not None:
        cap = max(cap, each.seen)
    moved = cap != each.seen and not (not hours and each.seen is None)
    return {
        "unique_id": each.subject, "action": CAP if moved else HOLD, "zone": each.zone, "seen": each.seen,
        "cap": cap if moved else each.seen, "least": each.least, "most": each.most, "hours_a_day": each.hours_a_day,
        "offered_h": round(each.offered_h, 2), "until": _text((now_s // HOUR_S + 1) * HOUR_S), "hours": hours,
        "reasons": [reason],
    }  # fmt: skip


def _text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()
