"""A machine's own watts from samples of its meter: by the load, or by load, clock and temperature together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from blocks.errors import InvalidInput
from tasks.energy.decide.power import Machine, model_power, ratio

Floats = NDArray[np.float64]

FEWEST_SAMPLES = 4
FEWEST_KEPT, MOST_KEPT = 12, 4000  # samples that a report's curve rests on: an hour's, and as many as tell no less
KNOTS = np.arange(10) / 10  # of the cube root of what a CPU does: with its end, the 11 loads of SPECpower's shape
RIDGE = 0.02
SLACK = 0.1  # how far above and below all its samples a fit by clock may go


@dataclass(frozen=True)
class Calibrated:
    """A machine's own curve: knots of utilisation and W, both rising; `samples` it was fitted to."""

    knots: Floats
    watts: Floats
    samples: int

    def power_w(self, utilisation: ArrayLike) -> Floats:
        """W at utilisations of 0-1, linear between the knots, level beyond them."""
        return np.asarray(np.interp(ratio(utilisation, "utilisation"), self.knots, self.watts))


def calibrate(utilisation: ArrayLike, watts: ArrayLike) -> Calibrated:
    """Fit a curve that never falls to metered samples (least squares, pool adjacent violators).

    Parameters
    ----------
    utilisation, watts: (N,) samples; those with a NaN are left out.

    Raises
    ------
    InvalidInput: fewer than four samples, all at one utilisation, or watts below 0.

    >>> calibrate([0, 0.5, 0.4, 1], [50, 90, 94, 130]).watts.tolist()
    [50.0, 92.0, 92.0, 130.0]
    """
    used, metered = _samples(utilisation, watts)
    knots, place, counts = np.unique(used, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=metered) / counts
    return Calibrated(knots, np.asarray(isotonic_regression(means, weights=counts).x), len(used))


@dataclass(frozen=True)
class Clocked:
    """A machine's own W by load, clock and temperature: half load at a low clock draws less than half at a high one.

    `highest` is the highest clock seen, `mean` and `slopes` belong to the columns of `_columns`, `base` is the mean W.
    """

    highest: float
    mean: Floats
    slopes: Floats
    base: float
    lowest_w: float
    highest_w: float

    def power_w(self, utilisation: ArrayLike, clock: ArrayLike, temperature: ArrayLike) -> Floats:
        """W; clocks in any one unit, temperatures in deg C."""
        columns = _columns(utilisation, np.asarray(clock, np.float64) / self.highest, temperature)
        watts = self.base + (columns - self.mean) @ self.slopes
        return np.clip(watts, self.lowest_w * (1 - SLACK), self.highest_w * (1 + SLACK))


def calibrate_clocked(utilisation: ArrayLike, clock: ArrayLike, temperature: ArrayLike, watts: ArrayLike) -> Clocked:
    """Fit W to load, clock and temperature: ridge on the knots of the shape (dynamic power is load x clock^3).

    Parameters
    ----------
    utilisation, clock, temperature, watts: (N,) samples without a NaN; clocks in any one unit above 0.

    Raises
    ------
    InvalidInput: as `calibrate`, or a clock of 0 or less.
    """
    used, metered = _samples(utilisation, watts)
    clocks = np.asarray(clock, np.float64).ravel()
    if not (clocks > 0).all():
        raise InvalidInput("a clock of 0, or unknown", where="calibration", fix="leave such samples out")
    columns = _columns(used, clocks / clocks.max(), temperature)
    mean, spread = columns.mean(axis=0), columns.std(axis=0)
    scaled = (columns - mean) / np.where(spread > 0, spread, 1.0)
    penalty = RIDGE * len(used) * np.eye(scaled.shape[1])
    slopes = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ (metered - metered.mean()))
    return Clocked(float(clocks.max()), mean, slopes / np.where(spread > 0, spread, 1.0), float(metered.mean()),
                   float(metered.min()), float(metered.max()))  # fmt: skip


@dataclass(frozen=True)
class Filled:
    """What stands in where a meter is silent.

    Attributes
    ----------
    watts: W of one machine, of the shape of the utilisation; NaN where the meter tells.
    idle, full: W without work, and at full load.
    error: mean absolute error of samples held out, as a share of their mean W. samples: it was fitted to.
    """

    watts: Floats
    idle: float
    full: float
    error: float
    samples: int


