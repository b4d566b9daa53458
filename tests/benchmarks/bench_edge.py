"""The edge agent as its users meet it: real processes, real sockets. Prints a table, or JSON with --json.

Run: `python tests/benchmarks/bench_edge.py [--requests N] [--devices N] [--rounds N] [--json]`. Linux only.

- serving: one agent, one kept-alive connection, one row of digits a request. CPU is the agent's own (user + system of
  all its threads, /proc); bare is `InferenceSession.run` on the same file with the same options, CPU of this process.
  Added is the difference.
- memory: resident, of an agent without a model (idle) and after the requests (serving).
- rounds: 20 agents as processes, digits dealt by Dirichlet 0.5, all of them asked, softmax, 5 epochs, at the project's
  own hub (SQLite, a thread of this process), plain averages; each agent polls every 0.5 s. A round lasts from being
  opened until the next model is made (wall, on a machine that others use). CPU of a client-round is all that the agents
  used over all rounds, polls and waits included; the hub's is that of this process.
"""

import one_thread  # noqa: F401, I001

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from blocks.tensors import encode
from blocks.models import Registry, public_pem
from blocks.store import Store, edges
from blocks.store.edges import NewEdge
from blocks.store.rounds import close_round, open_round, updates_of
from blocks.store.tables import TrainingRound, now
from deployments.hub import Hub, running_hub
from tasks.federation.decide.models import Shape, accuracy, first_model
from tasks.federation.decide.split import split_by_label
from tasks.federation.decide.wire import model_bytes
from tasks.federation.export import Trained, to_onnx
from tests.deployments.edge.small_hub import configuration, running

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


def until(true: Any, pause_s: float = 0.01) -> None:
    end = time.monotonic() + 120
    while not true():
        if time.monotonic() > end:
            raise SystemExit("bench_edge: it never came about")
        time.sleep(pause_s)


def serving(requests: int, folder: Path) -> dict[str, Any]:
    """CPU of a request beside that of bare onnxruntime, and memory."""
    found: dict[str, Any] = {}
    with running() as hub:
        edge = Edge(configuration(hub.url, folder / "serving"))
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
    """Rounds of so many agents at the project's own hub, one after the other."""
    digits = load_digits()
    rows, labels = ((digits.data - 8) / 8).astype(np.float32), digits.target.astype(np.int64)
    kept = np.arange(len(rows)) % 4 > 0
    parts = split_by_label(labels[kept], devices, 0.5, [0])
    scaling = {"middle": [0.0] * 64, "spread": [1.0] * 64, "farthest": 5.0}
    shape, walls = Shape(64, 10), list[float]()
    model = first_model(shape, 0)
    store = Store.open(f"sqlite:///{folder}/hub.sqlite")
    hub = Hub(store, Registry.open(store))
    tokens = edges.add_edges(store, [NewEdge(f"e{at}") for at in range(devices)])
    asked = {"selected": list(tokens), "shape": [64, 10, 0], "seed": 0, "epochs": 5, "batch": 16, "lr": 0.2,
             "kind": "softmax", "scaling": scaling}  # fmt: skip
    with running_hub(hub) as url:
        agents = []
        for (name, token), part in zip(tokens.items(), parts, strict=True):
            config = configuration(
                url, folder / name, more='[training]\nrows = "rows.npz"', edge=name, token=token, poll_s=0.5
            )
            (config.parent / "hub.pem").write_text(public_pem(hub.registry.key))
            np.savez(config.parent / "rows.npz", rows=rows[kept][part], labels=labels[kept][part])
            agents.append(Edge(config))
        for agent in agents:
            agent.url()
        until(lambda: all(each.seen_at for each in edges.edges(store)))
        before, ours = sum(agent.cpu_s() for agent in agents), time.process_time()
        for at in range(count):
            begin, base = time.perf_counter(), hub.registry.put(model_bytes(shape, model))
            deadline = now() + timedelta(minutes=5)
            open_round(store, TrainingRound(id=f"r{at}", model="digits", number=at, base=base, deadline=deadline,
                                            content=asked))  # fmt: skip
            until(lambda at=at: len(updates_of(store, f"r{at}")) == devices, 0.1)
            updates = [each for each in updates_of(store, f"r{at}") if not each.refused]
            deltas = [hub.registry.numbers(each.digest) for each in updates]
            model = (model + np.average(deltas, axis=0, weights=[each.samples for each in updates])).astype(np.float32)
            close_round(store, f"r{at}", {}, {})
            walls.append(time.perf_counter() - begin)
        spent = sum(agent.cpu_s() for agent in agents) - before
        hub_s, memory = time.process_time() - ours, max(agent.resident_mb() for agent in agents)
        for agent in agents:
            agent.end()
    return {
        "devices": devices, "rounds": count, "round_p50_s": float(np.median(walls)), "round_max_s": max(walls),
        "client_round_cpu_s": spent / devices / count, "hub_round_cpu_s": hub_s / count, "training_mb": memory,
        "accuracy": accuracy(shape, model, rows[~kept], labels[~kept]),
    }  # fmt: skip


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
                  "{client_round_cpu_s:.3f} CPU-s per client-round (<= 0.15), hub {hub_round_cpu_s:.2f} CPU-s a round, "
                  "{training_mb:.1f} MB, "
                  "accuracy {accuracy:.3f}".format(**trained))  # fmt: skip


if __name__ == "__main__":
    main()
