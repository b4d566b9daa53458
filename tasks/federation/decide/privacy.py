"""Central DP-FedAvg (McMahan et al. 2018): what a round adds, and the epsilon that rounds have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blocks.errors import NotConfigured, Refused
from tasks.federation.decide.aggregate import Floats, mean
from tasks.federation.decide.models import Vector

GRID = 1e-3  # of privacy losses: rounded up, so epsilon is never told too low; ten times quicker than 1e-4, 0.02 % off
FEW = 100  # participants, below which noise that protects also drowns what is learnt


@dataclass(frozen=True)
class Privacy:
    """Each device takes part by a coin of `share`; its update is cut to `clip`; the sum gets N(0, (noise clip)^2).

    Attributes
    ----------
    devices: that may be asked. delta: chance that the promise does not hold. budget: epsilon that may be spent.
    """

    noise: float
    clip: float
    share: float
    devices: int
    delta: float
    budget: float = float("inf")


@dataclass(frozen=True)
class Ledger:
    """What the rounds of a model have spent so far, private or not.

    Attributes
    ----------
    spent: (noise, share, rounds) of each kind of private round. bare: rounds without noise, which promise nothing.
    delta: the smallest that was promised. budget: epsilon of the last private round; None: there was none.
    """

    spent: tuple[tuple[float, float, int], ...] = ()
    bare: int = 0
    delta: float = 1.0
    budget: float | None = None


def private_mean(size: int, updates: Sequence[Vector], norms: Floats, privacy: Privacy, seed: list[int]) -> Vector:
    """(sum of clipped updates + noise) / (share * devices): divided by what was expected, not by who came."""
    expected = privacy.share * privacy.devices
    noise = np.random.default_rng(seed).normal(0.0, privacy.noise * privacy.clip / expected, size)
    if not len(updates):
        return noise.astype(np.float32)
    shrink = np.minimum(1.0, privacy.clip / np.maximum(norms, np.finfo(np.float32).tiny))
    return (mean(updates, shrink, expected) + noise).astype(np.float32)


def epsilon_after(rounds: int, privacy: Privacy, before: Ledger = Ledger()) -> float:
    """Epsilon spent by so many rounds and those before, of one device's whole data, by privacy loss distributions.

    inf without noise, in these rounds or in one before.

    Raises
    ------
    NotConfigured: dp-accounting is not installed.
    """
    kinds = [kind for kind in (*before.spent, (privacy.noise, privacy.share, rounds)) if kind[2]]
    if before.bare or not all(noise for noise, _, _ in kinds):
        return float("inf")
    if not kinds:
        return 0.0
    try:
        from dp_accounting import dp_event, pld
    except ImportError as error:
        raise NotConfigured("dp-accounting is not installed", where="privacy",
                            fix="pip install 'continuum-fleet[federation]'") from error  # fmt: skip
    accountant = pld.PLDAccountant(value_discretization_interval=GRID)
    for noise, share, many in kinds:
        accountant.compose(dp_event.PoissonSampledDpEvent(share, dp_event.GaussianDpEvent(noise)), many)
    return float(accountant.get_epsilon(min(privacy.delta, before.delta)))


def rounds_within(privacy: Privacy, asked: int, before: Ledger = Ledger()) -> int:
    """How many of the rounds asked for the budget allows: epsilon grows with rounds, so by halving.

    Raises
    ------
    Refused: not even one.
    """
    if epsilon_after(asked, privacy, before) <= privacy.budget:
        return asked
    low, high = 0, asked
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon_after(middle, privacy, before) <= privacy.budget else (low, middle)
    if not low:
        spends = epsilon_after(1, privacy, before)
        so_far = "one round alone spends" if before == Ledger() else "one more round makes"
        raise Refused(f"{so_far} epsilon {spends:.3g}, and the budget is {privacy.budget:g}", where="privacy",
                      fix="give more noise, or a larger budget")  # fmt: skip
    return low
