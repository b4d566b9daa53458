"""What is wrong, by rules that a person can check, and how healthy the fleet is: parts between 0 and 1, and their mean.

A source that did not answer says nothing: what it said before stays open, and its part of the health is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

PATIENCE_S = 300.0
"""A node, or a pod, may be on its way up or down for so long before it is told."""

SLOW_S = 1.0
"""An API that takes longer for a small answer is told."""

STALE_S = 600.0
"""Metrics that are older than this are told."""

MANY_ANOMALIES, MANY_WITHIN = 3, timedelta(minutes=10)
FEWER_SERIES = 0.8
"""Of the series of the pass before; less is told."""

FORGOTTEN = timedelta(days=1)
"""What was not seen for so long is over, though nobody said so."""

FLEET = "fleet"
"""In place of a site, where something is of no site."""


class Severity(StrEnum):
    """Only what is critical is sent to people at once."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Source(StrEnum):
    """Where a reading comes from; the first four are the parts of the health."""

    KUBERNETES = "kubernetes"
    EDGE = "edge"
    SERVERLESS = "serverless"
    NETWORK = "network"
    METRICS = "metrics"
    ANOMALIES = "anomalies"


PARTS = (Source.KUBERNETES, Source.EDGE, Source.SERVERLESS, Source.NETWORK)


@dataclass(frozen=True)
class ClusterReading:
    """One cluster as its API shows it; lists are of names with seconds since when, where it is known.

    Attributes
    ----------
    answered: whether its API did. answer_s: seconds that the first answer took.
    nodes, ready: numbers. not_ready, pending, failing: name -> seconds; a pod fails that is scheduled and not Ready.
    under_pressure: name of a node -> what it lacks. pods: how many should serve.
    scaled, scaled_ready: objects of Knative and KEDA, and how many of them say Ready; 0 where there are none.
    not_scaled: names of those that do not. scaled_unknown: why they could not be read, "" where they could.
    """

    cluster: str
    site: str
    edge: bool
    answered: bool
    answer_s: float = 0.0
    nodes: int = 0
    ready: int = 0
    not_ready: Mapping[str, float] = field(default_factory=dict)
    under_pressure: Mapping[str, str] = field(default_factory=dict)
    pods: int = 0
    pending: Mapping[str, float] = field(default_factory=dict)
    failing: Mapping[str, float] = field(default_factory=dict)
    scaled: int = 0
    scaled_ready: int = 0
    not_scaled: tuple[str, ...] = ()
    scaled_unknown: str = ""


