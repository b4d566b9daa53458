"""`workload`: the least replicas that an HPA or a KEDA ScaledObject keeps, so that pods come before their demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from blocks.errors import NotFound, Refused
from blocks.fleet import Cluster, NodePool, Workload
from blocks.kubernetes import KubernetesApi, owner
from blocks.store.journal import Journal
from blocks.store.tables import Hold, Intent
from tasks.acting.actuator import Seen, Value, looks
from tasks.scaling.actuators.pause_pods import EXPIRES_AT
from tasks.scaling.actuators.steering import Steering, rewrite
from tasks.scaling.pool_access import PoolAccess

Object = dict[str, Any]

MIN_BEFORE = "continuum.io/min-replicas-before"
FOR_NODES = "continuum.io/for-nodes"
SCALED = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


@dataclass(frozen=True)
class PodScaler:
    """An HPA or a ScaledObject, and the fields that bound its replicas."""

    resource: str
    low_field: str
    high_field: str
    low_default: int
    high_default: int


# The first that scales a workload is taken: behind a ScaledObject stands an HPA that is KEDA's to write.
SCALERS = (
    PodScaler("scaledobjects", "minReplicaCount", "maxReplicaCount", 0, 100),
    PodScaler("horizontalpodautoscalers", "minReplicas", "maxReplicas", 1, 1),
)


@dataclass(frozen=True)
class Scaled:
    """One workload of the pool and what scales its pods."""

    workload: Workload
    scaler: PodScaler
    obj: Object

    @property
    def key(self) -> str:
        """`scaledobjects/shop/web`."""
        metadata = self.obj["metadata"]
        return f"{self.scaler.resource}/{metadata['namespace']}/{metadata['name']}"

    @property
    def least(self) -> int:
        """Replicas that are always kept."""
        found = self.obj["spec"].get(self.scaler.low_field)
        return self.scaler.low_default if found is None else int(found)

    @property
    def most(self) -> int:
        """Replicas that are never passed."""
        found = self.obj["spec"].get(self.scaler.high_field)
        return self.scaler.high_default if found is None else int(found)

    @property
    def marks(self) -> dict[str, str]:
        """Its annotations."""
        return dict(self.obj["metadata"].get("annotations") or {})

    @property
    def before(self) -> int:
        """The minimum that it had before us; never above the present one."""
        noted = self.marks.get(MIN_BEFORE, "")
        return min(int(noted), self.least) if noted.isdigit() else self.least


def scaled_workloads(api: KubernetesApi, cluster: Cluster, pool: NodePool, workloads: list[Workload]) -> list[Scaled]:
    """Workloads that the inventory names for the pool, with what scales their pods; those of other owners left out."""
    mine = [each for each in workloads if (each.cluster, each.node_pool) == (cluster.name, pool.name)]
    found: list[Scaled] = []
    for workload in mine:
        for scaler in SCALERS:
            try:
                objects = api.list(scaler.resource, workload.namespace)
            except NotFound:  # KEDA is not installed
                continue
            mates = [obj for obj in objects if _targets(obj, workload) and owner(obj) is None]
            if mates:
                found.append(Scaled(workload, scaler, mates[0]))
                break
    return found


def demand_ratio(content: Mapping[str, Any]) -> float:
    """The forecast peak over the present demand, of the resource that grows most; at least 1.

    A decision that no forecast has driven gives its target over the nodes that are there.

    >>> demand_ratio({"reasons": [{"code": "forecast-peak", "numbers": {"peak_cpu_cores": 30.0}},
    ...                           {"code": "reactive-need", "numbers": {"used_cpu_cores": 20.0}}]})
    1.5
    """
    numbers: dict[str, float] = {}
    for reason in content["reasons"]:
        numbers |= {name: value for name, value in reason["numbers"].items() if value}
    ratios = [
        numbers[f"peak_{resource}"] / used
        for name, used in numbers.items()
        if (resource := name.removeprefix("used_")) != name and f"peak_{resource}" in numbers
    ]
    if not ratios:
        ratios = [content.get("target", 0) / max(content.get("current", 0), 1)]
    return max(1.0, *ratios)


class SetWorkloadMinimum(Steering):
    """Raise the minimum of what scales the pool's pods, in proportion to the demand that is coming."""

    kind = "set-workload-minimum"

    def __init__(self, access: PoolAccess) -> None:
        super().__init__(access)

    def look(self) -> Seen:
        """The minimum of each."""
        return Seen({each.key: each.least for each in self._scaled()})

    def base(self, seen: Seen, hold: Hold | None) -> Value:
        """The minimum that each had before us, as its annotation says."""
        del seen, hold
        return {each.key: each.before for each in self._scaled()}

    def wanted(self, content: Mapping[str, Any], seen: Seen, base: Value) -> Value:
        """The replicas that are there, grown as demand will; within each one's own bounds."""
        del seen
        ratio, value = demand_ratio(content), {}
        grows = content["target"] > content["current"]
        for each in self._scaled():
            wanted = ceil(self._replicas(each, "spec") * ratio - 1e-9) if grows or ratio > 1 else 0
            value[each.key] = min(max(wanted, base[each.key]), max(each.most, base[each.key]))
        if not value:
            raise Refused("no workload with an HPA or a ScaledObject is named for it", where=self.where,
                          fix="set node_pool of its workloads in fleet.yaml")  # fmt: skip
        return value

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Write one minimum after another; what was there before us is kept beside it."""
        base = dict(intent.do.get("base") or {})
        for key, low in value.items():
            journal.proceed(intent)
            rewrite(self, seen, lambda key=key, low=low: self._write(key, low, base, intent))  # type: ignore[misc]
            seen = Seen({**seen.value, key: low})
            journal.note(intent, {"id": key}, f"asked for at least {low} replicas of {key}")

    def resumes(self, before: Value, value: Value, target: Value) -> bool:
        """Some of several minimums were written before the run was cut off."""
        return set(value) == set(target) == set(before) and all(
            value[key] in (before[key], target[key]) for key in value
        )

    def finish(self, journal: Journal, intent: Intent, seen: Seen) -> None:
        """Write the minimums that are still as before."""
        target = self.value(intent.do)
        rest = {key: low for key, low in target.items() if seen.value[key] != low}
        if rest:
            with self.lease(journal.owner):
                self.put(journal, intent, seen, rest)

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """Replicas that are not Ready yet, of workloads whose minimum was raised."""
        target, before = self.value(intent.do), self.value(intent.undo)
        lacking = ""
        for _ in looks(patience_s):
            found = [(each, self._replicas(each, "ready")) for each in self._scaled()]
            late = [(each, ready) for each, ready in found if ready < target.get(each.key, 0) > before.get(each.key, 0)]
            if not late:
                return ""
            lacking = ", ".join(f"{ready} of {target[each.key]} replicas of {each.key}" for each, ready in late)
        return f"{lacking} are Ready after {patience_s:.0f} s"

    def said(self, intent: Intent) -> str:
        """The minimums."""
        return "least replicas: " + ", ".join(f"{key} {low}" for key, low in self.value(intent.do).items())

    def renew(self, hold: Hold, until: datetime) -> None:
        """Write the later expiry to each object that still is as we set it."""
        for each in self._scaled():
            if each.least == hold.value.get(each.key) and MIN_BEFORE in each.marks:
                self._annotate(each, {EXPIRES_AT: until.isoformat()})

    def _scaled(self) -> list[Scaled]:
        return scaled_workloads(self.access.api, self.access.cluster, self.access.pool, self.access.workloads)

    def _write(self, key: str, low: int, base: Value, intent: Intent) -> None:
        each = next(each for each in self._scaled() if each.key == key)
        ours = low != base.get(key, low)
        marks: dict[str, str | None] = {
            MIN_BEFORE: str(base[key]) if ours else None,
            EXPIRES_AT: str(intent.do.get("until")) if ours else None,
            FOR_NODES: str(intent.do.get("nodes")) if ours else None,
        }
        self._annotate(each, marks, {"spec": {each.scaler.low_field: low}})

    def _annotate(self, each: Scaled, marks: Mapping[str, str | None], body: Object | None = None) -> None:
        metadata = each.obj["metadata"]
        patch = {**(body or {}), "metadata": {"annotations": dict(marks)}}
        self.access.api.patch(
            each.scaler.resource, metadata["name"], patch, metadata["namespace"],
            resource_version=metadata["resourceVersion"],
        )  # fmt: skip

    def _replicas(self, each: Scaled, which: str) -> int:
        """Replicas of the workload that are asked for (`spec`) or Ready (`ready`)."""
        found = self.access.api.get(SCALED[each.workload.kind], each.workload.name, each.workload.namespace)
        if which == "spec":
            return int((found.get("spec") or {}).get("replicas") or 0)
        return int((found.get("status") or {}).get("readyReplicas") or 0)


def _targets(obj: Object, workload: Workload) -> bool:
    target = (obj.get("spec") or {}).get("scaleTargetRef") or {}
    kept = any(each.get("kind") == "ScaledObject" for each in obj["metadata"].get("ownerReferences") or ())
    return (
        not kept and target.get("name") == workload.name and target.get("kind", "Deployment") == workload.kind
    )  # fmt: skip
