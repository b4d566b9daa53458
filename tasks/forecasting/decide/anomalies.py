"""Anomalies of measured series: conformal ranks of five residuals in each series' own last days, one alert an episode.

A step is hot when one of its residuals, divided by a margin, is larger than every such residual of the same series in
the ring: the last three days before it. In conformal terms the shrunk residual has the smallest p-value that the ring
can give, 1 / (n + 1) (Vovk, Gammerman and Shafer 2005; Laxhammar and Falkman 2010). An alert is a hot step with none
before it for the length of the refractory: a level that stays is one alert and then the series' new past.

A residual that beat its own ring stays in the rings of later steps as no more than 1.25 times what it beat: the
first incident in three days does not hide the next. A second one like it did not beat the ring, and counts in full.

The rules for what is not ordinary:

| a series that …               | is treated so                                                                 |
|-------------------------------|-------------------------------------------------------------------------------|
| misses steps                  | no score and no alert there, nor at the first value after more than an hour   |
| is younger than its probation | no score until a day of it, at least 100 values, is in the ring               |
| is constant                   | a change of more than 1 % of its level is an alert, staying constant never is |
| shifts its level              | one alert, quiet while it stays hot; the new level is the past from then on   |
| counts up and is reset        | its increments are judged; at a reset, what was counted since, as by rate()   |
| has values beyond 1e17        | they count as missing; smaller ones are judged like any other                 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Float, Series
from tasks.forecasting.decide.history import LARGEST, Bool, steps_in_a_day
from tasks.forecasting.decide.residuals import (
    AVERAGED_HOURS,
    LEAST_CHANGE,
    SLOW,
    Cause,
    counting,
    hour_of,
    increments,
    residuals,
)
from tasks.forecasting.decide.trailing import Matrix, lag, sliding_extreme, trailing_count, trailing_extreme

RING_DAYS, RING_LEAST = 3, 500  # days, steps; of coarse series the ring is longer, or its ranks would say little
PROBATION = 100  # ranked values at least, and a day of them: fewer know neither a night nor a rare peak
TAMED = np.float32(1.25)  # times what it beat; 1 to 2 trade recall against false alerts about evenly
REFRACTORY_HOURS = 2  # long enough for one operator to see one incident; 1 to 6 h give the same recall within 0.02
REACH_DAYS = 2  # the residuals look two days back
EXCURSION_HOURS = 1  # an excursion that lasts longer is a state of the series, which a forecast should know
USUAL_SHARE, TIMES_USUAL = 0.01, 2.0  # an excursion is twice as high as those of the highest 1 % of the steps
ROWS_AT_ONCE = 64  # series handled at once: an array of them is half a megabyte and stays in the cache


@dataclass(frozen=True)
class Rank:
    """How a cause is ranked: by how much a residual must beat the ring, and the hours before it that are left out.

    The margins were chosen one after the other, in round numbers, for the best mean recall of faults injected into the
    NAB series at no more than one false alert a series and week (`tests/benchmarks/bench_anomalies.py`); near them the
    recall is flat. A slow residual would otherwise be ranked among its own beginnings.
    """

    margin: float
    apart_hours: int


RANKS = {
    Cause.STEP: Rank(1.3, 0),
    Cause.LEVEL: Rank(1.5, 6),
    Cause.DAY: Rank(1.5, 12),
    Cause.ACTIVITY: Rank(1.4, 6),
    Cause.STUCK: Rank(2.0, 24),
}
CAUSES = tuple(RANKS)


@dataclass(frozen=True)
class Anomalies:
    """The J newest steps of S series, judged.

    Attributes
    ----------
    alerts: (S, J) the first hot step of each episode.
    score: (S, J) 0-1, log p / log of the smallest possible p of the most striking residual; 1 is hot, NaN not scored.
    expected: (S, J) what was to come by that residual, in the series' own unit; NaN where not known.
    direction: (S, J) 1 above what was expected, -1 below, 0 neither or not scored.
    cause: (S, J) position of that residual in `CAUSES`, -1 not scored.
    """

    alerts: Bool
    score: Float
    expected: Float
    direction: NDArray[np.int8]
    cause: NDArray[np.int8]


def ring_of(step_s: int) -> int:
    """Steps in the ring.

    >>> ring_of(300)
    864
    """
    return max(RING_DAYS * steps_in_a_day(step_s), RING_LEAST)


def _refractory_of(step_s: int) -> int:
    """Steps that an episode must be quiet for before the next alert."""
    return max(1, REFRACTORY_HOURS * 3600 // step_s)


def reach_of(step_s: int) -> int:
    """Steps before the first judged one that have a say in it: a longer history changes nothing.

    >>> reach_of(300) / 288
    9.375
    """
    hour = hour_of(step_s)
    apart = 2 * RANKS[Cause.DAY].apart_hours * hour  # those that look two days back have the longest reach
    behind = max(REACH_DAYS * steps_in_a_day(step_s) + (AVERAGED_HOURS + 1) * hour, SLOW[1] + hour)
    return _refractory_of(step_s) + 2 * ring_of(step_s) + apart + behind


def detect(history: Series, judged: int) -> Anomalies:
    """Judge the newest steps of every series by the steps before them.

    Nothing is kept between calls: the same history gives the same alerts, whether judged step by step or in one go.

    Parameters
    ----------
    history:
        S series; of them the last `judged` + `reach_of(step_s)` steps are read.
    judged:
        J newest steps to judge, at least 1.

    Raises
    ------
    InvalidInput: `judged` is not among the steps of the history.
    """
    count, steps = history.values.shape
    if not 1 <= judged <= steps:
        raise InvalidInput(f"{judged} steps of a history of {steps} are to be judged", where="anomalies",
                           fix="pass between 1 and the number of its steps")  # fmt: skip
    window = history.values[:, max(0, steps - judged - reach_of(history.step_s)) :]
    found = [
        _detect(window[begin : begin + ROWS_AT_ONCE], judged, history.step_s) for begin in range(0, count, ROWS_AT_ONCE)
    ] or [_detect(window, judged, history.step_s)]
    return Anomalies(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _detect(block: Matrix, judged: int, step_s: int) -> tuple[Bool, Float, Float, NDArray[np.int8], NDArray[np.int8]]:
    """The five fields of `Anomalies` for some rows."""
    told = _judge(block, judged, step_s)
    counter = counting(block, ring_of(step_s), judged + _refractory_of(step_s))
    rows = np.flatnonzero(counter.any(axis=1))
    if rows.size:
        for whole, part in zip(told, _judge(increments(block[rows]), judged, step_s), strict=True):
            whole[rows] = np.where(counter[rows, -whole.shape[1] :], part, whole[rows])
    hot, score, expected, direction, cause = told
    recent = lag(trailing_count(hot, _refractory_of(step_s)), 1, 0.0)
    return (hot & (recent == 0))[:, -judged:], score, expected, direction.astype(np.int8), cause.astype(np.int8)


def _judge(block: Matrix, judged: int, step_s: int) -> tuple[Bool, Matrix, Matrix, Matrix, Matrix]:
    """(N, J + refractory) hot steps; (N, J) score, expected, direction and cause; of rows as they are."""
    made = residuals(block, step_s)
    hot = np.zeros((len(block), min(judged + _refractory_of(step_s), block.shape[1])), dtype=bool)
    scores = np.empty((len(CAUSES), len(block), judged), np.float32)
    for place, cause in enumerate(CAUSES):
        hot_here, scores[place] = _rank(made.sizes[cause], RANKS[cause], judged, step_s)
        hot |= hot_here[:, -hot.shape[1] :]
    scored = ~np.isnan(scores).all(axis=0)
    best = np.where(np.isnan(scores), -1, scores).argmax(axis=0)
    expected = np.stack([made.expected[cause][:, -judged:] for cause in CAUSES])
    expected = np.where(scored, np.take_along_axis(expected, best[None], axis=0)[0], np.nan)
    score = np.where(scored, np.take_along_axis(scores, best[None], axis=0)[0], np.nan)
    direction = np.nan_to_num(np.sign(made.values[:, -judged:] - expected))
    return hot, score, expected, direction, np.where(scored, best, -1)


def _rank(sizes: Float, rank: Rank, judged: int, step_s: int) -> tuple[Bool, Float]:
    """(N, J + refractory) whether a residual shrunk by its margin beats its whole ring, and (N, J) its score.

    score = log(p) / log(1 / (n + 1)), p = (1 + k) / (n + 1), where k of the n in the ring reach the shrunk
    residual; the same as 1 - log(1 + k) / log(n + 1).
    """
    ring, away, tail = ring_of(step_s), 1 + rank.apart_hours * hour_of(step_s), judged + _refractory_of(step_s)
    least, wanted = max(PROBATION, steps_in_a_day(step_s)), tail + 2 * (away + ring)
    missing = max(0, wanted - sizes.shape[1])
    padded = np.concatenate([np.full((len(sizes), missing), np.nan, np.float32), sizes[:, -wanted:]], axis=1)
    first = rank.margin * _highest(padded, ring, away, least)[0]
    past = np.float32(rank.margin) * np.where(padded > first, TAMED * first, padded)[:, -tail - away - ring :]
    highest, count = (found[:, -tail:] for found in _highest(past, ring, away, least))
    now = padded[:, -tail:]
    hot = (now > highest) & (now > 0)
    reached = np.empty((len(sizes), judged), np.float32)
    for step in range(tail - judged, tail):
        reached[:, step - tail + judged] = (past[:, step + 1 : step + 1 + ring] >= now[:, step, None]).sum(axis=1)
    now, n = now[:, -judged:], count[:, -judged:]
    score = np.where(now > 0, 1 - np.log(1 + reached) / np.log(np.maximum(n, 1) + 1), 0)  # exactly 1 where none reached
    return hot, np.where(~np.isnan(now) & (n >= least), score, np.float32(np.nan))


def _highest(sizes: Float, ring: int, away: int, least: int) -> tuple[Float, Float]:
    """(N, T) largest of the ring that ends `away` steps before each, infinite with less than `least`; its count."""
    known = ~np.isnan(sizes)
    count = lag(trailing_count(known, ring), away, 0.0)
    largest = trailing_extreme(np.where(known, sizes, np.float32(-np.inf)), ring, np.maximum, -np.inf)
    return np.where(count >= least, lag(largest, away, np.inf), np.float32(np.inf)), count


def mask(history: Series) -> Bool:
    """Which points should not be learned from: isolated excursions, up or down, that return within an hour.

    The height of an excursion is the value less the morphological opening of the series over an hour and a step (for
    those downwards, the closing less the value): it is 0 for a level that stays, for a ramp, and for an excursion that
    has not returned by the end of the history. A point is masked when its height is more than twice that of the highest
    1 % of the series' steps and more than 1 % of the level; unless the day before or after has half of it in the same
    slot or next to it, for a habit is learned, or the hour around it has twice of it, for that one is the excursion.
    Missing steps take the last measured value and are never masked.

    It looks up to a day ahead of each point: use it on what lies before an origin, never across one.

    Returns
    -------
    (S, T).
    """
    day, longest = steps_in_a_day(history.step_s), EXCURSION_HOURS * hour_of(history.step_s)
    answer = np.zeros(history.values.shape, dtype=bool)
    for begin in range(0, len(answer), ROWS_AT_ONCE):
        block = history.values[begin : begin + ROWS_AT_ONCE]
        observed = np.abs(block) <= LARGEST
        answer[begin : begin + ROWS_AT_ONCE] = observed & _excursions(_held(block, observed), longest, day)
    return answer


def _held(block: Float, observed: Bool) -> Float:
    """(N, T) values, missing ones as the last measured before them, or the first of all; 0 in a row without any."""
    source = np.maximum.accumulate(np.where(observed, np.arange(block.shape[1], dtype=np.int32), -1), axis=1)
    source = np.where(source < 0, observed.argmax(axis=1, keepdims=True), source)
    return np.where(observed.any(axis=1, keepdims=True), np.take_along_axis(block, source, axis=1), np.float32(0))


def _excursions(values: Float, longest: int, day: int) -> Bool:
    """(N, T) whether a step is part of an isolated excursion of at most `longest` steps."""
    padded = np.pad(values, ((0, 0), (longest, longest)), mode="edge")
    opening = sliding_extreme(sliding_extreme(padded, longest + 1, np.minimum), longest + 1, np.maximum)
    closing = sliding_extreme(sliding_extreme(padded, longest + 1, np.maximum), longest + 1, np.minimum)
    peak = sliding_extreme(
        np.pad(np.maximum(values - opening, closing - values), ((0, 0), (longest, longest))),
        2 * longest + 1,
        np.maximum,
    )
    found = np.zeros(values.shape, dtype=bool)
    for height, base in ((values - opening, opening), (closing - values, closing)):
        place = height.shape[1] - 1 - int(USUAL_SHARE * height.shape[1])
        usual = np.partition(height, place, axis=1)[:, place, None]
        near = sliding_extreme(np.pad(height, ((0, 0), (1, 1))), 3, np.maximum)
        habit = np.maximum(lag(near, day, 0.0), lag(near[:, ::-1], day, 0.0)[:, ::-1])
        least = np.maximum(TIMES_USUAL * usual, LEAST_CHANGE * np.abs(base))
        found |= (height > least) & (2 * height >= peak) & (2 * habit < height)
    return found
