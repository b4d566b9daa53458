"""Edge first, the cloud where the edge is not sure: the threshold that keeps an accuracy, with what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tasks.inference.decide.calibration import Bools, Floats, logit

SURE = 0.95  # one-sided confidence that the drop stays within the target
RIDGE = 1e-2  # keeps the fit finite where no row, or every row, is lost


@dataclass(frozen=True)
class Predictions:
    """Held-back rows, one entry each: the edge's confidence, who was right, and what each answer costs."""

    confidence: Floats
    edge_correct: Bools
    cloud_correct: Bools
    edge_cost: Floats
    cloud_cost: Floats


@dataclass(frozen=True)
class Threshold:
    """Escalate where confidence < threshold; what that gives on these rows.

    Attributes
    ----------
    threshold: in the units of the confidence given. escalated_ratio, accuracy: 0-1.
    cost_ratio: of asking the cloud about every row; the edge is paid for every row, the cloud for the escalated.
    drop_bound: what the accuracy lies under the cloud's at most, with confidence `SURE`.
    """

    threshold: float
    escalated_ratio: float
    accuracy: float
    cost_ratio: float
    drop_bound: float


def decide_threshold(rows: Predictions, target_drop: float) -> Threshold:
    """The cheapest threshold whose accuracy is, with confidence `SURE`, no more than `target_drop` under the cloud's.

    Thresholds are tried from the safest (everything escalated) down and the first that fails ends the search: testing
    in a fixed order needs no correction for the many thresholds (Angelopoulos et al. 2021, Learn then Test). Of rows
    that only the cloud has right, a few dozen are in a usual file: a bound that counts them escalates a tenth of the
    rows more than it need. So a logistic curve of confidence is fitted to all rows, and its bound is taken; where the
    bare count is worse than that bound, the curve does not fit and the count decides.
    """
    order = np.argsort(-rows.confidence, kind="stable")
    sure = rows.confidence[order]
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))  # equal confidences are kept together
    bounds = _drop_bounds(sure, rows.edge_correct[order], rows.cloud_correct[order])[ends]
    failing = np.flatnonzero(bounds > target_drop)
    kept = int(failing[0]) if len(failing) else len(ends)
    if not kept:
        return _outcome(rows, float(np.nextafter(sure[0], np.inf)), 0.0)
    threshold = 0.0 if kept == len(ends) else float(sure[ends[kept - 1]])
    return _outcome(rows, threshold, float(bounds[kept - 1]))


def _drop_bounds(confidence: Floats, edge_correct: Bools, cloud_correct: Bools) -> Floats:
    """(N,) upper bounds of how far the accuracy lies under the cloud's if the edge keeps the first 1 ... N rows.

    The larger of the count, (only the cloud right - only the edge right) / N, and the upper bound of the fitted
    P(only the cloud right | confidence), summed over the kept rows: its own error by the delta method, and that of
    drawing N rows.
    """
    lost, won = cloud_correct & ~edge_correct, edge_correct & ~cloud_correct
    count = len(confidence)
    inputs = np.column_stack([np.ones(count), logit(confidence)])
    chance, covariance = _fit(inputs, lost.astype(np.float64))
    mean = np.cumsum(chance) / count
    slope = np.cumsum(inputs * (chance * (1 - chance))[:, None], axis=0) / count
    own = np.einsum("ni,ij,nj->n", slope, covariance, slope)
    drawn = np.maximum(np.cumsum(chance**2) / count - mean**2, 0) / count
    counted = np.cumsum(lost.astype(np.int64) - won) / count
    return np.asarray(np.maximum(counted, mean + norm.ppf(SURE) * np.sqrt(own + drawn)))


def _fit(inputs: Floats, happened: Floats) -> tuple[Floats, Floats]:
    """(N,) chances by logistic regression, and the (2, 2) covariance of its weights; Newton's steps, a faint ridge."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        curve = inputs.T @ (inputs * (chance * (1 - chance))[:, None]) + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curve, inputs.T @ (happened - chance) - RIDGE * weights)
        weights += step.clip(-2, 2)
    return 1 / (1 + np.exp(-inputs @ weights)), np.asarray(np.linalg.inv(curve), np.float64)


def _outcome(rows: Predictions, threshold: float, bound: float) -> Threshold:
    up = rows.confidence < threshold
    spent = rows.edge_cost.sum() + rows.cloud_cost[up].sum()
    return Threshold(threshold, float(up.mean()), float(np.where(up, rows.cloud_correct, rows.edge_correct).mean()),
                     float(spent / rows.cloud_cost.sum()), bound)  # fmt: skip
