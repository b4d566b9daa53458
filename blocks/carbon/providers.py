"""Carbon intensity over HTTP: the UK's service, Electricity Maps v3, WattTime v3, and a carbon-aware-sdk web API.

Every base URL can be set. Credentials travel in headers alone and no redirect is followed, so none leaves its host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import SecretStr
from requests.auth import AuthBase, HTTPBasicAuth

from blocks.carbon.series import G_PER_LB, CarbonSeries, Method, Signal, from_points
from blocks.credentials import secret_text
from blocks.errors import InvalidInput, NotConfigured, NotFound, Refused, Unreachable
from blocks.http import BearerAuth, fetch_json, session

UK_URL = "https://api.carbonintensity.org.uk"
ELECTRICITY_MAPS_URL = "https://api.electricitymap.org"
WATTTIME_URL = "https://api.watttime.org"
HALF_HOUR_S, HOUR_S = 1800, 3600


class UkCarbonIntensity:
    """Great Britain, half hours, no key: actual where it is known, else the estimate that was issued for it."""

    signal: Signal = "average"

    def __init__(self, url: str = UK_URL) -> None:
        self._url, self._http, self._where = url.rstrip("/"), session(), "UK Carbon Intensity"

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The half hours that touch [start, end); at most 14 days. `zone` is GB.

        Raises
        ------
        NotFound: another zone, or no values. ContinuumError: see `blocks.http.fetch_json`.
        """
        rows = self._rows(zone, f"{_minute(start_s)}/{_minute(end_s)}")
        rows = [row for row in rows if start_s - HALF_HOUR_S < row[0] < end_s]
        actual = all(row[1] is not None for row in rows)
        values = [row[1] if row[1] is not None else row[2] for row in rows]
        return self._made(rows, values, "actual" if actual else "estimated")

    def forecast(self, zone: str) -> CarbonSeries:
        """48 hours from now on; the service gives no issue time."""
        rows = self._rows(zone, f"{_minute(int(datetime.now(UTC).timestamp()))}/fw48h")
        return self._made(rows, [row[2] for row in rows], "forecast")

    def _rows(self, zone: str, span: str) -> list[tuple[int, float | None, float | None]]:
        if zone != "GB":
            raise NotFound(f"no zone {zone!r}", where=self._where, fix="ask for GB")
        body = fetch_json(self._http, "GET", f"{self._url}/intensity/{span}", where=self._where, allow_redirects=False)
        with wellformed(self._where):
            return [(_second(row["from"]), row["intensity"]["actual"], row["intensity"]["forecast"])
                    for row in body["data"]]  # fmt: skip

    def _made(self, rows: list[Any], values: list[float | None], method: Method) -> CarbonSeries:
        start, dense = from_points([row[0] for row in rows], _numbers(values), HALF_HOUR_S, where=self._where)
        return CarbonSeries("GB", start, HALF_HOUR_S, dense, self.signal, method, self._where)


