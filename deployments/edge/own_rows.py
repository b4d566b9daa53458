"""How many of the device's own labelled rows a version answers rightly: what the hub compares between versions."""

from __future__ import annotations

import logging
from pathlib import Path

from blocks.errors import ContinuumError
from deployments.edge.config import TrainingSettings
from deployments.edge.rounds import read_rows
from deployments.edge.serving import Models, Served, told_apart

log = logging.getLogger("continuum.edge")

MOST_ROWS = 10_000  # the first of the file
BATCH = 256


class OwnRows:
    """Scores by version, each worked out once in the life of the agent; no row and no single answer is told."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self._scores: dict[str, tuple[int, int]] = {}  # (right, rows) by digest; (0, 0): the rows are none for it
        self._runs: dict[str, list[str]] = {}  # the last two digests by model

    def look(self, models: Models) -> None:
        """Score the versions that have come into service since the last call."""
        for served in models if self._settings.rows else ():
            if served.digest not in self._scores and self._settings.model in ("", served.name):
                self._scores[served.digest] = self._score(served)
            seen = self._runs.setdefault(served.name, [])
            if not seen or seen[-1] != served.digest:
                self._runs[served.name] = [*seen[-1:], served.digest]

    def words(self, name: str, digest: str) -> str:
        """What follows `serving` in a status: `; right 93/100`, and `; before 95/100` of the version it replaced."""
        runs = self._runs.get(name, [])
        if not runs or runs[-1] != digest:
            return ""
        scores = [self._scores.get(each, (0, 0)) for each in runs[::-1]]
        told = [(word, *score) for word, score in zip(("right", "before"), scores, strict=False)]
        return "".join(f"; {word} {right}/{rows}" for word, right, rows in told if rows)

    def _score(self, served: Served) -> tuple[int, int]:
        try:
            data = read_rows(Path(self._settings.rows))
            (port,) = served.inputs
            rows, labels = data.rows[:MOST_ROWS], data.labels[:MOST_ROWS]
            right = 0
            for at in range(0, len(rows), BATCH):
                told = told_apart(served.run({port.name: rows[at : at + BATCH]}))
                if told is None:
                    return 0, 0
                right += int((told[0] == labels[at : at + BATCH]).sum())
        except (ContinuumError, ValueError) as error:  # another model's rows, or a file that cannot be read now
            log.info("model %s is not scored on own rows: %s", served.name, error)
            return 0, 0
        return right, len(rows)
