"""A real Flower federation on digits, beside our agents' figures (`make bench-edge`): what a client costs. Linux.

Run: `python tests/benchmarks/bench_flower.py [--nodes N] [--rounds N] [--json]`. Flower has an environment of its own,
made on first use from `envs/bench-flower/requirements.lock` under the user's cache folder. Each node starts processes
of its own for every message: two cores carry four nodes, 20 keep starting more of them than they end.

A SuperLink and N SuperNodes as processes on the loopback, no TLS, telemetry off; digits dealt by Dirichlet 0.5,
softmax, 5 epochs, plain FedAvg over all nodes, as our agents do it. CPU is user and system of all processes that the
nodes have started, those that have ended as well (/proc), from when all are up until the last round is done; memory is
the proportional set (PSS) of a node's processes, idle, and the most that was seen of the first node's while it trains.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from environments import PLACES, environment

from tasks.federation.files import read_dataset
from tasks.federation.world import Asked, build_world

READY_S, RUN_S, LOOK_S = 120.0, 600.0, 1.0


def deal(folder: Path, nodes: int) -> None:
    """A file of rows for each node, and one of the test's."""
    world = build_world(read_dataset("digits", "", []), Asked(devices=nodes))
    for name, rows in [*enumerate(world.parts), ("test", world.test)]:
        np.savez(folder / f"{name}.npz", rows=world.rows[rows], labels=world.labels[rows])


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def members(group: int) -> Iterator[tuple[Path, list[str]]]:
    """The processes of a session, and what /proc/N/stat says of each from its state on."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == group:
                yield stat.parent, fields


def cpu_s(group: int) -> float:
    """User and system seconds of a session's processes and of the children that they have waited for."""
    return sum(sum(map(int, fields[11:15])) for _, fields in members(group)) / os.sysconf("SC_CLK_TCK")


def memory_mb(group: int) -> float:
    """Proportional set of a session's processes."""
    total = 0
    for place, _ in members(group):
        with suppress(OSError):
            lines = (place / "smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def listens(address: str) -> bool:
    """Whether somebody takes connections there."""
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def wait(true: Callable[[], bool], seconds: float, log: Path) -> None:
    """Until something holds; SystemExit with the log's last words where it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"Flower did not get on in {seconds:.0f} s: {log.read_text()[-2000:]}")
        time.sleep(LOOK_S)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)


def measure(binaries: Path, nodes: int, rounds: int) -> dict[str, Any]:
    """Start the federation, run the app, and tell seconds, CPU, memory and accuracy."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        deal(folder, nodes)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "FLWR"))}
        env |= {"FLWR_HOME": str(folder / "home"), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
                "PATH": f"{binaries}:{env['PATH']}", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
        log = stack.enter_context((folder / "log").open("w"))
        groups: list[int] = []

        def start(*words: object) -> None:
            child = subprocess.Popen([binaries / str(words[0]), *map(str, words[1:])], env=env, stdout=log, stderr=log,
                                     start_new_session=True)  # fmt: skip
            groups.append(child.pid)
            stack.callback(end, child)

        fleet, control, server = (f"127.0.0.1:{free_port()}" for _ in range(3))
        start("flower-superlink", "--insecure", "--disable-runtime-dependency-installation", "--fleet-api-address",
              fleet, "--control-api-address", control, "--serverappio-api-address", server)  # fmt: skip
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(nodes)]
        for part, address in enumerate(addresses):
            start("flower-supernode", "--insecure", "--superlink", fleet, "--clientappio-api-address", address,
                  "--node-config", f"part={part}")  # fmt: skip
        (folder / "home").mkdir(exist_ok=True)
        connection = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{control}"\ninsecure = true\n'
        (folder / "home" / "config.toml").write_text(connection)
        wait(lambda: all(map(listens, (control, *addresses))), READY_S, folder / "log")
        idle_mb, before = memory_mb(groups[1]), [cpu_s(group) for group in groups]
        given = f'folder="{folder}" nodes={nodes} rounds={rounds}'
        asked = [binaries / "flwr", "run", PLACES / "bench-flower", "here", "--run-config", given]
        subprocess.run(asked, env=env, check=True, stdout=log, stderr=log)
        seen = [idle_mb]

        def ended() -> bool:
            seen.append(memory_mb(groups[1]))
            return (folder / "ended").exists()

        wait(ended, RUN_S, folder / "log")
        told = json.loads((folder / "told.json").read_text())
        link, *others = (cpu_s(group) - was for group, was in zip(groups, before, strict=True))
        seconds = np.diff([each["at_s"] for each in told]).tolist()
        return {"nodes": nodes, "rounds": rounds, "round_p50_s": float(np.median(seconds)), "idle_mb": idle_mb,
                "training_mb": max(seen), "accuracy": [each["accuracy"] for each in told],
                "superlink_cpu_s": link / rounds, "client_round_cpu_s": sum(others) / rounds / nodes}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with it
    python = environment("bench-flower", lambda line: print(line, file=sys.stderr))
    if python is None:
        raise SystemExit("Flower cannot be installed here, so it is not measured")
    found = measure(python.parent, asked.nodes, asked.rounds)
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print(f"Flower 1.32.1, {found['nodes']} SuperNodes, {found['rounds']} rounds: {found['round_p50_s']:.1f} s a round "
          f"(median), {found['client_round_cpu_s']:.2f} CPU s a client-round, {found['superlink_cpu_s']:.2f} of the "
          f"SuperLink a round; a node {found['idle_mb']:.0f} MB idle, {found['training_mb']:.0f} MB at most; accuracy "
          + " ".join(f"{each:.1%}" for each in found["accuracy"]))  # fmt: skip


if __name__ == "__main__":
    main()
