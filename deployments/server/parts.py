"""The processes of a layout: their commands, and what their environment tells them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import make_url

from blocks.errors import NotConfigured, Unreachable
from deployments.deploy import PREFECT, WORK_POOL
from deployments.prefect_server import QUIET
from deployments.server.layout import Layout

HEARTBEAT_S = 30  # Prefect's least
# A minute without an answer: servers that are restarted one by one, or a database that fails over.
PATIENCE = {"PREFECT_CLIENT_MAX_RETRIES": "12", "PREFECT_CLIENT_RETRY_EXTRA_CODES": "504"}


@dataclass(frozen=True)
class Part:
    """One process: `ready` is a URL that answers once it serves, "" where it serves nothing.

    `rolls`: whether it is restarted by a rolling restart. `port`: where the proxy finds it, 0 where it does not.
    `ca`: who signed its certificate, where it must be told.
    """

    name: str
    command: Sequence[str]
    env: dict[str, str] = field(repr=False)
    ready: str = ""
    rolls: bool = False
    port: int = 0
    ca: Path | None = None


def server_env(layout: Layout, folder: Path) -> dict[str, str]:
    """The environment of servers and services: one database, one Redis, nothing kept in a process alone.

    The variables are those of Prefect's own guide to several servers (docs: "self-hosted, scaled").
    """
    database = make_url(layout.database.get_secret_value()).set(drivername="postgresql+asyncpg")
    redis = layout.redis.get_secret_value()
    return {
        **_inherited(layout), **QUIET, **layout.retention_settings(),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.render_as_string(hide_password=False),
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_SERVER_API_AUTH_STRING": layout.auth.get_secret_value(),
        "PREFECT_SERVER_UI_API_URL": f"{layout.url.rstrip('/')}/api",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": redis,
        "PREFECT_SERVER_DOCKET_URL": redis,
        # automations call the API too
        "PREFECT_API_AUTH_STRING": layout.auth.get_secret_value(),
    }  # fmt: skip


def client_env(layout: Layout, folder: Path) -> dict[str, str]:
    """The environment of workers and of the runs that they start."""
    env = {
        **_inherited(layout), **QUIET, **PATIENCE,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"{layout.url.rstrip('/')}/api",
        "PREFECT_API_AUTH_STRING": layout.auth.get_secret_value(),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_LOGGING_LEVEL": "INFO",
    }  # fmt: skip
    if layout.ca:
        env["PREFECT_API_SSL_CERT_FILE"] = str(layout.ca)
    return env


def migration(layout: Layout, folder: Path) -> Part:
    """Brings Prefect's database to this release, before any server starts."""
    return Part("migration", [*PREFECT, "server", "database", "upgrade", "--yes"], server_env(layout, folder))


def parts(layout: Layout, folder: Path, ports: Sequence[int]) -> list[Part]:
    """Everything that runs, in the order in which it is started; `ports` are those of the servers."""
    servers, clients = server_env(layout, folder), client_env(layout, folder)
    start = [*PREFECT, "server", "start", "--no-services", "--host", "127.0.0.1", "--port"]
    worker = [*PREFECT, "worker", "start", "--pool", WORK_POOL, "--type", "process",
              "--limit", str(layout.runs_at_once), "--name"]  # fmt: skip
    return [
        *(Part(f"server-{number}", [*start, str(port)], servers, f"http://127.0.0.1:{port}/api/ready", rolls=True,
               port=port)
          for number, port in enumerate(ports, 1)),
        Part("services", [*PREFECT, "server", "services", "start"], servers, rolls=True),
        Part("proxy", [_nginx(), "-e", "stderr", "-p", str(folder), "-c", str(_proxy_file(layout, folder, ports))],
             _inherited(layout), f"{layout.url.rstrip('/')}/api/ready", ca=layout.ca),
        *(Part(f"worker-{number}", [*worker, f"worker-{number}"], clients)
          for number in range(1, layout.workers + 1)),
    ]  # fmt: skip


def _inherited(layout: Layout) -> dict[str, str]:
    """This process's own environment, without Prefect's settings, and without the secrets that runs have no use for."""
    hidden = {layout.database.get_secret_value(), layout.redis.get_secret_value()}
    return {name: value for name, value in os.environ.items()
            if not name.startswith("PREFECT_") and value not in hidden}  # fmt: skip


def _nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotConfigured("nginx is not installed", where="continuum serve",
                            fix="install it (Debian: apt-get install nginx-light)")  # fmt: skip
    return found


def rest(layout: Layout, folder: Path, ports: Sequence[int], port: int | None) -> None:
    """Let the running proxy open nothing more to the server of `port`; None: to every server again.

    What is open stays open. A worker whose event stream is cut off while it says who it is gives its run up as Crashed.

    Raises
    ------
    Unreachable: the proxy could not be told.
    """
    file = _proxy_file(layout, folder, ports, port)
    told = subprocess.run([_nginx(), "-e", "stderr", "-p", str(folder), "-c", str(file), "-s", "reload"], check=False,
                          capture_output=True, text=True)  # fmt: skip
    if told.returncode:
        raise Unreachable(f"did not take its new configuration: {told.stderr[-300:].strip()}", where="proxy",
                          fix="restart the service")  # fmt: skip


def _proxy_file(layout: Layout, folder: Path, ports: Sequence[int], resting: int | None = None) -> Path:
    """The proxy's configuration, written."""
    # no HTML: nothing is escaped
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, autoescape=False
    )  # nosec B701
    host = f"[{layout.host}]" if ":" in layout.host else layout.host
    text = templates.get_template("nginx.conf.j2").render(
        folder=folder, ports=ports, resting=resting, listen=f"{host}:{layout.port}",
        certificate=layout.certificate, key=layout.key,
        user=pwd.getpwuid(0).pw_name if os.geteuid() == 0 else "",
    )  # fmt: skip
    file = folder / "nginx.conf"
    file.write_text(text, encoding="utf-8")
    return file
