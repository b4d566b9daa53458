"""A real PostgreSQL and a real Redis for Prefect's servers, and a layout on them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.prefect_server import free_port
from tests.blocks.store.conftest import new_database, postgres
from tests.tasks.caching.cache_servers import found, redis

__all__ = ["new_database", "postgres"]  # fixtures
ROOT = Path(__file__).parents[3]
FULL_RUNS = int(os.environ.get("CONTINUUM_PRODUCTION_RUNS", "0"))  # 0: one server, worker and run, for every day


@dataclass(frozen=True)
class Written:
    """A layout in a file, and the environment that it is read in."""

    file: Path
    env: dict[str, str]
    url: str
    ledger: Path
    database: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Written]:
    """The example's layout, on servers of its own."""
    for program in ("redis-server", "nginx"):
        if found(program) is None:
            pytest.skip(f"no {program} on this machine")
    folder = tmp_path_factory.mktemp("server")
    daemon = redis(folder / "redis")
    url = f"http://127.0.0.1:{free_port()}"
    file = folder / "server.toml"
    example = (ROOT / "deployments/server/server.example.toml").read_text()
    if not FULL_RUNS:
        example = example.replace("servers = 2", "servers = 1").replace("workers = 2", "workers = 1")
    file.write_text(example.replace("http://127.0.0.1:4200", url))
    database = new_database()
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "CONTINUUM_HOME": str(folder / "home"),
        "CONTINUUM_STORE_URL": new_database(), "CONTINUUM_PREFECT_DATABASE": database,
        "CONTINUUM_REDIS": f"redis://:secret@127.0.0.1:{daemon.port}/0",
        "PREFECT_API_AUTH_STRING": f"continuum:{secrets.token_hex(24)}",
    }  # fmt: skip
    try:
        yield Written(file, env, url, folder / "ledger", database)
    finally:
        daemon.stop()
