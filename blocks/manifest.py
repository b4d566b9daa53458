"""A model version's manifest: what its files are, signed, and checked file by file before anything is loaded.

The standard library and `cryptography` only: the registry and the edge agent both import it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blocks.errors import InvalidInput, Refused

MAX_MANIFEST_BYTES = 1 << 20
MAX_MODEL_BYTES = 2 << 30
CHUNK_BYTES = 1 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class ModelFile:
    """One file of a version: its name (no folders), its sha256 in hexadecimal and its size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """One version of a model.

    parent: digest of the manifest that it was trained from, or nothing.
    features: name of each input column and its datatype, in order.
    trained_from, trained_to: first and last time of the training data, ISO 8601 in UTC.
    escalation_threshold: calibrated probability (0-1) under which an answer goes to the cloud, or nothing.
    """

    model: str
    version: str
    files: tuple[ModelFile, ...]
    parent: str = ""
    features: tuple[tuple[str, str], ...] = ()
    trained_from: str = ""
    trained_to: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    escalation_threshold: float | None = None

    def __post_init__(self) -> None:
        where = f"manifest {self.model!r} version {self.version!r}"
        if not _NAME.fullmatch(self.model) or not _NAME.fullmatch(self.version):
            raise InvalidInput("the model or version is no plain name", where=where, fix="letters, digits, . _ - only")
        if not self.files or len({file.path for file in self.files}) != len(self.files):
            raise InvalidInput("no file, or one named twice", where=where, fix="name every file once")
        for file in self.files:
            # A plain name has no slash and does not begin with a dot: nothing can climb out of the version's folder.
            if not _NAME.fullmatch(file.path):
                raise InvalidInput(
                    f"file {file.path!r} is no plain name", where=where, fix="no folders, no leading dot"
                )
            if not _SHA256.fullmatch(file.sha256) or file.size_bytes < 0:
                raise InvalidInput(f"file {file.path!r} has no sha256 or size", where=where, fix="publish it again")
        if sum(file.size_bytes for file in self.files) > MAX_MODEL_BYTES:
            raise InvalidInput(
                f"the files are over {MAX_MODEL_BYTES} bytes", where=where, fix="publish a smaller model"
            )
        numbers = [*self.metrics.values(), self.escalation_threshold or 0.0]
        if not all(math.isfinite(number) for number in numbers):
            raise InvalidInput("a metric or the threshold is not finite", where=where, fix="score the model again")

    def canonical(self) -> bytes:
        """The bytes that are signed: JSON, keys sorted, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """sha256 of the canonical bytes, in hexadecimal: the version's one name everywhere."""
        return hashlib.sha256(self.canonical()).hexdigest()


def sign(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """The manifest and its Ed25519 signature (RFC 8032) as one JSON document."""
    signature = base64.b64encode(key.sign(manifest.canonical())).decode()
    return json.dumps({"manifest": asdict(manifest), "signature": signature}, sort_keys=True).encode()


def verify(document: bytes, key: Ed25519PublicKey) -> Manifest:
    """The manifest in a signed document.

    Raises
    ------
    InvalidInput: too large, or not a manifest.
    Refused: the signature is not by this key.
    """
    if len(document) > MAX_MANIFEST_BYTES:
        raise InvalidInput(f"over {MAX_MANIFEST_BYTES} bytes", where="manifest", fix="ask the registry for it again")
    try:
        body = json.loads(document)
        signature = base64.b64decode(body["signature"], validate=True)
        manifest = _from_json(body["manifest"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidInput("not a signed manifest", where="manifest", fix="ask the registry for it again") from error
    try:
        key.verify(signature, manifest.canonical())
    except InvalidSignature:
        where = f"manifest {manifest.model} {manifest.version}"
        raise Refused("the signature is not by the trusted key", where=where, fix="publish it signed") from None
    return manifest


def _from_json(body: dict[str, Any]) -> Manifest:
    files = tuple(ModelFile(str(f["path"]), str(f["sha256"]), int(f["size_bytes"])) for f in body["files"])
    features = tuple((str(name), str(datatype)) for name, datatype in body["features"])
    return Manifest(**{**body, "files": files, "features": features})


def check_file(path: Path, expected: ModelFile) -> None:
    """Refuse a file that is not the one of the manifest; reads one chunk at a time.

    Raises
    ------
    Refused: missing, too short, too long, or with another sha256.
    """
    where, fix = f"file {expected.path}", "fetch it again"
    if not path.is_file():
        raise Refused("missing", where=where, fix=fix)
    if (size := path.stat().st_size) != expected.size_bytes:
        raise Refused(f"{size} bytes where the manifest says {expected.size_bytes}", where=where, fix=fix)
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    if found.hexdigest() != expected.sha256:
        raise Refused("its sha256 is not the manifest's", where=where, fix=fix)
