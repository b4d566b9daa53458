"""Carbon intensity from what power stations generated: ENTSO-E (Europe) and EIA (USA), each with a free key.

Grams are generation by fuel times the median lifecycle emissions of that fuel (IPCC AR5 WG III, annex III, 2014; oil
and what is not told as Electricity Maps takes them). Imports are not looked at, so that it is called estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as Xml  # nosec B405

import numpy as np
from pydantic import SecretStr

from blocks.carbon.providers import secret_of, wellformed
from blocks.carbon.series import CarbonSeries, Signal, from_points
from blocks.errors import InvalidInput, NotFound, Unreachable
from blocks.http import fetch, fetch_json, session

ENTSOE_URL, EIA_URL = "https://web-api.tp.entsoe.eu", "https://api.eia.gov"
G_PER_KWH = {"coal": 820.0, "gas": 490.0, "oil": 650.0, "biomass": 230.0, "solar": 48.0, "geothermal": 38.0,
             "hydro": 24.0, "nuclear": 12.0, "wind": 11.5, "sea": 17.0, "unknown": 700.0}  # fmt: skip
# ENTSO-E's codes of production types (B10, pumped storage, and B25, batteries, give back what is counted elsewhere).
PSR = {"B01": "biomass", "B02": "coal", "B03": "gas", "B04": "gas", "B05": "coal", "B06": "oil", "B07": "coal",
       "B08": "coal", "B09": "geothermal", "B11": "hydro", "B12": "hydro", "B13": "sea", "B14": "nuclear",
       "B15": "biomass", "B16": "solar", "B17": "unknown", "B18": "wind", "B19": "wind", "B20": "unknown"}  # fmt: skip
EIA_FUELS = {"COL": "coal", "NG": "gas", "OIL": "oil", "SUN": "solar", "WAT": "hydro", "NUC": "nuclear", "WND": "wind",
             "GEO": "geothermal", "OTH": "unknown", "UNK": "unknown"}  # fmt: skip
STORAGE = ("B10", "B25", "PS", "BAT", "SNB", "UES")
HOUR_S, MOST_ROWS = 3600, 5000
_STEP = re.compile(r"PT(\d+)M")
Row = tuple[int, str, float]  # second, fuel, MW


class Entsoe:
    """Transparency Platform, actual generation per type (A75): the zone is an EIC code such as 10Y1001A1001A83F."""

    signal: Signal = "average"

    def __init__(self, token: SecretStr, url: str = ENTSOE_URL) -> None:
        self._url, self._http, self._where = url.rstrip("/"), session(), "ENTSO-E"
        self._token = secret_of(token, self._where)

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The hours that touch [start, end); a year at most.

        Raises
        ------
        NotFound: it has nothing of that. ContinuumError: see `blocks.http.fetch`; the key is in no error.
        """
        first, last = start_s // HOUR_S * HOUR_S, -(-end_s // HOUR_S) * HOUR_S
        asked = {"securityToken": self._token, "documentType": "A75", "processType": "A16", "in_Domain": zone,
                 "periodStart": _compact(first), "periodEnd": _compact(last)}  # fmt: skip
        answer = fetch(self._http, "GET", f"{self._url}/api", params=asked, where=self._where, allow_redirects=False)
        document = _parsed(answer.content, self._where)
        if document.tag.rpartition("}")[2] == "Acknowledgement_MarketDocument":
            raise NotFound("it has nothing of that zone and time", where=self._where, fix="check the EIC code")
        with wellformed(self._where):
            rows = [row for each in document.iterfind("{*}TimeSeries") for row in _generated(each)]
        return _intensity(zone, rows, first, last, self._where)


