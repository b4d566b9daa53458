"""Why something was decided: codes with numbers, collected over many subjects at once. Words are the report's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]


class Reason(NamedTuple):
    """One code, the resource it is about ("" if none), its numbers with units in their names."""

    code: StrEnum
    resource: str
    numbers: dict[str, float]


class ReasonLog(Sequence[tuple[Reason, ...]]):
    """The reasons of P subjects in the order in which they are added; written out only when somebody reads them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._entries: list[_Entry] = []
        self._rows: tuple[tuple[Reason, ...], ...] | None = None

    def add(
        self,
        code: StrEnum,
        where: Bool,
        resource: str = "",
        **numbers: float | NDArray[np.float64] | NDArray[np.int64],
    ) -> None:
        """Add `code` to every subject in the (P,) mask, each with its own entry of the (P,) or scalar numbers."""
        if where.any():
            self._entries.append(_Entry(code, where, resource, numbers, False))

    def only(self, code: StrEnum, where: Bool) -> None:
        """Make `code` the one reason of every subject in the (P,) mask: nothing said before it can be believed."""
        if where.any():
            self._entries.append(_Entry(code, where, "", {}, True))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> tuple[Reason, ...]: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[tuple[Reason, ...]]: ...
    def __getitem__(self, row: int | slice) -> tuple[Reason, ...] | Sequence[tuple[Reason, ...]]:
        if self._rows is None:
            self._rows = self._written_out()
        return self._rows[row]

    def _written_out(self) -> tuple[tuple[Reason, ...], ...]:
        found: list[list[Reason]] = [[] for _ in range(self._count)]
        for entry in self._entries:
            rows = np.flatnonzero(entry.where)
            names = tuple(entry.numbers)
            columns = [np.broadcast_to(entry.numbers[name], (self._count,))[rows].tolist() for name in names]
            values = zip(*columns, strict=True) if columns else ((),) * rows.size
            for row, own in zip(rows.tolist(), values, strict=True):
                if entry.alone:
                    found[row].clear()
                found[row].append(Reason(entry.code, entry.resource, dict(zip(names, own, strict=True))))
        return tuple(map(tuple, found))


class _Entry(NamedTuple):
    """One code for the subjects of a mask; `alone`: it replaces what they had."""

    code: StrEnum
    where: Bool
    resource: str
    numbers: Mapping[str, float | NDArray[np.float64] | NDArray[np.int64]]
    alone: bool
