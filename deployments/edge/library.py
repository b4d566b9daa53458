"""Versions on the disk: a folder each, whole or not there, and for each model a pointer at the one in service.

STATE/versions/DIGEST/   manifest.json (signed) and the files that it names
STATE/incoming/DIGEST/   one that is on its way, renamed when every byte of it is verified
STATE/models/NAME.json   {"current": DIGEST, "previous": DIGEST or ""}
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blocks.errors import ContinuumError, InvalidInput, Refused
from blocks.manifest import Manifest, check_file, verify

MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Pointer(NamedTuple):
    """The version in service, and the one before it."""

    current: str
    previous: str = ""


class Library:
    """The folder of one agent. Every change is one rename, after what it shows has reached the disk."""

    def __init__(self, root: Path, keys: Collection[Ed25519PublicKey], most_bytes: int) -> None:
        self._versions, self._incoming, self._models = root / "versions", root / "incoming", root / "models"
        self._keys, self._most_bytes = keys, most_bytes
        for folder in (self._versions, self._incoming, self._models):
            folder.mkdir(parents=True, exist_ok=True)

    def folder(self, digest: str) -> Path:
        """Where a version lies, or would."""
        return self._versions / digest

    def read_manifest(self, document: bytes, digest: str) -> Manifest:
        """A signed manifest, where it is that of this digest and by a trusted key.

        Raises
        ------
        InvalidInput: no manifest, or one of another version. Refused: no trusted key has signed it.
        """
        failure: ContinuumError = Refused("no key is trusted", where="manifest", fix="set trusted_keys")
        for key in self._keys:
            try:
                manifest = verify(document, key)
            except Refused as error:
                failure = error
                continue
            if manifest.digest != digest:
                where = f"manifest {manifest.model} {manifest.version}"
                raise InvalidInput("is that of another version", where=where, fix="publish it again")
            return manifest
        raise failure

    def verified(self, digest: str) -> Manifest:
        """The manifest of a version on the disk, each of its bytes read and found to be as signed.

        Raises
        ------
        Refused: not there, or a byte differs.
        """
        folder = self.folder(digest)
        try:
            document = (folder / MANIFEST).read_bytes()
        except OSError:
            raise Refused("not on the disk", where=f"version {digest[:12]}", fix="wait for the next pull") from None
        manifest = self.read_manifest(document, digest)
        for file in manifest.files:
            check_file(folder / file.path, file)
        return manifest

    def stage(self, digest: str, document: bytes) -> Path:
        """The folder in which a version is put together; what an earlier try has left of it is still there."""
        staged = self._incoming / digest
        staged.mkdir(exist_ok=True)
        _write_through(staged / MANIFEST, document)
        return staged

    def admit(self, digest: str, manifest: Manifest) -> None:
        """Make a staged version part of the library, once it is whole.

        Raises
        ------
        Refused: a byte differs; that file is removed, so that the next try fetches it anew.
        """
        staged = self._incoming / digest
        for file in manifest.files:
            try:
                check_file(staged / file.path, file)
            except Refused:
                (staged / file.path).unlink(missing_ok=True)
                raise
        _sync(staged)
        self.discard(digest)  # of a version that has rotted on the disk
        staged.rename(self.folder(digest))
        _sync(self._versions)

    def discard(self, digest: str) -> None:
        """Remove a version; it is out of sight at once."""
        if self.folder(digest).is_dir():
            going = self._incoming / f"{digest}.gone"
            shutil.rmtree(going, ignore_errors=True)
            self.folder(digest).rename(going)
            shutil.rmtree(going, ignore_errors=True)

    def clean(self, wanted: Collection[str]) -> None:
        """Remove what was on its way and is no longer wanted."""
        for left in self._incoming.iterdir():
            if left.name not in wanted:
                shutil.rmtree(left, ignore_errors=True)

    def make_room(self, size_bytes: int, in_use: Collection[str]) -> list[str]:
        """Remove the versions that were loaded longest ago until another one fits; returns them.

        Raises
        ------
        Refused: it would not fit beside those that are in use; nothing is removed then.
        """
        sizes = {folder.name: _size(folder) for folder in self._versions.iterdir()}
        held = sum(size for digest, size in sizes.items() if digest in in_use)
        if held + size_bytes > self._most_bytes:
            told = f"{size_bytes} bytes do not fit beside {held} in use, of {self._most_bytes}"
            raise Refused(told, where="model cache", fix="raise [models] cache_bytes")
        free, removed = self._most_bytes - sum(sizes.values()), []
        for digest in sorted(sizes.keys() - set(in_use), key=lambda each: self.folder(each).stat().st_mtime_ns):
            if free >= size_bytes:
                break
            self.discard(digest)
            removed.append(digest)
            free += sizes[digest]
        return removed

    def touch(self, digest: str) -> None:
        """Note that a version was loaded now."""
        os.utime(self.folder(digest))

    def pointers(self) -> dict[str, Pointer]:
        """Of every model; one that cannot be read is left out."""
        found = {}
        for path in sorted(self._models.glob("*.json")):
            try:
                pointer = Pointer(**json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError):
                continue
            if _DIGEST.fullmatch(pointer.current) and (not pointer.previous or _DIGEST.fullmatch(pointer.previous)):
                found[path.stem] = pointer
        return found

    def point(self, name: str, digest: str) -> None:
        """Put a version in service for good; the one before it is kept as `previous`."""
        now = self.pointers().get(name, Pointer(""))
        if now.current != digest:
            body = json.dumps(Pointer(digest, now.current)._asdict()).encode()
            _write_through(self._models / f"{name}.json", body)

    def forget(self, name: str) -> None:
        """A model is no longer wanted: its versions may go when room is needed."""
        (self._models / f"{name}.json").unlink(missing_ok=True)
        _sync(self._models)

    def in_use(self) -> set[str]:
        """The versions that pointers name."""
        return {digest for pointer in self.pointers().values() for digest in pointer if digest}


def _write_through(path: Path, body: bytes) -> None:
    """Put a file in its place whole: beside it, to the disk, then renamed."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
