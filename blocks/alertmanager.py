"""Prometheus Alertmanager, API v2: it groups, silences and sends; we tell it all that is open, again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import requests

from blocks.fleet import HttpAccess
from blocks.http import credentials, fetch, session, shown

AT_ONCE = 500  # of a request


@dataclass(frozen=True)
class Alert:
    """One alert: labels say which one it is; it is over at `ends_at` unless it is told again."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime


class Alertmanager:
    """One Alertmanager. Every verb raises errors of `blocks.errors` only."""

    def __init__(self, url: str, http: requests.Session) -> None:
        self._url, self._http, self._where = url.rstrip("/"), http, f"alertmanager {shown(url)}"

    @classmethod
    def connect(cls, access: HttpAccess) -> Self:
        """The one that an inventory names, its secrets resolved.

        Raises
        ------
        NotConfigured: a credential's variable is unset, or the CA file is not there.
        """
        auth = credentials(username=access.username, password=access.password, token=access.token,
                           where=f"alertmanager {shown(access.url)}")  # fmt: skip
        return cls(access.url, session(auth=auth, ca_file=access.ca_file, verify_tls=access.verify_tls))

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Send alerts; those of the same labels replace what was told before."""
        for first in range(0, len(alerts), AT_ONCE):
            body = [
                {"labels": dict(each.labels), "annotations": dict(each.annotations),
                 "startsAt": each.starts_at.isoformat(), "endsAt": each.ends_at.isoformat()}
                for each in alerts[first : first + AT_ONCE]
            ]  # fmt: skip
            fetch(self._http, "POST", f"{self._url}/api/v2/alerts", where=self._where, json=body)
