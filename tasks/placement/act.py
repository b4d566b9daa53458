"""Deploy workloads to the clusters that were chosen for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict, InvalidInput, NotFound, Refused
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi, owner
from blocks.kubernetes.connection import path_of
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent
from tasks.acting import (
    Planned,
    Result,
    Seen,
    SubjectActuator,
    carry_out_all,
    looks,
    settle_left_over,
    undo_with,
)
from tasks.placement.new_workloads import DIGEST, NewWorkload, manifest
from tasks.run import Run

MANAGER = "continuum"  # field manager of server-side apply
ARRIVAL_S = 600.0  # nodes may have to come first


class DeployWorkload(SubjectActuator):
    """One Deployment in one cluster: there, as a digest of its spec, or not there."""

    kind = "deploy-workload"
    noun = "workload"
    after_time_out = "look at its pods with `kubectl describe`"

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    @property
    def where(self) -> str:
        """Cluster, namespace and name."""
        return f"workload {self._api.name}/{self._namespace}/{self._name}"

    def arrival_s(self) -> float:
        """Pods wait for nodes."""
        return ARRIVAL_S

    def told(self, value: Mapping[str, Any]) -> str:
        """Whether it is there."""
        return f"spec {value['digest']}" if value["digest"] else "no Deployment"

    def look(self) -> Seen:
        """The digest of what we applied; "" where there is no such Deployment.

        Raises
        ------
        Refused: a Deployment of that name is somebody else's, or hands-off.
        """
        found = self._found()
        if found is None:
            return Seen({"digest": ""})
        whose = owner(found)
        if whose or (found["metadata"].get("labels") or {}).get(MANAGED_BY) != OURS:
            raise Refused(f"the Deployment belongs to {whose or 'others'}", where=self.where, fix="choose another name")
        return Seen({"digest": (found["metadata"].get("annotations") or {}).get(DIGEST, "unknown")})

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """Apply the object, or remove it. Server-side apply refuses what another manager owns."""
        del seen
        journal.proceed(intent)
        place = path_of("deployments", namespace=self._namespace)
        if not value["digest"]:
            self._api.delete_at(place, self._name)
            journal.note(intent, {"id": self._name}, "removed")
            return
        self._api.request("PATCH", path_of("deployments", self._name, self._namespace), body=intent.do["object"],
                          query={"fieldManager": MANAGER}, content_type="application/apply-patch+yaml")  # fmt: skip
        journal.note(intent, {"id": self._name}, f"applied {value['digest']}")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """How many of its pods are not Ready yet."""
        if not intent.do["value"]["digest"]:
            return ""
        ready, wanted = 0, int(intent.do["object"]["spec"]["replicas"])
        for _ in looks(patience_s):
            status = (self._found() or {}).get("status") or {}
            ready = int(status.get("readyReplicas") or 0)
            if ready >= wanted:
                return ""
        return f"{ready} of {wanted} pods are Ready after {patience_s:.0f} s"

    def said(self, intent: Intent) -> str:
        """What there is."""
        if not intent.do["value"]["digest"]:
            return "it is removed"
        return f"{intent.do['object']['spec']['replicas']} pods are Ready"

    def _found(self) -> dict[str, Any] | None:
        try:
            return self._api.get("deployments", self._name, self._namespace)
        except NotFound:
            return None


def _open_workload(fleet: Fleet, subject: str, kind: str) -> SubjectActuator:
    """The actuator of `cluster/namespace/name`.

    Raises
    ------
    InvalidInput: the inventory has no such cluster.
    """
    del kind
    cluster_name, namespace, name = subject.split("/", 2)
    for cluster in fleet.clusters:
        if cluster.name == cluster_name:
            return DeployWorkload(KubernetesApi.connect(resolve_secrets(cluster)), namespace, name)
    raise InvalidInput("the inventory has no such cluster", where=f"workload {subject}",
                       fix="see `continuum fleet show`")  # fmt: skip


APPLIERS = {DeployWorkload.kind: undo_with(_open_workload)}


@task(name="deploy workloads", cache_policy=NO_CACHE, persist_result=False)
def deploy(run: Run, approved: Sequence[Decision], workloads: Sequence[NewWorkload]) -> list[Result]:
    """Deploy what was placed, side by side, and wait until its pods are Ready."""
    by_key = {each.key: each for each in workloads}

    def change_of(decision: Decision) -> tuple[SubjectActuator, Planned]:
        actuator = _open_workload(run.fleet, decision.subject, DeployWorkload.kind)
        seen = actuator.look()
        if seen.value["digest"]:
            raise Conflict("is there already", where=actuator.where, fix="the next run sees it")
        made = manifest(by_key[decision.content["workload"]], decision.id)
        do = {"value": {"digest": made["metadata"]["annotations"][DIGEST]}, "object": made}
        return actuator, Planned(do, {"value": dict(seen.value), "object": None})

    return carry_out_all(run, approved, change_of, apart=True)


@task(name="finish left-over deployments", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """See `settle_left_over`."""
    return settle_left_over(run, APPLIERS, _open_workload)