def fill(
    machine: Machine, used: Floats, metered_w: Floats, clock: Floats | None = None, temperature: Floats | None = None
) -> Filled | None:
    """W of one machine at each utilisation, by those of its samples that have a meter.

    Beyond the loads that were metered the model's slope goes on. None where the samples are too few, or the model's own
    error on them is no larger than that of the curve on samples held out; machines with GPUs have none.

    Parameters
    ----------
    machine: whose `pue` is 1. used: (N, T) 0-1. metered_w: (N, T) W of one machine, NaN without a meter.
    clock, temperature: (N, T) of their CPUs, NaN where not known.
    """
    known = np.flatnonzero(np.isfinite(metered_w) & np.isfinite(used))
    if machine.gpus or len(known) < FEWEST_KEPT:
        return None
    known = known[np.linspace(0, len(known) - 1, min(len(known), MOST_KEPT)).astype(np.int64)]
    known = known[np.argsort(used.flat[known], kind="stable")]
    load, watts = used.flat[known], metered_w.flat[known]
    if load[1] == load[-2] or not watts.any():  # a half of them tells one load alone, or the meter tells nothing
        return None
    modelled = float(np.abs(model_power(machine, load).central - watts).mean())
    off = _held_out(lambda kept, rest: calibrate(load[kept], watts[kept]).power_w(load[rest]), watts)
    curve, silent = calibrate(load, watts), ~np.isfinite(metered_w)

    def beyond(loads: Floats) -> Floats:
        ends = np.clip(loads, load[0], load[-1])
        return curve.power_w(ends) + model_power(machine, loads).central - model_power(machine, ends).central

    found = np.full(used.shape, np.nan)
    found[silent] = beyond(used[silent])
    if clock is not None and temperature is not None:
        warm = np.isfinite(clock) & np.isfinite(temperature)
        if warm.flat[known].all():
            hertz, degrees = clock.flat[known], temperature.flat[known]
            nearer = _held_out(
                lambda kept, rest: calibrate_clocked(load[kept], hertz[kept], degrees[kept], watts[kept]).power_w(
                    load[rest], hertz[rest], degrees[rest]), watts)  # fmt: skip
            if nearer < off:
                off = nearer
                fit = calibrate_clocked(load, hertz, degrees, watts)
                warm &= silent
                found[warm] = fit.power_w(used[warm], clock[warm], temperature[warm])
    if not off < modelled:
        return None
    idle, full = np.maximum(beyond(np.array([0.0, 1.0])), 0.0)
    return Filled(np.maximum(found, 0.0), float(idle), float(full), off / float(watts.mean()), len(known))


def _held_out(predict, watts: Floats) -> float:  # type: ignore[no-untyped-def]
    """Mean absolute error, W, of each half of the samples by a fit to the other half."""
    halves = np.arange(len(watts)) % 2 == 0
    off = [np.abs(predict(np.flatnonzero(kept), np.flatnonzero(~kept)) - watts[~kept]) for kept in (halves, ~halves)]
    return float(np.concatenate(off).mean())


def _columns(used: ArrayLike, clock: ArrayLike, temperature: ArrayLike) -> Floats:
    """(N, 11): how far the cube root of load x clock^3 is above each knot, and the temperature."""
    done = np.cbrt(ratio(used, "utilisation")) * np.asarray(clock, np.float64)
    return np.column_stack([np.maximum(0.0, done[:, None] - KNOTS), np.asarray(temperature, np.float64)])


def _samples(utilisation: ArrayLike, watts: ArrayLike) -> tuple[Floats, Floats]:
    used, metered = ratio(utilisation, "utilisation").ravel(), np.asarray(watts, np.float64).ravel()
    if used.shape != metered.shape:
        raise InvalidInput(f"{used.size} utilisations and {metered.size} watts", where="calibration", fix="give pairs")
    known = np.isfinite(used) & np.isfinite(metered)
    used, metered = used[known], metered[known]
    if len(used) < FEWEST_SAMPLES or used.min() == used.max():
        raise InvalidInput(f"{len(used)} usable samples at {len(np.unique(used))} utilisations", where="calibration",
                           fix=f"give {FEWEST_SAMPLES} at least, at different utilisations")  # fmt: skip
    if (metered < 0).any():
        raise InvalidInput(f"{metered.min():g} W were metered", where="calibration", fix="give watts of 0 or more")
    return used, metered
