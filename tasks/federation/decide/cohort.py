"""Who is asked in a round, by what rule it is aggregated, and whether training may begin at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.federation.decide.aggregate import rule_of
from tasks.federation.decide.selection import UNIFORM, Fleet, Leaning, decide_cohort, decide_selection


@dataclass(frozen=True)
class Device:
    """An edge that may train.

    Attributes
    ----------
    silent_s: seconds since it was last heard of; None: never. rows: it last said that it has; 0: not known.
    rounds: for which it was asked so far.
    """

    name: str
    silent_s: float | None
    rows: int = 0
    rounds: int = 0


@dataclass(frozen=True)
class Wish:
    """What a person asks of a training; words are those of the flow's form."""

    model: str
    kind: str = "softmax"
    rounds: int = 5
    fraction: float = 0.3
    assumed_hostile: float = 0.0
    aggregator: str = "auto"
    step: str = "momentum"
    epochs: int = 5
    batch: int = 16
    lr: float = 0.2
    deadline_s: float = 300.0
    heard_s: float = 900.0
    seed: int = 0


def decide_training(devices: Sequence[Device], wish: Wish) -> dict[str, Any]:
    """A decision's entry: train, with how many devices and by which rule, or refuse.

    >>> decide_training([], Wish("digits"))["reasons"]
    [{'code': 'no-devices', 'numbers': {'known': 0}}]
    """
    awake = [each for each in devices if _awake(each, wish)]
    cohort = decide_cohort(len(awake), wish.fraction, wish.assumed_hostile) if awake else None
    return {
        "unique_id": wish.model, "action": "train" if cohort else "refuse", "model": wish.model,
        "rounds": wish.rounds, "devices": len(awake), "cohort": cohort.size if cohort else 0,
        "hostile": cohort.hostile if cohort else 0, "rule": rule_of(wish.aggregator, wish.assumed_hostile),
        "reasons": [] if cohort else [{"code": "no-devices", "numbers": {"known": len(devices)}}],
    }  # fmt: skip


def decide_asked(devices: Sequence[Device], wish: Wish, size: int, number: int) -> list[str]:
    """Names of the devices of round `number`, ascending: those heard of lately, nearly in turns; uniform where some
    may be hostile.
    """
    order = sorted(devices, key=lambda each: each.name)
    fleet = Fleet(np.array([_awake(each, wish) for each in order], np.bool_),
                  np.array([each.rows for each in order], np.int64),
                  np.array([each.rounds for each in order], np.int64))  # fmt: skip
    leaning = UNIFORM if wish.assumed_hostile else Leaning()
    return [order[place].name for place in decide_selection(fleet, size, leaning, [wish.seed, number]).tolist()]


def _awake(device: Device, wish: Wish) -> bool:
    return device.silent_s is not None and device.silent_s <= wish.heard_s
