"""From a body's JSON to an object of its kind: types are checked, unknown fields are dropped, empty ones too."""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import re
from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.quantities import QUANTITY, DecodeError, canonical, quantity
from deployments.local.kubernetes.schemas import Schema

__all__ = ["DecodeError", "DuplicateField", "decode", "parse_json", "parse_strictly", "quantity"]

_MICRO_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$")
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


class DuplicateField(ValueError):
    """A JSON object names a field twice."""


def decode(value: Any, schema: Schema, path: str = "", unknown: list[str] | None = None) -> Any:
    """A copy of `value` in the shape of `schema`, sharing nothing with it; None where nothing is left.

    Parameters
    ----------
    path: where the value stands, for messages.
    unknown: takes the paths of fields that were dropped because nobody knows them.

    Raises
    ------
    DecodeError: a value of the wrong type.
    """
    if value is None:
        return None
    if schema.form == "struct":
        return _struct(value, schema, path, unknown)
    if schema.form == "map":
        return _map(value, schema, path, unknown)
    if schema.form == "list":
        return _list(value, schema, path, unknown)
    return _SCALAR[schema.form](value, path)


def _struct(value: Any, schema: Schema, path: str, unknown: list[str] | None) -> Any:
    if not isinstance(value, dict):
        raise _wrong(value, path, "object")
    fields, found = schema.fields, {}
    for key, entry in value.items():
        known = fields.get(key)
        where = f"{path}.{key}" if path else key
        if known is None:
            if unknown is not None:
                unknown.append(where)
        elif (decoded := decode(entry, known, where, unknown)) is not None:
            found[key] = decoded
    return found


def _map(value: Any, schema: Schema, path: str, unknown: list[str] | None) -> Any:
    if not isinstance(value, dict):
        raise _wrong(value, path, "object")
    items = schema.items
    found = {key: decode(entry, items, path, unknown) for key, entry in value.items()}
    return {key: entry for key, entry in found.items() if entry is not None} or ({} if schema.kept else None)


def _list(value: Any, schema: Schema, path: str, unknown: list[str] | None) -> Any:
    if not isinstance(value, list):
        raise _wrong(value, path, "list")
    items = schema.items
    # null among others is an empty one, as in Go; only where anything may stand is it a value
    nothing: Any = {} if items.form in ("struct", "map") else None if items.form == "*" else ""
    found = [decode(nothing if entry is None else entry, items, f"{path}[{index}]", unknown)
             for index, entry in enumerate(value)]  # fmt: skip
    return found or ([] if schema.kept else None)


_NAMES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def _wrong(value: Any, path: str, wanted: str) -> DecodeError:
    return DecodeError(f"json: cannot unmarshal {_NAMES.get(type(value), 'value')} into field {path} of type {wanted}")


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, path, "string")
    return value


_LONG = frozenset({
    "generation", "observedGeneration", "deletionGracePeriodSeconds", "terminationGracePeriodSeconds",
    "activeDeadlineSeconds", "tolerationSeconds", "startingDeadlineSeconds", "expirationSeconds", "revision", "limit",
    "timeoutSeconds", "gracePeriodSeconds",
})  # fmt: skip
"""Fields of 64 bits; all other whole numbers have 32."""


def _integer(value: Any, path: str) -> int:
    bits = 64 if path.rpartition(".")[2] in _LONG else 32
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _fits(value, bits):
        raise _wrong(value, path, f"int{bits}")
    return int(value)


def _fits(value: float, bits: int) -> bool:
    """Whether a number is whole and has room."""
    return -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) and value == int(value)


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(value, path, "number")
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, path, "bool")
    return value


def _integer_or_string(value: Any, path: str) -> int | str:
    return value if isinstance(value, str) else _integer(value, path)


def _quantity(value: Any, path: str) -> str:
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not QUANTITY.match(text):
        raise DecodeError(f"{path}: {value!r} is no quantity such as 500m, 2 or 64Mi")
    return canonical(text)


def _time(value: Any, path: str) -> str:
    text = _string(value, path)
    if not _TIME.match(text) or not _is_date(text):
        raise DecodeError(f"{path}: {text!r} is no time of the form 2006-01-02T15:04:05Z")
    return text


def _micro_time(value: Any, path: str) -> str:
    text = _string(value, path)
    if not _MICRO_TIME.match(text) or not _is_date(text):
        raise DecodeError(f"{path}: {text!r} is no time of the form 2006-01-02T15:04:05.000000Z (six decimals)")
    return text


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _base64(value: Any, path: str) -> str:
    text = _string(value, path)
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f"{path}: illegal base64 data") from error
    return text


def _anything(value: Any, _path: str) -> Any:
    if isinstance(value, dict):
        return {key: _anything(entry, _path) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_anything(entry, _path) for entry in value]
    return value


def _or_none(convert: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """A field that is left out when it has Go's zero value."""
    return lambda value, path: convert(value, path) or None


_SCALAR: dict[str, Callable[[Any, str], Any]] = {
    "s": _string, "i": _integer, "n": _number, "b": _boolean,
    "s0": _or_none(_string), "i0": _or_none(_integer), "b0": _or_none(_boolean),
    "is": _integer_or_string, "q": _quantity,
    "t": _time, "mt": _micro_time, "y": _base64, "*": _anything,
}  # fmt: skip


def parse_json(text: str | bytes) -> Any:
    """JSON as Go reads it: no NaN, no infinity.

    Raises
    ------
    ValueError: it does not parse.
    """
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _no_number(text: str) -> Any:
    raise ValueError(f"invalid character in {text}")


def _finite(text: str) -> float:
    value = float(text)
    return _no_number(text) if value in (float("inf"), float("-inf")) else value


def parse_strictly(text: str | bytes) -> Any:
    """JSON in which no object may name a field twice.

    Raises
    ------
    DuplicateField: with the field's name.
    """
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number, parse_float=_finite)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateField(f'duplicate field "{key}"')
        found[key] = value
    return found
