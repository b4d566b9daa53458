"""Policies replayed over a demand history, without fleet or network: what `continuum replay scaling` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Calendar, Forecast, Series, utc
from tasks.forecasting.decide.plans import LEVELS, coarser
from tasks.forecasting.decide.walk import walk
from tasks.scaling.decide.policies import POLICIES, Rule
from tasks.scaling.decide.replay import MINUTE_S, Demand, Score, oracle, play, spread
from tasks.scaling.decide.settings import Setting, chosen, settings_of, side_by_side
from tasks.scaling.ground import Ground

Floats = NDArray[np.float64]
Told = Callable[[str, float], None]  # what is going on, and the share of it that is done, 0-1

FORECAST_STEP_S = 300
HORIZON_S = 7200
RENEWAL_S = 3600  # as the forecast flow renews calibrations
SETTLE_DAYS = 2.0  # at most; an eighth of a shorter history: the first is no policy's to answer for
LEAST_DAYS = 2.0
MOST_SERIES = 200  # each plays with some 40 settings side by side


@dataclass(frozen=True)
class PolicyScore:
    """What one policy came to on the second half of the time, with the setting chosen on the first half.

    Attributes
    ----------
    setting: the numbers that were chosen; empty for a policy with fixed numbers.
    violation_minutes_per_day: mean over the series. node_hours: summed over them. node_hours_ratio: to the oracle's.
    usd, carbon_g: summed over series; None where no price or no grid zone is known.
    changes_per_day: mean over the series.
    frontier: (node_hours_ratio, violation_minutes_per_day) of every setting on the second half, by node-hours.
    """

    setting: Setting
    violation_minutes_per_day: float
    node_hours: float
    node_hours_ratio: float
    usd: float | None
    carbon_g: float | None
    changes_per_day: float
    frontier: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Replayed:
    """Scores by policy, the oracle's node-hours, and the time that was scored."""

    policies: dict[str, PolicyScore]
    oracle_node_hours: float
    days: float
    series: int
    settings: dict[str, int]


def replay_policies(
    history: Series, ground: Ground, names: Sequence[str], *, boot_min: int, every_min: int = 1,
    calendar: Calendar | None = None, told: Told = lambda _what, _share: None,
) -> Replayed:  # fmt: skip
    """Play policies with all their settings over a history; choose on its first half, score on its second.

    Parameters
    ----------
    history:
        CPU demand, cores; its step is a whole number of minutes.
    ground:
        the pools that it is served by, one a series.
    names:
        of policies.
    every_min:
        minutes between decisions.

    Raises
    ------
    InvalidInput: less than two days, a step below a minute, a policy that nobody knows.
    """
    _check(history, names)
    fine, start_s = by_the_minute(history)
    parts = halves(fine.shape[1])
    base = Demand(ground.pools(boot_min), start_s, fine, parts, ground.energy(start_s, fine.shape[1]))
    ahead_s = _looked_ahead_s(names, base)
    made = list(_forecasts(history, calendar, ahead_s, told)) if ahead_s else []
    least = oracle(base, POLICIES["predictive"].violation_ratio)
    scores: dict[str, Score] = {}
    for name in dict.fromkeys(["seed", *names]):  # the seed's node-hours are the budget of the choice
        scores[name] = _played(name, base, made, every_min, told)
    budget = float(scores["seed"].node_minutes[:, 0].sum())
    days = float((parts == 1).sum()) / 1440
    return Replayed(
        policies={name: _score(name, scores[name], least, budget, ground) for name in names},
        oracle_node_hours=float(least[:, 1].sum()) / 60,
        days=days,
        series=len(history.unique_id),
        settings={name: len(settings_of(name)) for name in names},
    )


def by_the_minute(history: Series) -> tuple[Floats, int]:
    """(S, M) demand by the minute, linear between neighbouring samples, NaN beside a missing one; and its start."""
    each = history.step_s // MINUTE_S
    values = history.values.astype(np.float64)
    if each == 1:
        return values, history.start_s
    left, right = values[:, :-1, None], values[:, 1:, None]
    between = left + (right - left) * (np.arange(each) / each)
    return np.concatenate([between.reshape(len(values), -1), values[:, -1:]], axis=1), history.start_s


