"""Rows dealt out to devices the way the field does it, so that each sees a mix of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.federation.decide.models import Labels

Ints = NDArray[np.int64]
LEAST = 2  # rows a device


def split_by_label(labels: Labels, devices: int, alpha: float, seed: list[int]) -> list[Ints]:
    """Rows of each device: every label is dealt by shares of a Dirichlet(alpha) draw (Hsu et al. 2019).

    A small alpha gives each device few labels; a large one gives all the same mix. Every row goes to one device, and
    each device has `LEAST` rows at least (given by the largest) where there are as many.
    """
    draw = np.random.default_rng(seed)
    owner = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = draw.permutation(np.flatnonzero(labels == label))
        cuts = np.rint(np.cumsum(draw.dirichlet(np.full(devices, alpha))) * len(rows)).astype(np.int64)
        owner[rows] = np.minimum(np.searchsorted(cuts, np.arange(len(rows)), side="right"), devices - 1)
    return _none_empty([np.flatnonzero(owner == device) for device in range(devices)])


def split_by_unit(units: Ints, devices: int, alpha: float, seed: list[int]) -> list[Ints]:
    """Rows of each device: whole units, each to a device drawn by the shares of one Dirichlet(alpha) draw."""
    draw = np.random.default_rng(seed)
    names, unit = np.unique(units, return_inverse=True)
    owner = draw.choice(devices, size=len(names), p=draw.dirichlet(np.full(devices, alpha)))[unit]
    return _none_empty([np.flatnonzero(owner == device) for device in range(devices)])


def held_back(units: Ints, shares: tuple[float, float], seed: list[int]) -> tuple[Ints, Ints, Ints]:
    """Rows for (training, the gate, the test): whole units in a random order, until each share of the rows is met."""
    order = np.random.default_rng(seed).permutation(np.unique(units))
    place = np.empty(int(units.max()) + 1, np.int64)
    place[order] = np.arange(len(order))
    counts = np.bincount(place[units], minlength=len(order))
    passed = np.cumsum(counts) / len(units)
    part = np.where(passed <= shares[1], 2, np.where(passed <= sum(shares), 1, 0))[place[units]]
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1), np.flatnonzero(part == 2)


def _none_empty(parts: list[Ints]) -> list[Ints]:
    for device, part in enumerate(parts):
        lacking = LEAST - len(part)
        if lacking > 0:
            largest = max(range(len(parts)), key=lambda each: len(parts[each]))
            given, parts[largest] = parts[largest][-lacking:], parts[largest][:-lacking]
            parts[device] = np.sort(np.concatenate([part, given]))
    return parts
