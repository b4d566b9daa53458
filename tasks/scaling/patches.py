"""Patch files: the change of a pool that somebody else owns, for them to apply."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from blocks import settings
from blocks.errors import ContinuumError
from blocks.files import write_atomically
from blocks.store.tables import Decision
from tasks.scaling.report import patch

logger = logging.getLogger(__name__)


def write_patches(rows: Sequence[Decision]) -> list[Path]:
    """One file for every change that is somebody else's to make; a file whose change is no longer wanted goes.

    Returns the paths written, in the order of `rows`.
    """
    written: list[Path] = []
    for row in rows:
        path = settings.home() / "patches" / f"{row.subject.replace('/', '--')}.yaml"
        wanted = patch(row.content)
        if wanted is None:
            path.unlink(missing_ok=True)
            continue
        head = "# Continuum would make this change, and leaves it to the pool's owner.\n"
        try:
            write_atomically(path, head + yaml.safe_dump({"decision": row.id, **wanted}, sort_keys=False))
        except ContinuumError as error:  # the acts of this run are done: they must still be told
            logger.warning("%s", error)
        else:
            written.append(path)
    return written
