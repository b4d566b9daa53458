"""Runs of Prefect that may start later, found by their tag, and the carbon intensity where they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from blocks.carbon import Signal
from blocks.carbon.configured import Provider
from blocks.errors import ContinuumError, InvalidInput, NotFound
from blocks.prefect_api import prefect_client
from blocks.store.tables import now
from tasks.carbon.caps import CapRequest, observe_caps
from tasks.carbon.decide.caps import DAY_S, Capped
from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.shift import FlexibleRun
from tasks.carbon.files import seconds_of
from tasks.carbon.intensity import forecast_of
from tasks.carbon.jobs import flexible_jobs
from tasks.carbon.offline import zone_series
from tasks.carbon.tags import MOST_S, kw_of, moment_of
from tasks.run import Run

TAG = "continuum.flexible"
PAGE, MOST = 200, 10_000
AHEAD = timedelta(seconds=MOST_S)


@dataclass(frozen=True)
class View:
    """Flexible runs and caps, the intensity of their zones from now on, how it is known, and what could not be read."""

    as_of: datetime
    runs: tuple[FlexibleRun, ...]
    caps: tuple[Capped, ...]
    intensity: dict[str, Intensity]
    how: dict[str, str]
    trouble: tuple[str, ...]


@task(name="find flexible runs", cache_policy=NO_CACHE, persist_result=False)
def observe_runs(
    run: Run, providers: Sequence[Provider], signal: Signal, default_zone: str = "", *, jobs: bool = False,
    caps: Sequence[CapRequest] = (),
) -> View:  # fmt: skip
    """Runs that are scheduled and carry the tag `continuum.flexible`, and the carbon intensity where they run.

    jobs: suspended Jobs of the fleet's clusters too, see `jobs.flexible_jobs`. caps: what is to be capped.

    Tags: `takes:2h` (at most), `flexible:24h` (how much later than its time it may end) or the parameter
    `flexible_until`; `zone:DE`, `kw:1.5`. A run whose tags cannot be read is told, and left as it is.

    Intensity is the first provider's forecast of the zone, kept as it was issued; where none is configured for it, and
    average intensity is asked for, what is known offline. A provider that fails, or whose forecast is old, is told, and
    runs there start at their time.
    """
    as_of = now()
    found: list[FlexibleRun] = []
    trouble: list[str] = []
    with prefect_client("flexible runs") as client:
        scheduled = _scheduled(client, as_of + AHEAD)
    for each in scheduled:
        try:
            found.append(_flexible_run(each, default_zone))
        except ContinuumError as error:
            trouble.append(f"{error}; it is left as it is")
    if jobs:
        suspended, lines = flexible_jobs(run.fleet)
        found += suspended
        trouble += lines
    capped, lines = observe_caps(run, caps, default_zone, as_of)
    trouble += lines
    intensity, how = dict[str, Intensity](), dict[str, str]()
    begin = int(as_of.timestamp())
    until = [(each.zone, each.until_s) for each in found]
    until += [(each.zone, begin // DAY_S * DAY_S + DAY_S) for each in capped]
    for zone in sorted({zone for zone, _ in until}):
        end = max(end_s for each, end_s in until if each == zone)
        series, lines = forecast_of(run.store, providers, zone, as_of, run.id)
        if series is None and not lines:
            try:
                if signal == "marginal":
                    raise NotFound("no provider tells its marginal intensity", where=f"carbon intensity of {zone}",
                                   fix="name one in `carbon` of fleet.yaml")  # fmt: skip
                series = zone_series(zone, begin, max(end, begin + 3600))
            except ContinuumError as error:
                lines.append(str(error))
        trouble += [line if series else f"{line}; runs there start at their time" for line in lines]
        if series is None:
            continue
        intensity[zone] = Intensity(series.start_s, series.step_s, series.g_per_kwh)
        how[zone] = series.how + (f", issued {series.issued_at:%Y-%m-%d %H:%MZ}" if series.issued_at else "")
    return View(as_of, tuple(found), tuple(capped), intensity, how, tuple(trouble))


def _scheduled(client: SyncPrefectClient, before: datetime) -> list[FlowRun]:
    which = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=before),
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


def _flexible_run(run: FlowRun, default_zone: str = "") -> FlexibleRun:
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
    until_s = _until_s(run, told, arrival, takes, where)
    if until_s - arrival.timestamp() > AHEAD.total_seconds():
        raise InvalidInput("it may end more than 31 days after its time", where=where, fix="give it less time")
    zone = told.get("zone", default_zone)
    if not zone:
        raise InvalidInput("nothing says in which grid zone it runs", where=where, fix="tag it zone:DE, for one")
    return FlexibleRun(f"prefect/{run.id}", run.name, zone, int(arrival.timestamp()), int(planned.timestamp()),
                       takes, until_s, kw_of(told.get("kw", "1"), f"{where}, tag kw"))  # fmt: skip


def _until_s(run: FlowRun, told: Mapping[str, str], arrival: datetime, takes: int, where: str) -> int:
    """When it must have ended: what its parameter says, else its tag."""
    if (until := run.parameters.get("flexible_until")) is None:
        return int(arrival.timestamp()) + takes + seconds_of(told.get("flexible", ""), f"{where}, tag flexible")
    return int(moment_of(until, f"{where}, parameter flexible_until").timestamp())


def start_of(run: FlowRun) -> datetime | None:
    """When a run is to start as things are; None where it has begun or ended."""
    if run.state is None or run.state.type is not StateType.SCHEDULED:
        return None
    found = run.state.state_details.scheduled_time or run.next_scheduled_start_time or run.expected_start_time
    return found.astimezone(UTC).replace(microsecond=0) if found else None
