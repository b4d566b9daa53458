"""What is known of the sites: regions, bytes, whether a part of the cache can be pinned, how long it keeps things."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from blocks.carbon.hourly_files import read_csv
from blocks.errors import InvalidInput
from blocks.fleet_values import TimeZone
from tasks.caching.decide.replay import USUAL
from tasks.caching.decide.requests import Bools
from tasks.caching.decide.simulators import REACTIVE
from tasks.carbon.files import YES_NO, seconds_of

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(%|B|kB|MB|GB|TB)")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SHOWN = 5
COLUMNS = "site[, region][, budget][, pins][, ttl][, policy][, time_zone][, grid_zone]"


@dataclass(frozen=True)
class Sites:
    """By number of a site: bytes for what is planned, region ("" for none), pinning, longest TTL in s (0: any).

    time_zone, grid_zone: as the file says, "" where it does not. policy: what the cache evicts by, of `REACTIVE`.
    """

    names: list[str]
    budget: list[int]
    region: list[str]
    can_pin: Bools
    ttl_s: list[int]
    time_zone: list[str]
    grid_zone: list[str]
    policy: list[str]


def bytes_of(text: str, distinct_bytes: int, where: str) -> int:
    """A budget: a share of the log's distinct bytes, or bytes with their unit.

    Raises
    ------
    InvalidInput: it is neither, or nothing.

    >>> bytes_of("5%", 1000, "--budget"), bytes_of("2.5 MB", 1000, "--budget")
    (50, 2500000)
    """
    found = _BUDGET.fullmatch(text.strip())
    budget = 0.0
    if found:
        number = float(found[1])
        budget = number / 100 * distinct_bytes if found[2] == "%" else number * _UNITS[found[2]]
    if not 1 <= budget <= 10**18 or (found and found[2] == "%" and float(found[1]) > 100):
        raise InvalidInput(f"`{text:.40}` is no budget of a byte or more", where=where,
                           fix="write a share of the log's bytes, 5%, or 500MB")  # fmt: skip
    return int(budget)


def sites_of(names: list[str], distinct_bytes: int, budget: str, file: Path | None,
             regions: Mapping[str, str] = {}, ttl: str = "") -> tuple[Sites, list[str]]:  # fmt: skip
    """The sites of a log, with what a CSV of `COLUMNS` says of them; and notes.

    Sites of the file that the log does not have come last: nobody has asked there yet. `regions`: by site, where the
    file says nothing, and `ttl`, how long each keeps a copy at most, "" for good.

    Raises
    ------
    InvalidInput: a line of the file does not fit.
    """
    usual = bytes_of(budget, distinct_bytes, "--budget")
    usual_ttl_s = seconds_of(ttl, "--ttl") if ttl else 0
    if file is None:
        some = len(names)
        none, theirs = [""] * some, [regions.get(name, "") for name in names]
        all_pin = np.ones(some, np.bool_)
        return Sites(names, [usual] * some, theirs, all_pin, [usual_ttl_s] * some, none, none, [USUAL] * some), []
    frame = read_csv(file, text=True)
    if "site" not in frame.columns:
        raise InvalidInput("it has no column `site`", where=str(file), fix=f"give {COLUMNS}")
    told: dict[str, tuple[int, str, bool, int, str, str, str]] = {}
    for line, cells in zip(frame.index + 2, frame.to_dict("records"), strict=True):
        row, where = {name: str(cell).strip() for name, cell in cells.items()}, f"{file}:{line}"
        if not row["site"] or row["site"] in told:
            raise InvalidInput(f"site is `{row['site']}`" + (" a second time" if row["site"] else ""), where=where,
                               fix="name each site once")  # fmt: skip
        pins = YES_NO.get((row.get("pins") or "yes").lower())
        if pins is None:
            raise InvalidInput(f"pins is `{row['pins']}`", where=where, fix="write yes or no")
        told[row["site"]] = (
            bytes_of(row["budget"], distinct_bytes, where) if row.get("budget") else usual,
            row.get("region") or regions.get(row["site"], ""), pins,
            seconds_of(row["ttl"], where) if row.get("ttl") else usual_ttl_s,
            _time_zone(row.get("time_zone", ""), where), row.get("grid_zone", ""),
            _policy(row.get("policy", ""), where),
        )  # fmt: skip
    absent = [name for name in names if name not in told]
    notes = (
        [f"{file}: says nothing of {len(absent)} sites of the log, which get {budget}: {_some(absent)}"]
        if absent
        else []
    )
    everyone = [*names, *(name for name in told if name not in set(names))]
    rows = [told.get(name, (usual, regions.get(name, ""), True, usual_ttl_s, "", "", USUAL)) for name in everyone]
    columns = [list(column) for column in zip(*rows, strict=True)]
    budgets, areas, pinned, ttls, time_zones, grid_zones, policies = columns
    if twice := sorted(set(areas) & set(everyone)):
        raise InvalidInput(f"`{twice[0]}` is a site and a region", where=str(file), fix="give the region another name")
    can_pin = np.array(pinned, np.bool_)
    return Sites(everyone, budgets, areas, can_pin, ttls, time_zones, grid_zones, policies), notes


def _policy(name: str, where: str) -> str:
    if name and name.lower() not in REACTIVE:
        raise InvalidInput(f"policy is `{name:.40}`", where=where, fix=f"use {' or '.join(REACTIVE)}")
    return name.lower() or USUAL


def _time_zone(name: str, where: str) -> str:
    try:
        return TypeAdapter(TimeZone).validate_python(name) if name else ""
    except ValidationError:
        raise InvalidInput(f"time_zone is `{name:.40}`", where=where, fix="give an IANA name, Europe/Berlin") from None


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
