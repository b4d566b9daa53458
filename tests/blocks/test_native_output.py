"""Nothing that a native library prints reaches stdout, also where C buffers it."""

from __future__ import annotations

import os
import subprocess
import sys

PRINTING = """
import ctypes
from blocks.native_output import on_stderr
with on_stderr():
    ctypes.CDLL(None).printf(b"a banner\\n")
print("{}")
"""


def test_what_c_prints_goes_to_stderr_and_ours_to_stdout() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", PRINTING], env=buffered, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{}\n", "a banner\n")
