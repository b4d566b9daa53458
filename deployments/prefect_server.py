"""A managed Prefect server: quiet, offline, on a port of its own, stopped cleanly."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blocks import settings
from blocks.errors import Refused, Unreachable
from blocks.http import retry_policy, session
from deployments.children import Child

START_TIMEOUT_S = 120.0
SLOT_WAIT_S = 5  # until a run asks again for its deployment's only slot; Prefect's 30 keep people waiting

# Nothing phones home, and nothing is fetched (Prefect's own settings; see its settings reference).
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    # Runs are kept for ever unless asked otherwise; events alone are vacuumed by default.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
}


@dataclass(frozen=True)
class Server:
    """A running server: where its UI is, and the environment that makes a process its client."""

    url: str
    env: dict[str, str]
    child: Child

    def become_client(self) -> None:
        """Make this process its client, also where Prefect was imported, and its settings read, before."""
        os.environ.update(self.env)
        if "prefect" in sys.modules:
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_used(port: int, *, where: str = "Prefect server", fix: str = "give another --port") -> None:
    """Refuse a port that somebody listens on: theirs must not be taken for our server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Refused(f"port {port} is in use", where=where, fix=fix) from None


@contextmanager
def prefect_server(home: Path, *, port: int = 0, more: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a Prefect server with its database in `home` until the block ends; `more` settings change its own.

    Raises
    ------
    Refused: the port is in use. Unreachable: it ended, or did not answer within START_TIMEOUT_S.
    """
    port = port or free_port()
    refuse_used(port)
    url = f"http://127.0.0.1:{port}"
    # Spans of runs go to a collector that somebody has named, and nowhere else.
    spans = {"PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": str(settings.traced_service() is not None).lower()}
    client = {
        **QUIET,
        **spans,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    server_env = {
        **inherited, **QUIET, "PREFECT_HOME": str(home), "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": str(SLOT_WAIT_S), **(more or {}),
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "deployments.sqlite_server",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with Child("Prefect server", command, env=server_env, log=home / "server.log") as child:
        _wait_until_healthy(child, url)
        yield Server(url=url, env={**inherited, **client}, child=child)


def _wait_until_healthy(child: Child, url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with session(timeout_s=2.0, retry=retry_policy(0)) as http:
        while time.monotonic() < deadline:
            if not child.running():
                raise Unreachable(
                    f"ended at once: {child.last_words()}", where="Prefect server", fix=f"read {child.log}"
                )
            try:
                if http.get(f"{url}/api/health").ok:
                    return
            except OSError:  # requests' errors are OSErrors: it does not listen yet
                time.sleep(0.1)
    raise Unreachable(f"no answer within {START_TIMEOUT_S:.0f} s", where="Prefect server", fix=f"read {child.log}")
