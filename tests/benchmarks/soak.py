"""All schedules of `continuum up` for some real minutes: no run may crash, none be late by more than a minute.

`make soak MINUTES=60`. Prints the runs by deployment, how late each began, and what the servers' logs say of locks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import requests

BAD = ("CRASHED", "FAILED")
LATE_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "deployments.command", "up", "--json"]
        begun = datetime.now(UTC)
        process = subprocess.Popen(
            command, env=os.environ | {"CONTINUUM_HOME": home}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            told = json.loads("".join(takewhile(lambda line: line != "}\n", process.stdout)) + "}")
            begin = time.time()
            while time.time() - begin < 60 * asked.minutes and process.poll() is None:
                time.sleep(5)
            if process.poll() is not None:
                print(f"it ended by itself with {process.returncode}")
                return 1
            return judge(told["prefect_api_url"], Path(home), begun, asked.minutes, asked.json)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def judge(api: str, home: Path, begun: datetime, minutes: float, path: Path) -> int:
    """Count what ran, and write the table."""
    names = {each["id"]: each["name"] for each in pages(f"{api}/deployments/filter", {})}
    asked_at = datetime.now(UTC)
    every = pages(f"{api}/flow_runs/filter", {"sort": "ID_DESC"})
    due = [
        run for run in every if run["deployment_id"] in names and (run["start_time"] or lateness_s(run, asked_at) > 0)
    ]
    late = {run["id"]: lateness_s(run, asked_at) for run in due}
    runs = [run for run in due if run["start_time"] or late[run["id"]] > LATE_S]
    by_name: dict[str, Counter[str]] = {}
    for run in runs:
        by_name.setdefault(names[run["deployment_id"]], Counter())[run["state_type"]] += 1
    print(f"{'deployment':32} {'runs':>5} {'states':30} {'latest s':>9}")
    for name, states in sorted(by_name.items()):
        most = max(late[run["id"]] for run in runs if names[run["deployment_id"]] == name)
        print(f"{name:32} {sum(states.values()):5} {dict(states)!s:30} {most:9.1f}")
    ended = [datetime.fromisoformat(run["end_time"]) for run in runs if run["state_type"] == "COMPLETED"]
    first_s = (min(ended) - begun).total_seconds() if ended else float("nan")
    bad = [run for run in runs if run["state_type"] in BAD]
    slow = [run for run in runs if late[run["id"]] > LATE_S]
    logs = [file for file in home.rglob("*.log") if file.is_file()]
    locked = sum(
        "database is locked" in line for file in logs for line in file.read_text(errors="replace").splitlines()
    )
    print(f"the first scheduled run had completed {first_s:.0f} s after the command")
    print(f"{minutes:g} minutes, {len(runs)} runs: {len(bad)} crashed or failed, {len(slow)} began over {LATE_S:g} s "
          f"late, {locked} lines of `database is locked` in {len(logs)} logs")  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"minutes": minutes, "runs": len(runs), "bad": len(bad), "late": len(slow),
                                "locked": locked, "first_completed_s": first_s,
                                "latest_s": max(late.values(), default=0.0)}, indent=2))  # fmt: skip
    return 1 if bad or slow or locked or not runs else 0


def pages(url: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row of a filter."""
    found: list[dict[str, Any]] = []
    while page := requests.post(url, json=query | {"limit": 200, "offset": len(found)}, timeout=60).json():
        found += page
    return found


def lateness_s(run: dict[str, Any], now: datetime) -> float:
    """Seconds from when a run was due to its begin, or until now."""
    began = datetime.fromisoformat(run["start_time"]) if run["start_time"] else now
    return (began - datetime.fromisoformat(run["expected_start_time"])).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
