"""Sums, means, extremes and levels over the steps up to each step of a matrix; nothing later is looked at."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float
from tasks.forecasting.decide.history import Bool

Matrix = NDArray[np.floating]
Kind = TypeVar("Kind", bound=np.generic)


def lag(values: NDArray[Kind], steps: int, empty: float = np.nan) -> NDArray[Kind]:
    """(N, T) what each row was `steps` earlier; `empty` before it begins.

    >>> lag(np.array([[1.0, 2.0, 3.0]]), 1)
    array([[nan,  1.,  2.]])
    """
    shifted = np.empty_like(values)
    shifted[:, :steps] = empty
    shifted[:, steps:] = values[:, : max(values.shape[1] - steps, 0)]
    return shifted


def trailing_sum(values: Matrix, width: int) -> Matrix:
    """(N, T) sums of the last `width` steps, the current one counted; fewer at the begin.

    Powers of two are added up, never a running total: one value of 1e17 would spoil every later sum of a total.

    >>> trailing_sum(np.array([[1.0, 2.0, 3.0, 4.0]]), 3)
    array([[1., 3., 6., 9.]])
    """
    total, taken = np.zeros_like(values), 0
    power, size = values, 1
    while size <= width:
        if width & size:
            total += lag(power, taken, 0.0) if taken else power
            taken += size
        if 2 * size <= width:
            power = power + lag(power, size, 0.0)
        size *= 2
    return total


def trailing_count(mask: Bool, width: int) -> Float:
    """(N, T) how many of the last `width` steps are in the mask; a running total of whole numbers loses nothing.

    >>> trailing_count(np.array([[True, True, False, True]]), 2)
    array([[1., 2., 1., 1.]], dtype=float32)
    """
    total = np.cumsum(mask, axis=1, dtype=np.int32)
    total[:, width:] -= total[:, :-width].copy()
    return total.astype(np.float32)


def trailing_mean(values: Matrix, width: int, share: float) -> Matrix:
    """(N, T) means of the last `width` steps without NaN; NaN where less than `share` (0-1) of them is known."""
    known = ~np.isnan(values)
    count = trailing_count(known, width)
    total = trailing_sum(np.where(known, values, 0), width)
    return np.asarray(np.where(count >= max(1.0, share * width), total / np.maximum(count, 1), np.nan))


def trailing_extreme(values: Matrix, width: int, pick: np.ufunc, empty: float) -> Matrix:
    """(N, T) `pick` (`np.maximum`, `np.minimum`) of the last `width` steps; `empty` stands for steps before the first.

    >>> trailing_extreme(np.array([[3.0, 1.0, 2.0, 0.0]]), 2, np.maximum, -np.inf)
    array([[3., 3., 2., 2.]])
    """
    return sliding_extreme(np.concatenate([np.full((len(values), width - 1), empty, values.dtype), values], axis=1),
                           width, pick)  # fmt: skip


def sliding_extreme(values: Matrix, width: int, pick: np.ufunc) -> Matrix:
    """(N, T - width + 1) `pick` of every `width` steps in a row."""
    done = 1
    while done < width:
        step = min(done, width - done)
        values = pick(values[:, step:], values[:, :-step])
        done += step
    return values


def _since_measured(observed: Bool) -> NDArray[np.int32]:
    """(N, T) steps since the last measured one, that one counted as 0; T and more before the first."""
    steps = observed.shape[1]
    columns = np.arange(steps, dtype=np.int32)
    return np.asarray(columns - np.maximum.accumulate(np.where(observed, columns, np.int32(-steps)), axis=1))


def previous(values: Matrix, observed: Bool) -> tuple[Matrix, NDArray[np.int32]]:
    """(N, T) the last value measured before each step, NaN where none was, and how many steps before it that was.

    >>> previous(np.array([[5.0, np.nan, 7.0]]), np.array([[True, False, True]]))[0]
    array([[nan,  5.,  5.]])
    """
    gap = lag(_since_measured(observed), 1, observed.shape[1]) + 1
    source = np.arange(observed.shape[1], dtype=np.int32) - gap
    known = np.where(observed, values, np.nan)
    before = np.where(source >= 0, np.take_along_axis(known, np.maximum(source, 0), axis=1), np.nan)
    return before, gap


def level_before(values: Matrix, half_life: float, memory: int) -> Matrix:
    """(N, T) exponentially weighted means of the measured values in the `memory` steps before each step.

    m[t] = sum over i in 1..memory of 2^(-i / half-life) x[t - i] / the same sum of the weights of measured steps. A
    long gap wears the old values off; the memory, a power of two, is finite, so that a level never depends on where
    the matrix begins.

    >>> level_before(np.array([[4.0, 8.0, np.nan]]), 1.0, 4)
    array([[       nan, 4.        , 6.66666667]])
    """
    known = ~np.isnan(values)
    total, weight = np.where(known, values, 0).astype(values.dtype), known.astype(values.dtype)
    done = 1
    while done < memory:
        worn = values.dtype.type(0.5 ** (done / half_life))
        total, weight = (part + worn * lag(part, done, 0.0) for part in (total, weight))
        done *= 2
    mean = np.divide(total, weight, out=np.full_like(values, np.nan), where=weight > 0)
    return lag(mean, 1)
