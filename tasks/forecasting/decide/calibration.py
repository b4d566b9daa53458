"""What a model owes each series: whom to trust, and how far its quantiles must move. Learned from past origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from blocks.series import Float
from tasks.forecasting.decide.combination import Opinions, unproven, weights
from tasks.forecasting.decide.conformal import FARTHEST, split_conformal, track
from tasks.forecasting.decide.history import Bool, Index
from tasks.forecasting.decide.quantiles import ascending, highest_so_far, windows_first

ORIGINS = 96
GAP_DAYS = 13 / 144  # 2 h 10 min: no multiple of it is a day, so that all times of the day are met
CLOSEST_DAYS = 1 / 48  # half an hour: closer origins repeat each other; one-day histories score better without
BUCKETS = 4  # steps ahead are calibrated in this many spans
SCORED_ORIGINS = 24  # the newest of the past origins give a group's scores
STEPS_OF_A_BUCKET = 3  # and this many steps of each span: neighbours say the same
SERIES_OF_A_GROUP = 200  # that give its offset


@dataclass(frozen=True)
class Offsets:
    """How far the quantiles of S series in G groups must move.

    Attributes
    ----------
    unit: (S,) mean |error| of the median, in the series' own unit. own: (S, Q) in the series' own unit.
    group: (G, H, Q) what each group asks for, in units; the last one is that of unknown series, 0.
    """

    unit: Float
    own: Float
    group: Float

    def take(self, rows: Index, known: Bool) -> Offsets:
        """Those of some series; 0 for those that are not known."""
        return Offsets(np.where(known, self.unit[rows], 0), np.where(known[:, None], self.own[rows], 0), self.group)

    def shift(self, group: Index) -> Float:
        """(S, H, Q) in the series' own unit, for series of these groups."""
        asked = self.group.transpose(1, 2, 0).take(group, axis=2)  # an index would leave the windows outermost
        return windows_first(np.asarray(self.own.T + self.unit * asked, dtype=np.float32))


@dataclass(frozen=True)
class Calibration:
    """What a model owes S series: weights of the experts, and offsets of its quantiles over H steps.

    Attributes
    ----------
    unique_id: S names. levels: Q quantile levels. weight: (S, E) weights of the experts.
    group: (S,) group of each series; -1 is none.
    steps, peaks: offsets of the quantiles of a step, and of the peak from the first step until each one.
    """

    unique_id: tuple[str, ...]
    levels: tuple[float, ...]
    weight: Float
    group: Index
    steps: Offsets
    peaks: Offsets

    def of(self, names: Sequence[str]) -> Calibration:
        """The same for these series, in their order; a series that is not known gets the prior and no offset."""
        if tuple(names) == self.unique_id:
            return self
        place = {name: row for row, name in enumerate(self.unique_id)}
        rows = np.array([place.get(name, -1) for name in names], np.int64)
        if not len(self.unique_id):
            return neutral(tuple(names), self.levels, self.steps.group.shape[1])
        return self._take(rows, tuple(names))

    def rows(self, chosen: Index) -> Calibration:
        """Some of the series."""
        return self._take(chosen, tuple(self.unique_id[row] for row in chosen.tolist()))

    def _take(self, rows: Index, names: tuple[str, ...]) -> Calibration:
        known = rows >= 0
        weight = np.where(known[:, None], self.weight[rows], unproven(len(rows)))
        group = np.where(known, self.group[rows], -1)
        return Calibration(
            names, self.levels, weight, group, self.steps.take(rows, known), self.peaks.take(rows, known)
        )

    def moved(self, block: Settled) -> Calibration:
        """Each series' own part replaced; what the groups ask for stays."""
        steps, peaks = (replace(old, unit=new.unit, own=new.offset) for old, new in
                        ((self.steps, block.steps), (self.peaks, block.peaks)))  # fmt: skip
        return replace(self, weight=block.weight, steps=steps, peaks=peaks)

    def applied(self, said: Opinions) -> tuple[Float, Float]:
        """(N, H, Q) quantiles of each step, and of the peak from the first step until it; both ascending along Q."""
        steps = said.mixed(self.weight)
        peaks = highest_so_far(steps)
        steps = ascending(steps + self.steps.shift(self.group))
        peaks = ascending(peaks + self.peaks.shift(self.group))
        # P(peak <= x) <= P(step <= x): no quantile of the peak lies below that of a step it spans
        return steps, highest_so_far(np.maximum(peaks, steps))


