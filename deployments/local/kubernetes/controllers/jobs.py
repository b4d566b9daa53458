"""Jobs: pods until enough of them have succeeded, or too many have failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers import job_indexes
from deployments.local.kubernetes.controllers.base import Work
from deployments.local.kubernetes.controllers.pod_owner import (
    PodOwner,
    controller_of,
    from_template,
    is_active,
    is_going,
)
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Key, Stored
from deployments.local.kubernetes.trees import condition, epoch_s, is_true, with_condition, with_value

Json = dict[str, Any]

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
FIRST_S, LONGEST_S = 10.0, 600.0
"""Back-off before a failed pod is replaced, doubling (DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff)."""
_INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
"""What a Job says before it is finished, while its last pods end."""


@dataclass(frozen=True)
class Ending:
    """How a Job ends."""

    kind: str
    reason: str
    message: str


_DONE = Ending("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
_TOO_MANY = Ending("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_TOO_LATE = Ending("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")


@dataclass
class Tally:
    """Pods of a Job that have ended."""

    succeeded: int
    failed: int
    completed: set[int]


def finish(job: Stored) -> str:
    """How a Job has ended: Complete or Failed; "" while it has not."""
    return next((kind for kind in _INTERIM if is_true(job.obj, kind)), "")


def pod_backoff_s(failures: int) -> float:
    """Seconds before the next pod, after so many failures without a success.

    >>> [pod_backoff_s(failures) for failures in (0, 1, 2, 9)]
    [0.0, 10.0, 20.0, 600.0]
    """
    return float(min(FIRST_S * 2 ** (failures - 1), LONGEST_S)) if failures else 0.0


class Jobs(PodOwner):
    """Keeps `parallelism` pods active until `completions` have succeeded; a suspended Job has none.

    Every pod carries a finalizer until it has been counted, so that each is counted once.
    """

    resources = frozenset({JOBS, "pods"})
    component = "job-controller"
    resource, kind, api_version = JOBS, "Job", "batch/v1"

    def prepare(self) -> None:
        """No pod has failed yet."""
        super().prepare()
        self._failures: dict[str, tuple[int, float]] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """As for all owners of pods; a pod that is still to be counted, to let it go when its Job is gone."""
        yield from super().keys(event)
        if event.resource == JOBS:
            if event.new is None:
                self._failures.pop(event.state.uid, None)
        elif event.new is not None and _is_tracked(event.new):
            yield ("pod", *event.key)

    def reconcile(self, key: Work) -> None:
        """One move of one Job, or the release of one pod that nobody counts."""
        if len(key) == 3:
            self._release_left(key[1:])
            return
        job = self.store.get(JOBS, *key)
        if job is None or "deletionTimestamp" in job.obj["metadata"]:
            return
        if finish(job):
            self._expire(job)
            return
        pods = self.claimed(job)
        tally = self._count(job, pods)
        left = [now for pod in pods if (now := self.store.get("pods", *pod.key)) is not None]
        active = [pod for pod in left if is_active(pod)]
        if (ending := self._ending(job, tally, active)) is not None or job.obj["spec"].get("suspend"):
            self._end(job, active)
        else:
            self._fit(job, tally, active, [pod for pod in left if is_going(pod)])
        self._report(job, tally, ending)

    def _release_left(self, place: Key) -> None:
        """A pod whose Job is gone or finished waits for nobody."""
        pod = self.store.get("pods", *place)
        owner = controller_of(pod.obj) if pod is not None else None
        if pod is None or owner is None or not _is_tracked(pod):
            return
        job = self.store.get(JOBS, place[0], owner["name"])
        if job is None or job.uid != owner["uid"] or finish(job) or "deletionTimestamp" in job.obj["metadata"]:
            self._release(pod)

    def _release(self, pod: Stored) -> Stored:
        finalizers = [entry for entry in pod.obj["metadata"]["finalizers"] if entry != TRACKING]
        obj = with_value(pod.obj, ("metadata", "finalizers"), finalizers or None)
        gone = is_going(pod) and not obj["metadata"].get("deletionGracePeriodSeconds")
        return self.store.remove("pods", *pod.key, last=obj) if gone and not finalizers else self.store.put("pods", obj)

    def _expire(self, job: Stored) -> None:
        """Delete a finished Job after its time to live."""
        left_s = job.obj["spec"].get("ttlSecondsAfterFinished")
        if left_s is None:
            return
        ended = condition(job.obj, finish(job)) or {}
        due_s = epoch_s(ended["lastTransitionTime"]) + left_s
        if self.backend.now_s() < due_s:
            self.again_at(due_s, job.key)
        else:
            delete(self.backend, self.backend.registry.of(JOBS), *job.key, DeleteOptions("Background"))

    def _count(self, job: Stored, pods: list[Stored]) -> Tally:
        """Count the pods that have ended since the last look, and let them go."""
        status, spec = job.obj.get("status", {}), job.obj["spec"]
        tally = Tally(status.get("succeeded", 0), status.get("failed", 0),
                      job_indexes.read(status.get("completedIndexes", "")))  # fmt: skip
        indexed, waits = spec.get("completionMode") == "Indexed", spec.get("podReplacementPolicy") == "Failed"
        for pod in filter(_is_tracked, pods):
            phase = pod.obj["status"].get("phase")
            if phase == "Succeeded":
                index = job_indexes.index_of(pod)
                fresh = not indexed or (index is not None and index not in tally.completed)
                tally.completed |= {index} if indexed and index is not None else set()
                tally.succeeded += fresh
                self._failures.pop(job.uid, None)
            elif phase == "Failed" or (is_going(pod) and not waits):
                tally.failed += 1
                self._failures[job.uid] = (self._failures.get(job.uid, (0, 0.0))[0] + 1, self.backend.now_s())
            else:
                continue
            self._release(pod)
        return tally

    def _ending(self, job: Stored, tally: Tally, active: list[Stored]) -> Ending | None:
        """How a Job is to end; None while it goes on."""
        for kind, interim in _INTERIM.items():
            if (entry := condition(job.obj, interim)) is not None and entry["status"] == "True":
                return Ending(kind, entry.get("reason", ""), entry.get("message", ""))
        spec, limit = job.obj["spec"], job.obj["spec"].get("backoffLimit", 6)
        restarts = sum(entry.get("restartCount", 0) for pod in active
                       for entry in pod.obj["status"].get("containerStatuses", ()))  # fmt: skip
        again = spec["template"]["spec"].get("restartPolicy") == "OnFailure" and restarts
        if tally.failed > limit or (again and restarts >= max(limit, 1)):
            return _TOO_MANY
        if self._is_late(job):
            return _TOO_LATE
        completions = spec.get("completions")
        enough = tally.succeeded >= completions if completions is not None else bool(tally.succeeded) and not active
        return _DONE if enough else None

    def _is_late(self, job: Stored) -> bool:
        limit_s, started = job.obj["spec"].get("activeDeadlineSeconds"), job.obj.get("status", {}).get("startTime")
        if limit_s is None or started is None or job.obj["spec"].get("suspend"):
            return False
        due_s = epoch_s(started) + limit_s
        if self.backend.now_s() >= due_s:
            return True
        self.again_at(due_s, job.key)
        return False

    def _end(self, job: Stored, pods: Iterable[Stored]) -> None:
        """Delete pods without counting them as failed."""
        for pod in pods:
            self.end_pod(job, self._release(pod) if _is_tracked(pod) else pod)

    def _fit(self, job: Stored, tally: Tally, active: list[Stored], going: list[Stored]) -> None:
        """Create or delete pods, not sooner than the last failure allows."""
        spec, parallel = job.obj["spec"], job.obj["spec"].get("parallelism", 1)
        completions, waits = spec.get("completions"), spec.get("podReplacementPolicy") == "Failed"
        if completions is not None:
            target = min(parallel, completions - tally.succeeded)
        else:
            target = min(parallel, len(active)) if tally.succeeded else parallel
        if len(active) > target:
            unready_first = sorted(active, key=lambda pod: (is_true(pod.obj, "Ready"), pod.key))
            self._end(job, unready_first[: len(active) - target])
            return
        count = target - len(active) - (len(going) if waits else 0)
        failures, since_s = self._failures.get(job.uid, (0, 0.0))
        due_s = since_s + pod_backoff_s(failures)
        if count > 0 and self.backend.now_s() < due_s:
            self.again_at(due_s, job.key)
            return
        count = self.granted(job, count)
        if spec.get("completionMode") == "Indexed":
            busy = [*active, *going] if waits else active
            for index in job_indexes.missing(completions or 0, tally.completed, busy, count):
                self._create(job, index)
        else:
            for _ in range(count):
                self._create(job, None)

    def _create(self, job: Stored, index: int | None) -> None:
        metadata, spec = from_template(job.obj["spec"]["template"])
        metadata |= {"generateName": f"{job.key[1]}-", "finalizers": [*metadata.get("finalizers", ()), TRACKING]}
        if index is not None:
            metadata, spec = job_indexes.numbered(job.key[1], index, metadata, spec)
        self.make_pod(job, metadata, spec)

    def _report(self, job: Stored, tally: Tally, ending: Ending | None) -> None:
        current = self.store.get(JOBS, *job.key)
        if current is None:
            return
        old, now, suspended = current.obj.get("status", {}), self.backend.timestamp(), job.obj["spec"].get("suspend")
        pods = self.store.owned_objects(job.uid, "pods")
        active = [pod for pod in pods if is_active(pod)]
        going = [pod for pod in pods if is_going(pod) and pod.obj["status"].get("phase") not in ("Succeeded", "Failed")]
        counts = {"active": len(active), "succeeded": tally.succeeded, "failed": tally.failed,
                  "completedIndexes": job_indexes.written(tally.completed)}  # fmt: skip
        status: Json = {name: count for name, count in counts.items() if count}
        status |= {"ready": sum(is_true(pod.obj, "Ready") for pod in active), "terminating": len(going),
                   "uncountedTerminatedPods": {}}  # fmt: skip
        if not suspended:
            status["startTime"] = old.get("startTime", now)
        conditions = _with_suspension(list(old.get("conditions", [])), now, suspended=bool(suspended))
        if ending is not None:
            conditions = self._with_ending(job, conditions, ending, over=not active and not going)
            if ending.kind == "Complete" and any(entry["type"] == "Complete" for entry in conditions):
                status["completionTime"] = now
        written = self.set_status(JOBS, current, {**status, "conditions": conditions} if conditions else status)
        if "startTime" in status and "startTime" not in old:
            self._is_late(written)

    def _with_ending(self, job: Stored, conditions: list[Json], ending: Ending, *, over: bool) -> list[Json]:
        """Conditions of a Job that ends, or, when its last pod has ended, has ended."""
        kinds = [_INTERIM[ending.kind], *([ending.kind] if over else [])]
        for kind in kinds:
            entry = {"type": kind, "status": "True", "reason": ending.reason, "message": ending.message}
            conditions = with_condition(conditions, entry, self.backend.timestamp())
        if over:
            done = ending.kind == "Complete"
            self.note(job, self.kind, self.api_version, reason="Completed" if done else ending.reason, warning=not done,
                      message="Job completed" if done else ending.message)  # fmt: skip
        return conditions


def _is_tracked(pod: Stored) -> bool:
    return TRACKING in pod.obj["metadata"].get("finalizers", ())


def _with_suspension(conditions: list[Json], now: str, *, suspended: bool) -> list[Json]:
    if not suspended and not any(entry["type"] == "Suspended" for entry in conditions):
        return conditions
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    entry = {"type": "Suspended", "status": "True" if suspended else "False", "reason": reason, "message": message}
    return with_condition(conditions, entry, now)
