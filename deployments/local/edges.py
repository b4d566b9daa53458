"""Simulated edges: light objects that speak the hub's contract over real HTTP and keep what they fetch on the disk.

They stand in for edge agents by the thousand in one process: they pull and verify versions and train in rounds, and
serve no inference. One that is to die leaves whatever a killed process would have left at that step; nothing is
fsynced, as no power is lost here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blocks.errors import ContinuumError, Refused
from blocks.http import BearerAuth, session
from blocks.manifest import Manifest, check_file, verify
from tasks.federation.decide.models import Labels, Rows, Shape, Vector
from tasks.federation.decide.training import Training, train
from tasks.federation.decide.updates import pack
from tasks.federation.decide.wire import read_model, write_update

# Steps of a pull at which an edge may die, in their order.
STEPS = ("manifest", "first file", "files", "renamed", "flipped")
Trainer = Callable[[dict[str, Any], Shape, Vector], bytes]


class Died(Exception):
    """The edge is gone until somebody starts it again."""


@dataclass
class SimulatedEdge:
    """One edge. `folder` is its disk, `dies_at` the step at which it dies, `trains` what it does when a round asks it.

    spoils: changes the bytes that arrive, as a broken disk or wire would.
    """

    name: str
    token: str
    url: str
    key: Ed25519PublicKey
    folder: Path
    dies_at: str = ""
    trains: Trainer | None = None
    spoils: Callable[[bytes], bytes] = bytes
    alive: bool = True
    loaded: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    _tag: str = ""
    _told: str = ""

    def turn(self, http: requests.Session) -> None:
        """Ask what is wanted; pull, load, tell; train where it is asked to."""
        wanted = self._ask(http, "GET", f"/v1/edges/{self.name}/desired", headers={"If-None-Match": self._tag})
        if wanted.status_code == 200:
            desired = wanted.json()
            for model in desired["models"]:
                self._bring(http, model["name"], model["manifest"].removeprefix("sha256:"))
            self._report(http)
            if desired["round"] and self.trains:
                self._train(http, desired["round"])
            self._tag = "" if self.failed else wanted.headers["ETag"]  # what has failed is tried again
        elif not self._told:
            self._report(http)

    def start_again(self) -> None:
        """Come back as a process that was killed comes back: with its disk, and nothing else."""
        self.alive, self.dies_at, self._tag, self._told = True, "", "", ""
        self.loaded = {model: digest for model in self._models() if (digest := self.on_disk(model))}

    def on_disk(self, model: str) -> str:
        """The version that its disk says is in force, every file of it checked; "" where there is none.

        Raises
        ------
        Refused: the disk holds a mixture, or something that was never signed.
        """
        current = self.folder / model / "current"
        if not current.exists():
            return ""
        place = self.folder / model / current.read_text()
        manifest = verify((place / "manifest.json").read_bytes(), self.key)
        if manifest.digest != place.name:
            raise Refused("its folder holds another version", where=f"edge {self.name}", fix="fetch it again")
        for file in manifest.files:
            check_file(place / file.path, file)
        return manifest.digest

    def _models(self) -> list[str]:
        return [place.name for place in self.folder.iterdir()] if self.folder.exists() else []

    def _bring(self, http: requests.Session, model: str, digest: str) -> None:
        if self.loaded.get(model) == digest:
            self.failed.pop(model, None)
            return
        try:
            place = self.folder / model / digest
            if not place.exists():
                self._fetch(http, digest, place)
            self._step("renamed")
            flip = self.folder / model / ".current"
            flip.write_text(digest)
            flip.replace(self.folder / model / "current")
            self._step("flipped")
            self.loaded[model] = self.on_disk(model)
            self.failed.pop(model, None)
        except ContinuumError as error:
            self.failed[model] = digest
            self._told = str(error)

    def _fetch(self, http: requests.Session, digest: str, place: Path) -> None:
        """All files beside the place where they belong, checked; then one rename."""
        document = self.spoils(self._ask(http, "GET", f"/v1/manifests/sha256:{digest}").content)
        manifest = verify(document, self.key)
        if manifest.digest != digest:
            raise Refused("it is the manifest of another version", where=f"edge {self.name}", fix="ask again")
        half = place.with_name(f".{digest}")
        shutil.rmtree(half, ignore_errors=True)  # what a death has left
        half.mkdir(parents=True)
        (half / "manifest.json").write_bytes(document)
        self._step("manifest")
        self._files(http, manifest, half)
        self._step("files")
        half.rename(place)

    def _files(self, http: requests.Session, manifest: Manifest, half: Path) -> None:
        for file in manifest.files:
            content = self.spoils(self._ask(http, "GET", f"/v1/blobs/sha256:{file.sha256}").content)
            (half / file.path).write_bytes(content)
            self._step("first file")
            check_file(half / file.path, file)

    def _train(self, http: requests.Session, asked: dict[str, Any]) -> None:
        assert self.trains
        shape, base = read_model(self._ask(http, "GET", f"/v1/blobs/{asked['base']}").content)
        body = self.trains(asked, shape, base)
        self._ask(http, "PUT", f"/v1/rounds/{asked['id']}/updates/{self.name}", data=body)

    def _report(self, http: requests.Session) -> None:
        models = [{"name": name, "digest": f"sha256:{digest}", "state": "serving"}
                  for name, digest in self.loaded.items()]  # fmt: skip
        models += [{"name": name, "digest": f"sha256:{digest}", "state": f"failed: {self._told}"[:200]}
                   for name, digest in self.failed.items()]  # fmt: skip
        self._ask(http, "POST", f"/v1/edges/{self.name}/status", json={"models": models, "ts": ""})
        self._told = json.dumps(models)

    def _step(self, step: str) -> None:
        if self.dies_at == step:
            self.alive = False
            raise Died

    def _ask(self, http: requests.Session, method: str, path: str, **more: Any) -> requests.Response:
        return http.request(method, self.url + path, auth=BearerAuth(self.token), **more)


def trainer(name: str, rows: Rows, labels: Labels) -> Trainer:
    """What a device does when a round asks it: train on its own (N, features) rows, and send int8.

    Raises
    ------
    KeyError: the round lacks something.
    """

    def train_in(asked: dict[str, Any], shape: Shape, base: Vector) -> bytes:
        scaling, how = asked["scaling"], Training(asked["epochs"], asked["lr"], asked["batch"])
        middle, spread = (np.array(scaling[each], np.float32) for each in ("middle", "spread"))
        seen = np.clip((rows - middle) / spread, -scaling["farthest"], scaling["farthest"]).astype(np.float32)
        seed = [asked["seed"], int(hashlib.sha256(f"{asked['id']} {name}".encode()).hexdigest()[:8], 16)]
        delta = train(shape, base, seen, labels, how, seed) - base
        return write_update(shape, pack(shape, delta), round_id=asked["id"], edge=name, base=asked["base"],
                            samples=len(rows))  # fmt: skip

    return train_in


@contextmanager
def running_edges(edges: Sequence[SimulatedEdge], *, workers: int = 4, pause_s: float = 0.3) -> Iterator[Counter[str]]:
    """Give every living edge its turn again and again while the block runs; what went wrong is counted by its name."""
    ended, trouble = threading.Event(), Counter[str]()

    def work(mine: Sequence[SimulatedEdge]) -> None:
        with session(timeout_s=30.0) as http:
            while not ended.is_set():
                for edge in mine:
                    if ended.is_set():
                        return
                    try:
                        if edge.alive:
                            edge.turn(http)
                    except Died:
                        trouble["died"] += 1
                    except (OSError, ContinuumError, ValueError, KeyError) as error:  # the hub is away: ask again later
                        trouble[type(error).__name__] += 1
                ended.wait(pause_s)

    with ThreadPoolExecutor(workers, "simulated-edge") as threads:
        running = [threads.submit(work, list(mine)) for mine in _dealt(edges, workers)]
        try:
            yield trouble
        finally:
            ended.set()
            for each in running:
                each.result()


def _dealt(edges: Sequence[SimulatedEdge], parts: int) -> list[list[SimulatedEdge]]:
    return [list(itertools.islice(edges, part, None, parts)) for part in range(min(parts, max(1, len(edges))))]


def on_disks(edges: Sequence[SimulatedEdge], model: str) -> Mapping[str, int]:
    """How many edges have which version in force on their disk, every file checked; `mixed` where a check fails."""
    found: Counter[str] = Counter()
    for edge in edges:
        try:
            found[edge.on_disk(model)] += 1
        except ContinuumError:
            found["mixed"] += 1
    return found
