"""Gradient-boosted trees on top of the linear model: what it leaves unexplained, for each quantile and step ahead.

The trees are learned by scikit-learn's histogram gradient boosting with quantile loss, and kept as plain arrays of
perfect binary trees: a forecast needs neither scikit-learn nor a pickle, and all trees are walked at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float
from tasks.forecasting.decide.features import BOUND, Design
from tasks.forecasting.decide.history import Index
from tasks.forecasting.decide.known_features import Known
from tasks.forecasting.decide.linear import LinearModel, fit_linear
from tasks.forecasting.decide.quantiles import ascending
from tasks.forecasting.decide.windows import Examples

ROWS = 100_000  # of a window and a step each
TREES, LEAVES, DEPTH, RATE, ROWS_OF_A_LEAF = 60, 15, 5, 0.1, 100
KNOTS = 9  # steps ahead at which the trees are asked; between them their answer is interpolated
BLOCK = 2_048  # rows walked at once: the walk's arrays stay in the processor's cache
SEED = 0


@dataclass(frozen=True)
class TreesModel:
    """A linear model and, for each of Q quantile levels, T perfect trees of depth D.

    Attributes
    ----------
    base: the linear model. knots: (K,) steps ahead, from 0.
    feature: (Q, T, 2^D - 1) column of the table that a node looks at. threshold: same shape; a row goes right where its
    value is larger. value: (Q, T, 2^D) of the leaves, in shares of a window's scale. start: (Q,) added to all.
    """

    base: LinearModel
    knots: Index
    feature: NDArray[np.int32]
    threshold: Float
    value: Float
    start: Float

    @property
    def step_s(self) -> int:
        """Seconds between steps."""
        return self.base.step_s

    @property
    def levels(self) -> tuple[float, ...]:
        """Q quantile levels, ascending."""
        return self.base.levels

    @property
    def horizon(self) -> int:
        """Steps ahead it was fitted for."""
        return self.base.horizon

    @property
    def known(self) -> Known:
        """Known-future features it has learned."""
        return self.base.known

    def shares(self, windows: Design) -> Float:
        """(N, H, Q) quantiles as shares of each window's scale above its centre, ascending along Q."""
        answer = self.base.shares(windows)
        count, steps = len(answer), np.arange(self.horizon)
        rows = _table(windows, np.tile(self.knots, (count, 1)))
        after = np.clip(np.searchsorted(self.knots, steps), 1, max(len(self.knots) - 1, 1)) % len(self.knots)
        before = np.maximum(after - 1, 0)
        width = np.maximum(self.knots[after] - self.knots[before], 1)
        part = ((steps - self.knots[before]) / width).astype(np.float32)[:, None]
        found = self._walked(rows).reshape(count, len(self.knots), -1)
        answer += found[:, before] * (1 - part) + found[:, after] * part
        return ascending(answer)

    def _walked(self, rows: Float) -> Float:
        """(R, Q) sums of the trees for R rows of the table."""
        answer = np.empty((len(rows), len(self.start)), np.float32)
        for begin in range(0, len(rows), BLOCK):
            block = rows[begin : begin + BLOCK]
            for q in range(len(self.start)):
                answer[begin : begin + BLOCK, q] = self.start[q] + _walk(
                    block, self.feature[q], self.threshold[q], self.value[q]
                )
        return answer


def _walk(rows: Float, feature: NDArray[np.int32], threshold: Float, value: Float) -> Float:
    """(R,) sum over T perfect trees: the children of node i are 2 i + 1 and 2 i + 2."""
    trees, nodes = feature.shape
    flat, width = rows.ravel(), rows.shape[1]
    first = (np.arange(len(rows), dtype=np.int32) * width)[:, None]
    offset = (np.arange(trees, dtype=np.int32) * nodes)[None, :]
    node = np.zeros((len(rows), trees), np.int32)
    features, thresholds = feature.ravel(), threshold.ravel()
    for _ in range((nodes + 1).bit_length() - 1):
        at = node + offset
        node = 2 * node + 1 + (flat.take(first + features.take(at)) > thresholds.take(at))
    leaves = node - nodes + (np.arange(trees, dtype=np.int32) * value.shape[1])[None, :]
    return np.asarray(value.ravel().take(leaves).sum(axis=1), dtype=np.float32)


