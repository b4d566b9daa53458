"""What all tests share: a terminal wide enough that tables do not wrap, and no settings of the person who runs them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from sqlalchemy import Engine

# a busy machine is no finding: no test fails for the time an example took
settings.register_profile("continuum", deadline=None)
settings.load_profile("continuum")

# Prefect's console handler keeps the stderr of whatever test set it up, closed by then: no tracebacks into other tests
logging.raiseExceptions = False

for _name in ("CONTINUUM_HOME", "CONTINUUM_STORE_URL", "CONTINUUM_SERIES_URL", "PREFECT_API_URL", "PREFECT_PROFILE"):
    os.environ.pop(_name, None)
# one thread each: the workers share the cores among them
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
os.environ |= {"COLUMNS": "200", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
# It closes every handler when it sets logging up; that of absl (by dp-accounting) would close pytest's own file.
import_module("prefect.main")


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into anybody's state."""
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True, scope="session")
def ready_made_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Engine], None]]:
    """A fresh SQLite store of this process begins as the copy of one: 3 ms, where its revisions take 40.

    Yields
    ------
    What brings a store to head by its revisions.
    """
    from sqlalchemy import create_engine

    from blocks.store import migrate

    made, to_head = tmp_path_factory.mktemp("store") / "store.db", migrate.to_head
    engine = create_engine(f"sqlite:///{made}")
    to_head(engine)
    engine.dispose()

    def copied(engine: Engine) -> None:
        path = Path(engine.url.database or "")
        if engine.dialect.name == "sqlite" and path.parent.is_dir() and not path.exists():
            fresh = path.with_name(f".{uuid4()}")
            shutil.copyfile(made, fresh)
            with suppress(FileExistsError):  # another thread was there first
                os.link(fresh, path)
            fresh.unlink()
        to_head(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "to_head", copied)
        yield to_head


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start servers first: they wait for them, and small ones fill the gaps at the end."""
    items.sort(key=lambda item: item.get_closest_marker("server") is None and "faults" not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many recorded steps the conformance tests replayed with the right answer, on however many workers."""
    counts = {name: [0, 0] for name in ("simulated", "real")}
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, value in getattr(report, "user_properties", ()):
            if name == "conformance steps" and report.when == "call":
                found = counts["real" if "test_real[" in report.nodeid else "simulated"]
                found[0], found[1] = found[0] + value[0], found[1] + value[1]
    for server, (passed, total) in counts.items():
        if total:
            terminalreporter.write_line(f"conformance of the {server} API server: {passed}/{total} steps")
