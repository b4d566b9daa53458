"""Whether what was decided before may still be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.carbon.decide.caps import CAP, Capped, cap_no_longer_fits
from tasks.carbon.decide.shift import FlexibleRun, no_longer_fits


def no_longer(
    runs: Sequence[FlexibleRun], caps: Sequence[Capped], changes: Mapping[str, Mapping[str, Any]], now_s: int
) -> dict[str, str]:
    """By subject, why a start or a cap must not be set any more. changes: records by subject."""
    capped = {subject: each for subject, each in changes.items() if each["action"] == CAP}
    starts = {subject: each for subject, each in changes.items() if subject not in capped}
    return no_longer_fits(runs, starts, now_s) | cap_no_longer_fits(caps, capped, now_s)
