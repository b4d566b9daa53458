"""The scoring of the Numenta Anomaly Benchmark, standard profile, and two baselines.

Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms", section 3; numenta/NAB `nab/sweeper.py`,
`nab/detectors/gaussian`. Rows are steps, as there.
"""

from __future__ import annotations

import numpy as np

FALSE_POSITIVE, FALSE_NEGATIVE = 0.11, 1.0
PROBATION_SHARE, PROBATION_ROWS = 0.15, 750


def probation(rows: int) -> int:
    """First rows, in which nothing counts."""
    return int(PROBATION_SHARE * min(rows, PROBATION_ROWS / PROBATION_SHARE))


def sigmoid(place: float) -> float:
    """1 at the begin of a window (-1), 0 at its end (0), towards -1 after it."""
    return float(2 / (1 + np.exp(min(5 * place, 700))) - 1)


def raw_score(alerts: np.ndarray, windows: list[tuple[int, int]]) -> float:
    """Sum over windows of the earliest alert's weight, less misses and weighted false alerts.

    Parameters
    ----------
    alerts:
        (T,) bool. windows: first and last row of each labelled window.
    """
    score, first = 0.0, probation(len(alerts))
    rows = np.flatnonzero(alerts)
    rows = rows[rows >= first]
    scored = [(begin, end) for begin, end in windows if end >= first]
    for begin, end in scored:
        inside = rows[(rows >= begin) & (rows <= end)]
        if len(inside):
            score += sigmoid(-(end - inside[0] + 1) / (end - begin + 1)) / sigmoid(-1)
        else:
            score -= FALSE_NEGATIVE
    for row in rows:
        if any(begin <= row <= end for begin, end in scored):
            continue
        before = [(begin, end) for begin, end in scored if end < row]
        weight = -1.0
        if before:
            begin, end = before[-1]
            weight = sigmoid((row - end) / max(end - begin, 1))
        score += FALSE_POSITIVE * weight
    return score


def normalised(score: float, windows: int) -> float:
    """100 for a perfect detector, 0 for one that never alerts."""
    return 100 * (score + FALSE_NEGATIVE * windows) / ((1 + FALSE_NEGATIVE) * windows)


def ewma_z(values: np.ndarray, half_life: float = 30) -> np.ndarray:
    """(T,) |x - m| / sqrt(v), m and v exponentially weighted, both before the row."""
    gain = 1 - 0.5 ** (1 / half_life)
    mean, variance, found = float(values[0]), 0.0, np.zeros(len(values))
    for row, value in enumerate(values):
        change = float(value) - mean
        found[row] = abs(change) / np.sqrt(variance) if variance > 0 else 0.0
        mean += gain * change
        variance += gain * (change * change - variance)
    return found


def windowed_gaussian(values: np.ndarray, window: int = 6400, step: int = 100) -> np.ndarray:
    """(T,) |x - m| / s over the last window, renewed every `step` rows once it is full, as NAB's detector does."""
    found, mean, deviation = np.zeros(len(values)), 0.0, 1.0
    for row, value in enumerate(values):
        past = values[max(0, row - window) : row]
        if row and (row < window or row % step == 0):
            mean, deviation = float(past.mean()), float(past.std()) or 1e-6
        found[row] = abs(float(value) - mean) / deviation if row else 0.0
    return found


def dead_time(hot: np.ndarray, length: int) -> np.ndarray:
    """(T,) hot rows, without those closer than `length` to the last one kept."""
    kept, free = np.zeros(len(hot), bool), 0
    for row in np.flatnonzero(hot):
        if row >= free:
            kept[row], free = True, row + length
    return kept
