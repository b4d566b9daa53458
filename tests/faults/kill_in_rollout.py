"""A process of its own that rolls a version out, and dies without a word at one step of one wave."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks.fleet import Fleet
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, Verdict
from tasks.rollout import act
from tasks.rollout.decide import Pace, decide_rollout
from tasks.rollout.observe import observe_edges
from tasks.run import Run
from tests.faults.kill_in_act import dies

PACE = Pace(canary_ratio=0.05, wave_edges=4, soak_s=0, patience_s=30, silent_ratio=0.25)


def run_of(name: str, mode: Mode = Mode.ACT, **journal: Any) -> Run:
    store = Store.open()
    fleet = Fleet.model_construct(name="simulated", simulated=True)
    return Run(name, "model-rollout", "default", fleet, store, Journal(store, **journal), mode)


def decided(run: Run, model: str, pace: Pace = PACE) -> Decision:
    """The decision of one pass, stored as the flow stores it."""
    view = observe_edges.fn(run, model, "")
    entry = decide_rollout(view.edges, model, view.version, view.digest, pace, state=view.state)
    row = Decision(flow_run_id=run.id, flow=run.flow, subject=model, action=entry["action"], mode=run.mode,
                   state=Verdict.APPROVED, as_of=view.as_of, content=entry)  # fmt: skip
    run.store.record_decisions([row])
    return row


def killed_at(step: str, home: Path, model: str, pace: Pace = PACE) -> None:
    """Roll out in a process that is killed at `VERB:WAVE:before` or `:after`, waves counted from 1."""
    told = home / "killed.log"
    dies(_roll_out, step, home, told, model, pace, told=told, preload=__name__)


def _roll_out(step: str, home: Path, told: Path, model: str, pace: Pace) -> None:
    with told.open("w", buffering=1) as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        os.environ["CONTINUUM_HOME"] = str(home)
        run = run_of("killed", lease_s=3600)
        verb, wave, when = step.split(":")
        thing = act if verb in ("set_wanted", "settle") else run.journal
        setattr(thing, verb, _dying(getattr(thing, verb), int(wave), before=when == "before"))
        print(act.roll_out(run, decided(run, model, pace), pace))


def _dying(call: Callable[..., Any], nth: int, *, before: bool) -> Callable[..., Any]:
    calls = 0

    def wrapped(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        answer = None if before and calls == nth else call(*given, **named)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapped
