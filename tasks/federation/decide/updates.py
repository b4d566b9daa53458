"""Updates at the door: each is checked by itself, and carried as int8 with a known error."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.federation.decide.models import Shape, Vector

MOST_ROWS = 10_000_000  # a device that says it holds more is not believed
LEAST = 1e-35  # a tensor of smaller numbers is sent as zeros: their steps would have no float32
FAR = 10.0  # times the median norm of the round: no honest update is that long


@dataclass(frozen=True)
class Update:
    """What a device sends: its model minus the round's base, and what that is an answer to."""

    device: int
    round: int
    base: str
    examples: int
    delta: Vector

    @property
    def digest(self) -> str:
        """sha256 of the delta's little-endian bytes."""
        return hashlib.sha256(np.ascontiguousarray(self.delta, "<f4").tobytes()).hexdigest()


class Answer(Protocol):
    """An `Update`, or one that is read from where it is kept each time that its numbers are asked for."""

    @property
    def device(self) -> int: ...  # noqa: D102
    @property
    def round(self) -> int: ...  # noqa: D102
    @property
    def base(self) -> str: ...  # noqa: D102
    @property
    def examples(self) -> int: ...  # noqa: D102
    @property
    def delta(self) -> Vector: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Call:
    """What the devices of a round were asked: only an answer to this is taken."""

    round: int
    base: str
    selected: tuple[int, ...]
    size: int


def why_refused(update: Answer, call: Call, seen: Collection[int]) -> str:
    """Why this update alone is refused, or nothing. seen: devices that have answered in this round already."""
    reasons = (
        (update.device not in call.selected, "the device was not asked"),
        (update.round != call.round, f"it answers round {update.round}"),
        (update.base != call.base, "it was trained from another base"),
        (update.device in seen, "the device has answered already"),
        (not 0 < update.examples <= MOST_ROWS, f"it says it has {update.examples} rows"),
        (update.delta.dtype != np.float32, f"its numbers are {update.delta.dtype}"),
        (update.delta.shape != (call.size,), f"its shape is {update.delta.shape}"),
    )
    for wrong, why in reasons:
        if wrong:
            return why
    return "" if np.isfinite(norm(update.delta)) else "a number is not finite, or too large"


def norm(delta: Vector) -> float:
    """Euclidean length, summed in float64 a piece at a time (a sum in float32 overflows from 1.8e19 on)."""
    pieces = (delta[at : at + 65_536].astype(np.float64) for at in range(0, len(delta), 65_536))
    return float(np.sqrt(sum(float(piece @ piece) for piece in pieces)))


def too_far(norms: Sequence[float]) -> NDArray[np.bool_]:
    """(N,) updates longer than `FAR` times the median of their round."""
    lengths = np.asarray(norms, np.float64)
    return np.asarray(lengths > FAR * np.median(lengths)) if len(lengths) else np.zeros(0, np.bool_)


@dataclass(frozen=True)
class Packed:
    """A delta as one signed byte a number, and one scale a tensor: off by half a scale (or 1e-35) at most, in each."""

    scales: Vector
    values: NDArray[np.int8]

    @property
    def size_bytes(self) -> int:
        """What travels."""
        return self.scales.nbytes + self.values.nbytes


def pack(shape: Shape, delta: Vector) -> Packed:
    """Round each tensor to -127 ... 127 steps of max|u| / 127.

    >>> packed = pack(Shape(1, 2), np.array([1.0, -0.5, 0.0, 0.25], np.float32))
    >>> packed.values.tolist(), packed.size_bytes
    ([127, -64, 0, 127], 12)
    """
    scales, values = [], np.empty(shape.size, np.int8)
    for place in _tensors(shape):
        largest = float(np.abs(delta[place]).max(initial=0.0))
        scale = np.float32(largest / 127 if largest > LEAST else 0)
        scales.append(scale)
        values[place] = np.rint(delta[place] / scale).clip(-127, 127) if scale > 0 else 0
    return Packed(np.array(scales, np.float32), values)


def unpack(shape: Shape, packed: Packed) -> Vector:
    """The delta that was sent.

    Raises
    ------
    InvalidInput: it is not of this shape.
    """
    tensors = _tensors(shape)
    if packed.values.shape != (shape.size,) or packed.scales.shape != (len(tensors),):
        raise InvalidInput(f"it has {packed.values.size} numbers and {packed.scales.size} scales", where="update",
                           fix=f"send {shape.size} numbers and {len(tensors)} scales")  # fmt: skip
    delta = packed.values.astype(np.float32)
    for place, scale in zip(tensors, packed.scales, strict=True):
        delta[place] *= scale
    return delta


def _tensors(shape: Shape) -> list[slice]:
    ends = np.cumsum([size for inputs, outputs in shape.layers for size in (inputs * outputs, outputs)]).tolist()
    return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
