"""Writing a local file so that no reader ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from blocks.errors import StoreUnavailable


def write_atomically(path: Path, text: str | bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `text` in one step, so that a reader never sees half a file.

    mode: permissions; 0o600 for what holds secrets.

    Raises
    ------
    StoreUnavailable: the folder or the file cannot be written; what was there before stays.
    """
    try:
        _write(path, text, mode)
    except OSError as error:
        fix = "check its folder, the space left and the right to write there"
        raise StoreUnavailable(f"cannot be written ({error.strerror or error})", where=str(path), fix=fix) from error


def _write(path: Path, text: str | bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
