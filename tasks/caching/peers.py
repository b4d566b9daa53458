"""Other people's cache policies, to compare with: those of libcachesim (the `cache` extra)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence

from blocks.errors import InvalidInput, NotConfigured
from tasks.caching.decide.simulators import REACTIVE, Made

PEERS = {"arc": "ARC", "sieve": "Sieve", "twoq": "TwoQ", "wtinylfu": "WTinyLFU"}
ALWAYS = ("lru", "s3fifo", "planned", "oracle")
LEAST_BYTES = 10  # of a cache: below that W-TinyLFU ends the process
HASH_POWER = 12  # 2^12 buckets to begin with; their default of 2^24 takes 128 MB a cache


class Peer:
    """One cache of libcachesim."""

    def __init__(self, kind: str, capacity: int, size: Sequence[int]) -> None:
        import libcachesim

        self._cache = getattr(libcachesim, kind)(cache_size=max(capacity, LEAST_BYTES), hashpower=HASH_POWER)
        self._request, self._size, self._capacity = libcachesim.Request(), size, capacity

    def request(self, item: int) -> bool:
        """See `Asked.request`."""
        self._request.obj_id, self._request.obj_size = item + 1, self._size[item]
        return LEAST_BYTES <= self._capacity >= self._size[item] and bool(self._cache.get(self._request))


def _is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("libcachesim") is not None


def policies_of(text: str) -> dict[str, Made]:
    """What to play beside the plan: LRU and S3-FIFO of ours, and those named of libcachesim (all, where none is).

    Raises
    ------
    InvalidInput: nobody knows that policy. NotConfigured: it is libcachesim's, which is not installed.
    """
    named = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in named:
        if name not in PEERS and name not in ALWAYS:
            raise InvalidInput(f"no policy is called `{name:.40}`", where="--policy",
                               fix=f"use some of {', '.join((*ALWAYS, *PEERS))}")  # fmt: skip
        if name in PEERS and not _is_installed():
            raise NotConfigured(f"{name} is played by libcachesim, which is not installed", where="--policy",
                                fix="pip install 'continuum-fleet[cache]'")  # fmt: skip
    wanted: Iterable[str] = named or (PEERS if _is_installed() else ())
    return dict(REACTIVE) | {name: _maker(PEERS[name]) for name in wanted if name in PEERS}


def _maker(kind: str) -> Made:
    return lambda capacity, size: Peer(kind, capacity, size)
