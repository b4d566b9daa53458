"""How the server takes the step that a round found: as it is, with momentum, or scaled by Adam (Reddi et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.federation.decide.models import Vector

MOMENTUM, ADAM_RATE, BETA1, BETA2, TAU = 0.5, 0.03, 0.9, 0.99, 1e-3
STEPS = ("average", "momentum", "adam")


@dataclass(frozen=True)
class Memory:
    """What a step keeps for the next one: the running step and its running square; None at the start."""

    first: Vector | None = None
    second: Vector | None = None


def step_of(name: str, *, private: bool) -> str:
    """`auto` is momentum, which a sampled cohort gains by; without it under DP, whose noise it would sum up."""
    if name != "auto":
        return name
    return "average" if private else "momentum"


def take_step(name: str, base: Vector, delta: Vector, memory: Memory) -> tuple[Vector, Memory]:
    """The next model, and the memory to keep if the gate accepts it.

    average: base + delta. momentum: v = 0.5 v + delta, base + v. adam: base + 0.03 m / (sqrt(v) + 0.001).
    """
    if name == "average":
        return base + delta, memory
    first = np.zeros_like(base) if memory.first is None else memory.first
    if name == "momentum":
        first = (MOMENTUM * first + delta).astype(np.float32)
        return base + first, Memory(first)
    second = np.full_like(base, TAU**2) if memory.second is None else memory.second
    first = (BETA1 * first + (1 - BETA1) * delta).astype(np.float32)
    second = (BETA2 * second + (1 - BETA2) * delta**2).astype(np.float32)
    return (base + ADAM_RATE * first / (np.sqrt(second) + TAU)).astype(np.float32), Memory(first, second)
