"""What a process that runs on has printed first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def first_document(lines: Iterable[str]) -> dict[str, Any]:
    """The indented JSON object that a process prints before it goes on; an error where it ends before that."""
    told: list[str] = []
    for line in lines:
        told.append(line)
        if line == "}\n":
            return dict(json.loads("".join(told)))
    raise AssertionError(f"it ended before it had told where it is: {''.join(told)[-500:]!r}")