class Eia:
    """EIA v2, hourly generation by energy source: the zone is a balancing authority such as CISO."""

    signal: Signal = "average"

    def __init__(self, token: SecretStr, url: str = EIA_URL) -> None:
        self._url, self._http, self._where = url.rstrip("/"), session(), "EIA"
        self._token = secret_of(token, self._where)

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The hours that touch [start, end); 20 days at most, which are one answer.

        Raises
        ------
        NotFound: it has nothing of that. ContinuumError: see `blocks.http.fetch_json`; the key is in no error.
        """
        first, last = start_s // HOUR_S * HOUR_S, -(-end_s // HOUR_S) * HOUR_S
        # EIA names an hour by its end.
        asked = {"api_key": self._token, "frequency": "hourly", "data[0]": "value", "facets[respondent][]": zone,
                 "start": f"{datetime.fromtimestamp(first + HOUR_S, UTC):%Y-%m-%dT%H}",
                 "end": f"{datetime.fromtimestamp(last, UTC):%Y-%m-%dT%H}", "length": str(MOST_ROWS)}  # fmt: skip
        url = f"{self._url}/v2/electricity/rto/fuel-type-data/data/"
        body = fetch_json(self._http, "GET", url, params=asked, where=self._where, allow_redirects=False)
        with wellformed(self._where):
            told = body["response"]
            if int(told["total"]) > len(told["data"]):
                raise InvalidInput(f"{told['total']} rows, {MOST_ROWS} at most fit one answer", where=self._where,
                                   fix="ask for a shorter time")  # fmt: skip
            rows = [(_hour(row["period"]) - HOUR_S, _fuel(row["fueltype"], EIA_FUELS), float(row["value"]))
                    for row in told["data"] if row["fueltype"] not in STORAGE and row["value"] is not None]  # fmt: skip
        return _intensity(zone, rows, first, last, self._where)


def _intensity(zone: str, rows: Iterable[Row], first: int, last: int, where: str) -> CarbonSeries:
    """Grams over energy by hour; what is fed in negatively (a station's own use) is none."""
    energy, grams = np.zeros((2, (last - first) // HOUR_S))
    for at, fuel, megawatt in rows:
        if first <= at < last and megawatt > 0:
            energy[(at - first) // HOUR_S] += megawatt
            grams[(at - first) // HOUR_S] += megawatt * G_PER_KWH[fuel]
    there = np.flatnonzero(energy > 0)
    times, values = (first + there * HOUR_S).tolist(), (grams[there] / energy[there]).tolist()
    start, dense = from_points(times, values, HOUR_S, where=f"{where}, zone {zone}")
    return CarbonSeries(zone, start, HOUR_S, dense, "average", "estimated",
                        f"{where} generation by fuel x IPCC AR5 medians")  # fmt: skip


def _generated(series: Xml.Element) -> Iterable[Row]:
    """MW of one TimeSeries by step; a point that is left out repeats the one before it (curve type A03)."""
    code = series.findtext("{*}MktPSRType/{*}psrType") or ""
    if code in STORAGE or series.find("{*}outBiddingZone_Domain.mRID") is not None:  # what a station consumes
        return
    for period in series.iterfind("{*}Period"):
        begin, end = (datetime.fromisoformat(period.findtext(f"{{*}}timeInterval/{{*}}{name}") or "")
                      for name in ("start", "end"))  # fmt: skip
        found = _STEP.fullmatch(period.findtext("{*}resolution") or "")
        if not found:
            raise ValueError("resolution")
        step = timedelta(minutes=int(found[1]))
        told = {int(point.findtext("{*}position") or ""): float(point.findtext("{*}quantity") or "")
                for point in period.iterfind("{*}Point")}  # fmt: skip
        value = 0.0
        for number in range(int((end - begin) / step)):
            value = told.get(number + 1, value)
            yield int((begin + number * step).timestamp()), _fuel(code, PSR), value


def _parsed(content: bytes, where: str) -> Xml.Element:
    """An XML document; one with a document type (entities that swell) is refused."""
    if b"<!" in content.replace(b"<!--", b""):
        raise Unreachable(f"an answer that is not {where}'s", where=where, fix="check the URL and its path")
    try:
        return Xml.fromstring(content)  # nosec B314
    except Xml.ParseError as error:
        raise Unreachable(f"an answer that is not {where}'s", where=where, fix="check the URL and its path") from error


def _fuel(code: str, names: dict[str, str]) -> str:
    return names.get(code, "unknown")


def _hour(text: Any) -> int:
    return int(datetime.strptime(str(text), "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp())


def _compact(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%d%H%M}"