@dataclass(frozen=True)
class Reading:
    """All that one pass saw.

    Attributes
    ----------
    metrics_age_s: by `cluster/pool`, seconds since the newest sample, infinite for none; None: the source is silent.
    down: `function/site` of routes that traffic-routing holds for down, by site; None: nothing was routed lately.
    checked: how many such pairs it checks.
    anomalies: (series, site, when) of the last hour.
    """

    as_of: datetime
    clusters: tuple[ClusterReading, ...]
    metrics_age_s: Mapping[str, float] | None
    down: Mapping[str, tuple[str, ...]] | None = None
    checked: int = 0
    anomalies: tuple[tuple[str, str, datetime], ...] = ()
    sites: Mapping[str, str] = field(default_factory=dict)  # of each cluster


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: `code` at `subject` of `site`; `since` is the first pass that saw it.

    `seen_at` is the last one; before now where its source does not answer, so that it may be over or not.
    """

    site: str
    subject: str
    code: str
    severity: Severity
    source: Source
    numbers: Mapping[str, Any]
    since: datetime
    seen_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same one in the next pass."""
        return self.code, self.subject

    def to_record(self) -> dict[str, Any]:
        """As JSON, in the section of the report."""
        return vars(self) | {"since": self.since.isoformat(), "seen_at": self.seen_at.isoformat()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Finding:
        """The inverse of `to_record`."""
        times = {name: datetime.fromisoformat(record[name]) for name in ("since", "seen_at")}
        return cls(**{**record, **times, "severity": Severity(record["severity"]),
                      "source": Source(record["source"])})  # fmt: skip


@dataclass(frozen=True)
class Health:
    """Each part 0-1, None where nothing is known of it or there is none; `overall`: the mean of the known ones."""

    parts: Mapping[Source, float | None]
    overall: float | None


@dataclass(frozen=True)
class Verdict:
    """What one pass came to: open findings, the worst first, those that are new, those that are over."""

    health: Health
    open: tuple[Finding, ...]
    new: tuple[Finding, ...]
    over: tuple[Finding, ...]


def decide_health(reading: Reading, before: Sequence[Finding] = (), pools_before: int = 0) -> Verdict:
    """Findings of a pass, with those of the pass before, and the fleet's health. Pure.

    `pools_before`: how many pools had metrics in the pass before, 0 where that is not known.
    """
    known = {each.key: each for each in before}
    silent = _silent(reading)
    found = {each.key: each for each in _findings(reading, pools_before)}
    here = {
        key: replace(each, since=known[key].since) if key in known else each for key, each in found.items()
    } | {
        key: each for key, each in known.items()
        if key not in found and _blind(each, silent) and reading.as_of - each.seen_at < FORGOTTEN
    }  # fmt: skip
    rank = list(Severity)
    ordered = sorted(here.values(), key=lambda each: (-rank.index(each.severity), each.site, each.code, each.subject))
    return Verdict(health_of(reading), tuple(ordered), tuple(each for each in ordered if each.key not in known),
                   tuple(each for key, each in known.items() if key not in here))  # fmt: skip


def health_of(reading: Reading) -> Health:
    """Nodes and pods of cloud and of edge clusters, what Knative and KEDA scale, and what answers over the network.

    A cluster counts 0 where it does not answer, else its share of Ready nodes x its share of pods that serve.
    """
    parts: dict[Source, float | None] = dict.fromkeys(PARTS)
    for part, edge in ((Source.KUBERNETES, False), (Source.EDGE, True)):
        shares = [_cluster_share(each) for each in reading.clusters if each.edge is edge]
        parts[part] = sum(shares) / len(shares) if shares else None
    scaled = sum(each.scaled for each in reading.clusters)
    parts[Source.SERVERLESS] = sum(each.scaled_ready for each in reading.clusters) / scaled if scaled else None
    routed = sum(map(len, reading.down.values())) if reading.down is not None else 0
    asked = len(reading.clusters) + reading.checked
    good = sum(each.answered and each.answer_s <= SLOW_S for each in reading.clusters) + reading.checked - routed
    parts[Source.NETWORK] = good / asked if asked else None
    counted = [value for value in parts.values() if value is not None]
    return Health(parts, sum(counted) / len(counted) if counted else None)


def _cluster_share(cluster: ClusterReading) -> float:
    if not cluster.answered:
        return 0.0
    nodes = cluster.ready / cluster.nodes if cluster.nodes else 1.0
    late = sum(since > PATIENCE_S for since in (*cluster.pending.values(), *cluster.failing.values()))
    return nodes * (1 - late / cluster.pods if cluster.pods else 1.0)


def _silent(reading: Reading) -> set[str]:
    """Clusters that did not answer, and sources without an answer."""
    silent = {each.cluster for each in reading.clusters if not each.answered}
    silent |= {f"{each.cluster} serverless" for each in reading.clusters if each.scaled_unknown}
    silent |= {Source.NETWORK} if reading.down is None else set()
    return silent | ({Source.METRICS} if reading.metrics_age_s is None else set())


def _blind(finding: Finding, silent: set[str]) -> bool:
    """Whether what would tell that a finding is over did not answer."""
    cluster = finding.subject.split("/", 1)[0]
    if finding.source is Source.METRICS or finding.code == "route-down":
        return finding.source in silent
    if finding.source is Source.SERVERLESS and f"{cluster} serverless" in silent:
        return True
    return cluster in silent and finding.code != "cluster-silent"


def _findings(reading: Reading, pools_before: int) -> Iterable[Finding]:
    for cluster in reading.clusters:
        yield from _of_cluster(cluster, reading.as_of)
    yield from _of_metrics(reading, pools_before)
    for site, names in (reading.down or {}).items():
        for name in names:
            yield _found(reading.as_of, site, name, "route-down", Severity.CRITICAL, Source.NETWORK)
    recent = {(series, site) for series, site, at in reading.anomalies if reading.as_of - at <= MANY_WITHIN}
    many = {site for site, count in Counter(site for _, site in recent).items() if count >= MANY_ANOMALIES}
    for site in sorted({site for _, site, _ in reading.anomalies}):
        series = sorted({name for name, where, _ in reading.anomalies if where == site})
        severity = Severity.WARNING if site in many else Severity.INFO
        yield _found(reading.as_of, site, site, "anomalies", severity, Source.ANOMALIES, count=len(series),
                     series=series[:5])  # fmt: skip


def _found(
    at: datetime, site: str, subject: str, code: str, severity: Severity, source: Source, **numbers: Any
) -> Finding:
    return Finding(site, subject, code, severity, source, numbers, at, at)


def _of_cluster(cluster: ClusterReading, as_of: datetime) -> Iterable[Finding]:
    source = Source.EDGE if cluster.edge else Source.KUBERNETES

    def found(subject: str, code: str, severity: Severity, at: Source = source, **numbers: Any) -> Finding:
        return _found(as_of, cluster.site, subject, code, severity, at, **numbers)

    if not cluster.answered:
        yield found(cluster.cluster, "cluster-silent", Severity.CRITICAL)
        return
    gone = {name: since for name, since in cluster.not_ready.items() if since > PATIENCE_S}
    if cluster.nodes and len(gone) * 2 >= cluster.nodes:
        yield found(cluster.cluster, "most-nodes-gone", Severity.CRITICAL, nodes=cluster.nodes, gone=len(gone))
    else:
        for name, since in sorted(gone.items()):
            yield found(f"{cluster.cluster}/{name}", "node-not-ready", Severity.WARNING, minutes=since / 60)
    for name, lacks in sorted(cluster.under_pressure.items()):
        yield found(f"{cluster.cluster}/{name}", "node-under-pressure", Severity.WARNING, lacks=lacks)
    for code, pods in (("pods-pending", cluster.pending), ("pods-failing", cluster.failing)):
        late = sorted(name for name, since in pods.items() if since > PATIENCE_S)
        if late:
            severity = Severity.CRITICAL if 2 * len(late) >= cluster.pods else Severity.WARNING
            yield found(cluster.cluster, code, severity, count=len(late), pods=late[:5])
    for name in cluster.not_scaled:
        yield found(f"{cluster.cluster}/{name}", "not-scaling", Severity.WARNING, Source.SERVERLESS)
    if cluster.answer_s > SLOW_S:
        yield found(cluster.cluster, "api-slow", Severity.INFO, Source.NETWORK, seconds=cluster.answer_s)


def _of_metrics(reading: Reading, pools_before: int) -> Iterable[Finding]:
    ages = reading.metrics_age_s
    if ages is None:
        yield _found(reading.as_of, FLEET, FLEET, "metrics-silent", Severity.CRITICAL, Source.METRICS)
        return
    old = {name: age for name, age in ages.items() if age > STALE_S}
    for cluster in sorted({name.split("/", 1)[0] for name in old}):
        names = sorted(name for name in old if name.split("/", 1)[0] == cluster)
        whole = len(names) == sum(name.split("/", 1)[0] == cluster for name in ages)
        severity = Severity.CRITICAL if whole else Severity.WARNING
        yield _found(reading.as_of, reading.sites.get(cluster, FLEET), cluster, "metrics-stale", severity,
                     Source.METRICS, pools=names[:5], count=len(names))  # fmt: skip
    fresh = len(ages) - len(old)
    if fresh < FEWER_SERIES * pools_before:
        yield _found(reading.as_of, FLEET, FLEET, "series-lost", Severity.WARNING, Source.METRICS,
                     before=pools_before, now=fresh)  # fmt: skip
