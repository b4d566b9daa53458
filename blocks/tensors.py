"""Tensors of the Open Inference Protocol v2, as JSON and as raw bytes behind the JSON (the binary tensor extension)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput

HEADER = "Inference-Header-Content-Length"  # how many bytes of a binary body are JSON

DTYPES: Mapping[str, str] = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}

Tensor = NDArray[Any]


def datatype_of(tensor: Tensor) -> str:
    """The protocol's name of a tensor's type; text and bytes are BYTES.

    >>> datatype_of(np.zeros(2, np.float32)), datatype_of(np.array(["a"]))
    ('FP32', 'BYTES')
    """
    if tensor.dtype.kind in "SUO":
        return "BYTES"
    name = _NAMES.get(tensor.dtype.newbyteorder("<"))
    if name is None:
        raise InvalidInput(f"type {tensor.dtype} has no name in the protocol", where="tensor", fix="cast it to FP32")
    return name


def encode(inputs: Mapping[str, Tensor], request_id: str, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an inference request; no `id` where `request_id` is empty."""
    described, tail = [], b""
    for name, tensor in inputs.items():
        entry, raw = describe(name, tensor, binary=binary)
        described.append(entry)
        tail += raw
    document: dict[str, Any] = {"id": request_id} if request_id else {}
    document |= {"inputs": described} | ({"parameters": {"binary_data_output": True}} if binary else {})
    try:
        head = json.dumps(document, allow_nan=False).encode()
    except ValueError:
        raise InvalidInput("JSON has no NaN or infinity", where="tensor", fix="send it with binary=True") from None
    if not binary:
        return head, {"Content-Type": "application/json"}
    return head + tail, {"Content-Type": "application/octet-stream", HEADER: str(len(head))}


def describe(name: str, tensor: Tensor, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """What the JSON says of a tensor, and the raw bytes behind it (none where its values are in the JSON).

    >>> describe("x", np.array([1, 2], np.int8), binary=False)
    ({'name': 'x', 'shape': [2], 'datatype': 'INT8', 'data': [1, 2]}, b'')
    """
    entry: dict[str, Any] = {"name": name, "shape": list(tensor.shape), "datatype": datatype_of(tensor)}
    if not binary:
        return entry | {"data": _to_list(tensor)}, b""
    raw = _to_bytes(tensor)
    return entry | {"parameters": {"binary_data_size": len(raw)}}, raw


def head_of(body: bytes, length: str | None, *, where: str) -> tuple[bytes, bytes]:
    """The JSON and the raw bytes of a body, `length` being the header that says where one ends."""
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit()) or int(length) > len(body):
        raise InvalidInput(f"{HEADER} is {length:.40} in a body of {len(body)} bytes", where=where)
    return body[: int(length)], body[int(length) :]


def decode(document: Any, tail: bytes, *, where: str, side: str = "outputs") -> dict[str, Tensor]:
    """The outputs of an inference answer (or the `inputs` of a request) by name, each with the shape that it states.

    Raises
    ------
    InvalidInput: one is not what it says: type, shape, number of values or of bytes.
    """
    found: dict[str, Tensor] = {}
    try:
        for entry in document[side]:
            size = (entry.get("parameters") or {}).get("binary_data_size")
            shape, datatype = [int(length) for length in entry["shape"]], entry["datatype"]
            if size is None:
                values = _of_list(entry["data"], datatype)
            else:
                if not 0 <= size <= len(tail):
                    raise ValueError(f"{size} bytes stated, {len(tail)} came")
                values, tail = _of_bytes(tail[:size], datatype), tail[size:]
            if min(shape, default=0) < 0:
                raise ValueError(f"shape {shape}")
            found[str(entry["name"])] = values.reshape(shape)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"an {side[:-1]} does not fit the protocol: {said:.120}", where=where) from None
    if tail:
        raise InvalidInput(f"{len(tail)} bytes belong to no {side[:-1]}", where=where)
    return found


def _to_list(tensor: Tensor) -> list[Any]:
    flat = tensor.ravel().tolist()
    return [each.decode() if isinstance(each, bytes) else each for each in flat]


def _to_bytes(tensor: Tensor) -> bytes:
    datatype = datatype_of(tensor)
    if datatype != "BYTES":
        return tensor.astype(DTYPES[datatype], copy=False).tobytes()
    items = [each if isinstance(each, bytes) else str(each).encode() for each in tensor.ravel().tolist()]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def _of_list(data: Any, datatype: str) -> Tensor:
    if datatype == "BYTES":
        items = np.asarray(data, object).ravel()
        return np.array([each.encode() if isinstance(each, str) else each for each in items] + [None], object)[:-1]
    return np.asarray(data, DTYPES[datatype]).ravel()


def _of_bytes(raw: bytes, datatype: str) -> Tensor:
    if datatype != "BYTES":
        return np.frombuffer(raw, DTYPES[datatype])
    items: list[bytes | None] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            raise ValueError("a BYTES value is cut short")
        items.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return np.array([*items, None], object)[:-1]  # the None keeps numpy from making it a fixed-width array
