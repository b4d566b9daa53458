"""Quantities: `500m`, `64Mi`, `2e3`, and the one form in which the server gives each of them back."""

from __future__ import annotations

import functools
import re
from fractions import Fraction

QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SCALES: dict[str, Fraction] = {
    **{suffix: Fraction(1000) ** (index - 3) for index, suffix in enumerate(_DECIMAL)},
    **{suffix: Fraction(1024) ** index for index, suffix in enumerate(_BINARY)},
}
_NANO = Fraction(1, 10**9)
_LARGEST = Fraction(2**63 - 1)


class DecodeError(ValueError):
    """The body does not have the shape of its kind; the text says where."""


def _parsed(text: str) -> tuple[Fraction, str]:
    """Value and suffix; a value that a quantity cannot hold is rounded up to a nano, or capped (quantity.go)."""
    match = QUANTITY.match(text)
    if match is None:
        raise DecodeError(f"{text!r} is no quantity")
    suffix = match[2] or ""
    if suffix not in _SCALES:  # an exponent; beyond 10^50 every value is capped anyway
        power = max(min(int(suffix[1:]), 50), -50)
        value = Fraction(match[1].rstrip(".")) * Fraction(10) ** power
    else:
        value = Fraction(match[1].rstrip(".")) * _SCALES[suffix]
    sign = -1 if value < 0 else 1
    size = min(abs(value), _LARGEST)
    return sign * Fraction(-(-size // _NANO)) * _NANO, suffix


@functools.lru_cache(maxsize=4096)
def quantity(text: str) -> float:
    """The number a quantity stands for.

    >>> quantity("500m"), quantity("64Mi"), quantity("2e3")
    (0.5, 67108864.0, 2000.0)
    """
    return float(_parsed(text)[0])


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The form in which the server gives a quantity back: no fraction, the largest suffix (Quantity.CanonicalizeBytes).

    >>> canonical("1000m"), canonical("0.5Gi"), canonical("1.5"), canonical("2048Mi"), canonical("3000")
    ('1', '512Mi', '1500m', '2Gi', '3k')
    """
    value, suffix = _parsed(text)
    if not value:
        return "0"
    binary = suffix.endswith("i") and abs(value) >= 1024 and value.denominator == 1
    if binary:
        count, level = int(value), 0
        while count % 1024 == 0 and level < len(_BINARY) - 1:
            count, level = count // 1024, level + 1
        return f"{count}{_BINARY[level]}"
    count, level = int(value / _NANO), 0
    while count % 1000 == 0 and level < len(_DECIMAL) - 1:
        count, level = count // 1000, level + 1
    if suffix[:1] in ("e", "E") and suffix[1:]:
        exponent = 3 * (level - 3)
        return f"{count}e{exponent}" if exponent else str(count)
    return f"{count}{_DECIMAL[level]}"
