"""What native libraries write to the process's own stdout, past Python: sent to stderr, as stdout may be JSON."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_stderr() -> Iterator[None]:
    """While the block runs, file descriptor 1 is stderr, for the whole process.

    HiGHS prints a banner when it is made, and lines of debugging now and then, whatever its options say.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # C's own buffer would else come out after the block, on stdout
        os.dup2(kept, 1)
        os.close(kept)
