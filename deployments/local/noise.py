"""Numbers that look random and are a hash of a key and a step: any of them can be asked for alone, in any order."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


def key(*parts: object) -> int:
    """A key that depends on nothing but the parts."""
    return zlib.crc32(" ".join(map(str, parts)).encode())


def fraction(*parts: object) -> float:
    """One number in [0, 1), always the same for the same parts."""
    return float(_hashed(key(*parts), np.zeros(1, dtype=np.int64))[0] >> np.uint64(11)) / 2.0**53


def normal(noise_key: int, grid: Steps) -> Floats:
    """(N,) near-normal noise, mean 0 and variance 1: the four 16-bit parts of the hash, summed."""
    parts = _hashed(noise_key, grid)[:, None].view(np.uint16).sum(axis=1, dtype=np.float64) / 65_535
    return np.asarray((parts - 2.0) * np.sqrt(3.0))


def smooth(noise_key: int, times_s: Floats, knot_s: float) -> Floats:
    """(N,) a curve in [-1, 1] that wanders: a hashed value every `knot_s`, a half cosine from each to the next."""
    at = times_s / knot_s
    knot = np.floor(at).astype(np.int64)
    ease = (1 - np.cos(np.pi * (at - knot))) / 2
    here, there = (_hashed(noise_key, step).astype(np.float64) / 2.0**63 - 1 for step in (knot, knot + 1))
    return np.asarray(here + (there - here) * ease)


def _hashed(noise_key: int, grid: Steps) -> NDArray[np.uint64]:
    """(N,) bits of (key, step) by the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed: NDArray[np.uint64] = grid.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
        noise_key << 32 | noise_key
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
