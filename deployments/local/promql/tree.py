"""The nodes of a PromQL expression, each with the type of what it evaluates to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal["scalar", "instant vector", "range vector"]


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; a label that a series lacks counts as empty."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels (its name under `__name__`) fits."""
        value = labels.get(self.label, "")
        hit = value == self.value if self.operator in ("=", "!=") else re.fullmatch(self.value, value) is not None
        return hit is (self.operator in ("=", "=~"))


@dataclass(frozen=True)
class Number:
    """A literal, or `time()` where `value` is None."""

    value: float | None
    type: Type = "scalar"


@dataclass(frozen=True)
class Selector:
    """Series that fit all matchers; over the last `range_s` seconds when given."""

    matchers: tuple[Matcher, ...]
    range_s: float | None = None

    @property
    def type(self) -> Type:
        """What it evaluates to."""
        return "instant vector" if self.range_s is None else "range vector"


@dataclass(frozen=True)
class RangeCall:
    """A function of the samples in a range."""

    function: str
    selector: Selector
    type: Type = "instant vector"


@dataclass(frozen=True)
class Aggregation:
    """A vector reduced to one row per combination of the labels in `by`."""

    operator: str
    by: tuple[str, ...]
    operand: Expression
    type: Type = "instant vector"


@dataclass(frozen=True)
class Arithmetic:
    """+ - * / between two scalars, or a scalar and a vector."""

    operator: str
    left: Expression
    right: Expression

    @property
    def type(self) -> Type:
        """What it evaluates to."""
        return "scalar" if self.left.type == self.right.type == "scalar" else "instant vector"


Expression = Number | Selector | RangeCall | Aggregation | Arithmetic
