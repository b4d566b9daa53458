"""Take back what nobody wants any more: floors, headroom and minimums whose time is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, InvalidInput
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.series import utc
from blocks.store.tables import Decision, Hold, Mode, now
from tasks.acting import REFUSED, Result, carry_out
from tasks.clusters import cluster_by_cluster
from tasks.forecasting.observe import source_time_s
from tasks.run import Run
from tasks.scaling.actuator_words import actuator_of
from tasks.scaling.actuators import BY_ACTUATOR, BY_KIND, Steering, open_actuator
from tasks.scaling.actuators.hold_marks import marked
from tasks.scaling.actuators.pool import told
from tasks.scaling.holds import HOLD_S, expiry_after

logger = logging.getLogger(__name__)


@task(name="take back what has expired", cache_policy=NO_CACHE, persist_result=False)
def reap(run: Run) -> list[Result]:
    """Take back every hold of the fleet whose time is over, as journalled changes; in shadow only tell of them.

    A hold that somebody has changed since is no longer ours: it is forgotten, and what is there is left alone.
    """
    due = expired(run.journal.holds(run.fleet_name), _fleet_time(run))
    if run.mode is Mode.SHADOW:
        return [Result("", hold.subject, "expired", f"{_words(hold)}; the next run in act mode takes it back")
                for hold in due]  # fmt: skip
    with run.journal.holding():
        return cluster_by_cluster(lambda hold: _take_back(run, hold), due, attrgetter("subject"))


def expired(holds: Sequence[Hold], fleet_time: datetime | None) -> list[Hold]:
    """The holds whose time is over; where nobody can tell the fleet's time, those not renewed for as long by ours."""
    if fleet_time is None:
        return [hold for hold in holds if now() - hold.renewed_at > timedelta(seconds=HOLD_S)]
    return [hold for hold in holds if hold.until <= fleet_time]


def renew(run: Run, rows: Sequence[Decision]) -> None:
    """Extend what this pass still wants: holds of pools whose decision names the same actuator.

    Only the last half of a hold's time is worth a write. A hold whose actuator is no longer the pool's expires.
    """
    if run.mode is Mode.SHADOW or not rows:
        return
    wanted = {
        (row.subject, BY_ACTUATOR[kind].kind)
        for row in rows
        if (kind := actuator_of(row.content)) in BY_ACTUATOR and row.content["target"] >= row.content["current"]
    }
    until, early = expiry_after(rows[0].as_of), rows[0].as_of + timedelta(seconds=HOLD_S / 2)
    for hold in run.journal.holds(run.fleet_name):
        if (hold.subject, hold.kind) not in wanted or hold.until >= early:
            continue
        try:
            actuator = open_actuator(run.fleet, hold.subject, hold.kind)
            if isinstance(actuator, Steering):
                actuator.keep(run.journal, Hold(**hold.model_dump() | {"until": until, "renewed_at": now()}))
        except ContinuumError as error:  # the next pass tries again, long before it expires
            logger.warning("%s", error)


def _take_back(run: Run, hold: Hold) -> Result:
    """One expired hold, back to what was there before us."""
    try:
        actuator = open_actuator(run.fleet, hold.subject, hold.kind)
        assert isinstance(actuator, Steering)  # nothing else holds anything up
        planned = actuator.back(hold)
    except InvalidInput as gone:  # the inventory has no such pool any more
        run.journal.drop_hold(hold)
        return Result("", hold.subject, REFUSED, f"{_words(hold)}, and is forgotten: {gone}")
    except ContinuumError as error:
        return Result("", hold.subject, REFUSED, f"{_words(hold)} and could not be taken back: {error}")
    if planned is None:
        actuator.drop(run.journal, hold)
        return Result(
            "",
            hold.subject,
            REFUSED,
            f"{_words(hold)}; somebody has changed it since, or it is at its least already: left alone",
        )
    key = f"reap/{hold.subject}/{hold.kind}/{hold.fleet}/{hold.until:%Y%m%dT%H%M%S}/{hold.renewed_at:%Y%m%dT%H%M%S.%f}"
    return carry_out(run, actuator, planned, subject=hold.subject, key=key)


def unknown_marks(run: Run) -> tuple[list[Hold], list[str]]:
    """What marks in the clusters say is held up and this store knows nothing of; and what could not be asked.

    Whoever may write a Lease in our namespace can write such a mark: it is told, and believed only where a person says
    so. Nothing is stored.
    """
    known = {(hold.subject, hold.kind) for hold in run.journal.holds(run.fleet_name)}
    found: list[Hold] = []
    trouble: list[str] = []
    for cluster in run.fleet.clusters:
        try:
            found += marked(KubernetesApi.connect(resolve_secrets(cluster)), cluster.name, run.fleet_name)
        except ContinuumError as error:
            trouble.append(str(error))
    return [hold for hold in found if hold.kind in BY_KIND and (hold.subject, hold.kind) not in known], trouble


def _words(hold: Hold) -> str:
    return f"{told(hold.value)} was wanted until {hold.until:%Y-%m-%d %H:%M} UTC"


def _fleet_time(run: Run) -> datetime | None:
    try:
        return utc(source_time_s(run.fleet))
    except ContinuumError as error:
        logger.warning("%s", error)
        return None
