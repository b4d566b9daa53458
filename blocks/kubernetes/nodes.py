"""Nodes and the pods on them: count by pool, cordon, evict, drain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blocks.errors import Conflict, NotFound, Refused, Throttled, Unreachable
from blocks.fleet import Provider
from blocks.kubernetes.connection import Connection, Object, path_of

# The label that each provider puts on a node, with its pool's name; k3s has none of its own.
POOL_LABEL = {
    Provider.EKS: "eks.amazonaws.com/nodegroup",
    Provider.GKE: "cloud.google.com/gke-nodepool",
    Provider.AKS: "kubernetes.azure.com/agentpool",
    Provider.K3S: "continuum.io/node-pool",
}
KARPENTER_LABEL = "karpenter.sh/nodepool"  # on the nodes that Karpenter makes, with the name of its NodePool
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
NEVER_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True)
class PoolNodes:
    """The nodes that one pool has in Kubernetes, by number: all, Ready, and Ready and open for pods."""

    nodes: int
    ready: int
    schedulable: int


def is_ready(node: Object) -> bool:
    """Whether the node's Ready condition is True."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)


def is_schedulable(node: Object) -> bool:
    """Whether the node is not cordoned."""
    return not (node.get("spec") or {}).get("unschedulable")


def is_under_pressure(node: Object) -> bool:
    """Whether its kubelet lacks memory, disk or process ids, and evicts pods or is about to."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in PRESSURES and each.get("status") == "True" for each in conditions)


def count_by_pool(nodes: Iterable[Object], provider: Provider) -> dict[str, PoolNodes]:
    """Nodes of each pool by the provider's label; nodes without it belong to none."""
    return count_by_label(nodes, POOL_LABEL[provider])


def count_by_label(nodes: Iterable[Object], label: str) -> dict[str, PoolNodes]:
    """Nodes by the value of a label; nodes without it do not count.

    >>> count_by_label([{"metadata": {"labels": {"continuum.io/node-pool": "edge"}}}], "continuum.io/node-pool")
    {'edge': PoolNodes(nodes=1, ready=0, schedulable=0)}
    """
    counts: dict[str, PoolNodes] = {}
    for node in nodes:
        pool = (node["metadata"].get("labels") or {}).get(label)
        if pool is None:
            continue
        so_far, ready = counts.get(pool, PoolNodes(0, 0, 0)), is_ready(node)
        counts[pool] = PoolNodes(
            so_far.nodes + 1, so_far.ready + ready, so_far.schedulable + (ready and is_schedulable(node))
        )
    return counts


def must_leave(pod: Object) -> bool:
    """Whether a drain has to move the pod: not finished, not of a DaemonSet, not a static pod's mirror."""
    metadata = pod["metadata"]
    daemon = any(owner.get("kind") == "DaemonSet" for owner in metadata.get("ownerReferences") or ())
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not (daemon or finished or MIRROR in (metadata.get("annotations") or {}))


def why_not_evict(pod: Object) -> str | None:
    """What would be lost by evicting the pod, or None."""
    metadata = pod["metadata"]
    if not any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()):
        return "no controller would start it again"
    if (metadata.get("annotations") or {}).get(NEVER_EVICT) == "false":
        return f"it is annotated {NEVER_EVICT}: false"
    return None


class NodeVerbs(Connection):
    """Verbs on nodes and their pods."""

    def nodes(self, label_selector: str = "") -> list[Object]:
        """All nodes, by name."""
        return self.list("nodes", label_selector=label_selector)

    def pods(self, *, node: str = "", namespace: str | None = None, label_selector: str = "") -> list[Object]:
        """Pods, of one node where it is named."""
        field = f"spec.nodeName={node}" if node else ""
        return self.list("pods", namespace, label_selector=label_selector, field_selector=field)

    def cordon(
        self, name: str, *, resource_version: str | None = None, annotations: Mapping[str, str | None] | None = None
    ) -> Object:
        """Close the node for new pods (and set annotations in the same write); `Conflict` where it changed since."""
        return self._close(name, True, resource_version, annotations)

    def uncordon(
        self, name: str, *, resource_version: str | None = None, annotations: Mapping[str, str | None] | None = None
    ) -> Object:
        """Open the node for new pods."""
        return self._close(name, None, resource_version, annotations)

    def evict(
        self, namespace: str, name: str, *, uid: str = "", timeout_s: float = 60.0, dry_run: bool = False
    ) -> None:
        """Ask the API to evict a pod, again and again while its disruption budget is spent; never by force.

        With `uid` a new pod of the same name is left alone. A pod that is gone counts as evicted.

        Raises
        ------
        Refused: the budget allowed nothing for `timeout_s` seconds, or two budgets cover the pod.
        """
        options: Object = {"preconditions": {"uid": uid}} if uid else {}
        options |= {"dryRun": ["All"]} if dry_run else {}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        body |= {"deleteOptions": options} if options else {}
        deadline, wait_s = self._clock() + timeout_s, FIRST_WAIT_S
        while True:
            try:
                self.request("POST", path_of("pods", name, namespace, "eviction"), body=body)
            except NotFound:
                return
            except Conflict:
                if uid:
                    return
                raise
            except Throttled as busy:
                if self._clock() + wait_s > deadline:
                    raise self._not_allowed(namespace, name, f"{busy.what}, for {timeout_s:g} s") from None
                self._sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            except Unreachable as error:
                if "PodDisruptionBudget" in error.what:
                    raise self._not_allowed(namespace, name, error.what) from None
                # Asking twice evicts once: the second time the pod is gone, or its uid is another one.
                if not uid or self._clock() + wait_s > deadline:
                    raise
                self._sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            else:
                return

    def drain(self, name: str, *, timeout_s: float = 300.0) -> int:
        """Evict what has to leave a cordoned node, and wait until it is gone; the number of pods evicted.

        The caller cordons first and restores on failure. Nothing is evicted where one pod may not be.

        Raises
        ------
        Refused: a pod would be lost for good, or was not allowed or not gone within `timeout_s` seconds.
        """
        deadline = self._clock() + timeout_s
        leaving = [pod for pod in self.pods(node=name) if must_leave(pod)]
        for pod in leaving:
            if reason := why_not_evict(pod):
                raise self._not_allowed(pod["metadata"]["namespace"], pod["metadata"]["name"], reason)
        for pod in leaving:
            metadata = pod["metadata"]
            left_s = max(deadline - self._clock(), 0.0)
            self.evict(metadata["namespace"], metadata["name"], uid=metadata["uid"], timeout_s=left_s)
        wait_s = FIRST_WAIT_S
        while staying := [pod for pod in self.pods(node=name) if must_leave(pod)]:
            if self._clock() + wait_s > deadline:
                raise Refused(
                    f"{len(staying)} pods are still on node {name} after {timeout_s:g} s",
                    where=self._where,
                    fix="see why they do not end (grace period, finalizers), then try again",
                )
            self._sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        return len(leaving)

    def _close(
        self, name: str, closed: bool | None, version: str | None, annotations: Mapping[str, str | None] | None
    ) -> Object:
        body: Object = {"spec": {"unschedulable": closed}}
        if annotations:
            body["metadata"] = {"annotations": dict(annotations)}
        return self.patch("nodes", name, body, resource_version=version)

    def _not_allowed(self, namespace: str, name: str, reason: str) -> Refused:
        return Refused(
            f"pod {namespace}/{name} is not evicted: {reason}",
            where=self._where,
            fix="give its disruption budget room, or move the pod yourself",
        )
