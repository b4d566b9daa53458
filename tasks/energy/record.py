"""Which period is due, and an energy report kept: sections, totals by cluster, files of rows, an event over budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from blocks import settings
from blocks.cloud_carbon import AwsSustainability, read_export
from blocks.emissions import CloudEmissions
from blocks.errors import ContinuumError
from blocks.events import BudgetExceeded
from blocks.fleet import CloudAccess, Provider
from blocks.series import utc
from blocks.store.tables import Scorecard
from tasks.energy.decide.samples import HOUR_S
from tasks.energy.offline import EnergyReport, places_of, reconcile
from tasks.energy.report import document, energy_sections, summary_line
from tasks.energy.report_files import write_files
from tasks.publish import emit, publish
from tasks.run import Run

Span = Literal["hour", "day", "month"]
LATE_S = 2 * HOUR_S  # samples that came late are read again


@dataclass(frozen=True)
class Due:
    """[begin, end) to report, epoch seconds; `collect_s` on is read from the metric sources."""

    begin_s: int
    end_s: int
    collect_s: int

    @property
    def before_s(self) -> int:
        """Begin of the period of the same length before it."""
        return 2 * self.begin_s - self.end_s


def due(span: Span, now_s: float) -> Due:
    """The newest whole hour, day or calendar month (UTC) that is over at `now_s`.

    >>> span = due("month", datetime(2026, 3, 10, tzinfo=UTC).timestamp())
    >>> utc(span.begin_s).isoformat(), (span.end_s - span.begin_s) // 86_400
    ('2026-02-01T00:00:00+00:00', 28)
    """
    end = datetime.fromtimestamp(now_s, UTC).replace(minute=0, second=0, microsecond=0)
    if span == "hour":
        begin = end - timedelta(hours=1)
    elif span == "day":
        end = end.replace(hour=0)
        begin = end - timedelta(days=1)
    else:
        end = end.replace(day=1, hour=0)
        begin = (end - timedelta(days=1)).replace(day=1)
    begin_s, end_s = int(begin.timestamp()), int(end.timestamp())
    return Due(begin_s, end_s, max(begin_s, end_s - 2 * 24 * HOUR_S) - LATE_S)


def keep(run: Run, report: EnergyReport) -> dict[str, Any]:
    """Save the report, show it, and return what it came to; the same period again replaces its totals in the store."""
    told = document(report)
    start, end = utc(report.start_s), utc(report.end_s)
    run.store.save_scorecards([
        Scorecard(flow="energy-report", subject=name, method="modelled", period_start=start, period_end=end,
                  scores={key: value for key, value in each.items() if value is not None})
        for name, each in [(f"fleet {run.fleet_name}", told["totals"]), *told["by_cluster"].items()]
    ])  # fmt: skip
    files = write_files(report, settings.home() / "energy")
    publish(run, energy_sections(report))
    return {"as_of": end.isoformat(), "summary": summary_line(told), "totals": told["totals"],
            "by_cluster": told["by_cluster"], "files": [str(path) for path in files],
            "trouble": report.trouble, "flow_run_id": run.id}  # fmt: skip


def put_beside(run: Run, report: EnergyReport, files: Sequence[str], *, aws: bool) -> None:
    """Reconcile a report with clouds' exports and AWS' API; what cannot be read is told, and the report stands."""
    provided: list[CloudEmissions] = []
    readers: list[Callable[[], list[CloudEmissions]]] = [partial(read_export, Path(name)) for name in files]
    if aws:
        access = next((each.cloud for each in run.fleet.clusters if each.provider is Provider.EKS), CloudAccess())
        readers.append(lambda: AwsSustainability(access).emissions(report.start_s, report.end_s))
    for read in readers:
        try:
            provided += read()
        except ContinuumError as error:
            report.trouble.append(str(error))
    if provided:
        reconcile(report, provided, places_of(run.fleet))


def tell_over_budget(run: Run, report: EnergyReport, budget_kwh: float | None, budget_kg: float | None) -> list[str]:
    """Emit an event for each budget that the period has exceeded; the names of these."""
    total = document(report)["totals"]
    limits = (("energy_kwh", budget_kwh, total["energy_kwh"]), ("location_kg", budget_kg, total["location_g"] / 1000))
    over = [(name, limit, actual) for name, limit, actual in limits if limit is not None and actual > limit]
    for name, limit, actual in over:
        emit(BudgetExceeded.model_validate({
            "fleet": run.fleet_name, "period_start": utc(report.start_s), "period_end": utc(report.end_s),
            "quantity": name, "budget": limit, "actual": actual,
        }), identity=f"{report.start_s} {report.end_s} {name}")  # fmt: skip
    return [name for name, _, _ in over]
