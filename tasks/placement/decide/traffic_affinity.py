"""Which site a user keeps to: weighted rendezvous hashing, so that a change of weights moves only users who must.

Each site draws a number for each user, -log(h(user, site)) / weight with h uniform in (0, 1); the smallest has them.
So site s gets a share weight_s / sum of weights of the users, a user is always sent to the same site, and a weight that
falls moves users away from that site only (Schindelhauer and Schomaker, SPAA 2005).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]


def keys_of(names: Iterable[str]) -> Keys:
    """(N,) a number for each name, the same on every machine.

    >>> keys_of(["paris"]).tolist() == keys_of(["paris"]).tolist()
    True
    """
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def sites_of(users: Keys, sites: Keys, weights: Floats) -> Ints:
    """(N,) the site of each user among S sites of `weights` (S,) >= 0; -1 where no site has any.

    >>> sites_of(keys_of(["ann", "bob"]), keys_of(["x", "y"]), np.array([0.0, 1.0])).tolist()
    [1, 1]
    """
    if not (weights > 0).any():
        return np.full(len(users), -1, dtype=np.int64)
    uniform = (_mixed(users[:, None] ^ _mixed(sites)) >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54
    with np.errstate(divide="ignore"):
        drawn = -np.log(uniform) / weights
    return np.asarray(drawn.argmin(axis=1))


def _mixed(keys: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele et al., OOPSLA 2014): every bit of the key moves every bit of the result."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))
