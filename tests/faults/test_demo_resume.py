"""`kill -9` of the demo in the middle of an act, then `--resume`: the whole command, as a person would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, State

pytestmark = pytest.mark.server

DEMO = [sys.executable, "-m", "deployments.command", "demo", "--json", "--speed", "240"]


def kill_in_mid_act(home: Path) -> None:
    """Start a demo, and kill it as soon as its journal holds changes that have been asked for, and not yet come true.

    (Of one that was not answered yet the next run would wait until no call of ours can still be on its way.)
    """
    with (home / "first.log").open("wb") as log:
        demo = subprocess.Popen(DEMO, env=os.environ | {"CONTINUUM_HOME": str(home)}, cwd=home, stdout=log, stderr=log)
        store = home / "demo" / "store.db"
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and demo.poll() is None:
            started = Journal(Store.open(f"sqlite:///{store}")).intents(state=State.STARTED) if store.exists() else []
            if started and all(intent.operation for intent in started):
                break
            time.sleep(0.05)  # a real process is watched from outside
        demo.send_signal(signal.SIGKILL)
        demo.wait()
    assert demo.returncode == -signal.SIGKILL, (home / "first.log").read_text()[-2000:]


def test_a_killed_demo_goes_on_and_ends_with_sizes_that_were_decided(tmp_path: Path) -> None:
    kill_in_mid_act(tmp_path)
    done = subprocess.run([*DEMO, "--resume"], env=os.environ | {"CONTINUUM_HOME": str(tmp_path)}, cwd=tmp_path,
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert "Traceback" not in done.stderr
    assert told["ok"]
    assert told["problems"] == []
    assert {row["state"] for row in told["flows"]} == {"Completed"}
    assert {row["state"] for row in told["left_over"]} <= {State.DONE, State.UNDONE}
    before, after = (sum(row[name] for row in told["caches"]["sites"]) for name in ("hits_before", "hits_after"))
    assert 0 < before < after
    assert told["left_over"], "the killed run's change was not looked at"
    assert (tmp_path / "report.html").read_text().count("<svg") > 3

    store = Store.open(f"sqlite:///{tmp_path / 'demo' / 'store.db'}")
    assert not [intent for intent in Journal(store).intents() if intent.state in UNFINISHED]


def test_there_is_nothing_to_resume_at_first(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "--resume"], env=os.environ | {"CONTINUUM_HOME": str(tmp_path)}, cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "there is no demo to resume" in done.stderr
    assert done.stdout == ""