def halves(minutes: int) -> NDArray[np.int64]:
    """(M,) 0 in the first half of the time, 1 in the second, -1 while the pools settle in."""
    settle = int(min(SETTLE_DAYS * 1440, minutes / 8))
    at = np.arange(minutes)
    return np.where(at < settle, -1, np.where(at < minutes // 2, 0, 1))


def _check(history: Series, names: Sequence[str]) -> None:
    days = history.values.shape[1] * history.step_s / 86_400
    if days < LEAST_DAYS:
        raise InvalidInput(f"the history has {days:.1f} days", where="replay",
                           fix="give at least two: settings are chosen on the first half")  # fmt: skip
    if (count := len(history.unique_id)) > MOST_SERIES:
        fix = f"give at most {MOST_SERIES}: a sample of them, or sums of what one pool serves"
        raise InvalidInput(f"{count} series", where="replay", fix=fix)
    if history.step_s % MINUTE_S:
        raise InvalidInput(f"steps of {history.step_s} s", where="replay", fix="pass --freq 1min or longer")
    if strange := [name for name in names if name not in POLICIES]:
        raise InvalidInput(f"no policy is called {strange[0]!r}", where="--policy", fix=f"use {', '.join(POLICIES)}")


def _looked_ahead_s(names: Sequence[str], base: Demand) -> float:
    """How far ahead any setting reads a forecast, seconds; 0 where none does."""
    policies = [side_by_side(name, settings_of(name), 1) for name in names if POLICIES[name].rule is Rule.HYBRID]
    boot_s = float(base.pools.boot_s.max())
    return max((max(float(np.max(policy.min_horizon_s)), boot_s + float(np.max(policy.decision_s)))
                for policy in policies), default=0.0)  # fmt: skip


def _forecasts(history: Series, calendar: Calendar | None, ahead_s: float, told: Told) -> Iterator[Forecast]:
    """What the forecast flow would have made at each of its steps, as of the moment it could have been made.

    Only the steps that a policy reads are kept: a month of 200 series is some hundred megabytes of them.
    """
    step_s = max(history.step_s, FORECAST_STEP_S)
    known = coarser(history, step_s)
    late_s = step_s if known.step_s != history.step_s else 0  # a mean over a step is known at its end
    columns = np.arange(known.values.shape[1])
    horizon, renewal = max(6, HORIZON_S // step_s), max(1, RENEWAL_S // step_s)
    kept = int(-(-(ahead_s + late_s) // step_s)) + 2  # a forecast serves until the next one is made
    for done, made in enumerate(walk(known, horizon, LEVELS, columns, renewal=renewal, calendar=calendar)):
        if done % 100 == 0:
            told("forecasting at every step of the past", done / len(columns))
        near = {name: getattr(made, name)[:, :kept].copy() for name in ("values", "peaks")}
        yield replace(made, as_of=utc(made.as_of.timestamp() + late_s), **near)


def _played(name: str, base: Demand, made: Sequence[Forecast], every_min: int, told: Told) -> Score:
    settings, count = settings_of(name), len(base.pools.unique_id)
    rows = np.repeat(np.arange(count), len(settings))
    names = tuple(f"{pool}@{number}" for pool, number in product(base.pools.unique_id, range(len(settings))))
    demand = base.take(rows, names)
    policy, days = side_by_side(name, settings, count), [0]

    def passed() -> None:
        days[0] += 1
        told(f"{name}: {len(settings)} settings", days[0] * 1440 / demand.cpu_cores.shape[1])

    told(f"{name}: {len(settings)} settings", 0.0)
    predicts, scheduled = policy.rule is Rule.HYBRID, policy.rule is Rule.SCHEDULE
    return play(
        demand, policy, _newest(demand, made, rows, names, every_min) if predicts else (), every_min=every_min,
        scheduled_nodes=by_hour(demand, policy.quantile, policy.predictive_target_ratio) if scheduled else None,
        progress=passed,
    )  # fmt: skip


def _newest(
    demand: Demand, made: Sequence[Forecast], rows: NDArray[np.int64], names: tuple[str, ...], every_min: int
) -> Iterator[Forecast | None]:
    """For each decision the newest forecast that had been made by then, under the names of the pools that play."""
    series = tuple(f"{name}/cpu_cores" for name in names)
    place, current = -1, None
    for minute in range(0, demand.cpu_cores.shape[1], every_min):
        now_s, moved = demand.start_s + MINUTE_S * minute, False
        while place + 1 < len(made) and made[place + 1].as_of.timestamp() <= now_s:
            place, moved = place + 1, True
        if moved:
            current = spread(made[place], rows, series)
        yield current


def by_hour(demand: Demand, quantile: Floats | float, target: Floats | float) -> NDArray[np.int64]:
    """(P, 24) nodes for a quantile of each hour's demand in the first part of the time; 0 where it saw none.

    On that first part the schedule knows what it is going to meet; on the second it does not.
    """
    count = len(demand.pools.unique_id)
    hour = (demand.start_s // MINUTE_S + np.arange(demand.cpu_cores.shape[1])) // 60 % 24
    levels, targets = np.broadcast_to(quantile, (count,)), np.broadcast_to(target, (count,))
    meets = np.arange(count) if demand.series is None else demand.series
    found = np.zeros((count, 24), np.int64)
    for each in range(24):
        seen = demand.cpu_cores[:, (hour == each) & (demand.parts <= 0)]
        for row, series in enumerate(meets.tolist()):
            if not np.isfinite(seen[series]).any():
                continue
            cores = np.nanquantile(seen[series], levels[row])
            found[row, each] = np.ceil(cores / targets[row] / demand.pools.node_cpu_cores[row])
    return np.minimum(found, demand.pools.max_nodes[:, None])


def _score(name: str, score: Score, least: Floats, budget: float, ground: Ground) -> PolicyScore:
    settings, count = settings_of(name), len(least)

    def by_setting(values: Floats) -> Floats:
        return values.reshape(count, len(settings), 2)

    minutes = by_setting(score.node_minutes)
    days = np.maximum(by_setting(score.minutes), 1) / 1440
    violations = (by_setting(score.violation_minutes) / days).mean(axis=0)
    ratio = minutes.sum(axis=0) / least.sum(axis=0)
    best = chosen(minutes[:, :, 0].sum(axis=0), violations[:, 0], budget)
    price = ground.price_usd_per_hour()
    return PolicyScore(
        setting=settings[best],
        violation_minutes_per_day=float(violations[best, 1]),
        node_hours=float(minutes[:, best, 1].sum()) / 60,
        node_hours_ratio=float(ratio[best, 1]),
        usd=None if price is None else float((minutes[:, best, 1] / 60 * price).sum()),
        carbon_g=float(by_setting(score.carbon_g)[:, best, 1].sum()) if ground.grid_zone else None,
        changes_per_day=float((by_setting(score.changes) / days).mean(axis=0)[best, 1]),
        frontier=tuple(sorted(zip(ratio[:, 1].tolist(), violations[:, 1].tolist(), strict=True))),
    )
