"""Benchmarks are scripts that find each other by their folder; pytest collects their tests, never the scripts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
collect_ignore_glob = ["bench_*.py", "one_thread.py", "envs/*"]
