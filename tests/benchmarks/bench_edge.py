"""The edge agent as its users meet it: real processes, real sockets. Prints a table, or JSON with --json.

Run: `python tests/benchmarks/bench_edge.py [--requests N] [--devices N] [--rounds N] [--json]`. Linux only.

- serving: one agent, one kept-alive connection, one row of digits a request. CPU is the agent's own (user + system of
  all its threads, /proc); bare is `InferenceSession.run` on the same file with the same options, CPU of this process.
  Added is the difference.
- memory: resident, of an agent without a model (idle) and after the requests (serving).
- rounds: 20 agents as processes, digits dealt by Dirichlet 0.5, all of them asked, softmax, 5 epochs; the hub of the
  tests, which averages. A round lasts from the wish being published until the last update is in (wall, on a machine
  that others use). CPU of a client-round is all that the agents used over all rounds, polls and waits included.
"""

import one_thread  # noqa: F401, I001

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from blocks.tensors import encode
from tasks.federation.decide.models import Shape, Vector, accuracy, first_model
from tasks.federation.decide.split import split_by_label
from tasks.federation.decide.wire import model_bytes, read_update
from tasks.federation.export import Trained, to_onnx
from tests.deployments.edge.small_hub import Hub, configuration, running, sha256

TICKS_S = os.sysconf("SC_CLK_TCK")
MUST = {"added_ms": 0.5, "idle_mb": 60, "serving_mb": 110, "round_p50_s": 1.5, "client_round_cpu_s": 0.15}
MODELS = {"softmax": Shape(64, 10), "MLP 64-64-10": Shape(64, 10, 64)}


class Edge:
    """One agent, and what its process has used."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "deployments.edge", "--config", str(config)]
        with (config.parent / "log").open("w") as log:
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    def url(self) -> str:
        assert self.child.stdout is not None
        return str(json.loads(self.child.stdout.readline())["url"])

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_S

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        self.child.terminate()
        self.child.wait(30)


def until(true: Any) -> None:
    end = time.monotonic() + 120
    while not true():
        if time.monotonic() > end:
            raise SystemExit("bench_edge: it never came about")
        time.sleep(0.01)


def serving(requests: int, folder: Path) -> dict[str, Any]:
    """CPU of a request beside that of bare onnxruntime, and memory."""
    found: dict[str, Any] = {}
    with running() as hub:
        edge = Edge(configuration(hub, folder / "serving"))
        address = edge.url().removeprefix("http://")
        connection = HTTPConnection(address)
        until(lambda: status(connection, "GET", "/v2/health/ready") == 200)
        time.sleep(1.0)
        found["idle_mb"] = edge.resident_mb()
        rows = load_digits().data[:1].astype(np.float32)
        for name, shape in MODELS.items():
            plain = np.ones(64, np.float32)
            model = to_onnx(Trained(shape, first_model(shape, 1), plain * 8, plain * 4, 5.0, tuple("0123456789")))
            hub.publish(shape_name(shape), more={"model.onnx": model})
            until(lambda shape=shape: version(connection) == shape_name(shape))
            bare_ms = bare(model, rows, requests)
            for binary in (False, True):
                body, headers = encode({"rows": rows}, "1", binary=binary)
                for _ in range(200):
                    status(connection, "POST", "/v2/models/digits/infer", body, headers)
                before, begin = edge.cpu_s(), time.perf_counter()
                for _ in range(requests):
                    if status(connection, "POST", "/v2/models/digits/infer", body, headers) != 200:
                        raise SystemExit("bench_edge: a request failed")
                wall = time.perf_counter() - begin
                spent_ms = 1000 * (edge.cpu_s() - before) / requests
                found[f"{name}, {'binary' if binary else 'JSON'}"] = {
                    "agent_ms": spent_ms, "bare_ms": bare_ms, "added_ms": spent_ms - bare_ms,
                    "wall_ms": 1000 * wall / requests,
                }  # fmt: skip
        found["serving_mb"] = edge.resident_mb()
        edge.end()
    return found


def shape_name(shape: Shape) -> str:
    return f"h{shape.hidden}"


def status(connection: HTTPConnection, method: str, path: str, body: bytes = b"", headers: Any = None) -> int:
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def version(connection: HTTPConnection) -> str:
    connection.request("GET", "/v2/models/digits")
    said = json.loads(connection.getresponse().read())
    return str(said.get("versions", [""])[0])


def bare(model: bytes, rows: Any, requests: int) -> float:
    """CPU milliseconds of one run, with the options that the agent sets."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    for _ in range(200):
        session.run(names, {"rows": rows})
    begin = time.process_time()
    for _ in range(requests):
        session.run(names, {"rows": rows})
    return 1000 * (time.process_time() - begin) / requests


