"""Caps by carbon: the concurrency of Prefect work pools, the most replicas of KEDA ScaledObjects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ConfigDict, Field, model_validator

from blocks.errors import ContinuumError, InvalidInput, NotFound, Refused
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi, owner
from blocks.prefect_api import prefect_client
from blocks.store.journal import Journal
from blocks.store.tables import Intent
from tasks.acting import Seen, SubjectActuator
from tasks.carbon.decide.caps import LATEST_GAP_S, Capped, offered_h
from tasks.run import Run

WORK_POOLS, SCALED_OBJECTS = "prefect/work-pools/", "/scaledobjects/"
AT_WORK = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
KEDA_MOST = 100  # maxReplicaCount where none is written
TARGETS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class CapRequest(BaseModel):
    """What may be capped by carbon, and how far."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(
        pattern=r"^(prefect/work-pools/[^/]+|[^/]+/scaledobjects/[^/]+/[^/]+)$", max_length=400,
        description="`prefect/work-pools/NAME`, or `CLUSTER/scaledobjects/NAMESPACE/NAME` of KEDA",
    )  # fmt: skip
    least: int = Field(1, ge=1, le=100_000, description="runs or replicas that are always allowed")
    most: int = Field(ge=1, le=100_000, description="what is allowed in clean hours, and where nothing is known")
    hours_a_day: float = Field(gt=0, description="run- or replica-hours that each UTC day must have room for")
    zone: str = Field("", max_length=40, description="its grid zone; else that of the cluster's site, or the flow's")

    @model_validator(mode="after")
    def _possible(self) -> CapRequest:
        if self.least > self.most or self.hours_a_day > 24 * self.most:
            raise ValueError(f"{self.subject}: give least <= most, and hours_a_day of 24 x most at most")
        return self


class SetCap(SubjectActuator):
    """The cap of one subject: `most`, None where there is none."""

    noun = "cap"

    @abstractmethod
    def running(self) -> int | None:
        """Units at work now; None where that is not known."""

    def told(self, value: Mapping[str, Any]) -> str:
        """The cap."""
        return "no cap" if value["most"] is None else f"a cap of {value['most']}"

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """The cap, where it is another one."""
        del patience_s
        there = self.look().value
        return "" if there == intent.do["value"] else f"it has {self.told(there)}"

    def said(self, intent: Intent) -> str:
        """The cap."""
        return f"it has {self.told(intent.do['value'])}"

    def refuse_below_running(self, value: Mapping[str, Any]) -> None:
        """Nothing that runs is ended: a replica above a maximum would be.

        Raises
        ------
        Refused: more runs than the cap allows, or nobody knows.
        """
        running = self.running()
        if value["most"] is not None and (running is None or value["most"] < running):
            there = "what runs is not known" if running is None else f"{running} run"
            raise Refused(f"{there}, and nothing that runs is ended for a cap of {value['most']}", where=self.where,
                          fix="the next pass decides anew")  # fmt: skip


class SetPoolLimit(SetCap):
    """How many runs of one Prefect work pool may be at work at once."""

    kind = "set-work-pool-limit"

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def where(self) -> str:
        """The work pool."""
        return f"work pool {self._name}"

    def look(self) -> Seen:
        """Its concurrency limit."""
        with prefect_client(self.where) as client:
            try:
                return Seen({"most": client.read_work_pool(self._name).concurrency_limit})
            except ObjectNotFound:
                raise NotFound("there is none", where=self.where, fix="see `prefect work-pool ls`") from None

    def running(self) -> int | None:
        """Runs of it that are running, or about to."""
        with prefect_client(self.where) as client:
            return _at_work(client, self._name)

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """Set its concurrency limit."""
        del seen
        self.refuse_below_running(value)
        journal.proceed(intent)
        with prefect_client(self.where) as client:
            client.update_work_pool(self._name, WorkPoolUpdate(concurrency_limit=value["most"]))
        journal.note(intent, {"id": self._name}, f"asked for {self.told(value)}")


