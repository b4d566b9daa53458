"""A process of its own that changes one pool, and dies without a word at one step of it.

Forked from a server that has imported everything once: each case would else begin with two seconds of imports.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from blocks.credentials import join_secrets, split_secrets
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, Verdict, now
from tasks.run import Run
from tasks.scaling import act, pool_access
from tasks.scaling.actuators import Steering


def dying(call: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def wrapped(*given: Any, **named: Any) -> Any:
        if not before:
            call(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return wrapped


def dies(target: Callable[..., None], *given: Any, told: Path, preload: str = __name__) -> None:
    """Run a target in a process that must be killed at some step of it; `told` is where it writes what it says."""
    processes = get_context("forkserver")
    processes.set_forkserver_preload([preload])
    child = processes.Process(target=target, args=given)
    child.start()
    child.join(400)
    child.kill()  # one that did not die by itself
    child.join()
    assert child.exitcode == -signal.SIGKILL, told.read_text()[-2000:]


def decision_for(run: Run, subject: str, target: int, as_of: datetime, found: dict[str, Any]) -> Decision:
    """A stored decision; `found` is what the actuator is set to, and which it is where it is not the size itself."""
    action = "up" if target > found["current"] else "down"
    content = {"target": target, "action": action, "want": target, "reasons": [], **found}
    decision = Decision(
        flow_run_id=run.id, flow=run.flow, subject=subject, action=action, mode=Mode.ACT, state=Verdict.APPROVED,
        as_of=as_of, content=content,
    )  # fmt: skip
    run.store.record_decisions([decision])
    return decision


def killed_at(
    step: str, home: Path, fleet: Fleet, subject: str, current: int, target: int, found: dict[str, Any] | None = None
) -> None:
    """Decide on `target` in a process that is killed before or after a verb, `VERB:before` or `VERB:after`."""
    fleet_file, told = home / "fleet.yaml", home / "killed.log"
    fleet_file.write_text(yaml.safe_dump(join_secrets(*split_secrets(fleet))))
    dies(_act, step, home, told, fleet_file, subject, target, {"current": current} | (found or {}), told=told)


def _act(
    step: str, home: Path, told: Path, fleet_file: Path, subject: str, target: int, found: dict[str, Any]
) -> None:  # fmt: skip
    with told.open("w", buffering=1) as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        os.environ["CONTINUUM_HOME"] = str(home)
        verb, _, when = step.partition(":")
        store = Store.open()
        journal = Journal(store, lease_s=3600)
        _let_die(verb, journal, before=when == "before")
        run = Run("killed", "cluster-scaling", "default", load_fleet(str(fleet_file)), store, journal, Mode.ACT)
        decision = decision_for(run, subject, target, now(), found)
        print(act.act_on.fn(run, [decision], disruption_ratio=0.5, fleet_nodes=100))


def _let_die(verb: str, journal: Journal, *, before: bool) -> None:
    """At the verb of whichever of the things that take part in a change has it."""
    for thing in (Steering if verb in ("announce", "conclude") else journal, KubernetesApi):
        if hasattr(thing, verb):
            setattr(thing, verb, dying(getattr(thing, verb), before=before))
            return
    connect = pool_access.connect

    def connected(cluster: Any) -> Any:
        pools = connect(cluster)
        setattr(pools, verb, dying(getattr(pools, verb), before=before))
        return pools

    pool_access.connect = connected
