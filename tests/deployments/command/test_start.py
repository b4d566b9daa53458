"""The command starts fast: what only some subcommands need is imported by them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("numpy", "pandas", "pyarrow", "sklearn", "matplotlib", "prefect")


def test_help_imports_nothing_heavy():
    script = f"import sys, deployments.command; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                           env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])})  # fmt: skip
    assert found.stdout.strip() == "[]"