class ElectricityMaps:
    """Electricity Maps v3, hourly; the token from the portal. Forecasts need a paid plan."""

    signal: Signal = "average"

    def __init__(self, token: SecretStr, url: str = ELECTRICITY_MAPS_URL) -> None:
        self._where = "Electricity Maps"
        auth = _HeaderAuth("auth-token", secret_of(token, self._where))
        self._url, self._http = url.rstrip("/"), session(auth=auth)

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The hours that touch [start, end); at most ten days. Estimated as soon as one of them is.

        Raises
        ------
        NotFound: no such zone or time. ContinuumError: see `blocks.http.fetch_json`.
        """
        first = start_s // HOUR_S * HOUR_S
        body = self._ask("past-range", {"zone": zone, "start": _minute(first), "end": _minute(end_s)})
        with wellformed(self._where):
            rows = [row for row in body["data"] if first <= _second(row["datetime"]) < end_s]
            method: Method = "estimated" if any(row["isEstimated"] for row in rows) else "actual"
        return self._made(zone, rows, method, None)

    def forecast(self, zone: str) -> CarbonSeries:
        """The newest forecast, with its issue time."""
        body = self._ask("forecast", {"zone": zone})
        with wellformed(self._where):
            rows, issued = body["forecast"], datetime.fromisoformat(body["updatedAt"])
        return self._made(zone, rows, "forecast", issued)

    def _ask(self, verb: str, asked: dict[str, str]) -> Any:
        url = f"{self._url}/v3/carbon-intensity/{verb}"
        return fetch_json(self._http, "GET", url, params=asked, where=self._where, allow_redirects=False)

    def _made(self, zone: str, rows: list[Any], method: Method, issued: datetime | None) -> CarbonSeries:
        with wellformed(self._where):
            times, values = [_second(row["datetime"]) for row in rows], [row["carbonIntensity"] for row in rows]
        start, dense = from_points(times, _numbers(values), HOUR_S, where=f"{self._where}, zone {zone}")
        return CarbonSeries(zone, start, HOUR_S, dense, self.signal, method, self._where, issued)


class WattTime:
    """WattTime v3, marginal operating emissions, 5 minutes, lb/MWh turned into g/kWh."""

    signal: Signal = "marginal"

    def __init__(self, username: str, password: SecretStr, url: str = WATTTIME_URL) -> None:
        self._url, self._where = url.rstrip("/"), "WattTime"
        self._basic = HTTPBasicAuth(username, secret_of(password, self._where))

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The steps of [start, end); at most 32 days. They are modelled, so they are called estimated.

        Raises
        ------
        NotFound: no values. ContinuumError: see `blocks.http.fetch_json`.
        """
        return self._made(zone, self._ask("historical", zone, start=_minute(start_s), end=_minute(end_s)), "estimated")

    def forecast(self, zone: str) -> CarbonSeries:
        """The newest forecast, with its issue time."""
        return self._made(zone, self._ask("forecast", zone), "forecast")

    def _ask(self, verb: str, zone: str, **span: str) -> Any:
        login = fetch_json(session(auth=self._basic), "GET", f"{self._url}/login", where=self._where,
                           allow_redirects=False)  # fmt: skip
        with wellformed(self._where):
            http = session(auth=BearerAuth(login["token"]))
        asked = {"region": zone, "signal_type": "co2_moer", **span}
        return fetch_json(http, "GET", f"{self._url}/v3/{verb}", params=asked, where=self._where, allow_redirects=False)

    def _made(self, zone: str, body: Any, method: Method) -> CarbonSeries:
        with wellformed(self._where):
            meta = body["meta"]
            if meta["signal_type"] != "co2_moer" or meta["units"] != "lbs_co2_per_mwh":
                raise Refused(f"answered {meta['signal_type']} in {meta['units']}", where=self._where,
                              fix="ask for co2_moer in lbs_co2_per_mwh")  # fmt: skip
            step, issued = int(meta["data_point_period_seconds"]), meta.get("generated_at")
            times = [_second(row["point_time"]) for row in body["data"]]
            grams = [row["value"] * G_PER_LB / 1000 for row in body["data"]]
            when = datetime.fromisoformat(issued) if issued and method == "forecast" else None
        start, dense = from_points(times, grams, step, where=f"{self._where}, region {zone}")
        return CarbonSeries(zone, start, step, dense, self.signal, method, self._where, when)


class CarbonAwareSdk:
    """A carbon-aware-sdk web API: forecasts. What it reads decides whether they are average or marginal: say which."""

    def __init__(self, url: str, signal: Signal) -> None:
        self._url, self.signal, self._where = url.rstrip("/"), signal, "carbon-aware-sdk"
        self._http: requests.Session = session()

    def forecast(self, zone: str) -> CarbonSeries:
        """The newest forecast of a location, with its issue time.

        Raises
        ------
        NotFound: none for it. ContinuumError: see `blocks.http.fetch_json`.
        """
        body = fetch_json(self._http, "GET", f"{self._url}/emissions/forecasts/current", params={"location": zone},
                          where=self._where, allow_redirects=False)  # fmt: skip
        with wellformed(self._where):
            rows = body[0]["forecastData"] if body else []
            times, values = [_second(row["timestamp"]) for row in rows], [row["value"] for row in rows]
            step, issued = (int(rows[0]["duration"]) * 60, body[0]["generatedAt"]) if rows else (60, "")
        start, dense = from_points(times, _numbers(values), step, where=f"{self._where}, location {zone}")
        when = datetime.fromisoformat(issued)
        return CarbonSeries(zone, start, step, dense, self.signal, "forecast", self._where, when)


class _HeaderAuth(AuthBase):
    """A token in a header of the provider's own name; never shown."""

    def __init__(self, name: str, token: str) -> None:
        self._name, self._token = name, token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._name] = self._token
        return request


def secret_of(secret: SecretStr, where: str) -> str:
    """A key in the clear, for the moment it is sent.

    Raises
    ------
    NotConfigured: there is none.
    """
    text = secret.get_secret_value() and secret_text(secret, where=where)
    if not text:
        raise NotConfigured("no key", where=where, fix="give `${NAME}` of an environment variable that holds it")
    return text


def _numbers(values: list[Any]) -> list[float]:
    """Values as floats; a missing one stays missing and is refused by `CarbonSeries`."""
    return [float("nan") if value is None else float(value) for value in values]


def _minute(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%MZ}"


def _second(text: str) -> int:
    """Epoch seconds of an ISO time; UTC where it bears no offset, as the sources document."""
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


@contextmanager
def wellformed(where: str) -> Iterator[None]:
    """Turn what a malformed answer provokes into one error."""
    try:
        yield
    except InvalidInput:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"an answer that is not {where}'s", where=where, fix="check the URL and its path") from error
