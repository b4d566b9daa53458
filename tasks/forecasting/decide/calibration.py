"""What a model owes each series: whom to trust, and how far its quantiles must move. Learned from past origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from blocks.series import Float
from tasks.forecasting.decide.combination import Opinions, unproven, weights
from tasks.forecasting.decide.conformal import FARTHEST, split_conformal, track
from tasks.forecasting.decide.history import Index

ORIGINS = 24
GAP_DAYS = 25 / 144  # 4 h 10 min: no multiple of it is a day, so that all times of the day are met
BUCKETS = 4  # steps ahead are calibrated in this many spans
SCORED_ORIGINS = 8  # the newest of the past origins give a group's scores
STEPS_OF_A_BUCKET = 3  # and this many steps of each span: neighbours say the same
SERIES_OF_A_GROUP = 2_000


@dataclass(frozen=True)
class Calibration:
    """For S series in G groups: weights of the experts and offsets of Q quantiles over H steps.

    Attributes
    ----------
    unique_id: S names. levels: Q.
    weight: (S, E) weights of the experts. unit: (S,) mean |error| of the median, in the series' own unit.
    offset, peak_offset: (S, Q) of the quantiles of a step, and of the peak until a step, in the series' own unit.
    group: (S,) group of each series; -1 is none.
    spread, peak_spread: (G, H, Q) what a group's quantiles ask for beyond that, in units.
    """

    unique_id: tuple[str, ...]
    levels: tuple[float, ...]
    weight: Float
    unit: Float
    offset: Float
    peak_offset: Float
    group: Index
    spread: Float
    peak_spread: Float

    def of(self, names: Sequence[str]) -> Calibration:
        """The same for these series, in their order; a series that is not known gets the prior and no offset."""
        if tuple(names) == self.unique_id:
            return self
        place = {name: row for row, name in enumerate(self.unique_id)}
        rows = np.array([place.get(name, -1) for name in names], np.int64)
        return self._take(rows, tuple(names))

    def rows(self, chosen: Index) -> Calibration:
        """Some of the series."""
        return self._take(chosen, tuple(self.unique_id[row] for row in chosen.tolist()))

    def moved(self, settled: Settled) -> Calibration:
        """Each series' own part replaced; what the groups ask for stays."""
        return replace(self, weight=settled.weight, unit=settled.unit, offset=settled.offset,
                       peak_offset=settled.peak_offset)  # fmt: skip

    @staticmethod
    def joined(parts: Sequence[Calibration]) -> Calibration:
        """The series of several calibrations of the same groups, one after the other."""
        first = parts[0]
        return replace(
            first,
            unique_id=tuple(name for part in parts for name in part.unique_id),
            **{field: np.concatenate([getattr(part, field) for part in parts])
               for field in ("weight", "unit", "offset", "peak_offset", "group")},
        )  # fmt: skip

    def _take(self, rows: Index, names: tuple[str, ...]) -> Calibration:
        known = rows >= 0

        def of(values: Float) -> Float:
            return np.where(known[:, None], values[rows], np.float32(0)) if len(values) else np.zeros(
                (len(rows), values.shape[1]), np.float32
            )  # fmt: skip

        weight = np.where(known[:, None], of(self.weight), unproven(len(rows)))
        group = np.where(known, self.group[rows], -1) if len(self.group) else np.full(len(rows), -1)
        return Calibration(names, self.levels, weight, of(self.unit[:, None])[:, 0], of(self.offset),
                           of(self.peak_offset), group, self.spread, self.peak_spread)  # fmt: skip

    def applied(self, said: Opinions) -> tuple[Float, Float]:
        """(N, H, Q) quantiles of each step, and of the peak from the first step until it; both ascending along Q."""
        mixed = said.mixed(self.weight)
        peak = np.maximum.accumulate(mixed, axis=1)
        mixed = mixed + self._shift(self.offset, self.spread, mixed.shape[1])
        mixed.sort(axis=2)
        peak += self._shift(self.peak_offset, self.peak_spread, mixed.shape[1])
        peak.sort(axis=2)
        # P(peak <= x) <= P(step <= x): no quantile of the peak lies below that of a step it spans
        return mixed, np.maximum.accumulate(np.maximum(peak, mixed), axis=1)

    def _shift(self, offset: Float, spread: Float, horizon: int) -> Float:
        grouped = np.zeros((len(offset), horizon, offset.shape[1]), np.float32)
        inside = self.group >= 0
        if len(spread) and inside.any():
            grouped[inside] = spread[self.group[inside]] * self.unit[inside, None, None]
        return np.asarray(grouped + offset[:, None, :], dtype=np.float32)


