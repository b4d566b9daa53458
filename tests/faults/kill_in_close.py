"""A process of its own that closes a round of training, and dies without a word at one step of it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from blocks.models import Registry
from blocks.store import Store
from tasks.federation import act
from tests.faults.kill_in_act import dies, dying


def killed_at(step: str, home: Path, round_id: str) -> None:
    """Close in a process that is killed at `VERB:before` or `VERB:after`."""
    told = home / "killed.log"
    dies(_close, step, home, told, round_id, told=told, preload=__name__)


def _close(step: str, home: Path, told: Path, round_id: str) -> None:
    with told.open("w", buffering=1) as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        os.environ["CONTINUUM_HOME"] = str(home)
        verb, _, when = step.partition(":")
        thing = Registry if verb == "put" else act
        setattr(thing, verb, dying(getattr(thing, verb), before=when == "before"))
        print(act.close(Registry.open(Store.open()), round_id, lambda model: float(abs(model).mean())))
