"""Power of a machine by its BMC, over Redfish (DMTF DSP0266): the newest chassis resources first, else `Power`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blocks.errors import NotFound, Refused, Unreachable
from blocks.fleet import BmcAccess
from blocks.http import credentials, fetch_json, retry_policy, session

ROOT = "/redfish/v1"
MOST_CHASSIS, MOST_W = 32, 1e6
LONGEST_S = 24 * 3600
WHOLE = (None, "Chassis", "SystemBoard", "Intake", "PowerSubsystem")  # contexts of a reading of the whole machine


@dataclass(frozen=True)
class PowerReading:
    """W of a machine, without PUE, over the last `lasts_s` seconds; 0 where it is a reading of the moment."""

    watts: float
    lasts_s: int


class Redfish:
    """One BMC. Basic authentication over TLS; no redirect is followed, and no link that leaves `/redfish/`."""

    def __init__(self, access: BmcAccess) -> None:
        """Secrets of `access` are resolved."""
        self._where = f"BMC {access.url} of {access.node_pool}"
        auth = credentials(username=access.username, password=access.password, token=access.token, where=self._where)
        self._http = session(auth=auth, ca_file=access.ca_file, verify_tls=access.verify_tls, timeout_s=10,
                             retry=retry_policy(1))  # fmt: skip
        self._url = str(access.url).rstrip("/")

    def power(self) -> PowerReading:
        """The sum over its chassis, each counted once: one inside another that tells its own power is part of that.

        An average over a time (`PowerMetrics`) is taken before a reading of the moment.

        Raises
        ------
        NotFound: no chassis tells its power. ContinuumError: see `blocks.http.fetch_json`.
        """
        told: dict[str, tuple[PowerReading, str]] = {}
        for path, chassis in self._chassis():
            reading = self._of(chassis)
            if reading is not None:
                told[path] = reading, _link((chassis.get("Links") or {}).get("ContainedBy"))
        outer = [reading for reading, within in told.values() if within not in told]
        if not outer:
            raise NotFound("no chassis of it tells its power", where=self._where, fix="leave it out: power is modelled")
        return PowerReading(sum(each.watts for each in outer), min(each.lasts_s for each in outer))

    def _chassis(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        members = self._get(f"{ROOT}/Chassis").get("Members") or []
        for each in members[:MOST_CHASSIS]:
            if path := _link(each):
                yield path, self._get(path)

    def _of(self, chassis: Mapping[str, Any]) -> PowerReading | None:
        if path := _link(chassis.get("EnvironmentMetrics")):
            watts = _watts((self._get(path).get("PowerWatts") or {}).get("Reading"))
            if watts is not None:
                return PowerReading(watts, 0)
        if path := _link(chassis.get("Power")):
            for control in self._get(path).get("PowerControl") or []:
                if control.get("PhysicalContext") in WHOLE:
                    return _reading(control)
        return None

    def _get(self, path: str) -> dict[str, Any]:
        if not path.startswith("/redfish/"):
            raise Refused(f"it links to {path[:80]}, which is no Redfish resource", where=self._where,
                          fix="update its firmware, or leave it out")  # fmt: skip
        found = fetch_json(self._http, "GET", self._url + path, where=self._where, allow_redirects=False)
        if not isinstance(found, dict):
            raise Unreachable("an answer that is no Redfish resource", where=self._where, fix="check the URL")
        return found


def _reading(control: Mapping[str, Any]) -> PowerReading | None:
    """Of one `PowerControl`; the first of a chassis is the whole of it, later ones are parts of it."""
    metrics = control.get("PowerMetrics") or {}
    average, minutes = _watts(metrics.get("AverageConsumedWatts")), metrics.get("IntervalInMin")
    if average is not None and isinstance(minutes, int | float) and 0 < minutes * 60 <= LONGEST_S:
        return PowerReading(average, int(minutes * 60))
    watts = _watts(control.get("PowerConsumedWatts"))
    return None if watts is None else PowerReading(watts, 0)


def _watts(value: object) -> float | None:
    """A power above 0, W; None where there is none: a BMC that knows nothing says null, or 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_W:
        return None
    return float(value)


def _link(value: object) -> str:
    path = value.get("@odata.id") if isinstance(value, dict) else None
    return str(path).rstrip("/") if path else ""