class SetReplicaCap(SetCap):
    """`maxReplicaCount` of one ScaledObject."""

    kind = "set-scaledobject-maximum"

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    @property
    def where(self) -> str:
        """Cluster, namespace and name."""
        return f"ScaledObject {self._api.name}/{self._namespace}/{self._name}"

    def object(self) -> dict[str, Any]:
        """As the cluster has it.

        Raises
        ------
        Refused: somebody else writes it (Argo CD, Flux, a hands-off mark): they would write it back.
        """
        found = dict(self._api.get("scaledobjects", self._name, self._namespace))
        if theirs := owner(found):
            raise Refused(f"it is {theirs}'s to write", where=self.where, fix="leave it out of `caps`")
        return found

    def look(self) -> Seen:
        """Its `maxReplicaCount`."""
        found = self.object()
        return Seen({"most": found["spec"].get("maxReplicaCount")}, found["metadata"]["resourceVersion"])

    def running(self) -> int | None:
        """Replicas of what it scales, and its own minimum; None where what it scales is of another kind, or gone."""
        spec = self.object()["spec"]
        target = spec.get("scaleTargetRef") or {}
        resource = TARGETS.get(target.get("kind") or "Deployment")
        if resource is None:
            return None
        try:
            there = self._api.get(resource, str(target.get("name")), self._namespace)
        except NotFound:
            return None
        asked, are = there["spec"].get("replicas", 1), (there.get("status") or {}).get("replicas") or 0
        return max(int(asked), int(are), int(spec.get("minReplicaCount") or 0))

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """Write `maxReplicaCount`; refused by the server where somebody wrote the object since."""
        self.refuse_below_running({"most": KEDA_MOST if value["most"] is None else value["most"]})
        journal.proceed(intent)
        body = {"spec": {"maxReplicaCount": value["most"]}}
        self._api.patch("scaledobjects", self._name, body, self._namespace, resource_version=seen.version)
        journal.note(intent, {"id": self._name}, f"asked for {self.told(value)}")


CAPS: tuple[type[SetCap], ...] = (SetPoolLimit, SetReplicaCap)


def is_cap(subject: str) -> bool:
    """Whether a subject is one of `CapRequest`."""
    return subject.startswith(WORK_POOLS) or SCALED_OBJECTS in subject


def open_cap(fleet: Fleet, subject: str) -> SetCap:
    """The actuator of a subject of `CapRequest`.

    Raises
    ------
    NotFound: the inventory has no such cluster.
    """
    if subject.startswith(WORK_POOLS):
        return SetPoolLimit(subject.removeprefix(WORK_POOLS))
    name, _, place = subject.partition(SCALED_OBJECTS)
    for cluster in fleet.clusters:
        if cluster.name == name:
            return SetReplicaCap(KubernetesApi.connect(resolve_secrets(cluster)), *place.split("/", 1))
    raise NotFound("the inventory has no such cluster", where=subject, fix="see `continuum fleet show`")


def observe_caps(
    run: Run, caps: Sequence[CapRequest], default_zone: str, as_of: datetime
) -> tuple[list[Capped], list[str]]:
    """What is to be capped as it is now, and a line for each that cannot be looked at; those are left alone."""
    sites = {site.name: site.grid_zone or "" for site in run.fleet.sites}
    zones = {cluster.name: sites[cluster.site] for cluster in run.fleet.clusters}
    found, trouble, own = list[Capped](), list[str](), ""
    for asked in caps:
        try:
            if asked.subject.startswith(WORK_POOLS):
                own = own or _own_pool(run)
                if asked.subject == own:
                    raise Refused("this very flow runs in it, and would wait for itself", where=asked.subject,
                                  fix="give flexible work a work pool of its own")  # fmt: skip
            zone = asked.zone or zones.get(asked.subject.partition(SCALED_OBJECTS)[0]) or default_zone
            if not zone:
                raise InvalidInput("nothing says in which grid zone it runs", where=asked.subject, fix="give its zone")
            actuator = open_cap(run.fleet, asked.subject)
            seen, running = actuator.look().value["most"], actuator.running()
        except ContinuumError as error:
            trouble.append(f"{error}; its cap is left as it is")
            continue
        found.append(Capped(asked.subject, zone, asked.least, asked.most, asked.hours_a_day, seen, running,
                            _offered_h(run, asked, seen, as_of)))  # fmt: skip
    return found, trouble


def _own_pool(run: Run) -> str:
    """The work pool that this run is in, as a subject; without one, of no name."""
    with prefect_client("work pool of this run") as client:
        try:
            return f"{WORK_POOLS}{client.read_flow_run(UUID(run.id)).work_pool_name or ''}"
        except (ObjectNotFound, ValueError):  # a run that was called without Prefect
            return WORK_POOLS


def _offered_h(run: Run, asked: CapRequest, seen: int | None, as_of: datetime) -> float:
    begin = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=LATEST_GAP_S)
    rows = run.store.decisions(flow=run.flow, subject=asked.subject, since=begin, fleet=run.fleet_name, limit=None)
    now_s = int(as_of.timestamp())
    passes = [(int(row.as_of.timestamp()), row.content["seen"]) for row in reversed(rows) if row.as_of <= as_of]
    return offered_h([*sorted(passes, key=itemgetter(0)), (now_s, seen)], asked.most, now_s)


def _at_work(client: SyncPrefectClient, pool: str) -> int:
    return client.count_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(AT_WORK)))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
