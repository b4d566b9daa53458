"""An update as it travels: one line of JSON, then the tensors' bytes, little-endian, in the order of the header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from blocks.errors import InvalidInput
from tasks.federation.decide.models import Shape, Vector
from tasks.federation.decide.updates import Packed

MOST_HEADER_BYTES = 1 << 16
DTYPES = {"float32": "<f4", "int8": "i1"}


@dataclass(frozen=True)
class Sent:
    """What came: the header's own words, and the delta (model minus base), (P,) float32."""

    round: str
    edge: str
    base: str
    samples: int
    metrics: dict[str, Any]
    delta: Vector


def names_of(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor, in the order of the vector.

    >>> names_of(Shape(64, 10))
    [('weights0', (64, 10)), ('biases0', (10,))]
    """
    return [
        each
        for layer, (inputs, outputs) in enumerate(shape.layers)
        for each in ((f"weights{layer}", (inputs, outputs)), (f"biases{layer}", (outputs,)))
    ]


def write_update(
    shape: Shape, delta: Vector | Packed, *, round_id: str, edge: str, base: str, samples: int,
    metrics: dict[str, Any] | None = None,
) -> bytes:  # fmt: skip
    """The body of an update; a `Packed` one travels as int8 with a scale a tensor."""
    packed = isinstance(delta, Packed)
    tensors: list[dict[str, Any]] = [
        {"name": name, "dtype": "int8" if packed else "float32", "shape": list(size)} for name, size in names_of(shape)
    ]
    if isinstance(delta, Packed):
        for tensor, scale in zip(tensors, delta.scales.tolist(), strict=True):
            tensor["scale"] = scale
    header = {"round": round_id, "edge": edge, "base": base, "samples": samples, "tensors": tensors,
              "metrics": metrics or {}}  # fmt: skip
    values = delta.values if isinstance(delta, Packed) else delta.astype("<f4", copy=False)
    return json.dumps(header).encode() + b"\n" + values.tobytes()


def read_update(body: bytes, shape: Shape) -> Sent:
    """What a body says.

    Raises
    ------
    InvalidInput: no header, or tensors that are not those of the model. Nothing is said of the numbers themselves.
    """
    head, _, raw = body.partition(b"\n")
    try:
        if len(head) > MOST_HEADER_BYTES:
            raise ValueError(f"a header of {len(head)} bytes")
        header = json.loads(head)
        sent = (str(header["round"]), str(header["edge"]), str(header["base"]), int(header["samples"]),
                dict(header.get("metrics") or {}))  # fmt: skip
        delta = _delta(header["tensors"], raw, shape)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"it cannot be read: {said:.120}", where="update", fix="see the hub's README") from None
    return Sent(*sent, delta)


def _delta(tensors: list[dict[str, Any]], raw: bytes, shape: Shape) -> Vector:
    wanted, parts, at = names_of(shape), list[Vector](), 0
    told = [(tensor["name"], tuple(tensor["shape"])) for tensor in tensors]
    if told != wanted:
        raise ValueError(f"its tensors are {told}, the model's are {wanted}")
    for tensor, (_, size) in zip(tensors, wanted, strict=True):
        kind, count = DTYPES.get(tensor["dtype"]), int(np.prod(size))
        if kind is None:
            raise ValueError(f"type {tensor['dtype']}")
        values = np.frombuffer(raw, kind, count, at)  # refuses what is too short
        at += values.nbytes
        scale = np.float32(tensor.get("scale", 1.0)) if kind == "i1" else None
        parts.append(values.astype(np.float32) if scale is None else values.astype(np.float32) * scale)
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes belong to no tensor")
    return np.concatenate(parts)


def model_bytes(shape: Shape, vector: Vector) -> bytes:
    """A model as a blob: a line that tells its shape, then its numbers. Its sha256 is `Shape.digest`."""
    return shape.head() + vector.astype("<f4", copy=False).tobytes()


def read_model(content: bytes) -> tuple[Shape, Vector]:
    """The model of a blob.

    Raises
    ------
    InvalidInput: it is none.
    """
    head, _, raw = content.partition(b"\n")
    try:
        name, features, hidden, classes = head.decode().split(" ")
        shape = Shape(int(features), int(classes), int(hidden))
        vector = np.frombuffer(raw, "<f4")
        if name != "continuum.model/1" or len(vector) != shape.size:
            raise ValueError("another format")
    except ValueError as error:
        raise InvalidInput(f"it is no model ({error})", where="model", fix="fetch it again") from None
    return shape, vector.astype(np.float32)
