"""Fitted models as files beside the series: arrays under the digest of their bytes, and a manifest of each training.

Layout: ROOT/models/fleet=NAME/step_s=300/horizon=24/SHA256.npz and, of one training, TIME.json beside them. No pickle:
a file holds plain arrays, and is refused where a byte of it differs from what was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput, NotFound, StoreUnavailable
from blocks.store.series import SeriesStore

KEPT_TRAININGS = 7
Arrays = dict[str, NDArray[Any]]

_TIME = "%Y%m%dT%H%M%SZ"
_TRAIN_AGAIN = "run forecast-training again"


@dataclass(frozen=True)
class ModelShelf:
    """The models of one fleet for one step and horizon.

    Attributes
    ----------
    fleet: name of the fleet. step_s: seconds between steps. horizon: steps ahead.
    """

    files: SeriesStore
    fleet: str
    step_s: int
    horizon: int

    @property
    def folder(self) -> str:
        """Where its files are, below the root of the series."""
        return f"models/fleet={quote(self.fleet, safe='')}/step_s={self.step_s}/horizon={self.horizon}"

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Keep the arrays of a model; returns their digest (SHA-256). The same arrays are the same file."""
        content = pack(arrays, {})
        digest = hashlib.sha256(content).hexdigest()
        self.files.write_bytes(f"{self.folder}/{digest}.npz", content)
        return digest

    def load(self, digest: str) -> Arrays:
        """Arrays of a model.

        Raises
        ------
        NotFound: there is no such file. StoreUnavailable: it is damaged.
        """
        path = f"{self.folder}/{digest}.npz"
        try:
            content = self.files.read_bytes(path)
        except NotFound as error:
            raise NotFound("the model is gone", where=path, fix=_TRAIN_AGAIN) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise _damaged("the model is damaged: its bytes are not those that were written", path)
        return unpack(content, path)[0]

    def record(self, trained_at: datetime, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest of a training once all its models are saved; all but the newest trainings are removed.

        Parameters
        ----------
        manifest:
            JSON of what was trained; `models` names, by engine, the `digest` of each.

        Raises
        ------
        InvalidInput: the manifest has something in it that JSON has not.
        """
        try:
            content = json.dumps(dict(manifest), indent=1, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"a value cannot be stored: {error}", where="model manifest",
                               fix="give plain finite numbers") from error  # fmt: skip
        self.files.write_bytes(f"{self.folder}/{trained_at.astimezone(UTC):{_TIME}}.json", content)
        self._prune()

    def newest(self, not_after: datetime | None = None) -> dict[str, Any] | None:
        """Manifest of the newest training (made not after a time); None where there is none.

        Raises
        ------
        StoreUnavailable: it is damaged.
        """
        latest = f"{not_after.astimezone(UTC):{_TIME}}.json" if not_after else "9"
        names = [name for name in self._manifests() if name <= latest]
        return self._manifest(names[-1]) if names else None

    def _manifests(self) -> list[str]:
        return [name for name in self.files.names(self.folder) if name.endswith(".json")]

    def _manifest(self, name: str) -> dict[str, Any]:
        path = f"{self.folder}/{name}"
        try:
            found = json.loads(self.files.read_bytes(path))
            for model in found["models"].values():
                str(model["digest"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged("the manifest of the models is damaged", path) from error
        return dict(found)

    def _prune(self) -> None:
        """Remove old manifests, then the models that no manifest names any more."""
        manifests = self._manifests()
        for name in manifests[:-KEPT_TRAININGS]:
            self.files.remove(f"{self.folder}/{name}")
        try:
            kept = [self._manifest(name) for name in manifests[-KEPT_TRAININGS:]]
        except StoreUnavailable:  # which models it named is not known: none is removed until it is pruned itself
            return
        named = {f"{model['digest']}.npz" for manifest in kept for model in manifest["models"].values()}
        for name in self.files.names(self.folder):
            if name.endswith(".npz") and name not in named:
                self.files.remove(f"{self.folder}/{name}")


def pack(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """Arrays and a JSON document as one file; the same for the same content."""
    told = np.frombuffer(json.dumps(dict(about), sort_keys=True).encode(), np.uint8)
    target = io.BytesIO()
    # numpy writes every member with the date 1980-01-01, so equal arrays are equal bytes
    np.savez(target, about=told, allow_pickle=False, **{f"array:{name}": arrays[name] for name in sorted(arrays)})
    return target.getvalue()


def unpack(content: bytes, where: str) -> tuple[Arrays, dict[str, Any]]:
    """What `pack` made a file of.

    Raises
    ------
    StoreUnavailable: it is damaged (every member has a checksum), or holds Python objects.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        about = json.loads(found.pop("about").tobytes())
        return {name.removeprefix("array:"): array for name, array in found.items()}, about
    except (ValueError, KeyError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _damaged("the file is damaged", where) from error


def _damaged(what: str, where: str) -> StoreUnavailable:
    return StoreUnavailable(what, where=where, fix=_TRAIN_AGAIN, retryable=False)
