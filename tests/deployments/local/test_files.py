"""The snapshot of a simulation: whatever its objects hold comes back."""

from __future__ import annotations

import math
from pathlib import Path

from deployments.local.files import StateFiles


def test_numbers_and_words_that_are_no_ordinary_json_come_back(tmp_path: Path) -> None:
    kept = {"now_s": 1.5, "large": 2**70, "never": math.inf, "none": None, "words": ["é", "\ud83d"]}
    for held in (kept, kept | {"words": ["é", "x"]}):  # half of a surrogate pair, and without
        StateFiles(tmp_path).save(held)
        found = StateFiles(tmp_path).load()
        assert found is not None
        assert {name: found[0][name] for name in held} == held
