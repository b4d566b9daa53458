"""Who is asked in a round, by what rule it is aggregated, and whether training may begin at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.errors import Refused
from tasks.federation.decide.aggregate import rule_of
from tasks.federation.decide.privacy import FEW, Ledger, Privacy, epsilon_after, rounds_within
from tasks.federation.decide.selection import (
    UNIFORM,
    Fleet,
    Leaning,
    decide_cohort,
    decide_selection,
    poisson_selection,
)

BUDGET = 8.0  # epsilon of a model's life where nobody names one


@dataclass(frozen=True)
class Device:
    """An edge that may train.

    Attributes
    ----------
    silent_s: seconds since it was last heard of; None: never. rows: it last said that it has; 0: not known.
    rounds: for which it was asked so far. g_per_kwh: carbon intensity of its power now; None: not known.
    """

    name: str
    silent_s: float | None
    rows: int = 0
    rounds: int = 0
    g_per_kwh: float | None = None


@dataclass(frozen=True)
class Wish:
    """What a person asks of a training; words are those of the flow's form."""

    model: str
    kind: str = "softmax"
    rounds: int = 5
    fraction: float = 0.3
    assumed_hostile: float = 0.0
    aggregator: str = "auto"
    step: str = "auto"
    data_weight: float = 0.0
    carbon_weight: float = 0.0
    dp_noise: float = 0.0
    dp_clip: float = 1.0
    epsilon_budget: float | None = None
    epochs: int = 5
    batch: int = 16
    lr: float = 0.2
    deadline_s: float = 300.0
    heard_s: float = 900.0
    seed: int = 0

    def privacy(self, devices: int, before: Ledger) -> Privacy | None:
        """What DP-FedAvg over so many devices promises; None where no noise is asked for."""
        if not self.dp_noise:
            return None
        budget = self.epsilon_budget if self.epsilon_budget is not None else before.budget
        return Privacy(self.dp_noise, self.dp_clip, self.fraction, devices, 1 / (50 * max(devices, 1)),
                       BUDGET if budget is None else budget)  # fmt: skip


def decide_training(devices: Sequence[Device], wish: Wish, before: Ledger = Ledger()) -> dict[str, Any]:
    """A decision's entry: train, with how many devices and by which rule, or refuse.

    before: what earlier rounds of the model have spent of its privacy budget.

    >>> decide_training([], Wish("digits"))["reasons"]
    [{'code': 'no-devices', 'numbers': {'known': 0}}]
    """
    many = can_be_asked(devices, wish)
    cohort = decide_cohort(many, wish.fraction, wish.assumed_hostile) if many else None
    entry: dict[str, Any] = {
        "unique_id": wish.model, "action": "train" if cohort else "refuse", "model": wish.model,
        "rounds": wish.rounds, "devices": many, "cohort": cohort.size if cohort else 0,
        "hostile": cohort.hostile if cohort else 0, "rule": rule_of(wish.aggregator, wish.assumed_hostile),
        "privacy": None, "reasons": [] if cohort else [{"code": "no-devices", "numbers": {"known": len(devices)}}],
    }  # fmt: skip
    privacy = wish.privacy(many, before)
    if not cohort:
        return entry
    if privacy is None:
        if before.spent:
            return entry | _refused("would-void-privacy", rounds=sum(many for _, _, many in before.spent))
        return entry
    return entry | _private(privacy, wish, before)


def _private(privacy: Privacy, wish: Wish, before: Ledger) -> dict[str, Any]:
    """What DP changes of an entry: the rounds that the budget still allows, or a refusal."""
    if before.bare:
        return _refused("rounds-without-noise", rounds=before.bare)
    spent = epsilon_after(0, privacy, before)
    try:
        rounds = rounds_within(privacy, wish.rounds, before)
    except Refused:
        one = epsilon_after(1, privacy, before)
        return _refused("budget-spent", spent=spent, after_one_more=one, budget=privacy.budget)
    reasons: list[dict[str, Any]] = []
    if rounds < wish.rounds:
        reasons.append({"code": "budget-ends", "numbers": {"rounds": rounds, "asked": wish.rounds}})
    if privacy.devices < FEW:
        reasons.append({"code": "few-for-privacy", "numbers": {"devices": privacy.devices, "few": FEW}})
    return {"rounds": rounds, "rule": "dp-fedavg", "privacy": asdict(privacy), "epsilon_before": spent,
            "epsilon_after": epsilon_after(rounds, privacy, before), "reasons": reasons}  # fmt: skip


def _refused(code: str, **numbers: float) -> dict[str, Any]:
    return {"action": "refuse", "reasons": [{"code": code, "numbers": numbers}]}


def decide_asked(devices: Sequence[Device], wish: Wish, size: int, draw: list[int]) -> list[str]:
    """Names of a round's devices, ascending: of those heard of lately, nearly in turns, leaning to rows and clean power
    where that is asked. Uniform where some may be hostile; under DP by a coin each, whoever comes up.

    draw: seed of the choice, e.g. [seed of the run, round]; under DP a secret.
    """
    order = sorted(devices, key=lambda each: each.name)
    fleet = Fleet(np.array([_awake(each, wish) for each in order], np.bool_),
                  np.array([each.rows for each in order], np.int64),
                  np.array([each.rounds for each in order], np.int64), _intensity(order))  # fmt: skip
    if wish.dp_noise:
        found = poisson_selection(fleet.available, wish.fraction, draw)
    else:
        leaning = UNIFORM if wish.assumed_hostile else Leaning(data=wish.data_weight, carbon=wish.carbon_weight)
        found = decide_selection(fleet, size, leaning, draw)
    return [order[place].name for place in found.tolist()]


def can_be_asked(devices: Sequence[Device], wish: Wish) -> int:
    """How many devices were heard of lately."""
    return sum(_awake(each, wish) for each in devices)


def _intensity(devices: Sequence[Device]) -> NDArray[np.float64] | None:
    """(N,) g/kWh; where it is not known, the median of the others: a device gains and loses nothing by it."""
    known = [each.g_per_kwh for each in devices if each.g_per_kwh is not None]
    if not known:
        return None
    usual = float(np.median(known))
    return np.array([usual if each.g_per_kwh is None else each.g_per_kwh for each in devices])


def _awake(device: Device, wish: Wish) -> bool:
    return device.silent_s is not None and device.silent_s <= wish.heard_s
