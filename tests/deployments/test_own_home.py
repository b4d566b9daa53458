import os
import subprocess
import sys
from pathlib import Path

import pytest

from blocks import settings
from blocks.errors import Refused
from deployments.own_home import own_home


def test_a_place_is_the_home_while_the_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.setenv("CONTINUUM_STORE_URL", "postgresql://real/store")
    with own_home("demo") as place:
        assert settings.home() == place == tmp_path / "demo"
        assert settings.store_url() == f"sqlite:///{place / 'store.db'}"
    assert settings.home() == tmp_path
    assert os.environ["CONTINUUM_STORE_URL"] == "postgresql://real/store"


def test_a_place_that_another_process_uses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    hold = "from deployments.own_home import own_home\nwith own_home('demo'):\n  print('mine', flush=True)\n  input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(Refused, match="another `continuum demo` uses it"), own_home("demo"):
            pass
        other.communicate(b"\n")
    with own_home("demo"):
        pass
