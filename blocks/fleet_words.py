"""Pydantic's errors about a fleet in a person's words: what is wrong, what belongs there, nothing that is secret."""

from __future__ import annotations

import types
import zoneinfo
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from blocks import fleet as nouns
from blocks import fleet_checks as checks
from blocks import fleet_times as times
from blocks import fleet_values as values


def translate(details: list[ErrorDetails], found: list[checks.Finding]) -> Iterator[checks.Finding]:
    """Pydantic's errors in a person's words; what spans several fields is in `found` already."""
    if not found and all(detail["type"] == "cross_field" for detail in details):
        details = [{**detail, "type": "untold"} for detail in details]  # a model knows more than the checks: tell it
    for detail in details:
        if detail["type"] != "cross_field":
            yield _Translation(detail).finding()


class _Translation:
    """One error of pydantic's, and what the models know of the field it is about."""

    def __init__(self, detail: ErrorDetails) -> None:
        self.detail = detail
        self.path: checks.Path = tuple(detail["loc"])
        self.context = detail.get("ctx", {})
        self.secret = bool(self.path) and self.path[-1] in checks.SECRET_FIELDS

    def finding(self) -> checks.Finding:
        """In words; a value is repeated only where it cannot be a secret."""
        words = _WORDS.get(self.detail["type"])
        problem, fix = words(self) if words else (self.detail["msg"].lower(), self.about())
        return checks.Finding(self.path, problem, fix)

    def shown(self) -> str:
        """The offending value, short; nothing of a secret."""
        value = self.detail["input"]
        if self.secret or not isinstance(value, str | int | float | bool):
            return "this"
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"`{text:.40}`" if text.isprintable() else "this"

    def about(self) -> str:
        """What belongs in the field, from its description."""
        described = _described(self.path)
        return f"correct the value ({described})" if described else "see `continuum fleet schema`"

    def named(self, problem: str) -> tuple[str, str]:
        """`problem` of the value, with the field's description as the fix."""
        return f"{self.shown()} {problem}", self.about()


def _unknown_key(error: _Translation) -> tuple[str, str]:
    known = list(_fields(error.path[:-1]))
    fix = checks.did_you_mean(str(error.path[-1]), known, "remove it; known keys are " + ", ".join(known))
    return f"unknown key `{error.path[-1]!s:.40}`", fix


def _missing(error: _Translation) -> tuple[str, str]:
    return "is missing", f"add `{error.path[-1]}:` ({_described(error.path) or 'see `continuum fleet schema`'})"


def _choice(error: _Translation) -> tuple[str, str]:
    allowed = [word.strip("' ") for word in str(error.context["expected"]).replace(" or ", ", ").split(",")]
    return f"{error.shown()} is not one of {', '.join(allowed)}", checks.did_you_mean(
        str(error.detail["input"]), allowed, "choose one of them"
    )


def _pattern(error: _Translation) -> tuple[str, str]:
    return f"{error.shown()} {_PATTERNS[error.context['pattern']][0]}", _PATTERNS[error.context["pattern"]][1]


def _text(error: _Translation) -> tuple[str, str]:
    kind = _KINDS.get(type(error.detail["input"]), "something else")
    return f"must be text, is {kind}", "write it in quotes" if kind in ("a number", "true/false") else error.about()


def _kind(expected: str) -> Callable[[_Translation], tuple[str, str]]:
    def words(error: _Translation) -> tuple[str, str]:
        return f"must be {expected}, is {_KINDS.get(type(error.detail['input']), 'something else')}", error.about()

    return words


def _bound(relation: str, key: str) -> Callable[[_Translation], tuple[str, str]]:
    return lambda error: error.named(f"must be {relation} {error.context[key]:g}")


def _zone(error: _Translation) -> tuple[str, str]:
    fix = checks.did_you_mean(str(error.detail["input"]), _time_zones(), "use a name such as `Europe/Berlin`, or `UTC`")
    return f"{error.shown()} is no IANA time zone", fix


@cache
def _time_zones() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones()))


_KINDS = {dict: "a mapping", list: "a list", str: "text", type(None): "empty"}
_KINDS |= {int: "a number", float: "a number", bool: "true/false"}

_PATTERNS = {
    values.NAME_PATTERN: ("is no name", "use lower-case letters, digits, `-` and `.`, a letter or digit at both ends"),
    values.POOL_NAME_PATTERN: ("is no pool name", "use letters, digits, `-`, `_`, `.`, a letter or digit at both ends"),
    times.CLOCK_PATTERN: ("is no time of the day", 'write it on the 24-hour clock, in quotes: "07:30"'),
    times.END_PATTERN: ("is no time of the day", 'write it on the 24-hour clock, in quotes: "07:30" or "24:00"'),
    values.GPU_PATTERN: ("is no number of GPUs", "write e.g. `4x NVIDIA T4`"),
}

# One line for each type of pydantic's errors that a fleet can bring forth.
_WORDS: dict[str, Callable[[_Translation], tuple[str, str]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "enum": _choice,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_type": _text,
    "string_too_long": lambda error: (f"is longer than {error.context['max_length']} letters", "shorten it"),
    "too_short": lambda error: ("must not be empty", error.about()),
    "model_type": _kind("a mapping"),
    "list_type": _kind("a list"),
    "int_type": lambda error: error.named("is no whole number"),
    "int_parsing": lambda error: error.named("is no whole number"),
    "int_parsing_size": lambda error: error.named("is no usable number"),
    "int_from_float": lambda error: error.named("is no whole number"),
    "float_type": lambda error: error.named("is no number"),
    "float_parsing": lambda error: error.named("is no number"),
    "finite_number": lambda error: error.named("is no finite number"),
    "bool_type": lambda error: error.named("is neither true nor false"),
    "bool_parsing": lambda error: error.named("is neither true nor false"),
    "boolean_number": lambda error: error.named("is no number"),
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "time_zone": _zone,
    "url_credentials": lambda _: (
        "the URL holds credentials",
        "move them to the fields for them and remove `...@`",
    ),
    # Not repeated: what is no URL may hold a secret.
    "url": lambda error: ("is no http:// or https:// URL without `?` and `#`", error.about()),
}


def _model(path: checks.Path) -> type[BaseModel] | None:
    """The model at a path of the fleet."""
    model: type[BaseModel] | None = nouns.Fleet
    for key in path:
        if model is None:
            return None
        if isinstance(key, int):
            continue
        field = model.model_fields.get(key)
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (list, Union, types.UnionType):
        return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _fields(path: checks.Path) -> dict[str, Any]:
    model = _model(path)
    return dict(model.model_fields) if model else {}


def _described(path: checks.Path) -> str:
    keys = [key for key in path if isinstance(key, str)]
    field = _fields(tuple(keys[:-1])).get(keys[-1]) if keys else None
    return (field.description or "") if field else ""
