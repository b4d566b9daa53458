"""`headroom`: room that pods of the lowest priority keep free, so that an autoscaler brings its nodes beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from blocks.errors import Conflict, NotFound, Refused
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi, owner
from blocks.kubernetes.connection import path_of
from blocks.store.journal import Journal
from blocks.store.tables import Hold, Intent
from tasks.acting.actuator import Seen, Value, looks
from tasks.scaling.actuators import pause_pods
from tasks.scaling.actuators.steering import Steering, rewrite
from tasks.scaling.pool_access import PoolAccess

Object = dict[str, Any]

DEPLOYMENTS = path_of("deployments", namespace=pause_pods.NAMESPACE)


class SetHeadroom(Steering):
    """Pause pods, one a node; where the cluster knows CapacityBuffers, a buffer of the same size instead."""

    kind = "set-headroom"

    def __init__(self, access: PoolAccess) -> None:
        super().__init__(access)
        self._name = pause_pods.object_name(access.pool.name)

    def look(self) -> Seen:
        """How many pods of headroom are asked for; 0 where there is no such object.

        Raises
        ------
        Refused: an object of that name is not ours, or is hands-off.
        """
        _, found = self._find()
        if found is None:
            return Seen({"pause_pods": 0})
        return Seen({"pause_pods": _replicas(found)}, found["metadata"]["resourceVersion"])

    def wanted(self, content: Mapping[str, Any], seen: Seen, base: Value) -> Value:
        """As many as lack to the decided nodes, beside the nodes that hold work now."""
        del seen, base
        target = min(int(content["target"]), self.access.pool.max_nodes)
        return {"pause_pods": max(target - self.busy(), 0)}

    def base(self, seen: Seen, hold: Hold | None) -> Value:
        """No headroom: there is none but ours."""
        del seen, hold
        return {"pause_pods": 0}

    def busy(self) -> int:
        """Nodes of the pool that hold somebody's work now."""
        return pause_pods.busy_nodes(self.access.node_objects(), self.access.api.pods())

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Create, resize or remove the objects; no pods wanted leaves nothing behind but the PriorityClass."""
        journal.proceed(intent)
        number = value["pause_pods"]
        rewrite(self, seen, lambda: self._write(number, str(intent.do.get("until") or "")))
        journal.note(intent, {"id": self._name}, f"asked for {number} pause pods")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Pause pods that run nowhere yet; enough nodes are enough, as others may take the pods' place meanwhile."""
        number = self.value(intent.do)["pause_pods"]
        if number <= self.value(intent.undo)["pause_pods"]:
            return ""
        against = intent.planned_against
        lacked = max(int(against.get("desired", 0)) - int(against.get("ready", 0)), 0)
        ready = running = 0
        for _ in looks(patience_s):
            ready, running = self.access.ready(), self._running()
            if running >= number or ready >= int(intent.do.get("nodes") or 10**6) - lacked:
                return ""
        return f"{running} of {number} pause pods run after {patience_s:.0f} s, {ready} nodes are Ready"

    def said(self, intent: Intent) -> str:
        """How much headroom there is."""
        number = self.value(intent.do)["pause_pods"]
        return f"headroom is {number} nodes" if number else "no headroom is kept"

    def mark(self, hold: Hold) -> None:
        """Also at the object itself."""
        super().mark(hold)
        place, found = self._find()
        if found is not None and hold.value == {"pause_pods": _replicas(found)}:
            self._api.patch_at(place, self._name, {"metadata": {"annotations": pause_pods.expiry(hold.until)}})

    def _find(self) -> tuple[str, Object | None]:
        """Where the number of pods is kept, and the object: a buffer, else the Deployment itself.

        Pods that are there already are gone on with, also in a cluster that has learnt of buffers since.
        """
        version = self._api.preferred_version(pause_pods.BUFFER_GROUP)
        buffers = f"/apis/{pause_pods.BUFFER_GROUP}/{version}/namespaces/{pause_pods.NAMESPACE}/capacitybuffers"
        if version and (buffer := self._ours(buffers)) is not None:
            return buffers, buffer
        pods = self._ours(DEPLOYMENTS)
        if version and (pods is None or _replicas(pods) == 0):
            return buffers, None
        return DEPLOYMENTS, pods

    def _ours(self, place: str) -> Object | None:
        try:
            found = self._api.request("GET", f"{place}/{self._name}")
        except NotFound:
            return None
        whose = owner(found)
        if whose or (found["metadata"].get("labels") or {}).get(MANAGED_BY) != OURS:
            what = f"{found.get('kind', 'object')} {pause_pods.NAMESPACE}/{self._name} belongs to {whose or 'others'}"
            raise Refused(what, where=self.where, fix="remove or rename it")
        return found

    def _write(self, number: int, until: str) -> None:
        place, found = self._find()
        notes = {"annotations": pause_pods.expiry(until)} if until else {}
        if found is None:
            self._create(place, number, notes)
        elif number:
            body = {"spec": {"replicas": number}, "metadata": notes}
            self._api.patch_at(place, self._name, body, resource_version=found["metadata"]["resourceVersion"])
        else:
            self._api.delete_at(place, self._name, resource_version=found["metadata"]["resourceVersion"])
            if place != DEPLOYMENTS:
                self._api.delete_at(DEPLOYMENTS, self._name)

    def _create(self, place: str, number: int, notes: Object) -> None:
        """The PriorityClass belongs to the cluster, and is the same for every pool; it may be there already."""
        pool, nodes, pods = self.access.pool, self.access.node_objects(), self.access.api.pods()
        if number == 0:
            return
        with suppress(Conflict):
            self._api.create("priorityclasses", pause_pods.priority_class())
        buffered = place != DEPLOYMENTS
        made = pause_pods.deployment(
            pool.name, self.access.selector(), pause_pods.pod_size(pool, nodes, pods), pause_pods.tolerations(nodes),
            replicas=0 if buffered else number,
        )  # fmt: skip
        made["metadata"] |= notes
        try:
            self._api.create_with_namespace("deployments", made, pause_pods.NAMESPACE)
        except Conflict:
            if not buffered:  # the measure of a buffer may have been left by a run that was cut off
                raise
        if buffered:
            buffer = pause_pods.capacity_buffer(pool.name, place.split("/")[3], replicas=number)
            buffer["metadata"] |= notes
            self._api.request("POST", place, body=buffer)

    def _running(self) -> int:
        """Pause pods that run; a buffer has none."""
        place, found = self._find()
        return int(((found or {}).get("status") or {}).get("readyReplicas") or 0) if place == DEPLOYMENTS else 0

    @property
    def _api(self) -> KubernetesApi:
        return self.access.api


def _replicas(found: Object) -> int:
    return int((found.get("spec") or {}).get("replicas") or 0)
