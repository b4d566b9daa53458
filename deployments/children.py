"""Child processes that never outlive us: not Ctrl-C, not SIGTERM, not `kill -9`.

Each child runs under a small supervisor (`python -m deployments.children COMMAND...`) in a session of its own. The
supervisor's standard input is a pipe that we hold: when it closes, however we died, the supervisor ends the child's
whole session, first politely, then for good.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE_S = 8.0


class Child:
    """One supervised process; use as a context manager. `append`: its log goes on where it ended."""

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, append: bool = False
    ) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = log.open("ab" if append else "wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deployments.children", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=dict(env), start_new_session=True,
        )  # fmt: skip

    def first_line(self) -> str:
        """The first line the child prints on stdout; empty if it ended before."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()

    def running(self) -> bool:
        """Whether the child is still there."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Return when the child has ended by itself: its exit code, not 0 where a signal ended it."""
        return self._process.wait()

    def last_words(self, lines: int = 3) -> str:
        """The end of the child's log, on one line."""
        self._log.flush()
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in text[-lines:])

    def stop(self) -> None:
        """End the child and everything in its session; returns when it is gone."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _signal_session(session: int, number: int) -> None:
    """Send a signal to every process of a session's first group; none left is fine (macOS says so with EPERM)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, number)


def _supervise(command: Sequence[str]) -> int:
    """Run `command` until it ends or we are asked to end it; its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    asked = threading.Event()

    def wait_for_parent() -> None:
        while os.read(0, 1):  # nothing is ever written: it returns when our parent is gone or has closed the pipe
            pass
        asked.set()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    while child.poll() is None and not asked.wait(0.2):
        pass
    if child.poll() is None:
        _signal_session(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    _signal_session(child.pid, signal.SIGKILL)  # whatever the leader left behind in its session
    return child.wait()


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
