"""Why a cloud gave no nodes, in one word each: by what its APIs say, whichever of them says it."""

from __future__ import annotations

from enum import StrEnum

from blocks.errors import CloudRefused, ContinuumError, OperationFailed, Throttled, TimedOut


class Refusal(StrEnum):
    """What a cloud lacked, or would not do."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    THROTTLED = "throttled"
    NODES = "nodes-never-ready"
    OTHER = "other"


# Words of the clouds' own codes and messages, lower case; the first that is found tells.
_WORDS: tuple[tuple[str, Refusal], ...] = (
    ("vcpulimitexceeded", Refusal.QUOTA),
    ("quota", Refusal.QUOTA),
    ("limitexceeded", Refusal.QUOTA),
    ("insufficientinstancecapacity", Refusal.CAPACITY),
    ("resource_pool_exhausted", Refusal.CAPACITY),
    ("allocationfailed", Refusal.CAPACITY),
    ("skunotavailable", Refusal.CAPACITY),
    ("overconstrained", Refusal.CAPACITY),
    ("does not have enough resources", Refusal.CAPACITY),
    ("sufficient capacity", Refusal.CAPACITY),
    ("insufficientfreeaddresses", Refusal.CAPACITY),
)
# How actuators say that what was accepted has not come.
_LATE = ("nodes are ready after", "pause pods run after")


def refusal_of(error: ContinuumError) -> Refusal | None:
    """What kind of refusal an error is; None where it says nothing about nodes that a cloud would not give.

    >>> refusal_of(CloudRefused("QuotaExceeded: too many cores"))
    <Refusal.QUOTA: 'quota'>
    """
    if isinstance(error, Throttled):
        return Refusal.THROTTLED
    if not isinstance(error, CloudRefused | OperationFailed | TimedOut):
        return None
    text = error.what.lower()
    found = next((refusal for word, refusal in _WORDS if word in text), None)
    if found is None and isinstance(error, TimedOut):
        return Refusal.NODES if any(words in text for words in _LATE) else None
    return found or Refusal.OTHER
