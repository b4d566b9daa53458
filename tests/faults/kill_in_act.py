"""Change one pool's size, and die without a word at one step of it. Run by `test_kill_in_act.py` as a process."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

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


def main(fleet_file: str, subject: str, current: int, target: int, step: str, actuator: str | None = None) -> None:
    verb, _, when = step.partition(":")
    fleet, store = load_fleet(fleet_file), Store.open()
    journal = Journal(store, lease_s=3600)
    if verb in ("announce", "conclude"):
        setattr(Steering, verb, dying(getattr(Steering, verb), before=when == "before"))
    elif hasattr(journal, verb):
        setattr(journal, verb, dying(getattr(journal, verb), before=when == "before"))
    elif hasattr(KubernetesApi, verb):
        setattr(KubernetesApi, verb, dying(getattr(KubernetesApi, verb), before=when == "before"))
    else:
        connect = pool_access.connect

        def connected(cluster: Any) -> Any:
            pools = connect(cluster)
            setattr(pools, verb, dying(getattr(pools, verb), before=when == "before"))
            return pools

        pool_access.connect = connected
    run = Run("killed", "cluster-scaling", "default", fleet, store, journal)
    if actuator is not None:
        decision = decision_for(run, subject, target, now(), json.loads(actuator))
    else:
        decision = decision_for(run, subject, target, now(), {"current": current})
    print(act.act_on.fn(run, [decision], disruption_ratio=0.5, fleet_nodes=100))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
