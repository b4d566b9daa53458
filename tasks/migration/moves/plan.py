"""What a move would do, checked before anything is touched: the workload, what goes along, its floor, and refusals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, floor
from typing import Any

from blocks.errors import NotFound, Refused
from blocks.kubernetes import KubernetesApi, owner
from tasks.migration.moves.closure import HOOK, Closure, Object, bare, claims_of, closure_of, replicas_of

SILENT = "site-silent"  # the cause of a move whose source does not answer; nothing in it is touched until it does


@dataclass(frozen=True)
class Route:
    """A weighted route whose requests follow the workload, and its backends of the two clusters."""

    subject: str
    source: str
    target: str


@dataclass(frozen=True)
class MovePlan:
    """A move as its intent keeps it; plain data.

    Attributes
    ----------
    digest: of the pod template that was planned with: an edit in mid-move is seen by it.
    replicas, floor: pods it had, and how many must be Ready fleet-wide at every moment.
    hook, claims: what takes its data along, and the volume claims that hold it; empty where nothing need go along.
    """

    source: str
    target: str
    namespace: str
    name: str
    cause: str
    manifest: Object
    closure: tuple[tuple[str, Object], ...]
    digest: str
    replicas: int
    floor: int
    route: Route | None = None
    hook: str = ""
    claims: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """`deployments` or `statefulsets`."""
        return "statefulsets" if self.manifest.get("kind") == "StatefulSet" else "deployments"

    def workload(self, replicas: int) -> Object:
        """The workload as it is to be made, with that many pods."""
        kind = self.manifest.get("kind", "Deployment")
        spec = {**self.manifest["spec"], "replicas": replicas}
        return {**self.manifest, "apiVersion": "apps/v1", "kind": kind, "spec": spec}

    @property
    def subject(self) -> str:
        """`cluster/namespace/name`, as the journal names it."""
        return f"{self.source}/{self.namespace}/{self.name}"

    def payload(self) -> dict[str, Any]:
        """As an intent's `do`."""
        return {"move": asdict(self)}

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> MovePlan:
        """From an intent's `do`."""
        told = dict(payload["move"])
        told["claims"] = tuple(told.get("claims", ()))
        told["closure"] = tuple((resource, each) for resource, each in told["closure"])
        told["route"] = Route(**told["route"]) if told["route"] else None
        return cls(**told)


def plan_move(
    source: KubernetesApi, target: KubernetesApi, namespace: str, name: str, *, cause: str, route: Route | None = None
) -> MovePlan:
    """Look at a Deployment or StatefulSet and all that it needs, and refuse what cannot end well.

    Raises
    ------
    Refused: it is where it would go, what `look_at` refuses, or the target has another workload of that name.
    NotFound: there is no such thing.
    """
    if source.name == target.name:
        raise Refused("source and target are the same cluster", where=f"workload {source.name}/{namespace}/{name}",
                      fix="name another target")  # fmt: skip
    plan = look_at(source, namespace, name, target=target.name, cause=cause, route=route)
    _refuse_taken(target, namespace, name)
    return plan


def plan_from_afar(spare: MovePlan, target: KubernetesApi) -> MovePlan:
    """The move of a workload whose cluster does not answer, by what was last seen of it (`look_at`).

    Raises
    ------
    Refused: a hook takes its data along, and nobody can ask for that now, or the target has a workload of that name.
    """
    if spare.hook:
        raise Refused("its data is in a cluster that does not answer", where=f"workload {spare.subject}",
                      fix="bring the cluster back, or its data elsewhere by hand")  # fmt: skip
    _refuse_taken(target, spare.namespace, spare.name)
    return replace(spare, target=target.name, cause=SILENT)


def look_at(
    source: KubernetesApi, namespace: str, name: str, *, target: str, cause: str, route: Route | None = None,
    replicas: int | None = None,
) -> MovePlan:  # fmt: skip
    """A workload and all that it needs, as a plan to move it, whatever the target has.

    replicas: its pods, where a move has drained it already.

    Raises
    ------
    Refused: somebody else owns it, it has no pods, it keeps data, its budget forbids any move, or what it needs is not
        there. NotFound: there is no such thing.
    """
    where = f"workload {source.name}/{namespace}/{name}"
    found = workload_in(source, namespace, name)
    replicas = replicas or replicas_of(found)
    if whose := owner(found):
        raise Refused(f"{whose} owns it", where=where, fix="change its place there")
    if replicas < 1:
        raise Refused("it has no replicas", where=where, fix="nothing has to be moved")
    closure, hook = closure_of(source, found), (found["metadata"].get("annotations") or {}).get(HOOK, "")
    if hook and not hook.startswith(("http://", "https://")):
        raise Refused(f"{HOOK} is no URL", where=where, fix="give http://... or https://...")
    if closure.absent:
        raise Refused(
            f"its pods need {', '.join(closure.absent)}, which is not there", where=where, fix="mend it first"
        )
    _refuse_budgets(closure, replicas, where)
    return MovePlan(
        source=source.name, target=target, namespace=namespace, name=name, cause=cause, manifest=bare(found),
        closure=closure.objects, digest=digest_of(found), replicas=replicas, floor=floor_of(found), route=route,
        hook=hook, claims=claims_of(found) if hook else (),
    )  # fmt: skip


def workload_in(api: KubernetesApi, namespace: str, name: str) -> Object:
    """The Deployment of that name, else the StatefulSet; `NotFound` where there is neither."""
    try:
        return api.get("deployments", name, namespace)
    except NotFound:
        return api.get("statefulsets", name, namespace)


def digest_of(deployment: Mapping[str, Any]) -> str:
    """Of its pod template: 16 hex digits that change with every edit of what its pods are."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def floor_of(deployment: Mapping[str, Any]) -> int:
    """Replicas less those that its own strategy lets be unavailable.

    >>> floor_of({"spec": {"replicas": 4}}), floor_of({"spec": {"replicas": 1}})
    (3, 1)
    """
    spec = deployment["spec"]
    replicas = replicas_of(deployment)
    strategy, usual = (spec["updateStrategy"], 1) if "updateStrategy" in spec else (spec.get("strategy") or {}, "25%")
    rolling = strategy.get("rollingUpdate") or {}
    return replicas - _amount(rolling.get("maxUnavailable", usual), replicas, up=False)


def _amount(value: Any, replicas: int, *, up: bool) -> int:
    """Pods that a number or a percentage of a budget or a strategy means."""
    if isinstance(value, str) and value.endswith("%"):
        exact = replicas * float(value[:-1]) / 100
        return ceil(exact) if up else floor(exact)
    return int(value)


def _refuse_budgets(closure: Closure, replicas: int, where: str) -> None:
    """A budget that forbids every disruption forbids a move too."""
    for resource, each in closure.objects:
        spec = each.get("spec") or {}
        if resource != "poddisruptionbudgets":
            continue
        least = replicas - _amount(spec["maxUnavailable"], replicas, up=True) if "maxUnavailable" in spec else (
            _amount(spec.get("minAvailable", 0), replicas, up=True))  # fmt: skip
        if least >= replicas:
            name = each["metadata"]["name"]
            raise Refused(f"its budget {name} lets no pod go", where=where, fix=f"let {name} allow one pod to be away")


def _refuse_taken(target: KubernetesApi, namespace: str, name: str) -> None:
    try:
        workload_in(target, namespace, name)
    except NotFound:
        return
    raise Refused("there is a workload of that name already", where=f"workload {target.name}/{namespace}/{name}",
                  fix="move it away, or name another target")  # fmt: skip
