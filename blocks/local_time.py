"""How far local time is ahead of UTC. Python reads a zone's table once; after that it is data, like an import."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput

LASTS_S = 7 * 86_400  # no clock is changed and changed back within a week (the shortest, Morocco's Ramadan, is a month)


def utc_offsets_s(zone: str, times_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T,) seconds that local time is ahead of UTC at these moments.

    Parameters
    ----------
    zone:
        IANA name.
    times_s:
        (T,) ascending, seconds since 1970 UTC.

    Raises
    ------
    InvalidInput: no zone is called so.

    >>> utc_offsets_s("Europe/Berlin", np.array([1_774_745_999, 1_774_746_000])).tolist()
    [3600, 7200]
    """
    try:
        place = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(f"no time zone is called {zone!r}", where="calendar",
                           fix="give an IANA name such as Europe/Berlin") from error  # fmt: skip

    def offset_s(at: int) -> int:
        return int((datetime.fromtimestamp(int(times_s[at]), place).utcoffset() or timedelta()).total_seconds())

    answer = np.empty(len(times_s), np.int64)
    spans = [(0, len(times_s) - 1)] if len(times_s) else []
    while spans:
        low, high = spans.pop()
        same = offset_s(low) == offset_s(high)
        if high - low < 2 or (same and times_s[high] - times_s[low] <= LASTS_S):
            answer[low : high + 1] = offset_s(low)
            answer[high] = offset_s(high)
            continue
        middle = (low + high) // 2
        spans += [(low, middle), (middle, high)]
    return answer
