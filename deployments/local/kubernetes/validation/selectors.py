"""Rules for LabelSelector objects and for single values, wherever they stand."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.status import FORBIDDEN, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig
from deployments.local.kubernetes.validation.metadata import check_labels, qualified

Json = dict[str, Any]

_PERCENT = re.compile(r"^\d+%$")
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
_WITH_VALUES = ("In", "NotIn")


def supported(field: str, value: Any, allowed: tuple[str, ...]) -> list[Cause]:
    """A value out of a fixed set."""
    if value is None or value in allowed:
        return []
    words = ", ".join(f'"{entry}"' for entry in allowed)
    return [Cause(NOT_SUPPORTED, field, f'"{value}": supported values: {words}')]


def non_negative(obj: Json, *path: str) -> list[Cause]:
    """A number that may not fall below 0."""
    value = dig(obj, *path)
    if isinstance(value, int) and value < 0:
        return [Cause(INVALID, ".".join(path), f"{value}: must be greater than or equal to 0")]
    return []


def int_or_percent(field: str, value: Any) -> list[Cause]:
    """A count that is not negative, or a percentage."""
    if isinstance(value, str) and not _PERCENT.match(value):
        return [Cause(INVALID, field, f'"{value}": a valid percent string must be digits followed by "%"')]
    if isinstance(value, int) and value < 0:
        return [Cause(INVALID, field, f"{value}: must be greater than or equal to 0")]
    return []


def port_number(field: str, value: Any) -> list[Cause]:
    """A port's number."""
    if isinstance(value, int) and 1 <= value <= 65535:
        return []
    return [Cause(INVALID, field, f"{value}: must be between 1 and 65535, inclusive")]


def label_selector(selector: Json | None, path: str) -> list[Cause]:
    """Faults of a LabelSelector object."""
    causes = check_labels(dig(selector, "matchLabels", default={}), f"{path}.matchLabels")
    for index, entry in enumerate(dig(selector, "matchExpressions", default=())):
        here = f"{path}.matchExpressions[{index}]"
        operator, values = entry.get("operator", ""), entry.get("values", ())
        if operator not in _OPERATORS:
            causes.append(Cause(INVALID, f"{here}.operator", f'"{operator}": not a valid selector operator'))
        elif operator in _WITH_VALUES and not values:
            why = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(Cause(REQUIRED, f"{here}.values", why))
        elif operator not in _WITH_VALUES and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(Cause(FORBIDDEN, f"{here}.values", why))
        causes += qualified(f"{here}.key", entry.get("key", ""))
    return causes
