"""What all tests share: a terminal wide enough that tables do not wrap, and no settings of the person who runs them."""

from __future__ import annotations

import os

import pytest

for _name in ("CONTINUUM_HOME", "CONTINUUM_STORE_URL", "CONTINUUM_SERIES_URL", "PREFECT_API_URL", "PREFECT_PROFILE"):
    os.environ.pop(_name, None)
os.environ |= {"COLUMNS": "200", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into anybody's state."""
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path_factory.mktemp("home")))
