"""The agent as a process of its own: small, killed and started again, cut off from its hub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blocks.inference import InferenceEndpoint, client
from tasks.federation.decide.models import Shape
from tasks.federation.decide.wire import model_bytes
from tests.deployments.edge.small_hub import configuration, sha256

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

IDLE_MB, SERVING_MB = 60, 110  # resident


class Process:
    """`continuum-edge` with its URL."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "deployments.edge", "--config", str(config)]
        with (config.parent / "log").open("a") as log:
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.child.stdout is not None
        self.url = json.loads(self.child.stdout.readline())["url"]
        self.endpoint = InferenceEndpoint(self.url, client(self.url), sleep=lambda _: None)

    def resident_mb(self) -> float:
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self, number: int) -> int:
        self.child.send_signal(number)
        return self.child.wait(20)


@pytest.fixture
def run() -> Iterator[Callable[[Path], Process]]:
    made: list[Process] = []

    def start(config: Path) -> Process:
        made.append(Process(config))
        return made[-1]

    yield start
    for each in made:
        each.child.kill()
        each.child.wait(20)


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came about")


def test_an_edge_is_small_survives_kills_and_works_cut_off(hub, run, tmp_path):
    config = configuration(
        hub.url, tmp_path / "edge-1", more='[training]\nrows = "rows.csv"\n[serve]\nsample_ratio = 1.0'
    )
    (config.parent / "rows.csv").write_text("a,b,c,d,label\n1,2,3,4,0\n4,3,2,1,1\n")
    edge = run(config)
    until(edge.endpoint.ready)
    assert edge.resident_mb() <= IDLE_MB
    digest = hub.publish("1", bias=1.0)
    until(lambda: edge.endpoint.ready("digits"))
    rows = {"rows": np.zeros((1, 4), np.float32)}
    for _ in range(50):
        assert edge.endpoint.infer("digits", rows)["label"].tolist() == [0]
    assert edge.resident_mb() <= SERVING_MB
    until(lambda: any(item["kind"] == "prediction" for items in hub.items.values() for item in items))

    assert edge.end(signal.SIGKILL) == -signal.SIGKILL
    hub.odd = lambda *_: (503, {}, b"")  # and the hub is away
    edge = run(config)
    until(lambda: edge.endpoint.ready("digits"))
    assert edge.endpoint.metadata("digits")["parameters"]["digest"] == f"sha256:{digest}"
    asked = len(hub.asked)
    until(lambda: len(hub.asked) > asked + 1)
    assert edge.endpoint.infer("digits", rows)["label"].tolist() == [0]

    shape = Shape(4, 2)
    blob = model_bytes(shape, np.zeros(shape.size, np.float32))
    hub.blobs[sha256(blob)] = blob
    how = {"seed": 7, "epochs": 2, "batch": 8, "lr": 0.2, "kind": "softmax", "deadline": "2100-01-01T00:00:00+00:00"}
    hub.desired["round"] = {"id": "r1", "model": "m", "base": f"sha256:{sha256(blob)}", **how}
    hub.odd = lambda *_: None  # back: what waited comes, in one epoch, each once
    until(lambda: any(hub.items.values()))
    (held,) = [items for items in hub.items.values() if items]
    assert [item["seq"] for item in held] == list(range(1, len(held) + 1))
    until(lambda: hub.updates)
    assert list(hub.updates) == [("r1", "edge-1")]
    assert edge.end(signal.SIGTERM) == 0


def test_nothing_heavy_is_imported_and_onnxruntime_only_with_a_model():
    code = "import sys, deployments.edge.agent, deployments.edge.__main__; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"numpy", "cryptography"} <= loaded
    assert not loaded & {
        "onnxruntime",
        "prefect",
        "pydantic",
        "pandas",
        "scipy",
        "sklearn",
        "requests",
        "httpx",
        "rich",
    }


def test_a_start_that_cannot_be_is_one_line_and_exit_1(tmp_path):
    command = [sys.executable, "-m", "deployments.edge", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be read" in done.stderr
