"""Look at every source of the fleet, say what is wrong by rules, and how healthy each part is."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.inference.watch import announce_drift
from tasks.monitoring.decide import decide_health
from tasks.monitoring.observe import observe_fleet
from tasks.monitoring.report import publish_monitoring
from tasks.monitoring.tell import announce, findings_before, keep_health, tell_alertmanager
from tasks.run import open_run


class MonitoringRequest(BaseModel):
    """Whose fleet to look at."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    interval_s: int = Field(300, ge=10, le=86_400, description="seconds between two passes; an alert that is not told "
                            "again for two of them is over")  # fmt: skip


@flow(name="fleet-monitoring", description=__doc__)
def fleet_monitoring(request: MonitoringRequest = MonitoringRequest()) -> dict[str, Any]:
    """Observe, decide, announce, record; nothing of the fleet is changed."""
    run = open_run("fleet-monitoring", request.fleet)

    reading, trouble = observe_fleet(run)
    verdict = decide_health(reading, *findings_before(run))

    events = [*announce(run, verdict, reading.as_of), *announce_drift(run)]
    lost = tell_alertmanager(run, verdict, reading.as_of, request.interval_s)
    keep_health(run, verdict, reading.as_of)

    return publish_monitoring(run, reading, verdict, len(events), [*trouble, *filter(None, [lost])])


if __name__ == "__main__":
    fleet_monitoring()
