"""Kubernetes Jobs that were created suspended and may start later: found by their label, released when it is clean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from blocks.errors import ContinuumError, InvalidInput, NotFound, Refused
from blocks.fleet import Cluster, Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.store.journal import Journal
from blocks.store.tables import Intent
from tasks.acting import Seen, SubjectActuator
from tasks.carbon.decide.shift import FlexibleRun
from tasks.carbon.files import seconds_of
from tasks.carbon.tags import MOST_S, kw_of, moment_of
from tasks.clusters import side_by_side

LABEL = "continuum.io/flexible"
TAKES, SLACK, UNTIL, ZONE, KW, START = (
    f"continuum.io/{name}" for name in ("takes", "slack", "flexible-until", "zone", "kw", "start")
)
JOBS = "/jobs/"


def flexible_jobs(fleet: Fleet) -> tuple[list[FlexibleRun], list[str]]:
    """Suspended Jobs of all clusters that bear the label, and a line for each that cannot be read.

    Annotations: `continuum.io/takes: 2h` (at most), `continuum.io/slack: 24h` (how much later it may end than if it had
    begun when it was created) or `continuum.io/flexible-until`; `zone`, else that of the cluster's site; `kw`.
    """
    zones = {site.name: site.grid_zone or "" for site in fleet.sites}

    def read(cluster: Cluster) -> tuple[list[FlexibleRun], list[str]]:
        try:
            jobs = KubernetesApi.connect(resolve_secrets(cluster)).list("jobs", label_selector=LABEL)
        except ContinuumError as error:
            return [], [str(error)]
        found, trouble = list[FlexibleRun](), list[str]()
        for job in jobs:
            if _start_of_job(job) is None:
                continue
            try:
                found.append(_flexible_job(cluster.name, job, zones[cluster.site]))
            except ContinuumError as error:
                trouble.append(f"{error}; it stays suspended")
        return found, trouble

    answers = side_by_side(read, fleet.clusters)
    return [each for found, _ in answers for each in found], [line for _, lines in answers for line in lines]


def _flexible_job(cluster: str, job: Mapping[str, Any], default_zone: str) -> FlexibleRun:
    """What a suspended Job's annotations say of it.

    Raises
    ------
    InvalidInput: one cannot be read, or one that is needed is missing.
    """
    about, told = job["metadata"], job["metadata"].get("annotations") or {}
    name = f"{cluster}/{about['namespace']}/{about['name']}"
    arrival, takes = _created(job), seconds_of(told.get(TAKES, ""), f"job {name}, annotation {TAKES}")
    if until := told.get(UNTIL):
        until_s = int(moment_of(until, f"job {name}, annotation {UNTIL}").timestamp())
    else:
        slack_s = seconds_of(told.get(SLACK, ""), f"job {name}, annotation {SLACK}")
        until_s = int(arrival.timestamp()) + takes + slack_s
    if until_s - arrival.timestamp() > MOST_S:
        raise InvalidInput("it may end more than 31 days after its creation", where=f"job {name}", fix="give it less")
    zone = told.get(ZONE, default_zone)
    if not zone:
        raise InvalidInput(
            "nothing says in which grid zone it runs", where=f"job {name}", fix=f"annotate it {ZONE}: DE"
        )
    planned = _start_of_job(job) or arrival
    kw = kw_of(told.get(KW, "1"), f"job {name}, annotation {KW}")
    times = int(arrival.timestamp()), int(planned.timestamp()), takes, until_s
    subject = f"{cluster}{JOBS}{about['namespace']}/{about['name']}"
    return FlexibleRun(subject, name, zone, *times, kw, waits=True)


def _start_of_job(job: Mapping[str, Any]) -> datetime | None:
    """When a suspended Job is to start as things are; None where it is not suspended."""
    if not job["spec"].get("suspend"):
        return None
    told = (job["metadata"].get("annotations") or {}).get(START)
    try:
        return datetime.fromisoformat(told).astimezone(UTC) if told else _created(job)
    except ValueError:
        return _created(job)


def _created(job: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(job["metadata"]["creationTimestamp"]))


class StartJob(SubjectActuator):
    """The start of one suspended Job: an annotation that says when, and its end of suspension."""

    kind = "set-job-start"
    noun = "job"

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    @property
    def where(self) -> str:
        """Cluster, namespace and name."""
        return f"job {self._api.name}/{self._namespace}/{self._name}"

    def told(self, value: Mapping[str, Any]) -> str:
        """When it is to start."""
        return f"the start {value['start']}" if value["suspend"] else "begun, or is gone"

    def look(self) -> Seen:
        """Its start while it is suspended."""
        try:
            job = self._api.get("jobs", self._name, self._namespace)
        except NotFound:
            return Seen({"start": "", "suspend": False})
        start = _start_of_job(job)
        value = {"start": start.isoformat() if start else "", "suspend": start is not None}
        return Seen(value, job["metadata"]["resourceVersion"])

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """Say when it starts, or let it start. One that was let start is not suspended again: that ends its pods."""
        if value["suspend"] and not seen.value["suspend"]:
            raise Refused("it has begun, and to suspend it would end its pods", where=self.where, fix="leave it")
        journal.proceed(intent)
        body = {"metadata": {"annotations": {START: value["start"] or None}}, "spec": {"suspend": value["suspend"]}}
        self._api.patch("jobs", self._name, body, self._namespace, resource_version=seen.version)
        journal.note(intent, {"id": self._name}, f"asked for {value['start'] or 'its start'}")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """What it has instead."""
        del patience_s
        there = self.look().value
        return "" if there == intent.do["value"] else f"it has {self.told(there)}"

    def said(self, intent: Intent) -> str:
        """When it starts."""
        value = intent.do["value"]
        return f"it starts at {value['start']}" if value["suspend"] else "it is suspended no more"


def open_job(fleet: Fleet, subject: str) -> StartJob:
    """The actuator of `CLUSTER/jobs/NAMESPACE/NAME`.

    Raises
    ------
    NotFound: the inventory has no such cluster any more.
    """
    name, _, place = subject.partition(JOBS)
    for cluster in fleet.clusters:
        if cluster.name == name:
            return StartJob(KubernetesApi.connect(resolve_secrets(cluster)), *place.split("/", 1))
    raise NotFound("the inventory has no such cluster", where=subject, fix="see `continuum fleet show`")
