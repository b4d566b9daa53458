"""CronJobs: a Job whenever the schedule is due, in simulated time."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.cron import BadSchedule, Schedule, parse
from deployments.local.kubernetes.controllers.jobs import JOBS, finish
from deployments.local.kubernetes.controllers.pod_owner import controller_of, owned_by
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import clone, dig, epoch_s, timestamp
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

CRON_JOBS = "cronjobs.batch"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_KEPT = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))
"""How many finished Jobs stay, by how they ended: field and default."""


class CronJobs(Controller):
    """Starts, counts and clears away the Jobs of each CronJob."""

    resources = frozenset({CRON_JOBS, JOBS})
    component = "cronjob-controller"

    def keys(self, event: Event) -> Iterable[Work]:
        """The CronJob itself, or the controller of a Job."""
        if event.resource == CRON_JOBS:
            yield event.key
        elif (owner := controller_of(event.state.obj)) is not None and owner["kind"] == "CronJob":
            yield (event.key[0], owner["name"])

    def reconcile(self, key: Work) -> None:
        """Clear away, report, and start what is due."""
        owner = self.store.get(CRON_JOBS, *key)
        if owner is None or "deletionTimestamp" in owner.obj["metadata"]:
            return
        jobs = sorted(self.store.owned_objects(owner.uid, JOBS), key=_age)
        self._clear(owner, jobs)
        owner = self._report(owner, jobs)
        spec = owner.obj["spec"]
        if spec.get("suspend"):
            return
        try:
            schedule = parse(spec["schedule"], spec.get("timeZone", ""))
        except BadSchedule as error:
            self._say(owner, "UnparseableSchedule", f"unparsable schedule: {spec['schedule']}: {error}", warning=True)
            return
        self._start_if_due(owner, schedule, [job for job in jobs if not finish(job)])
        if (next_s := schedule.after(self.backend.now_s())) is not None:
            self.again_at(next_s, key)

    def _clear(self, owner: Stored, jobs: list[Stored]) -> None:
        for kind, field, default in _KEPT:
            ended = [job for job in jobs if finish(job) == kind]
            for job in ended[: max(len(ended) - owner.obj["spec"].get(field, default), 0)]:
                self._delete(owner, job)

    def _delete(self, owner: Stored, job: Stored) -> None:
        delete(self.backend, self.backend.registry.of(JOBS), *job.key, DeleteOptions("Background"))
        self._say(owner, "SuccessfulDelete", f"Deleted job {job.key[1]}")

    def _say(self, owner: Stored, reason: str, message: str, *, warning: bool = False) -> None:
        self.note(owner, "CronJob", "batch/v1", reason=reason, message=message, warning=warning)

    def _report(self, owner: Stored, jobs: list[Stored], **more: Any) -> Stored:
        """List the Jobs that run, and when the last one succeeded."""
        status = {key: value for key, value in owner.obj.get("status", {}).items() if key != "active"} | more
        active = [{"kind": "Job", "apiVersion": "batch/v1", "namespace": job.key[0], "name": job.key[1], "uid": job.uid}
                  for job in jobs if not finish(job)]  # fmt: skip
        ends = [dig(job.obj, "status", "completionTime", default="") for job in jobs if finish(job) == "Complete"]
        if last := max([*ends, status.get("lastSuccessfulTime", "")], default=""):
            status["lastSuccessfulTime"] = last
        return self.set_status(CRON_JOBS, owner, {**status, "active": active} if active else status)

    def _start_if_due(self, owner: Stored, schedule: Schedule, active: list[Stored]) -> None:
        spec, now_s = owner.obj["spec"], self.backend.now_s()
        since = dig(owner.obj, "status", "lastScheduleTime", default=owner.obj["metadata"]["creationTimestamp"])
        deadline_s = spec.get("startingDeadlineSeconds")
        since_s = epoch_s(since) if deadline_s is None else max(epoch_s(since), now_s - deadline_s)
        due_s = schedule.latest(since_s, now_s)
        if due_s is None:
            return
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            self._say(owner, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency "
                                                 "policy is Forbid")  # fmt: skip
            return
        if policy == "Replace":
            for job in active:
                self._delete(owner, job)
        self._start(owner, schedule, due_s)

    def _start(self, owner: Stored, schedule: Schedule, due_s: float) -> None:
        template = owner.obj["spec"]["jobTemplate"]
        local = datetime.datetime.fromtimestamp(due_s, schedule.zone).isoformat().replace("+00:00", "Z")
        metadata = {key: clone(value) for key, value in template.get("metadata", {}).items()
                    if key in ("labels", "annotations")}  # fmt: skip
        metadata["annotations"] = {**metadata.get("annotations", {}), SCHEDULED_AT: local}
        metadata |= {"name": f"{owner.key[1]}-{int(due_s) // 60}",
                     "ownerReferences": [owned_by(owner, "CronJob", "batch/v1")]}  # fmt: skip
        body = {"metadata": metadata, "spec": clone(template.get("spec", {}))}
        try:
            job = create(self.backend, self.backend.registry.of(JOBS), owner.key[0], body, Options())
        except StatusError as error:
            if error.reason != "AlreadyExists":
                self._say(owner, "FailedCreate", f"Error creating job: {error.what}", warning=True)
                raise
        else:
            self._say(owner, "SuccessfulCreate", f"Created job {job.key[1]}")
        jobs = sorted(self.store.owned_objects(owner.uid, JOBS), key=_age)
        self._report(owner, jobs, lastScheduleTime=timestamp(due_s))


def _age(job: Stored) -> tuple[str, str]:
    return job.obj["metadata"]["creationTimestamp"], job.key[1]
