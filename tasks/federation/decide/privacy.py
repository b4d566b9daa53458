"""Central DP-FedAvg (McMahan et al. 2018): what a round adds, and the epsilon that rounds have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blocks.errors import NotConfigured, Refused
from tasks.federation.decide.aggregate import Floats, mean
from tasks.federation.decide.models import Vector

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


def private_mean(size: int, updates: Sequence[Vector], norms: Floats, privacy: Privacy, seed: list[int]) -> Vector:
    """(sum of clipped updates + noise) / (share * devices): divided by what was expected, not by who came."""
    expected = privacy.share * privacy.devices
    noise = np.random.default_rng(seed).normal(0.0, privacy.noise * privacy.clip / expected, size)
    if not len(updates):
        return noise.astype(np.float32)
    shrink = np.minimum(1.0, privacy.clip / np.maximum(norms, np.finfo(np.float32).tiny))
    return (mean(updates, shrink, expected) + noise).astype(np.float32)


def epsilon_after(rounds: int, privacy: Privacy) -> float:
    """Epsilon spent by so many rounds, of one device's whole data, by privacy loss distributions; inf without noise.

    Raises
    ------
    NotConfigured: dp-accounting is not installed.
    """
    if not rounds:
        return 0.0
    if not privacy.noise:
        return float("inf")
    try:
        from dp_accounting import dp_event, pld
    except ImportError as error:
        raise NotConfigured("dp-accounting is not installed", where="--dp",
                            fix="pip install 'continuum-fleet[federation]'") from error  # fmt: skip
    accountant = pld.PLDAccountant()
    one = dp_event.PoissonSampledDpEvent(privacy.share, dp_event.GaussianDpEvent(privacy.noise))
    accountant.compose(one, rounds)
    return float(accountant.get_epsilon(privacy.delta))


def rounds_within(privacy: Privacy, asked: int) -> int:
    """How many of the rounds asked for the budget allows: epsilon grows with rounds, so by halving.

    Raises
    ------
    Refused: not even one.
    """
    if epsilon_after(asked, privacy) <= privacy.budget:
        return asked
    low, high = 0, asked
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon_after(middle, privacy) <= privacy.budget else (low, middle)
    if not low:
        raise Refused(f"one round alone spends epsilon {epsilon_after(1, privacy):.3g}, and the budget is "
                      f"{privacy.budget:g}", where="--dp", fix="give more noise, or a larger budget")  # fmt: skip
    return low
