"""Run the flow on one pool, and wait between decision and act. Run by `test_server_restart.py` as a process."""

from __future__ import annotations

import sys
from typing import Any

import flows.cluster_scaling as scaling
from blocks.fleet_file import load_fleet
from blocks.inventory import save_fleet
from blocks.store.tables import Mode

approve = scaling.approve


def waiting(*given: Any) -> Any:
    approved = approve(*given)
    print("decided", flush=True)
    sys.stdin.readline()
    return approved


def main(fleet_file: str, subject: str) -> None:
    save_fleet(load_fleet(fleet_file), "default")
    scaling.approve = waiting  # type: ignore[assignment]
    told = scaling.cluster_scaling(scaling.ScalingRequest(mode=Mode.ACT), [subject])
    print(told["decisions"][0]["result"]["state"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
