"""Anomalies that were announced, so that none is announced twice: one small file a fleet, of the last two days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from blocks.errors import NotFound
from blocks.events import AnomaliesDetected, Anomaly
from blocks.store.series import SeriesStore
from tasks.publish import emit

KEPT = timedelta(days=2)
LISTED = 1000  # an event holds 1.5 MB at most, each of them takes about 150 bytes

_LIST = TypeAdapter(list[Anomaly])


def announce_anomalies(
    files: SeriesStore, fleet_name: str, as_of: datetime, found: Iterable[Anomaly]
) -> tuple[list[Anomaly], list[Anomaly]]:
    """Emit at most one event for a pass, with the anomalies that no pass before has announced.

    An anomaly is known by its series and time. A pass that is killed between the event and the file emits the same
    event with the same id again, which the server keeps once.

    Returns
    -------
    What was announced now, and all of the last two days; newest first.
    """
    before = recent_anomalies(files, fleet_name, as_of)
    known = {(anomaly.series, anomaly.at) for anomaly in before}
    new = _newest_first(anomaly for anomaly in found if (anomaly.series, anomaly.at) not in known)
    if new:
        event = AnomaliesDetected(fleet=fleet_name, as_of=as_of, count=len(new), anomalies=new[:LISTED])
        told = " ".join(f"{anomaly.series}@{anomaly.at.isoformat()}" for anomaly in new)
        emit(event, identity=told)
        recent = _newest_first([*new, *before])
        files.write_bytes(_path(fleet_name), _LIST.dump_json(recent))
        return new, recent
    return new, before


def recent_anomalies(files: SeriesStore, fleet_name: str, as_of: datetime) -> list[Anomaly]:
    """What was announced in the two days up to `as_of`, newest first."""
    try:
        found = _LIST.validate_json(files.read_bytes(_path(fleet_name)))
    except (NotFound, ValidationError):  # damaged: what it held may be announced once more
        return []
    return [anomaly for anomaly in found if as_of - KEPT <= anomaly.at <= as_of]


def _newest_first(anomalies: Iterable[Anomaly]) -> list[Anomaly]:
    return sorted(anomalies, key=lambda anomaly: (-anomaly.at.timestamp(), anomaly.series))


def _path(fleet_name: str) -> str:
    return f"anomalies/fleet={quote(fleet_name, safe='')}/recent.json"
