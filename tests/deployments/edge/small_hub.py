"""A small real hub over HTTP that keeps to the contract of deployments/edge/README.md, and signed versions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocks.manifest import Manifest, ModelFile, sign
from blocks.models import public_pem
from tasks.federation.decide.models import Shape
from tasks.federation.export import Trained, to_onnx

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TOKEN = "hub-token"
Answer = tuple[int, dict[str, str], bytes]


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def onnx_model(bias: float = 0.0, features: int = 4, classes: int = 3) -> bytes:
    """Softmax regression whose first class is the likelier the larger `bias`."""
    shape = Shape(features, classes)
    vector = np.zeros(shape.size, np.float32)
    shape.tensors(vector)[0][1][0] = bias
    ones = np.ones(features, np.float32)
    return to_onnx(Trained(shape, vector, ones * 0, ones, 5.0, tuple(map(str, range(classes)))))


class Hub:
    """What it knows is in its attributes. `odd` answers a request in its stead, or lets it through."""

    def __init__(self) -> None:
        self.url = ""
        self.desired: dict[str, Any] = {"models": [], "round": None}
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.updates: dict[tuple[str, str], bytes] = {}
        self.items: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.odd: Callable[[str, str, bytes], Answer | None] = lambda *_: None

    def publish(self, version: str, *, name: str = "digits", bias: float = 0.0, wanted: bool = True,
                key: Ed25519PrivateKey = KEY, more: dict[str, bytes] | None = None, **odd: Any) -> str:  # fmt: skip
        """Put a version on the hub; returns its digest."""
        files = {"model.onnx": onnx_model(bias), **(more or {})}
        named = tuple(ModelFile(path, sha256(body), len(body)) for path, body in files.items())
        manifest = Manifest(name, version, named, **odd)
        self.blobs |= {sha256(body): body for body in files.values()}
        self.manifests[manifest.digest] = sign(manifest, key)
        if wanted:
            self.want((name, version, manifest.digest))
        return manifest.digest

    def want(self, *models: tuple[str, str, str]) -> None:
        self.desired["models"] = [{"name": name, "version": version, "manifest": f"sha256:{digest}"}
                                  for name, version, digest in models]  # fmt: skip

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append(f"{method} {path}")
        self.headers.append(headers)
        odd = self.odd(method, path, body)
        if odd is not None:
            return odd
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}, b"{}"
        for pattern, verb in (
            (r"GET /v1/edges/([^/]+)/desired", self._desired), (r"GET /v1/manifests/sha256:(\w+)", self._manifest),
            (r"GET /v1/blobs/sha256:(\w+)", self._blob), (r"PUT /v1/rounds/([^/]+)/updates/([^/]+)", self._update),
            (r"POST /v1/edges/([^/]+)/outbox", self._outbox), (r"POST /v1/edges/([^/]+)/status", self._status),
        ):  # fmt: skip
            if found := re.fullmatch(pattern, f"{method} {path}"):
                return verb(headers, body, *found.groups())
        return 404, {}, b"{}"

    def _desired(self, headers: dict[str, str], body: bytes, edge: str) -> Answer:
        said = json.dumps(self.desired).encode()
        etag = f'"{sha256(said)}"'
        if headers.get("if-none-match") == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"ETag": etag}, said

    def _manifest(self, headers: dict[str, str], body: bytes, digest: str) -> Answer:
        found = self.manifests.get(digest)
        return (200, {}, found) if found is not None else (404, {}, b"{}")

    def _blob(self, headers: dict[str, str], body: bytes, digest: str) -> Answer:
        found = self.blobs.get(digest)
        if found is None:
            return 404, {}, b"{}"
        if begin := re.fullmatch(r"bytes=(\d+)-", headers.get("range", "")):
            at = int(begin[1])
            return 206, {"Content-Range": f"bytes {at}-{len(found) - 1}/{len(found)}"}, found[at:]
        return 200, {}, found

    def _update(self, headers: dict[str, str], body: bytes, round_id: str, edge: str) -> Answer:
        first = self.updates.setdefault((round_id, edge), body)
        return (200, {}, b'{"accepted":true}') if first == body else (409, {}, b'{"accepted":false,"reason":"another"}')

    def _outbox(self, headers: dict[str, str], body: bytes, edge: str) -> Answer:
        sent = json.loads(body)
        held = self.items.setdefault((edge, sent["epoch"]), [])
        for item in sent["items"]:
            if item["seq"] == (held[-1]["seq"] if held else 0) + 1:
                held.append(item)
        return 200, {}, json.dumps({"acked": held[-1]["seq"] if held else 0}).encode()

    def _status(self, headers: dict[str, str], body: bytes, edge: str) -> Answer:
        self.statuses.append(json.loads(body))
        return 200, {}, b"{}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): text for name, text in self.headers.items()}
        if len(body) < int(headers.get("content-length") or 0):
            self.close_connection = True  # the edge has died in the middle of it
            return
        status, extra, data = self.hub.answer(self.command, self.path, headers, body)
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **extra}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)
        if int(extra.get("Content-Length", len(data))) != len(data):
            self.close_connection = True

    do_GET = do_POST = do_PUT = _any

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """A hub on a port of its own."""
    found = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": found}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def configuration(hub: Hub, folder: Path, models: str = "", more: str = "", edge: str = "edge-1") -> Path:
    """A file for an agent of this hub; `models` and `more` are lines of TOML."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "hub.pem").write_text(public_pem(KEY))
    path = folder / "edge.toml"
    path.write_text(f"""
edge = "{edge}"
state = "state"
[hub]
url = "{hub.url}"
token_file = "token"
poll_s = 0.2
[models]
trusted_keys = ["hub.pem"]
{models}
{more}
""")
    return path


def killed_at(step: int, steps: frozenset[str], work: Callable[[], None]) -> bool:
    """Do `work` in a child that is killed just before its n-th call of one of `steps`; whether it came so far."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = step

    def count(_: object, event: str, called: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(called, "__name__", "") in steps:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(count)
        work()
    finally:
        os._exit(0)
