"""The one place where the environment is read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from blocks.errors import NotConfigured

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def home() -> Path:
    """Folder of all state: `CONTINUUM_HOME`, or `continuum` in the XDG data directory."""
    if given := os.environ.get("CONTINUUM_HOME"):
        return Path(given).expanduser().resolve()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data) / "continuum").expanduser().resolve()


def store_url() -> str:
    """Database URL of the store: `CONTINUUM_STORE_URL`, or SQLite in `home()`."""
    return os.environ.get("CONTINUUM_STORE_URL") or f"sqlite:///{home() / 'store.db'}"


def series_url() -> str:
    """Root of the series files: `CONTINUUM_SERIES_URL` (a folder or an object-store URL), or `home()/series`."""
    return os.environ.get("CONTINUUM_SERIES_URL") or str(home() / "series")


def models_url() -> str:
    """Root of the models' files: `CONTINUUM_MODELS_URL` (a folder or an object-store URL), or `home()/models`."""
    return os.environ.get("CONTINUUM_MODELS_URL") or str(home() / "models")


def model_key_file() -> Path | None:
    """PEM file of the Ed25519 key that signs models: `CONTINUUM_MODEL_KEY`; None where it is unset."""
    given = os.environ.get("CONTINUUM_MODEL_KEY")
    return Path(given).expanduser() if given else None


def approver_token() -> str | None:
    """The token of the person who approves: `CONTINUUM_APPROVER_TOKEN`; None where it is unset."""
    return os.environ.get("CONTINUUM_APPROVER_TOKEN") or None


def metrics_token() -> str | None:
    """The bearer token that `continuum metrics` asks for: `CONTINUUM_METRICS_TOKEN`; None where it is unset."""
    return os.environ.get("CONTINUUM_METRICS_TOKEN") or None


def traced_service() -> str | None:
    """As which service traces are sent (`OTEL_SERVICE_NAME`, else `continuum`); None where no collector is named."""
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return os.environ.get("OTEL_SERVICE_NAME") or "continuum" if any(map(os.environ.get, named)) else None


def data_dir() -> Path | None:
    """Folder of the shared data sets that tests and benchmarks read: `CONTINUUM_DATA`; None where it is unset."""
    given = os.environ.get("CONTINUUM_DATA")
    return Path(given) if given else None


def expand(text: str, *, where: str = "") -> str:
    """Replace each `${NAME}` by the environment variable of that name.

    Raises
    ------
    NotConfigured: a variable is unset; its name is given, never a value.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise NotConfigured(f"environment variable {name} is not set", where=where, fix=f"export {name}=...")
        return os.environ[name]

    return _REFERENCE.sub(value, text)
