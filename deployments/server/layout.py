"""What `continuum serve` runs: one TOML file, read once, every mistake named."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from sqlalchemy import exc, make_url

from blocks.errors import InvalidInput
from blocks.http import LOOPBACK
from blocks.settings import expand

EXAMPLE = Path(__file__).parent / "server.example.toml"
LEAST_AUTH = 20  # characters of `user:password`
_DAY_S = 86_400


class Strict(BaseModel):
    """Part of the file; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Retention(Strict):
    """After how many days Prefect's database forgets. Continuum's own store and its journal are not touched."""

    flow_runs_days: int = Field(30, ge=1, le=3650)
    events_days: int = Field(7, ge=1, le=3650)
    task_run_events_days: int = Field(1, ge=1, le=3650)


class Layout(Strict):
    """The file.

    Attributes
    ----------
    url: where people, workers and runs reach the Prefect API and its UI; the proxy listens there.
    database: of Prefect, `postgresql://USER:PASSWORD@HOST/DATABASE`. redis: `redis://HOST:PORT/NUMBER`.
    auth: `USER:PASSWORD` that the API asks for, of everybody.
    certificate, key: PEM files; needed where `url` is no loopback address. ca: PEM file of who signed the certificate,
    where this machine does not know it.
    servers: replicas of the API. workers: processes that start runs, each at most `runs_at_once`.
    """

    url: str
    database: SecretStr
    redis: SecretStr
    auth: SecretStr
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    servers: int = Field(2, ge=1, le=16)
    workers: int = Field(2, ge=0, le=16)
    runs_at_once: int = Field(8, ge=1, le=1000)
    retention: Retention = Retention()

    @property
    def host(self) -> str:
        """Where the proxy listens."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        return urlsplit(self.url).port or {"http": 80, "https": 443}[self.scheme]

    @property
    def scheme(self) -> Literal["http", "https"]:
        """Whether the proxy speaks TLS."""
        return "https" if self.certificate else "http"

    @model_validator(mode="after")
    def _safe(self) -> Layout:
        for name, scheme in (("database", "postgresql"), ("redis", "redis")):
            secret = getattr(self, name).get_secret_value()
            if not secret.startswith((f"{scheme}://", f"{scheme}s://")):
                raise ValueError(f"{name}: give {scheme}://...")
        try:
            make_url(self.database.get_secret_value())
        except exc.ArgumentError:
            raise ValueError("database: give postgresql://USER:PASSWORD@HOST/DATABASE") from None
        user, _, password = self.auth.get_secret_value().partition(":")
        if not user or not password or len(self.auth.get_secret_value()) < LEAST_AUTH:
            raise ValueError(f"auth: give USER:PASSWORD of {LEAST_AUTH} characters or more (openssl rand -hex 24)")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate: HTTPS needs a certificate and its key")
        if not self.host or not self.url.startswith(f"{self.scheme}://") or urlsplit(self.url).path.strip("/"):
            raise ValueError(
                f"url: give {self.scheme}://HOST:PORT" + ("" if self.certificate else ", or a certificate")
            )
        if self.host not in LOOPBACK and not self.certificate:
            raise ValueError("certificate: beyond the loopback the password needs TLS; give a certificate and its key")
        return self

    def retention_settings(self) -> dict[str, str]:
        """Prefect's own settings that say what is forgotten when."""
        events = self.retention.events_days * _DAY_S
        of_tasks = min(self.retention.task_run_events_days * _DAY_S, events)
        short = (
            *(f"prefect.task-run.{state}" for state in ("Pending", "Running", "Completed")),
            "prefect.flow-run.heartbeat",
        )
        overrides = dict.fromkeys(short, of_tasks)
        return {
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(self.retention.flow_runs_days * _DAY_S),
            "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{events}S",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": json.dumps(overrides),
        }


def read_layout(path: Path) -> Layout:
    """The layout in a file; `${NAME}` in it are environment variables, paths are relative to its folder.

    Raises
    ------
    InvalidInput: no TOML, an unknown or missing key, a value that does not fit. NotConfigured: a variable is unset.
    """
    fix = f"see {EXAMPLE.name} in deployments/server"
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"cannot be read ({error.strerror})", where=str(path), fix="name the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"no TOML: {error}", where=str(path), fix=fix) from None
    told = {name: expand(value, where=f"{path} {name}") if isinstance(value, str) else value
            for name, value in document.items()}  # fmt: skip
    for name in ("certificate", "key", "ca"):
        if isinstance(told.get(name), str):
            told[name] = path.parent / told[name]
    try:
        return Layout.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{field}: {said}" if field else said, where=str(path), fix=fix) from None
