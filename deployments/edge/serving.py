"""Models in memory: loaded by onnxruntime, tried by their canary, flipped whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from blocks.errors import ContinuumError, InvalidInput, NotConfigured, NotFound, OperationFailed, Refused
from blocks.manifest import Manifest
from blocks.tensors import DTYPES, Tensor, datatype_of, decode

CANARY = "canary.json"  # of a version: {"inputs": [tensor, ...], "outputs": [tensor, ...], "tolerance": 1e-4}
TOLERANCE = 1e-4

_DATATYPES: Mapping[str, str] = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float": "FP32", "double": "FP64",
    "string": "BYTES",
}  # fmt: skip


class Port(NamedTuple):
    """An input or output of a model; -1 in its shape is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def described(self) -> dict[str, Any]:
        """As the protocol's metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class Served:
    """One version of one model in memory. usual_s: what a request takes; slow until it is seen to be quick."""

    def __init__(self, manifest: Manifest, digest: str, session: Any) -> None:
        self.name, self.version, self.digest, self._session = manifest.model, manifest.version, digest, session
        self.usual_s = 1.0
        self.threshold = manifest.escalation_threshold
        self.inputs = tuple(_ports(session.get_inputs()))
        self.outputs = tuple(_ports(session.get_outputs()))
        self._known = {port.name: port for port in self.inputs}

    def run(self, inputs: Mapping[str, Tensor], wanted: Sequence[str] = ()) -> dict[str, Tensor]:
        """The outputs by name: the `wanted` ones, or all.

        Raises
        ------
        InvalidInput: an input or output that the model does not have, another datatype or shape.
        """
        for name in wanted:
            if all(port.name != name for port in self.outputs):
                raise InvalidInput(f"no output {name:.40}", where=f"model {self.name}", fix="read its metadata")
        names = list(wanted) or [port.name for port in self.outputs]
        feeds = {name: self._checked(name, tensor) for name, tensor in inputs.items()}
        if len(feeds) < len(self._known):
            missing = min(self._known.keys() - feeds.keys())
            raise InvalidInput(f"input {missing} is missing", where=f"model {self.name}", fix="read its metadata")
        try:
            found = self._session.run(names, feeds)
        except Exception as error:  # noqa: BLE001  onnxruntime's classes have no other root
            raise _of_onnx(error, f"model {self.name}") from None
        return dict(zip(names, found, strict=True))

    def _checked(self, name: str, tensor: Tensor) -> Tensor:
        port = self._known.get(name)
        if port is None:
            raise InvalidInput(f"no input {name:.40}", where=f"model {self.name}", fix="read its metadata")
        if (datatype := datatype_of(tensor)) != port.datatype:
            raise InvalidInput(f"{datatype} where input {name} is {port.datatype}", where=f"model {self.name}")
        if len(port.shape) != tensor.ndim or any(
            a not in (-1, b) for a, b in zip(port.shape, tensor.shape, strict=True)
        ):
            said = f"shape {list(tensor.shape)} where input {name} is {list(port.shape)}"
            raise InvalidInput(said, where=f"model {self.name}")
        return _as_text(tensor) if datatype == "BYTES" else tensor


class Models:
    """What is served now, by name. A request holds the version that it began with, whatever is flipped meanwhile."""

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()

    def flip(self, served: Served) -> None:
        """From now on this is the model of its name."""
        with self._lock:
            self._served = {**self._served, served.name: served}

    def drop(self, name: str) -> None:
        """No longer serve a model; requests under way end with it."""
        with self._lock:
            self._served = {each: served for each, served in self._served.items() if each != name}

    def get(self, name: str, version: str = "") -> Served:
        """The version in service.

        Raises
        ------
        NotFound: not loaded, or in another version.
        """
        served = self._served.get(name)
        if served is None:
            raise NotFound("not loaded", where=f"model {name:.128}", fix="read the repository index")
        if version and served.version != version:
            raise NotFound(
                f"version {version:.128} is not in service", where=f"model {name}", fix=f"ask {served.version}"
            )
        return served

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def __contains__(self, name: str) -> bool:
        return name in self._served


def open_model(manifest: Manifest, digest: str, folder: Path, providers: Sequence[str], threads: int) -> Served:
    """Load a version whose files have been verified, and try it.

    Raises
    ------
    NotConfigured: no onnxruntime here. InvalidInput: not a model that it can run. Refused: the canary says otherwise.
    """
    try:
        import onnxruntime
    except ImportError:
        fix = "pip install 'continuum-fleet[edge]'"
        raise NotConfigured("onnxruntime is not installed", where=f"model {manifest.model}", fix=fix) from None
    where = f"model {manifest.model} {manifest.version}"
    names = [file.path for file in manifest.files if file.path.endswith(".onnx")]
    if len(names) != 1:
        raise InvalidInput(f"{len(names)} .onnx files", where=where, fix="publish it with exactly one")
    there = [name for name in providers if name in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what it would print is in the error
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle cores stay idle
    try:
        session = onnxruntime.InferenceSession(str(folder / names[0]), options, providers=there)
    except Exception as error:  # noqa: BLE001  as above
        raise _of_onnx(error, where) from None
    served = Served(manifest, digest, session)
    _try_canary(served, folder / CANARY)
    return served


def told_apart(outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """(N,) places of the most probable class and (N,) probabilities of it; None where no output is (N, classes)
    probabilities.
    """
    for tensor in outputs.values():
        if tensor.dtype.kind == "f" and tensor.ndim == 2 and tensor.shape[1] > 1:
            sums = tensor.sum(axis=1, dtype=np.float64)
            if (np.abs(sums - 1) < 1e-3).all() and (tensor >= 0).all():  # NaN is neither
                return tensor.argmax(axis=1), tensor.max(axis=1)
    return None


def _try_canary(served: Served, path: Path) -> None:
    """Compare the answers of a model with those that its version brings along; without any, one row must pass.

    Raises
    ------
    Refused: it answers something else, or not at all.
    """
    where = f"canary of {served.name} {served.version}"
    try:
        if not path.is_file():
            served.run({port.name: _zeros(port) for port in served.inputs})
            return
        document = json.loads(path.read_bytes())
        wanted = decode(document, b"", where=where)
        tolerance = float(document.get("tolerance", TOLERANCE))
        found = served.run(decode(document, b"", where=where, side="inputs"), list(wanted))
    except (ContinuumError, ValueError, TypeError, AttributeError) as error:
        raise Refused(f"it does not answer ({error})", where=where, fix="publish a version that runs") from None
    for name, tensor in wanted.items():
        if not _same(found[name], tensor, tolerance):
            raise Refused(f"output {name} is not what its maker got", where=where, fix="publish it again")


def _same(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    if found.shape != wanted.shape:
        return False
    if wanted.dtype == object:
        return bool(_as_text(found).tolist() == _as_text(wanted).tolist())
    return bool(np.allclose(found, wanted, rtol=tolerance, atol=tolerance))


def _ports(described: Sequence[Any]) -> Iterator[Port]:
    for each in described:
        datatype = _DATATYPES.get(str(each.type).removeprefix("tensor(").removesuffix(")"))
        if datatype is None:
            fix = "export it without ZipMap"
            raise InvalidInput(f"{each.name} is a {each.type}, no plain tensor", where="model", fix=fix)
        yield Port(each.name, datatype, tuple(length if isinstance(length, int) else -1 for length in each.shape))


def _zeros(port: Port) -> Tensor:
    shape = [1 if length < 0 else length for length in port.shape]
    return np.full(shape, b"" if port.datatype == "BYTES" else 0, DTYPES[port.datatype])


def _as_text(tensor: Tensor) -> Tensor:
    try:
        texts = [each.decode() if isinstance(each, bytes) else str(each) for each in tensor.ravel().tolist()]
    except UnicodeDecodeError:
        raise InvalidInput("BYTES that are no UTF-8", where="tensor", fix="send text") from None
    return np.array([*texts, None], object)[:-1].reshape(tensor.shape)


def _of_onnx(error: Exception, where: str) -> ContinuumError:
    said = " ".join(str(error).split())[:200]
    if type(error).__name__ in ("InvalidArgument", "InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NotImplemented"):
        return InvalidInput(said, where=where)
    return OperationFailed(said, where=where)
