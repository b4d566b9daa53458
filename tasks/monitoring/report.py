"""Health and findings told to people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tasks.monitoring.decide import STALE_S, Finding, Health, Reading, Severity, Verdict
from tasks.publish import publish
from tasks.run import Run
from tasks.sections import section

ROWS = 500

WORDS = {
    "cluster-silent": "the API does not answer",
    "most-nodes-gone": "{gone} of {nodes} nodes are not Ready",
    "node-not-ready": "not Ready for {minutes:.0f} minutes",
    "node-under-pressure": "{lacks}",
    "pods-pending": "{count} pods find no node: {pods}",
    "pods-failing": "{count} pods are not Ready: {pods}",
    "not-scaling": "its autoscaler does not say Ready",
    "api-slow": "the API took {seconds:.1f} s to answer",
    "metrics-silent": "no metric source answers",
    "metrics-stale": "no CPU sample of {count} pools for 10 minutes: {pools}",
    "series-lost": "{now} pools have metrics; {before} had in the pass before",
    "route-down": "fails its health checks",
    "anomalies": "{count} series are unlike their past: {series}",
}


def words_of(finding: Finding, as_of: datetime | None = None) -> str:
    """One finding in one line; with `as_of` also that it was not seen then."""
    told = {key: ", ".join(value) if isinstance(value, (list, tuple)) else value
            for key, value in finding.numbers.items()}  # fmt: skip
    unsure = "" if as_of in (None, finding.seen_at) else " (not seen this time: its source did not answer)"
    return f"{finding.subject}: {WORDS[finding.code].format(**told)}{unsure}"


def health_line(health: Health) -> str:
    """The health with its parts.

    >>> from tasks.monitoring.decide import Source
    >>> health_line(Health({Source.KUBERNETES: 1.0, Source.EDGE: 0.5, Source.SERVERLESS: None}, 0.75))
    'Health 75 %: kubernetes 100 %, edge 50 %, serverless not known or none.'
    """
    parts = ", ".join(f"{part} {'not known or none' if value is None else f'{value:.0%}'.replace('%', ' %')}"
                      for part, value in health.parts.items())  # fmt: skip
    return f"Health {'not known' if health.overall is None else f'{100 * health.overall:.0f} %'}: {parts}."


def publish_monitoring(
    run: Run, reading: Reading, verdict: Verdict, told: int, trouble: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    """Save and show the pass, and return it; `told`: events that were sent."""
    count = {each: sum(found.severity is each for found in verdict.open) for each in reversed(Severity)}
    silent = sum(not each.answered for each in reading.clusters)
    words = [
        health_line(verdict.health),
        f"{', '.join(f'{number} {name}' for name, number in count.items())}; {len(verdict.new)} are new, "
        f"{len(verdict.over)} are over. {len(reading.clusters) - silent} of {len(reading.clusters)} clusters answered.",
        *trouble,
    ]
    rows = [[each.severity, each.site, words_of(each, reading.as_of), f"{each.since:%Y-%m-%d %H:%M} UTC"]
            for each in verdict.open[:ROWS]]  # fmt: skip
    measured = sum(age <= STALE_S for age in (reading.metrics_age_s or {}).values())
    publish(run, [section("Fleet health", words, ("severity", "site", "what", "since"), rows,
                          findings=[each.to_record() for each in verdict.open], pools_measured=measured)])  # fmt: skip
    parts = {str(part): value for part, value in verdict.health.parts.items()}
    return {"as_of": reading.as_of.isoformat(), "summary": words[0],
            "health": parts | {"overall": verdict.health.overall},
            "findings": [each.to_record() | {"words": words_of(each, reading.as_of)} for each in verdict.open],
            "over": [words_of(each) for each in verdict.over], "events": told, "trouble": list(trouble),
            "flow_run_id": run.id}  # fmt: skip