def neutral(names: tuple[str, ...], levels: tuple[float, ...], horizon: int) -> Calibration:
    """Of series about which nothing is known: the prior weights and no offsets."""
    count, width = len(names), len(levels)
    nothing = np.zeros((count, width), np.float32)
    return Calibration(names, levels, unproven(count), np.zeros(count, np.float32), nothing, nothing,
                       np.full(count, -1), *(np.zeros((0, horizon, width), np.float32),) * 2)  # fmt: skip


def past_origins(last: int, steps_known: int, day: int) -> Index:
    """(M,) columns before `last`, ascending: every four hours and ten minutes, closer where less is known.

    >>> past_origins(2000, 2000, 288)[-3:].tolist()
    [1850, 1900, 1950]
    """
    warm_up = max(1, day // 8)
    gap = max(1, min(round(GAP_DAYS * day), (steps_known - warm_up) // (ORIGINS + 1)))
    found = last - gap * np.arange(ORIGINS, 0, -1)
    return found[found >= max(0, last - steps_known + warm_up)]


@dataclass(frozen=True)
class Settled:
    """One block of N series, calibrated each for itself; `beyond` are samples for their groups.

    Attributes
    ----------
    weight: (N, E). unit: (N,). offset, peak_offset: (N, Q).
    beyond, peak_beyond: (N, K, BUCKETS, Q) scores beyond the series' own offsets, in units; NaN unknown.
    """

    weight: Float
    unit: Float
    offset: Float
    peak_offset: Float
    beyond: Float
    peak_beyond: Float


@dataclass(frozen=True)
class Replay:
    """What was said of N series at M past origins, and what came.

    Attributes
    ----------
    origins: (M,) columns, ascending. said: M opinions; NaN where a series could not be served.
    came: (M, N, H) values measured, NaN where not.
    """

    origins: Index
    said: tuple[Opinions, ...]
    came: Float

    def settle(self, last: int, wanted_origins: Index, levels: tuple[float, ...]) -> Settled:
        """Weights and offsets at column `last`, by what had come until then of origins before it.

        Parameters
        ----------
        wanted_origins:
            columns as of `past_origins`; for each the newest origin at or before it is taken.
        """
        chosen = np.unique(np.searchsorted(self.origins, wanted_origins, side="right") - 1)
        chosen = chosen[chosen >= 0]
        wanted = np.array(levels, np.float32)
        horizon, count = self.came.shape[2], self.came.shape[1]
        columns = self.origins[chosen, None] + np.arange(1, horizon + 1)
        came = np.where((columns <= last)[:, None, :], self.came[chosen], np.float32(np.nan))
        middle = int(np.argmin(np.abs(wanted - 0.5)))
        for m, place in enumerate(chosen):
            came[m][~np.isfinite(self.said[place].model[:, 0, 0])] = np.nan
        if not len(came):
            return _nothing(count, wanted)
        judged = [_clean(self.said[place]).losses(came[m], wanted) for m, place in enumerate(chosen)]
        weight = weights(np.stack([loss for loss, _ in judged]), np.stack([known for _, known in judged]))
        scores, peaks = np.empty((2, len(came), count, horizon, len(levels)), np.float32)
        for m, place in enumerate(chosen):
            mixed = self.said[place].mixed(weight)
            scores[m] = came[m][:, :, None] - mixed
            peaks[m] = np.maximum.accumulate(came[m], axis=1)[:, :, None] - np.maximum.accumulate(mixed, axis=1)
        steps, beyond = track(scores, self.origins[chosen], last, wanted, middle)
        tops, peak_beyond = track(peaks, self.origins[chosen], last, wanted, middle)
        return Settled(weight, steps.unit, steps.offset, tops.offset, _sampled(beyond),
                       _sampled(peak_beyond * _ratio(tops.unit, steps.unit)))  # fmt: skip


def _ratio(peak_unit: Float, unit: Float) -> Float:
    """(N, 1, 1): from units of the peak to units of a step, which is what a calibration keeps."""
    return np.divide(peak_unit, unit, out=np.full_like(unit, np.nan), where=unit > 0)[:, None, None]


def _clean(said: Opinions) -> Opinions:
    """Opinions with zeros where a series could not be served: nothing is known of it at that origin anyway."""
    if np.isfinite(said.model).all():
        return said
    model, points, today = (np.nan_to_num(part, posinf=0, neginf=0) for part in (said.model, said.points, said.today))
    return Opinions(model, points, today, np.nan_to_num(said.floor, neginf=-np.inf), said.middle)


def _nothing(count: int, levels: Float) -> Settled:
    offset, beyond = np.zeros((count, len(levels)), np.float32), np.full((count, 1, BUCKETS, len(levels)), np.nan)
    return Settled(unproven(count), np.zeros(count, np.float32), offset, offset, beyond, beyond)


def _sampled(beyond: Float) -> Float:
    """(N, K, BUCKETS, Q) a few steps of each span of the newest origins."""
    horizon = beyond.shape[2]
    at = np.linspace(0, horizon - 1, BUCKETS * STEPS_OF_A_BUCKET).astype(np.int64)
    found = beyond[-SCORED_ORIGINS:][:, :, at].transpose(1, 0, 2, 3)
    count, origins = found.shape[:2]
    return found.reshape(count, origins, BUCKETS, STEPS_OF_A_BUCKET, -1).transpose(0, 1, 3, 2, 4).reshape(
        count, origins * STEPS_OF_A_BUCKET, BUCKETS, -1
    )  # fmt: skip


def grouped(
    names: tuple[str, ...], levels: tuple[float, ...], horizon: int, blocks: Sequence[Settled], groups: Sequence[str]
) -> Calibration:
    """All blocks together, with a split-conformal offset for each group of series.

    Parameters
    ----------
    groups:
        one label a series.
    """
    found, group = np.unique(np.array(groups, dtype=str), return_inverse=True)
    beyond = np.concatenate([block.beyond for block in blocks])
    peak_beyond = np.concatenate([block.peak_beyond for block in blocks])
    members = [np.flatnonzero(group == g) for g in range(len(found))]
    return Calibration(
        names, levels,
        np.concatenate([block.weight for block in blocks]),
        np.concatenate([block.unit for block in blocks]),
        np.concatenate([block.offset for block in blocks]),
        np.concatenate([block.peak_offset for block in blocks]),
        group.astype(np.int64),
        np.stack([_spread(beyond[rows], levels, horizon) for rows in members]),
        np.stack([_spread(peak_beyond[rows], levels, horizon) for rows in members]),
    )  # fmt: skip


def _spread(beyond: Float, levels: tuple[float, ...], horizon: int) -> Float:
    """(H, Q) a group's offset, in units, the same for all steps of a span."""
    if len(beyond) > SERIES_OF_A_GROUP:
        beyond = beyond[np.linspace(0, len(beyond) - 1, SERIES_OF_A_GROUP).astype(np.int64)]
    spans = [split_conformal(beyond[:, :, k].reshape(-1, len(levels)), levels) for k in range(BUCKETS)]
    place = np.minimum(np.arange(horizon) * BUCKETS // horizon, BUCKETS - 1)
    return np.clip(np.stack(spans)[place], -FARTHEST, FARTHEST)
