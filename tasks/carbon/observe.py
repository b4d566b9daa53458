"""Runs of Prefect that may start later, found by their tag, and the carbon intensity where they run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from blocks.carbon import CarbonSeries
from blocks.errors import ContinuumError, InvalidInput
from blocks.store.tables import now
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.shift import FlexibleRun
from tasks.carbon.files import seconds_of
from tasks.carbon.offline import zone_series

TAG = "continuum.flexible"
PAGE, MOST = 200, 10_000


@dataclass(frozen=True)
class View:
    """Flexible runs, the intensity of their zones from now on, how it is known, and what could not be read."""

    as_of: datetime
    runs: tuple[FlexibleRun, ...]
    intensity: dict[str, Intensity]
    how: dict[str, str]
    trouble: tuple[str, ...]


@task(name="find flexible runs", cache_policy=NO_CACHE, persist_result=False)
def observe_runs(default_zone: str = "") -> View:
    """Runs that are scheduled and carry the tag `continuum.flexible`, and the carbon intensity where they run.

    Tags: `takes:2h` (at most), `flexible:24h` (how much later than its time it may end) or the parameter
    `flexible_until`; `zone:DE`, `kw:1.5`. A run whose tags cannot be read is told, and left as it is.
    """
    as_of = now()
    found: list[FlexibleRun] = []
    trouble: list[str] = []
    with get_client(sync_client=True) as client:
        for each in _scheduled(client):
            try:
                found.append(flexible_run(each, default_zone))
            except ContinuumError as error:
                trouble.append(f"{error}; it is left as it is")
    intensity, how = {}, {}
    begin = int(as_of.timestamp())
    for zone in sorted({run.zone for run in found}):
        end = max(run.until_s for run in found if run.zone == zone)
        try:
            series: CarbonSeries = zone_series(zone, begin, max(end, begin + 3600))
        except ContinuumError as error:
            trouble.append(f"{error}; runs there start at their time")
            continue
        intensity[zone] = Intensity(series.start_s, series.step_s, series.g_per_kwh)
        how[zone] = f"{series.method}, {series.source}"
    return View(as_of, tuple(found), intensity, how, tuple(trouble))


def _scheduled(client: SyncPrefectClient) -> list[FlowRun]:
    which = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        tags=FlowRunFilterTags(all_=[TAG]),
    )
    found: list[FlowRun] = []
    while len(found) < MOST:
        page = client.read_flow_runs(
            flow_run_filter=which, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=PAGE, offset=len(found)
        )
        found += page
        if len(page) < PAGE:
            break
    return found


def flexible_run(run: FlowRun, default_zone: str = "") -> FlexibleRun:
    """What a run's tags and parameters say of it.

    Raises
    ------
    InvalidInput: one cannot be read, or one that is needed is missing.
    """
    where = f"run {run.name}"
    told = dict(tag.split(":", 1) for tag in run.tags if ":" in tag)
    planned, arrival = start_of(run), run.expected_start_time
    if planned is None or arrival is None:
        raise InvalidInput("it has no time to start at", where=where, fix="schedule it")
    takes = seconds_of(told.get("takes", ""), f"{where}, tag takes")
    if (until := run.parameters.get("flexible_until")) is not None:
        try:
            until_s = datetime.fromisoformat(str(until)).timestamp()
        except ValueError as error:
            raise InvalidInput(f"{until!r} is no time", where=f"{where}, parameter flexible_until",
                               fix="write e.g. 2026-01-31T18:00Z") from error  # fmt: skip
    else:
        until_s = arrival.timestamp() + takes + seconds_of(told.get("flexible", ""), f"{where}, tag flexible")
    zone = told.get("zone", default_zone)
    if not zone:
        raise InvalidInput("nothing says in which grid zone it runs", where=where, fix="tag it zone:DE, for one")
    try:
        kw = float(told.get("kw", 1.0))
    except ValueError as error:
        raise InvalidInput(f"{told['kw']!r} is no number", where=f"{where}, tag kw", fix="write e.g. kw:1.5") from error
    return FlexibleRun(f"prefect/{run.id}", run.name, zone, int(arrival.timestamp()), int(planned.timestamp()),
                       takes, int(until_s), kw)  # fmt: skip


def start_of(run: FlowRun) -> datetime | None:
    """When a run is to start as things are; None where it has begun or ended."""
    if run.state is None or run.state.type is not StateType.SCHEDULED:
        return None
    found = run.state.state_details.scheduled_time or run.next_scheduled_start_time or run.expected_start_time
    return found.astimezone(UTC).replace(microsecond=0) if found else None
