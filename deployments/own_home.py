"""One command's own folder of state under `CONTINUUM_HOME`, used by one process at a time."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from blocks import settings
from blocks.errors import Refused, StoreUnavailable


@contextmanager
def locked_home(name: str) -> Iterator[Path]:
    """The folder `CONTINUUM_HOME/NAME`, locked while the block runs.

    Raises
    ------
    Refused: another process uses it.
    """
    folder = settings.home() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lock").open("w")
    except OSError as error:
        fix = "set CONTINUUM_HOME to a folder that this user may write"
        raise StoreUnavailable(f"cannot be written ({error.strerror})", where=str(folder), fix=fix) from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another `continuum {name}` uses it", where=str(folder),
                fix="stop that one, or set CONTINUUM_HOME to another folder",
            ) from None  # fmt: skip
        yield folder


@contextmanager
def own_home(name: str) -> Iterator[Path]:
    """The folder `CONTINUUM_HOME/NAME`, locked; while the block runs it is this process's CONTINUUM_HOME.

    Raises
    ------
    Refused: another process uses it.
    """
    before = dict(os.environ)
    with locked_home(name) as folder:
        for inherited in ("CONTINUUM_STORE_URL", "CONTINUUM_SERIES_URL"):
            os.environ.pop(inherited, None)  # a simulated fleet never writes into the store of a real one
        os.environ["CONTINUUM_HOME"] = str(folder)
        try:
            yield folder
        finally:
            os.environ.clear()
            os.environ.update(before)


def terminate_like_interrupt() -> None:
    """Let SIGTERM end this process the way Ctrl-C does, so that everything that was started is stopped.

    Also where a shell has started it in the background, with Ctrl-C switched off.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Once: a second signal must not cut the stopping short and leave something running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
