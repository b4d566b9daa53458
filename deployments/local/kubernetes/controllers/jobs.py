"""Jobs: pods until enough of them have succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.pod_owner import controller_of, is_active, owned_by
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import clone, is_true, with_condition, with_value
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"


class Jobs(Controller):
    """Keeps `parallelism` pods active until `completions` have succeeded; a suspended Job has none."""

    resources = frozenset({JOBS, "pods"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The Job itself or a pod's controller; a pod whose Job is gone, to let it go."""
        if event.resource == JOBS:
            yield ("job", event.key)
            return
        owner = controller_of(event.state.obj)
        if owner is not None and owner["kind"] == "Job":
            yield ("job", (event.key[0], owner["name"]))
            if event.new is not None and TRACKING in event.new.obj["metadata"].get("finalizers", ()):
                yield ("pod", event.key)

    def reconcile(self, key: Work) -> None:
        """One move of one Job, or of one tracked pod."""
        what, place = key
        if what == "pod":
            self._untrack(place)
            return
        job = self.store.get(JOBS, *place)
        if job is None or "deletionTimestamp" in job.obj["metadata"] or is_true(job.obj, "Complete"):
            return
        spec, state = job.obj["spec"], job.obj.get("status", {})
        pods = self.store.owned_objects(job.uid, "pods")
        succeeded = state.get("succeeded", 0) + self._newly(pods, "Succeeded")
        failed = state.get("failed", 0) + self._newly(pods, "Failed")
        active = [pod for pod in pods if is_active(pod)]
        completions = spec.get("completions")
        finished = succeeded >= completions if completions is not None else bool(succeeded) and not active
        suspended = bool(spec.get("suspend"))
        broken = failed > spec.get("backoffLimit", 6)
        target = 0 if finished or suspended or broken else spec.get("parallelism", 1)
        if completions is not None:
            target = min(target, completions - succeeded)
        elif succeeded:
            target = min(target, len(active))
        self._fit(job, active, target)
        self._report(
            job, {"succeeded": succeeded, "failed": failed}, suspended=suspended, finished=finished, broken=broken
        )

    def _newly(self, pods: list[Stored], phase: str) -> int:
        """Ended pods that are counted now: their finalizer goes, so that each is counted once."""
        ended = [pod for pod in pods if pod.obj["status"].get("phase") == phase
                 and TRACKING in pod.obj["metadata"].get("finalizers", ())]  # fmt: skip
        for pod in ended:
            self._release(pod)
        return len(ended)

    def _untrack(self, place: tuple[str, str]) -> None:
        """A pod that is being deleted, or whose Job is gone, waits for nobody."""
        pod = self.store.get("pods", *place)
        owner = controller_of(pod.obj) if pod is not None else None
        if pod is None or owner is None or TRACKING not in pod.obj["metadata"].get("finalizers", ()):
            return
        if "deletionTimestamp" in pod.obj["metadata"] or not self.store.knows(owner["uid"]):
            self._release(pod)

    def _release(self, pod: Stored) -> None:
        finalizers = [entry for entry in pod.obj["metadata"]["finalizers"] if entry != TRACKING]
        obj = with_value(pod.obj, ("metadata", "finalizers"), finalizers or None)
        gone = "deletionTimestamp" in obj["metadata"] and not obj["metadata"].get("deletionGracePeriodSeconds")
        if gone and not finalizers:
            self.store.remove("pods", *pod.key, last=obj)
        else:
            self.store.put("pods", obj)

    def _fit(self, job: Stored, active: list[Stored], target: int) -> None:
        for pod in active[target:] if target < len(active) else ():
            delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions())
        template = job.obj["spec"]["template"]
        for _ in range(target - len(active)):
            metadata = {key: clone(value) for key, value in template.get("metadata", {}).items()
                        if key in ("labels", "annotations")}  # fmt: skip
            metadata |= {"generateName": f"{job.key[1]}-", "finalizers": [TRACKING],
                         "ownerReferences": [owned_by(job, "Job", "batch/v1")]}  # fmt: skip
            body = {"metadata": metadata, "spec": clone(template["spec"])}
            create(self.backend, self.backend.registry.of("pods"), job.key[0], body, Options())

    def _report(self, job: Stored, ended: Json, *, suspended: bool, finished: bool, broken: bool) -> None:
        current = self.store.get(JOBS, *job.key)
        if current is None:
            return
        old, now = current.obj.get("status", {}), self.backend.timestamp()
        pods = [pod for pod in self.store.owned_objects(job.uid, "pods") if is_active(pod)]
        ready = sum(1 for pod in pods if is_true(pod.obj, "Ready"))
        status: Json = {name: count for name, count in {"active": len(pods), **ended}.items() if count}
        status |= {"ready": ready, "terminating": 0, "uncountedTerminatedPods": {}}
        if not suspended:
            status["startTime"] = old.get("startTime", now)
        conditions = list(old.get("conditions", []))
        if suspended or any(entry["type"] == "Suspended" for entry in conditions):
            reason = "JobSuspended" if suspended else "JobResumed"
            entry = {"type": "Suspended", "status": "True" if suspended else "False", "reason": reason}
            conditions = with_condition(conditions, entry, now)
        if finished:
            conditions = with_condition(conditions, {"type": "Complete", "status": "True"}, now)
            status["completionTime"] = old.get("completionTime", now)
        elif broken:
            entry = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            conditions = with_condition(conditions, entry, now)
        self.set_status(JOBS, current, {**status, "conditions": conditions} if conditions else status)
