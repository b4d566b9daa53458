"""Tell of a pass: critical things as one event a site, everything to Alertmanager, health into the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from blocks.alertmanager import Alert, Alertmanager
from blocks.errors import ContinuumError
from blocks.events import HealthDegraded
from blocks.inventory import resolve_secrets
from blocks.store.tables import Scorecard, now
from tasks.monitoring.decide import Finding, Severity, Verdict
from tasks.monitoring.report import words_of
from tasks.publish import emit
from tasks.run import Run

FLOW = "fleet-monitoring"


def announce(run: Run, verdict: Verdict, as_of: datetime) -> list[HealthDegraded]:
    """Emit an event for each site where something critical is new; told twice, the server keeps it once."""
    new = sorted((each for each in verdict.new if each.severity is Severity.CRITICAL), key=attrgetter("site"))
    events = []
    for site, group in groupby(new, key=attrgetter("site")):
        found = list(group)
        event = HealthDegraded(fleet=run.fleet_name, as_of=as_of, site=site, findings=[*map(words_of, found)],
                               health=verdict.health.overall)  # fmt: skip
        emit(event, identity=" ".join(f"{each.code} {each.subject} {each.since.isoformat()}" for each in found))
        events.append(event)
    return events


def tell_alertmanager(run: Run, verdict: Verdict, as_of: datetime, interval_s: float) -> str:
    """Send all that is open, and the end of what is over; a line of trouble where that fails, "" else.

    Nothing is lost by a failure: the next pass sends again all that is open then, and what is over ends by itself.
    """
    if run.fleet.alertmanager is None:
        return ""
    at, lasts = now(), timedelta(seconds=2 * interval_s)
    alerts = [_alert(run, each, as_of, at, at + lasts) for each in verdict.open]
    alerts += [_alert(run, each, as_of, at, at) for each in verdict.over]
    try:
        Alertmanager.connect(resolve_secrets(run.fleet.alertmanager)).tell(alerts)
    except ContinuumError as error:
        return f"{error}; the next pass tells it again"
    return ""


def keep_health(run: Run, verdict: Verdict, as_of: datetime) -> None:
    """Keep the parts of the health that are known."""
    scores = {str(part): value for part, value in verdict.health.parts.items() if value is not None}
    if verdict.health.overall is not None:
        scores["overall"] = verdict.health.overall
        run.store.save_scorecards([Scorecard(flow=FLOW, subject=run.fleet_name, method="health", period_start=as_of,
                                             period_end=as_of, scores=scores)])  # fmt: skip


def findings_before(run: Run) -> tuple[Sequence[Finding], int]:
    """What the newest pass left open, and how many pools had metrics then; nothing before the first."""
    for row in run.store.sections(flow=FLOW, subject=run.fleet_name):
        if "findings" in row.content:
            return [Finding.of_record(each) for each in row.content["findings"]], int(row.content["pools_measured"])
    return [], 0


def _alert(run: Run, finding: Finding, as_of: datetime, at: datetime, ends_at: datetime) -> Alert:
    labels = {"alertname": f"Continuum-{finding.code}", "fleet": run.fleet_name, "site": finding.site,
              "subject": finding.subject, "severity": str(finding.severity)}  # fmt: skip
    starts_at = min(at - max(as_of - finding.since, timedelta(0)), ends_at)  # a fleet may live by another clock
    return Alert(labels, {"summary": words_of(finding)}, starts_at, ends_at)
