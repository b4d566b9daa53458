"""DaemonSets: one pod on every node that fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Work
from deployments.local.kubernetes.controllers.controller_revisions import HASH, ControllerRevisions
from deployments.local.kubernetes.controllers.daemon_nodes import fits, node_of, tied
from deployments.local.kubernetes.controllers.pod_owner import PodOwner, from_template, is_going
from deployments.local.kubernetes.controllers.rollout_sizes import share
from deployments.local.kubernetes.store import Event, Key, Stored
from deployments.local.kubernetes.trees import dig, is_true

Json = dict[str, Any]
ByNode = dict[str, list[Stored]]

DAEMON_SETS = "daemonsets.apps"
_FIRST_S, _LONGEST_S = 1.0, 900.0
"""Back-off before a failed pod is replaced, by DaemonSet and node (failedPodsBackoff)."""
_ENDED = ("Succeeded", "Failed")


class DaemonSets(PodOwner):
    """Keeps one pod on every node that fits, and replaces pods of an older template."""

    resources = frozenset({DAEMON_SETS, "pods", "nodes"})
    component = "daemonset-controller"
    resource, kind, api_version = DAEMON_SETS, "DaemonSet", "apps/v1"

    def prepare(self) -> None:
        """No pod has failed yet."""
        super().prepare()
        self._revisions = ControllerRevisions(self.backend, self.kind)
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """As for all owners of pods; every DaemonSet when what a node offers has changed."""
        if event.resource != "nodes":
            yield from super().keys(event)
        elif _offer(event.old) != _offer(event.new):
            yield from (entry.key for entry in self.store.sorted(DAEMON_SETS))

    def reconcile(self, key: Work) -> None:
        """One move of one DaemonSet, and its report."""
        owner = self.store.get(DAEMON_SETS, *key)
        if owner is None or "deletionTimestamp" in owner.obj["metadata"]:
            return
        template = owner.obj["spec"]["template"]["spec"]
        fit = {node.key[1]: fits(template, node.obj) for node in self.store.sorted("nodes")}
        there = _by_node(self.claimed(owner))
        label = self._revisions.present(owner).obj["metadata"]["labels"][HASH]
        self._manage(owner, fit, there, label)
        there = _by_node(self.store.owned_objects(owner.uid, "pods"))
        if dig(owner.obj, "spec", "updateStrategy", "type") != "OnDelete":
            self._roll(owner, fit, there, label)
        self._report(owner.key, fit, label)
        self._revisions.forget(owner, {pod.obj["metadata"].get("labels", {}).get(HASH, "")
                                       for pods in there.values() for pod in pods})  # fmt: skip

    def _manage(self, owner: Stored, fit: dict[str, tuple[bool, bool]], there: ByNode, label: str) -> None:
        """Create the pods that are missing, delete those that are too many or out of place."""
        for name, (should_run, may_stay) in fit.items():
            pods = there.get(name, [])
            if should_run and not pods:
                self._create(owner, name, label)
            elif may_stay:
                self._tidy(owner, name, pods)
            else:
                self._end(owner, pods)
        for name in sorted(there.keys() - fit.keys()):
            if name:  # the node is gone, and nobody else deletes a pod that was never bound to it
                self._end(owner, [pod for pod in there[name] if not pod.obj["spec"].get("nodeName")])

    def _tidy(self, owner: Stored, node: str, pods: list[Stored]) -> None:
        """Of the pods on a node, ended ones go, and of those of one template all but the oldest."""
        staying = [pod for pod in pods if not is_going(pod)]
        for pod in staying:
            if pod.obj["status"].get("phase") in _ENDED and self._has_waited(owner, node, pod):
                why = f"Found failed daemon pod {'/'.join(pod.key)} on node {node}, will try to kill it"
                self.note(owner, self.kind, self.api_version, reason="FailedDaemonPod", message=why, warning=True)
                self.end_pod(owner, pod)
        alive: dict[str, list[Stored]] = {}
        for pod in sorted(staying, key=_age):
            if pod.obj["status"].get("phase") not in _ENDED:
                alive.setdefault(pod.obj["metadata"].get("labels", {}).get(HASH, ""), []).append(pod)
        for group in alive.values():
            self._end(owner, group[1:])

    def _has_waited(self, owner: Stored, node: str, pod: Stored) -> bool:
        """Whether a failed pod's back-off is over; the next one of its node waits twice as long."""
        if pod.obj["status"]["phase"] != "Failed":
            return True
        now_s, place = self.backend.now_s(), (owner.uid, node)
        failures, until_s = self._failures.get(place, (0, 0.0))
        if now_s > until_s + 2 * _LONGEST_S:
            failures = 0
        if now_s < until_s:
            self.again_at(until_s, owner.key)
            return False
        self._failures[place] = (failures + 1, now_s + min(_FIRST_S * 2**failures, _LONGEST_S))
        return True

    def _end(self, owner: Stored, pods: list[Stored]) -> None:
        for pod in pods:
            if not is_going(pod):
                self.end_pod(owner, pod)

    def _create(self, owner: Stored, node: str, label: str) -> None:
        metadata, spec = from_template(owner.obj["spec"]["template"])
        metadata["labels"] = {**metadata.get("labels", {}), HASH: label}
        self.make_pod(owner, {**metadata, "generateName": f"{owner.key[1]}-"}, tied(spec, node))

    def _roll(self, owner: Stored, fit: dict[str, tuple[bool, bool]], there: ByNode, label: str) -> None:
        """Replace pods of older templates: with maxSurge a new one comes first, else the old one goes first."""
        rolling = dig(owner.obj, "spec", "updateStrategy", "rollingUpdate", default={})
        names = [name for name, (should_run, _) in fit.items() if should_run]
        surge = share(rolling.get("maxSurge", 0), len(names), up=True)
        unavailable = share(rolling.get("maxUnavailable", 0 if surge else 1), len(names), up=True)
        found = {name: _old_and_new(there.get(name, []), label) for name in names}
        if surge:
            self._surge(owner, found, surge, label)
        else:
            self._replace(owner, found, max(unavailable, 1))

    def _replace(self, owner: Stored, found: dict[str, tuple[list[Stored], list[Stored]]], most: int) -> None:
        """Delete old pods: those that do not work at once, others while not too many are missing."""
        missing, working = 0, []
        for old, new in found.values():
            if new or not old:
                missing += not any(self.is_available(owner, pod) for pod in new)
            elif not is_going(old[0]) and self.is_available(owner, old[0]):
                working.append(old[0])
            else:
                missing += 1
                self._end(owner, old)
        self._end(owner, working[: max(most - missing, 0)])

    def _surge(
        self, owner: Stored, found: dict[str, tuple[list[Stored], list[Stored]]], surge: int, label: str
    ) -> None:
        """Start new pods beside old ones, which go when their successor works."""
        beside, waiting = 0, []
        for name, (old, new) in found.items():
            if not old:
                continue
            if not new:
                if self.is_available(owner, old[0]) and not is_going(old[0]):
                    waiting.append(name)
                else:
                    beside += 1
                    self._create(owner, name, label)
            elif any(self.is_available(owner, pod) for pod in new):
                self._end(owner, old)
            else:
                beside += 1
        for name in waiting[: max(surge - beside, 0)]:
            self._create(owner, name, label)

    def _report(self, key: Key, fit: dict[str, tuple[bool, bool]], label: str) -> None:
        owner = self.store.get(DAEMON_SETS, *key)
        if owner is None:
            return
        there = _by_node(self.store.owned_objects(owner.uid, "pods"))
        wanted = [name for name, (should_run, _) in fit.items() if should_run]
        oldest = [min(there[name], key=_age) for name in wanted if name in there]
        ready = [pod for pod in oldest if is_true(pod.obj, "Ready")]
        available = sum(self.is_available(owner, pod) for pod in ready)
        updated = sum(any(_is_of(pod, label) for pod in there.get(name, ())) for name in wanted)
        status = {
            "currentNumberScheduled": len(oldest), "desiredNumberScheduled": len(wanted), "numberReady": len(ready),
            "numberMisscheduled": sum(1 for name, (should_run, _) in fit.items() if not should_run and name in there),
            "observedGeneration": owner.obj["metadata"].get("generation", 1),
        }  # fmt: skip
        counts = {"updatedNumberScheduled": updated, "numberAvailable": available,
                  "numberUnavailable": len(wanted) - available}  # fmt: skip
        self.set_status(DAEMON_SETS, owner, {**status, **{name: count for name, count in counts.items() if count}})


def _is_of(pod: Stored, label: str) -> bool:
    return bool(pod.obj["metadata"].get("labels", {}).get(HASH) == label)


def _age(pod: Stored) -> tuple[str, Key]:
    return pod.obj["metadata"]["creationTimestamp"], pod.key


def _by_node(pods: Iterable[Stored]) -> ByNode:
    found: ByNode = {}
    for pod in sorted(pods, key=_age):
        found.setdefault(node_of(pod.obj["spec"]), []).append(pod)
    return found


def _old_and_new(pods: list[Stored], label: str) -> tuple[list[Stored], list[Stored]]:
    return [pod for pod in pods if not _is_of(pod, label)], [pod for pod in pods if _is_of(pod, label)]


def _offer(node: Stored | None) -> Any:
    """What of a node matters to DaemonSets."""
    return None if node is None else (node.obj["metadata"].get("labels"), dig(node.obj, "spec", "taints"))