def rounds(devices: int, count: int, folder: Path) -> dict[str, Any]:
    """Rounds of so many agents, asked one after the other."""
    digits = load_digits()
    rows, labels = ((digits.data - 8) / 8).astype(np.float32), digits.target.astype(np.int64)
    kept = np.arange(len(rows)) % 4 > 0
    parts = split_by_label(labels[kept], devices, 0.5, [0])
    shape = Shape(64, 10)
    model: Vector = first_model(shape, 0)
    walls: list[float] = []
    with running() as hub:
        edges = []
        for at, part in enumerate(parts):
            config = configuration(hub, folder / f"e{at}", more='[training]\nrows = "rows.npz"', edge=f"e{at}")
            np.savez(config.parent / "rows.npz", rows=rows[kept][part], labels=labels[kept][part])
            edges.append(Edge(config))
        for edge in edges:
            edge.url()
        until(lambda: len({line for line in hub.asked if line.endswith("desired")}) == devices)
        before = sum(edge.cpu_s() for edge in edges)
        for at in range(count):
            begin = time.perf_counter()
            ask(hub, f"r{at}", shape, model)
            until(lambda at=at: sum(key[0] == f"r{at}" for key in hub.updates) == devices)
            walls.append(time.perf_counter() - begin)
            updates = [read_update(hub.updates[f"r{at}", f"e{each}"], shape) for each in range(devices)]
            mean = np.average([each.delta for each in updates], axis=0, weights=[each.samples for each in updates])
            model = (model + mean).astype(np.float32)
        spent = sum(edge.cpu_s() for edge in edges) - before
        memory = max(edge.resident_mb() for edge in edges)
        for edge in edges:
            edge.end()
    return {
        "devices": devices, "rounds": count, "round_p50_s": float(np.median(walls)), "round_max_s": max(walls),
        "client_round_cpu_s": spent / devices / count, "training_mb": memory,
        "accuracy": accuracy(shape, model, rows[~kept], labels[~kept]),
    }  # fmt: skip


def ask(hub: Hub, name: str, shape: Shape, model: Vector) -> None:
    blob = model_bytes(shape, model)
    hub.blobs[sha256(blob)] = blob
    deadline = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    hub.desired = {**hub.desired, "round": {
        "id": name, "model": "digits", "base": f"sha256:{sha256(blob)}", "seed": 0, "deadline": deadline, "epochs": 5,
        "batch": 16, "lr": 0.2, "kind": "mlp" if shape.hidden else "softmax"}}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        served = serving(asked.requests, Path(folder))
        trained = rounds(asked.devices, asked.rounds, Path(folder))
    if asked.json:
        print(json.dumps({"serving": served, "rounds": trained, "must": MUST}, indent=1))
        return
    table = Table("one row a request", "agent CPU ms", "bare CPU ms", "added (must <= 0.5)", "wall ms")
    for name, found in served.items():
        if isinstance(found, dict):
            table.add_row(name, *(f"{found[key]:.3f}" for key in ("agent_ms", "bare_ms", "added_ms", "wall_ms")))
    console = Console(width=120)
    console.print(table)
    console.print(f"resident: idle {served['idle_mb']:.1f} MB (<= 60), serving {served['serving_mb']:.1f} MB (<= 110)")
    console.print("{devices} agents, {rounds} rounds: p50 {round_p50_s:.2f} s (<= 1.5), worst {round_max_s:.2f} s, "
                  "{client_round_cpu_s:.3f} CPU-s per client-round (<= 0.15), {training_mb:.1f} MB, "
                  "accuracy {accuracy:.3f}".format(**trained))  # fmt: skip


if __name__ == "__main__":
    main()
