"""What clouds say they emitted for us: AWS' sustainability API, AWS' Data Export and GCP's BigQuery export as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from blocks.aws import aws_client, aws_errors
from blocks.emissions import CloudEmissions
from blocks.errors import InvalidInput, Unauthorized
from blocks.fleet import CloudAccess

G_PER_UNIT = {"MTCO2E": 1e6, "KGCO2E": 1e3, "GCO2E": 1.0}
LOCATION, MARKET = "TOTAL_LBM_CARBON_EMISSIONS", "TOTAL_MBM_CARBON_EMISSIONS"
_AWS = ("usage_period_start", "region_code", "total_lbm_emissions_value", "total_lbm_emissions_unit",
        "total_mbm_emissions_value", "total_mbm_emissions_unit", "model_version")  # fmt: skip
_GCP = ("usage_month", "location_region", "carbon_footprint_total_kgco2e_location_based",
        "carbon_footprint_total_kgco2e_market_based", "carbon_model_version")  # fmt: skip


class AwsSustainability:
    """AWS Sustainability, estimated carbon emissions by month and region, of the account that we are."""

    def __init__(self, access: CloudAccess) -> None:
        self._where = "AWS sustainability"
        self._client = aws_client("sustainability", access, self._where)

    def emissions(self, begin_s: int, end_s: int) -> list[CloudEmissions]:
        """The whole months in [begin, end); they come weeks late.

        Raises
        ------
        ContinuumError: see `blocks.aws.aws_errors`. InvalidInput: a unit that is not known.
        """
        asked = {"TimePeriod": {"Start": _utc(begin_s), "End": _utc(end_s)}, "GroupBy": ["REGION"],
                 "EmissionsTypes": [LOCATION, MARKET], "Granularity": "MONTHLY"}  # fmt: skip
        found = []
        with aws_errors(self._where, {Unauthorized: "allow sustainability:GetEstimatedCarbonEmissions"}):
            for page in self._client.get_paginator("get_estimated_carbon_emissions").paginate(**asked):
                for row in page["Results"]:
                    begin, end = (int(row["TimePeriod"][name].timestamp()) for name in ("Start", "End"))
                    location, market = (_grams(each["Value"], each["Unit"], self._where) for each in
                                        (row["EmissionsValues"][name] for name in (LOCATION, MARKET)))  # fmt: skip
                    region = str(row["DimensionsValues"].get("REGION", ""))
                    found.append(CloudEmissions("aws", region, begin, end, location, market,
                                                str(row.get("ModelVersion") or ""), self._where))  # fmt: skip
        return found


def read_export(path: Path) -> list[CloudEmissions]:
    """An export as CSV (`.gz` too): AWS Data Exports' carbon table, or GCP's carbon footprint from BigQuery.

    Nested names of BigQuery are joined by `.` or `_`. Rows of services and accounts are added up by month and region.

    Raises
    ------
    InvalidInput: it is neither, or a line does not fit.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"cannot be read ({type(error).__name__})", where=str(path), fix="give a CSV") from None
    frame.columns = [str(name).strip().lower().replace(".", "_") for name in frame.columns]
    if set(_AWS) <= set(frame.columns):
        rows = list(_aws_rows(frame, path))
    elif set(_GCP) <= set(frame.columns):
        rows = list(_gcp_rows(frame, path))
    else:
        raise InvalidInput("it is no carbon export of AWS or GCP that is known", where=str(path),
                           fix=f"give the columns {', '.join(_AWS)}; or {', '.join(_GCP)}")  # fmt: skip
    added: dict[tuple[str, str, int], list[float]] = {}
    ends: dict[int, int] = {}
    versions: dict[tuple[str, str, int], set[str]] = {}
    for provider, region, begin_s, end_s, location, market, version in rows:
        sums = added.setdefault((provider, region, begin_s), [0.0, 0.0])
        sums[0], sums[1], ends[begin_s] = sums[0] + location, sums[1] + market, end_s
        versions.setdefault((provider, region, begin_s), set()).add(version)
    return [CloudEmissions(provider, region, begin_s, ends[begin_s], location, market,
                           " ".join(sorted(versions[provider, region, begin_s])), path.name)
            for (provider, region, begin_s), (location, market) in added.items()]  # fmt: skip


_Row = tuple[str, str, int, int, float, float, str]


def _aws_rows(frame: pd.DataFrame, path: Path) -> Iterator[_Row]:
    for line, row in _lines(frame, path):
        begin, end = _month(row["usage_period_start"], line)
        location, market = (_grams(_number(row[f"total_{kind}_emissions_value"], line),
                                   row[f"total_{kind}_emissions_unit"], line) for kind in ("lbm", "mbm"))  # fmt: skip
        yield "aws", row["region_code"], begin, end, location, market, row["model_version"]


def _gcp_rows(frame: pd.DataFrame, path: Path) -> Iterator[_Row]:
    for line, row in _lines(frame, path):
        begin, end = _month(row["usage_month"], line)
        location, market = (1e3 * _number(row[name], line) for name in _GCP[2:4])
        yield "gcp", row["location_region"], begin, end, location, market, row["carbon_model_version"]


def _lines(frame: pd.DataFrame, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for number, cells in enumerate(frame.to_dict("records"), start=2):
        yield f"{path}:{number}", {str(name): str(cell).strip() for name, cell in cells.items()}


def _month(text: str, where: str) -> tuple[int, int]:
    """[begin, end) of the month that a time lies in."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"`{text:.40}` is no month", where=where, fix="give it as the cloud exports it") from None
    begin = datetime(when.year, when.month, 1, tzinfo=UTC)
    end = datetime(when.year + when.month // 12, when.month % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()), int(end.timestamp())


def _number(text: str, where: str) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        value = float("nan")
    if not -1e15 < value < 1e15:
        raise InvalidInput(f"`{text:.40}` is no number", where=where, fix="give it as the cloud exports it")
    return value


def _grams(value: Any, unit: str, where: str) -> float:
    factor = G_PER_UNIT.get(unit.strip().upper())
    if factor is None:
        raise InvalidInput(f"the unit `{unit:.20}` is not known", where=where, fix=f"one of {', '.join(G_PER_UNIT)}")
    return float(value) * factor


def _utc(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
