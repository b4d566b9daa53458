"""Environments of other people's libraries, each its own: made on first use under the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PLACES = Path(__file__).parent / "envs"


def environment(name: str, say: Callable[[str], None]) -> Path | None:
    """The Python that has what `envs/NAME/requirements.lock` names; None where it cannot be made."""
    lock = PLACES / name / "requirements.lock"
    mark = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "continuum" / f"{name}-{mark}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.is_file():
        return python
    say(f"making {folder}")
    uv = Path(sys.executable).parent / "uv"
    install = [uv, "pip", "install", "--quiet", "--python", python] if uv.is_file() else [
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]  # fmt: skip
    try:
        for command in ([sys.executable, "-m", "venv", "--clear", folder], [*install, "--require-hashes", "-r", lock]):
            subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"{name}: skipped, its environment cannot be made: {getattr(error, 'stderr', None) or error}")
        return None
    ready.touch()
    return python
