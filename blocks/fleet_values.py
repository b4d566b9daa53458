"""How values are written in a fleet.yaml: names, sizes, cores, counts, URLs, time zones. No Prefect in here."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
POOL_NAME_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
GPU_PATTERN = r"^\d+x .+$"

# Part of the names of Kubernetes objects.
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)]
# A node label's value: each provider labels its nodes with the pool's name, and EKS allows capitals and `_`.
PoolName = Annotated[str, Field(pattern=POOL_NAME_PATTERN, max_length=63)]

_PREFIXES = ("", "k", "m", "g", "t")
_UNITS = {
    **{prefix + b: 1000**power for power, prefix in enumerate(_PREFIXES) for b in ("", "b")},
    **{f"{prefix}i{b}": 1024**power for power, prefix in enumerate(_PREFIXES) if prefix for b in ("", "b")},
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*")
_CORES = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(m|cores?)?\s*")


def to_bytes(value: Any) -> Any:
    """Bytes of a size as people write it; anything else passes through for pydantic to judge.

    >>> to_bytes("256GB"), to_bytes("16Gi"), to_bytes(1024)
    (256000000000, 17179869184, 1024)
    """
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match and (factor := _UNITS.get(match[2].lower())):
        return int(float(match[1]) * factor)
    return value


def to_cores(value: Any) -> Any:
    """CPU cores of "64 cores", "3920m" or a number.

    >>> to_cores("64 cores"), to_cores("3920m"), to_cores(2)
    (64.0, 3.92, 2)
    """
    if isinstance(value, str) and (match := _CORES.fullmatch(value)):
        return float(match[1]) / (1000 if match[2] == "m" else 1)
    return value


def _not_boolean(value: Any) -> Any:
    """`min_nodes: true` is a slip of the pen, not a 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("boolean_number", "must be a number, is true/false")
    return value


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PydanticCustomError("time_zone", "is no IANA time zone") from error
    return name


def _endpoint(url: str) -> str:
    """An http(s) URL without credentials: they have fields of their own, which are never shown."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if "@" in url:  # anywhere: a password may hold a `/`
        raise PydanticCustomError("url_credentials", "the URL holds credentials")
    if not usable or parts.query or parts.fragment or any(letter.isspace() for letter in url):
        raise PydanticCustomError("url", "is no http:// or https:// URL without `?` and `#`")
    return url


def _number_or_text(kind: str, example: str) -> WithJsonSchema:
    """What an editor may offer for a quantity: a number, or text such as `example`."""
    text = {"type": "string", "pattern": r"^\s*\d", "examples": [example]}
    return WithJsonSchema({"anyOf": [{"type": kind, "minimum": 0}, text]})


Bytes = Annotated[
    int,
    BeforeValidator(to_bytes),
    BeforeValidator(_not_boolean),
    Field(ge=0, le=2**60),
    _number_or_text("integer", "16Gi"),
]
Cores = Annotated[
    float,
    BeforeValidator(to_cores),
    BeforeValidator(_not_boolean),
    Field(ge=0),
    _number_or_text("number", "3920m"),
]
Count = Annotated[int, BeforeValidator(_not_boolean), Field(le=100_000)]
Number = Annotated[float, BeforeValidator(_not_boolean)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Url = Annotated[str, AfterValidator(_endpoint)]


class Model(BaseModel):
    """Base of every noun: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
