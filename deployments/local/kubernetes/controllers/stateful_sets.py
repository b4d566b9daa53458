"""StatefulSets: pods with a number, created upwards and deleted downwards, each with its own volumes."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.controllers.base import Work
from deployments.local.kubernetes.controllers.controller_revisions import HASH, ControllerRevisions, template_of
from deployments.local.kubernetes.controllers.pod_owner import BURST, PodOwner, from_template, is_going
from deployments.local.kubernetes.controllers.rollout_sizes import share
from deployments.local.kubernetes.controllers.volume_claims import VolumeClaims
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import dig, is_true

Json = dict[str, Any]

STATEFUL_SETS = "statefulsets.apps"
POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"^(.*)-(\d+)$")
_ENDED = ("Succeeded", "Failed")


def ordinal(owner: Stored, pod: Stored) -> int | None:
    """Number of a StatefulSet's pod; None for a pod with another's name."""
    match = _NAME.match(pod.key[1])
    return int(match[2]) if match is not None and match[1] == owner.key[1] else None


def _has_come(pod: Stored) -> bool:
    """Whether a pod runs and is Ready."""
    return pod.obj["status"].get("phase") == "Running" and is_true(pod.obj, "Ready")


class StatefulSets(PodOwner):
    """Works through the numbers of one StatefulSet, and stops at the first that has to be waited for.

    As Kubernetes' defaultStatefulSetControl; with `podManagementPolicy: Parallel` nothing is waited for.
    """

    resources = frozenset({STATEFUL_SETS, "pods"})
    component = "statefulset-controller"
    resource, kind, api_version = STATEFUL_SETS, "StatefulSet", "apps/v1"

    def prepare(self) -> None:
        """Revisions and claims are objects of their own."""
        super().prepare()
        self._revisions = ControllerRevisions(self.backend, self.kind)
        self._claims = VolumeClaims(self.backend)

    def may_adopt(self, owner: Stored, orphan: Stored) -> bool:
        """Only a pod whose name is one of its own."""
        return ordinal(owner, orphan) is not None

    def reconcile(self, key: Work) -> None:
        """One move of one StatefulSet, and its report."""
        owner = self.store.get(STATEFUL_SETS, *key)
        if owner is None or "deletionTimestamp" in owner.obj["metadata"]:
            return
        pods = {number: pod for pod in self.claimed(owner) if (number := ordinal(owner, pod)) is not None}
        update = self._revisions.present(owner)
        known = {entry.key[1]: entry for entry in self._revisions.all(owner)}
        current = known.get(dig(owner.obj, "status", "currentRevision", default=""), update)
        if self._fit(owner, pods, current, update):
            self._roll(owner, pods, update)
        pods = {number: pod for number in pods if (pod := self.store.get("pods", *pods[number].key)) is not None}
        self._report(owner, current, update)
        used = {current.key[1], update.key[1]} | {pod.obj["metadata"]["labels"].get(HASH, "") for pod in pods.values()}
        self._revisions.forget(owner, used)

    def _fit(self, owner: Stored, pods: dict[int, Stored], current: Stored, update: Stored) -> bool:
        """Create and delete pods by number; whether all are as they should be, or none has to be waited for."""
        wanted, ordered = _numbers(owner), owner.obj["spec"].get("podManagementPolicy") != "Parallel"
        for number in wanted[: len(pods) + BURST]:  # no more can be made at once
            if not self._see_to(owner, pods.get(number), number, current, update) and ordered:
                return False
        for number in sorted((number for number in pods if number not in wanted), reverse=True):
            pod, earlier = pods[number], [pods[other] for other in sorted(pods) if not _is_well(pods[other])]
            if not is_going(pod):
                waits = not self.is_available(owner, pod) and earlier[:1] != [pod]
                if ordered and waits:
                    return False
                self._claims.condemn(owner, pod)
                self.end_pod(owner, pod)
            if ordered:
                return False
        return True

    def _see_to(self, owner: Stored, pod: Stored | None, number: int, current: Stored, update: Stored) -> bool:
        """Bring one number to a running pod; whether it is there and available."""
        if pod is None and self.granted(owner, 1):
            self._create(owner, number, current if _needs_current(owner, number) else update)
        if pod is None:
            return False
        if pod.obj["status"].get("phase") in _ENDED:
            if not is_going(pod):
                why = f"StatefulSet {'/'.join(owner.key)} is recreating failed Pod {pod.key[1]}"
                self.note(owner, self.kind, self.api_version, reason="RecreatingFailedPod", message=why, warning=True)
                self.end_pod(owner, pod)
            return False
        return not is_going(pod) and _has_come(pod) and self.is_available(owner, pod)

    def _create(self, owner: Stored, number: int, revision: Stored) -> None:
        metadata, spec = from_template(template_of(revision))
        name = f"{owner.key[1]}-{number}"
        metadata["name"] = name
        metadata["labels"] = {**metadata.get("labels", {}), HASH: revision.key[1], POD_NAME: name,
                              POD_INDEX: str(number)}  # fmt: skip
        spec["hostname"] = name
        if service := owner.obj["spec"].get("serviceName"):
            spec["subdomain"] = service
        spec["volumes"] = [*self._claims.make(owner, name), *(
            volume for volume in spec.get("volumes", ()) if volume["name"] not in self._claims.names(owner)
        )]  # fmt: skip
        self.make_pod(owner, metadata, spec)

    def _roll(self, owner: Stored, pods: dict[int, Stored], update: Stored) -> None:
        """Delete pods of older templates, the highest number first; they come back with the present one."""
        strategy = owner.obj["spec"].get("updateStrategy", {})
        if strategy.get("type") == "OnDelete":
            return
        rolling = strategy.get("rollingUpdate", {})
        first = rolling.get("partition", 0)
        left = max(share(rolling.get("maxUnavailable", 1), len(_numbers(owner)), up=True), 1)
        for number in reversed(_numbers(owner)):
            pod = pods.get(number)
            if left <= 0 or number < first:
                return
            if pod is None or is_going(pod):
                left -= 1
            elif pod.obj["metadata"]["labels"].get(HASH) != update.key[1]:
                self.end_pod(owner, pod)
                left -= 1
            elif not _has_come(pod) or not self.is_available(owner, pod):
                left -= 1

    def _report(self, owner: Stored, current: Stored, update: Stored) -> None:
        entry = self.store.get(STATEFUL_SETS, *owner.key)
        if entry is None:
            return
        pods = [pod for pod in self.store.owned_objects(owner.uid, "pods") if ordinal(owner, pod) is not None]
        come = [pod for pod in pods if _has_come(pod) and not is_going(pod)]
        revisions = [pod.obj["metadata"]["labels"].get(HASH) for pod in pods if not is_going(pod)]
        status = {
            "observedGeneration": entry.obj["metadata"].get("generation", 1), "replicas": len(pods),
            "readyReplicas": len(come), "availableReplicas": sum(self.is_available(owner, pod) for pod in come),
            "currentReplicas": revisions.count(current.key[1]), "updatedReplicas": revisions.count(update.key[1]),
            "currentRevision": current.key[1], "updateRevision": update.key[1], "collisionCount": 0,
        }  # fmt: skip
        rolling = dig(owner.obj, "spec", "updateStrategy", "type") != "OnDelete"
        if rolling and status["updatedReplicas"] == status["replicas"] == status["readyReplicas"]:
            status |= {"currentRevision": update.key[1], "currentReplicas": status["updatedReplicas"]}
        self.set_status(STATEFUL_SETS, entry, _without_zeros(status))


def _numbers(owner: Stored) -> range:
    start = dig(owner.obj, "spec", "ordinals", "start", default=0)
    return range(start, start + owner.obj["spec"].get("replicas", 1))


def _needs_current(owner: Stored, number: int) -> bool:
    """Whether a new pod is to be of the template before the rollout: below the partition."""
    strategy = owner.obj["spec"].get("updateStrategy", {})
    if strategy.get("type") == "OnDelete" or "rollingUpdate" not in strategy:
        start = _numbers(owner).start
        return number < start + int(dig(owner.obj, "status", "currentReplicas", default=0))
    return bool(number < strategy["rollingUpdate"].get("partition", 0))


def _is_well(pod: Stored) -> bool:
    return _has_come(pod) and not is_going(pod)


def _without_zeros(status: Json) -> Json:
    """Counters that a real server leaves out while they are 0."""
    kept = ("replicas", "availableReplicas", "collisionCount")
    return {name: value for name, value in status.items() if value or name in kept}