def _table(windows: Design, steps: NDArray[np.int64]) -> Float:
    """(N x K, columns) one row a window and step: shared features, the step's own, the step, shift, youth.

    Parameters
    ----------
    steps:
        (N, K) steps ahead, from 0.
    """
    count, each = steps.shape
    shared, own = windows.common[:-1], windows.target
    table = np.empty((count, each, len(shared) + len(own) + 3), np.float32)
    table[:, :, : len(shared)] = shared.T[:, None, :]
    for place, feature in enumerate(own):
        table[:, :, len(shared) + place] = feature.T[np.arange(count)[:, None], steps]
    table[:, :, -3], table[:, :, -2], table[:, :, -1] = (
        steps, np.minimum(windows.shift, BOUND)[:, None], windows.young[:, None],
    )  # fmt: skip
    return table.reshape(count * each, -1)


def fit_trees(learned: Examples, step_s: int, levels: tuple[float, ...]) -> TreesModel | None:
    """Fit the linear model, then trees to what it leaves; None where there are fewer than 200 windows."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    base = fit_linear(learned, step_s, levels)
    if base is None:
        return None
    horizon, count = learned.answers.shape
    each = max(1, min(horizon, ROWS // count))
    steps = np.random.default_rng(SEED).integers(0, horizon, (count, each))
    row = np.arange(count)[:, None]
    left = (learned.answers[steps, row][:, :, None] - base.shares(learned.design)[row, steps]).reshape(count * each, -1)
    known = np.isfinite(left[:, 0])
    table, left = _table(learned.design, steps)[known], left[known]
    packed = []
    for q, level in enumerate(levels):
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=TREES, max_leaf_nodes=LEAVES, max_depth=DEPTH,
            learning_rate=RATE, min_samples_leaf=ROWS_OF_A_LEAF, early_stopping=False, random_state=SEED,
        )  # fmt: skip
        # with a thread for each core, idle ones spin at every tree: on a busy machine the fit took 100 times as long
        with threadpool_limits(limits=1):
            packed.append(_packed(model.fit(table, left[:, q])))
    feature, threshold, value, start = (np.stack(part) for part in zip(*packed, strict=True))
    knots = np.unique(np.round(np.geomspace(1, horizon, KNOTS)).astype(np.int64) - 1)
    return TreesModel(base, knots, feature, threshold, value, start)


def _packed(model: Any) -> tuple[NDArray[np.int32], Float, Float, np.floating]:
    """Features, thresholds and leaves of scikit-learn's trees as perfect trees, and the constant they add to."""
    trees = [stage[0].nodes for stage in model._predictors]
    feature = np.zeros((len(trees), 2**DEPTH - 1), np.int32)
    threshold = np.full(feature.shape, np.inf, np.float32)
    value = np.zeros((len(trees), 2**DEPTH), np.float32)
    for number, nodes in enumerate(trees):
        place = [(0, 0, 0)]  # node of scikit-learn, node of ours, depth
        while place:
            theirs, ours, depth = place.pop()
            node = nodes[theirs]
            if node["is_leaf"]:
                span = 2 ** (DEPTH - depth)
                begin = (ours + 1) * span - 2**DEPTH
                value[number, begin : begin + span] = node["value"]
                continue
            feature[number, ours], threshold[number, ours] = node["feature_idx"], node["num_threshold"]
            place += [(int(node["left"]), 2 * ours + 1, depth + 1), (int(node["right"]), 2 * ours + 2, depth + 1)]
    return feature, threshold, value, np.float32(model._baseline_prediction.item())