def neutral(names: tuple[str, ...], levels: tuple[float, ...], horizon: int) -> Calibration:
    """Of series about which nothing is known: the prior weights and no offsets."""
    count, width = len(names), len(levels)
    nothing = Offsets(
        np.zeros(count, np.float32), np.zeros((count, width), np.float32), np.zeros((1, horizon, width), np.float32)
    )
    return Calibration(names, levels, unproven(count), np.full(count, -1), nothing, nothing)


def joined(parts: Sequence[Calibration]) -> Calibration:
    """The series of several calibrations of the same groups, one after the other."""
    steps, peaks = (
        Offsets(np.concatenate([part.unit for part in offsets]), np.concatenate([part.own for part in offsets]),
                offsets[0].group)
        for offsets in ([part.steps for part in parts], [part.peaks for part in parts])
    )  # fmt: skip
    names = tuple(name for part in parts for name in part.unique_id)
    weight, group = np.concatenate([part.weight for part in parts]), np.concatenate([part.group for part in parts])
    return Calibration(names, parts[0].levels, weight, group, steps, peaks)


def past_origins(last: int, steps_known: int, day: int, count: int) -> Index:
    """(M,) `count` columns before `last`, ascending: every two hours and ten minutes, closer where less is known.

    Never within half an hour: there are fewer then.

    >>> past_origins(2000, 2000, 288, 3).tolist()
    [1922, 1948, 1974]
    """
    warm_up = max(1, day // 8)
    gap = max(1, round(CLOSEST_DAYS * day), min(round(GAP_DAYS * day), (steps_known - warm_up) // (count + 1)))
    found = last - gap * np.arange(count, 0, -1)
    return found[found >= max(0, last - steps_known + warm_up)]


@dataclass(frozen=True)
class Tracked:
    """Offsets of one block of N series, each for itself, and samples of scores for their groups.

    Attributes
    ----------
    unit: (N,). offset: (N, Q). scores: (N, K, BUCKETS, Q) actual - quantile without any offset, in units; NaN unknown.
    """

    unit: Float
    offset: Float
    scores: Float


@dataclass(frozen=True)
class Settled:
    """One block of N series: (N, E) weights, and what their steps and peaks ask for."""

    weight: Float
    steps: Tracked
    peaks: Tracked


@dataclass(frozen=True)
class Replay:
    """What was said of N series at M past origins, and what came.

    Attributes
    ----------
    unique_id: N names. origins: (M,) columns, ascending. said: M opinions; NaN where a series could not be served.
    judged: losses of origins whose outcomes are all known, by place.
    came: (M, N, H) values measured, NaN where not.
    """

    unique_id: tuple[str, ...]
    origins: Index
    said: tuple[Opinions, ...]
    came: Float
    judged: dict[int, tuple[Float, Float]] = field(default_factory=dict, repr=False)

    def settle(self, last: int, wanted: Index, levels: tuple[float, ...], known: Calibration) -> Settled:
        """Weights and offsets at column `last`, by what had come until then of origins before it.

        Parameters
        ----------
        wanted:
            columns as of `past_origins`; for each the newest origin at or before it is taken.
        known:
            the groups of the series, and what they ask for.
        """
        chosen = np.unique(np.searchsorted(self.origins, wanted, side="right") - 1)
        chosen = chosen[chosen >= 0]
        columns = self.origins[chosen, None] + np.arange(1, self.came.shape[2] + 1)
        came = np.where((columns <= last)[:, None, :], self.came[chosen], np.float32(np.nan))
        said = [self.said[place] for place in chosen]
        for m, opinion in enumerate(said):
            came[m][~np.isfinite(opinion.model[:, 0, 0])] = np.nan
        if not said:
            nothing = Tracked(known.steps.unit, known.steps.own, np.full(
                (len(known.weight), 1, BUCKETS, len(levels)), np.nan, np.float32))  # fmt: skip
            return Settled(known.weight, nothing, nothing)
        judged = [self._judged(place, came[m], last, levels) for m, place in enumerate(chosen.tolist())]
        weight = weights(np.stack([loss for loss, _ in judged]), np.stack([share for _, share in judged]))
        mixed = np.stack([opinion.mixed(weight) for opinion in said])
        follow = partial(_tracked, origins=self.origins[chosen], last=last, levels=levels, group=known.group)
        steps = follow(came[:, :, :, None] - mixed, asked=known.steps.group, holds_median=True)
        tops = np.maximum.accumulate(came, axis=2)[:, :, :, None] - np.maximum.accumulate(mixed, axis=2)
        return Settled(weight, steps, follow(tops, asked=known.peaks.group, holds_median=False))

    def _judged(self, place: int, came: Float, last: int, levels: tuple[float, ...]) -> tuple[Float, Float]:
        """Losses at one origin; remembered once all its outcomes are known."""
        if place in self.judged:
            return self.judged[place]
        found = _clean(self.said[place]).losses(came, np.array(levels, np.float32))
        if self.origins[place] + self.came.shape[2] <= last:
            self.judged[place] = found
        return found


def _tracked(
    scores: Float, *, origins: Index, last: int, levels: tuple[float, ...], group: Index, asked: Float,
    holds_median: bool,
) -> Tracked:  # fmt: skip
    state = track(scores, origins, last, levels, asked[group], holds_median=holds_median)
    return Tracked(state.unit, state.offset, _sampled(scores, state.unit))


def _clean(said: Opinions) -> Opinions:
    """Opinions with zeros where a series could not be served: nothing is known of it at that origin anyway."""
    if np.isfinite(said.model).all():
        return said
    model, points, today = (np.nan_to_num(part, posinf=0, neginf=0) for part in (said.model, said.points, said.today))
    return Opinions(model, points, today, np.nan_to_num(said.floor, neginf=-np.inf), said.middle)


def _sampled(scores: Float, unit: Float) -> Float:
    """(N, K, BUCKETS, Q) a few steps of each span, in units."""
    at = np.linspace(0, scores.shape[2] - 1, BUCKETS * STEPS_OF_A_BUCKET).astype(np.int64)
    found = scores[-SCORED_ORIGINS:][:, :, at].transpose(1, 0, 2, 3)
    divisor = np.where(unit > 0, unit, np.float32(np.nan)).astype(np.float32)
    found = (found / divisor[:, None, None, None]).astype(np.float32)
    count, origins = found.shape[:2]
    return found.reshape(count, origins, BUCKETS, STEPS_OF_A_BUCKET, -1).transpose(0, 1, 3, 2, 4).reshape(
        count, origins * STEPS_OF_A_BUCKET, BUCKETS, -1
    )  # fmt: skip


def grouped(blocks: Sequence[Settled], members: Sequence[Index], levels: tuple[float, ...], horizon: int,
            ) -> tuple[Float, Float]:  # fmt: skip
    """(G + 1, H, Q) split-conformal offsets of the steps and of the peaks of G groups, in units; the last one is 0.

    Parameters
    ----------
    blocks, members:
        series in blocks, and the rows of each group among them.
    """
    steps, peaks = np.concatenate([b.steps.scores for b in blocks]), np.concatenate([b.peaks.scores for b in blocks])
    nothing = np.zeros((horizon, len(levels)), np.float32)
    return (np.stack([*(_spread(steps[rows], levels, horizon, True) for rows in members), nothing]),
            np.stack([*(_spread(peaks[rows], levels, horizon, False) for rows in members), nothing]))  # fmt: skip


def _spread(scores: Float, levels: tuple[float, ...], horizon: int, holds_median: bool) -> Float:
    """(H, Q) a group's offset, in units, the same for all steps of a span."""
    spans = [split_conformal(scores[:, :, k].reshape(-1, len(levels)), levels, holds_median=holds_median)
             for k in range(BUCKETS)]  # fmt: skip
    place = np.minimum(np.arange(horizon) * BUCKETS // horizon, BUCKETS - 1)
    return np.clip(np.stack(spans)[place], -FARTHEST, FARTHEST)
