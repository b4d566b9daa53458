"""The model registry: files under the sha256 of their bytes, a signed manifest and a row for each version.

Layout below `CONTINUUM_MODELS_URL`: blobs/SHA256, manifests/DIGEST.json, updates/SHA256 (never served).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from sqlalchemy import exc
from sqlmodel import col, select

from blocks import settings
from blocks.errors import Conflict, InvalidInput, NotConfigured, NotFound, Refused
from blocks.files import write_atomically
from blocks.manifest import CHUNK_BYTES, Manifest, ModelFile, sign, verify
from blocks.store.database import Database
from blocks.store.series import SeriesStore
from blocks.store.tables import ModelVersion

Kind = Literal["blobs", "updates"]


@dataclass(frozen=True)
class Registry:
    """The versions of all models. `root` is the folder of its files where they are local, else None."""

    store: Database
    files: SeriesStore
    key: Ed25519PrivateKey
    root: Path | None = None

    @classmethod
    def open(cls, store: Database) -> Self:
        """The registry that the settings name.

        Raises
        ------
        NotConfigured: the key that the settings name is no Ed25519 key in a PEM file.
        """
        url = settings.models_url()
        return cls(store, SeriesStore.open(url), signing_key(), None if "://" in url else Path(url))

    def put(self, content: bytes, kind: Kind = "blobs") -> str:
        """Keep bytes; returns their sha256. The same bytes are the same file."""
        digest = hashlib.sha256(content).hexdigest()
        self.files.write_bytes(f"{kind}/{digest}", content)
        return digest

    def get(self, digest: str, kind: Kind = "blobs") -> bytes:
        """The bytes of that sha256.

        Raises
        ------
        NotFound: there are none. Refused: they are damaged.
        """
        content = self.files.read_bytes(f"{kind}/{digest}")
        if hashlib.sha256(content).hexdigest() != digest:
            raise Refused("its bytes are not those that were written", where=f"{kind}/{digest[:12]}",
                          fix="restore a copy, or publish it again")  # fmt: skip
        return content

    def numbers(self, digest: str, kind: Kind = "updates") -> NDArray[np.float32]:
        """Kept float32 numbers: mapped from the disk where they are local, so that many need no memory."""
        if self.root:
            return np.memmap(self.root / kind / digest, "<f4", "r")
        return np.frombuffer(self.get(digest, kind), "<f4")

    def size(self, digest: str) -> int:
        """Bytes of a blob. NotFound: there is none."""
        with self.files.reader(f"blobs/{digest}") as file:
            return int(file.size())

    def pieces(self, digest: str, first: int, last: int) -> Iterator[bytes]:
        """Bytes first ... last of a blob, a piece at a time."""
        with self.files.reader(f"blobs/{digest}") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (piece := file.read(min(left, CHUNK_BYTES))):
                left -= len(piece)
                yield piece

    def publish(
        self, model: str, version: str, contents: Mapping[str, bytes], *, parent: str = "",
        features: tuple[tuple[str, str], ...] = (), metrics: Mapping[str, float] | None = None,
        escalation_threshold: float | None = None, trained_from: str = "", trained_to: str = "",
    ) -> Manifest:  # fmt: skip
        """Keep the files, then the signed manifest, then the row: whatever is killed in between is not a version.

        The same version with the same content again changes nothing.

        Raises
        ------
        Conflict: the version is there with another content. InvalidInput: see `Manifest`.
        """
        files = tuple(ModelFile(name, hashlib.sha256(body).hexdigest(), len(body)) for name, body in contents.items())
        manifest = Manifest(
            model, version, files, parent=parent, features=features, trained_from=trained_from, trained_to=trained_to,
            metrics=dict(metrics or {}), escalation_threshold=escalation_threshold,
        )  # fmt: skip
        for body in contents.values():
            self.put(body)
        return self.publish_manifest(manifest)

    def publish_manifest(self, manifest: Manifest) -> Manifest:
        """Make a version known whose files are blobs already, such as the same files with another threshold."""
        digest = manifest.digest
        row = ModelVersion(digest=digest, model=manifest.model, version=manifest.version, parent=manifest.parent,
                           size_bytes=sum(file.size_bytes for file in manifest.files),
                           metrics=dict(manifest.metrics))  # fmt: skip
        self.files.write_bytes(f"manifests/{digest}.json", sign(manifest, self.key))
        try:
            with self.store.write() as session:
                if session.get(ModelVersion, digest) is None:
                    session.add(row)
        except exc.IntegrityError:
            raise Conflict("is there with another content", where=f"model {manifest.model} {manifest.version}",
                           fix="publish under a new version") from None  # fmt: skip
        return manifest

    def document(self, digest: str) -> bytes:
        """The signed manifest of that digest, as it is handed to an edge. NotFound: there is none."""
        return self.files.read_bytes(f"manifests/{digest}.json")

    def manifest(self, digest: str) -> Manifest:
        """The verified manifest of that digest.

        Raises
        ------
        NotFound: there is none. Refused: its signature is not ours, or it is another manifest.
        """
        found = verify(self.document(digest), self.key.public_key())
        if found.digest != digest:
            raise Refused("it is the manifest of another version", where=f"manifests/{digest[:12]}",
                          fix="publish the version again")  # fmt: skip
        return found

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        """Published versions, newest first."""
        query = select(ModelVersion).order_by(col(ModelVersion.created_at).desc(), col(ModelVersion.version).desc())
        with self.store.read() as session:
            return list(session.exec(query if model is None else query.where(ModelVersion.model == model)))

    def version(self, model: str, version: str = "") -> ModelVersion:
        """A version by its name, its digest or the beginning of that; the newest where none is named.

        Raises
        ------
        NotFound: there is none. InvalidInput: several digests begin so.
        """
        rows = self.versions(model)
        found = [row for row in rows if row.version == version] or [
            row for row in rows if row.digest.startswith(version)
        ]
        if not found:
            raise NotFound(f"no version {version!r} is published" if version else "nothing is published",
                           where=f"model {model}", fix="see `continuum hub versions`")  # fmt: skip
        if version and len(found) > 1:
            raise InvalidInput(f"several digests begin with {version!r}", where=f"model {model}", fix="type more of it")
        return found[0]


def signing_key() -> Ed25519PrivateKey:
    """The key that signs manifests: `CONTINUUM_MODEL_KEY`, or one of our own in `home()`, made at the first call.

    Raises
    ------
    NotConfigured: the file that is named is not there, or holds no Ed25519 key.
    """
    given = settings.model_key_file()
    file = given or settings.home() / "model-signing.pem"
    if given is None and not file.exists():
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomically(file, Ed25519PrivateKey.generate().private_bytes(*form), mode=0o600)
    fix = "write one with `openssl genpkey -algorithm ed25519 -out FILE`"
    try:
        found: Any = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise NotConfigured(f"no private key can be read there ({type(error).__name__})", where=str(file),
                            fix=fix) from error  # fmt: skip
    if not isinstance(found, Ed25519PrivateKey):
        raise NotConfigured("the key is not an Ed25519 key", where=str(file), fix=fix)
    return found


def public_pem(key: Ed25519PrivateKey) -> str:
    """What an edge must know to trust our manifests, as a PEM file for its `trusted_keys`."""
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form).decode()
