"""Give a run another start, and what has a cap another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from blocks.errors import Conflict
from blocks.fleet import Fleet
from blocks.prefect_api import prefect_client
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent
from tasks.acting import Planned, Result, Seen, SubjectActuator, carry_out_all, settle_left_over, undo_with
from tasks.carbon.caps import CAPS, SetCap, is_cap, open_cap
from tasks.carbon.jobs import JOBS, StartJob, open_job
from tasks.carbon.observe import start_of
from tasks.run import Run


class SetStart(SubjectActuator):
    """The time at which one run is to start: a state of Prefect, no worker waits for it."""

    kind = "set-run-start"
    noun = "run"

    def __init__(self, run_id: str) -> None:
        self._id = UUID(run_id)

    @property
    def where(self) -> str:
        """The run."""
        return f"run {self._id}"

    def told(self, value: Mapping[str, Any]) -> str:
        """When it is to start."""
        return f"the start {value['start']}" if value["start"] else "begun, or is gone"

    def look(self) -> Seen:
        """Its start; "" where it has begun, or is gone."""
        with prefect_client(self.where) as client:
            try:
                start = start_of(client.read_flow_run(self._id))
            except ObjectNotFound:
                start = None
        return Seen({"start": start.isoformat() if start else ""})

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """Give it a new scheduled state; its worker looks for what is due."""
        del seen
        journal.proceed(intent)
        start = datetime.fromisoformat(value["start"])
        with prefect_client(self.where) as client:
            client.set_flow_run_state(
                self._id, Scheduled(scheduled_time=start, message="its start was set by continuum")
            )
        journal.note(intent, {"id": str(self._id)}, f"asked for {value['start']}")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Its start, where it is another one."""
        del patience_s
        there = self.look().value["start"]
        return "" if there == intent.do["value"]["start"] else f"it has {self.told({'start': there})}"

    def said(self, intent: Intent) -> str:
        """When it starts."""
        return f"it starts at {intent.do['value']['start']}"


def open_start(fleet: Fleet, subject: str, kind: str) -> SubjectActuator:
    """The actuator of `prefect/RUN-ID`, of `CLUSTER/jobs/NAMESPACE/NAME`, or of a subject of `CapRequest`."""
    del kind
    if is_cap(subject):
        return open_cap(fleet, subject)
    return open_job(fleet, subject) if JOBS in subject else SetStart(subject.removeprefix("prefect/"))


APPLIERS = dict.fromkeys((SetStart.kind, StartJob.kind, *(each.kind for each in CAPS)), undo_with(open_start))


@task(name="set starts", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision]) -> list[Result]:
    """Give runs the starts, and caps the height, that were decided, where nobody has changed them since."""

    def change_of(decision: Decision) -> tuple[SubjectActuator, Planned]:
        actuator = open_start(run.fleet, decision.subject, "")
        seen, name = actuator.look(), "most" if isinstance(actuator, SetCap) else "start"
        if seen.value[name] != decision.content["seen"]:
            raise Conflict(f"has {actuator.told(seen.value)} since", where=actuator.where,
                           fix="the next pass decides anew")  # fmt: skip
        value: dict[str, Any] = {name: decision.content["cap" if name == "most" else name]}
        if isinstance(actuator, SetCap):
            actuator.refuse_below_running(value)  # and once more right before the write
        if isinstance(actuator, StartJob):
            now = decision.action == "start-now"
            value = {"start": "", "suspend": False} if now else value | {"suspend": True}
        return actuator, Planned({"value": value}, {"value": dict(seen.value)})

    return carry_out_all(run, approved, change_of, apart=True)


@task(name="finish left-over starts", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """See `settle_left_over`."""
    return settle_left_over(run, APPLIERS, open_start)
