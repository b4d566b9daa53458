"""The Open Inference Protocol v2 over HTTP: what each path answers."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from blocks.errors import ContinuumError, InvalidInput, NotFound, Unauthorized
from blocks.tensors import HEADER, Tensor, decode, describe, head_of
from deployments.edge.config import is_loopback
from deployments.edge.http import Request, Response, Work
from deployments.edge.meters import Meters
from deployments.edge.serving import Models, Served

SERVER = {"name": "continuum-edge", "version": "0.1.0", "extensions": ["binary_tensor_data", "model_repository"]}
LENGTH = HEADER.lower()
QUICK_S, QUICK_BYTES = 0.001, 16 * 2**10  # what may hold up the loop
WEIGHT = 0.2  # of the newest request in what a model usually takes


class Repository(Protocol):
    """What holds the versions: it can put one in service again, and take it out."""

    def load(self, name: str) -> None:
        """Serve the model again. Raises NotFound where there is none."""

    def unload(self, name: str) -> None:
        """Serve it no longer, until it is loaded again."""

    def index(self) -> list[dict[str, str]]:
        """Name, version, state and reason of each."""


class Service:
    """Answers requests. token: asked of all but health; without one only this machine itself is answered.

    ready: whether what was in service before the last restart has been loaded again. seen: gets every answer's outputs.
    """

    def __init__(
        self, models: Models, repository: Repository, meters: Meters, token: str = "",
        ready: Callable[[], bool] = lambda: True, clock: Callable[[], float] = time.perf_counter,
        seen: Callable[[Served, dict[str, Tensor]], None] = lambda *_: None,
    ) -> None:  # fmt: skip
        self._models, self._repository, self._meters = models, repository, meters
        self._token, self._ready, self._clock, self._seen = token, ready, clock, seen

    def __call__(self, request: Request) -> Response | Work:
        """The answer, or the work that gives it."""
        try:
            parts = [unquote(part) for part in request.path.split("/")[1:]]
            if parts[:2] != ["v2", "health"]:
                self._admit(request)
            return self._route(request, parts)
        except ContinuumError as error:
            return failed(error)

    def _admit(self, request: Request) -> None:
        if self._token:
            sent = request.headers.get("authorization", "")
            if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
                raise Unauthorized("no valid token", where="request", fix="send Authorization: Bearer TOKEN")
            return
        # A page in a browser of this machine can send requests here, under a name of its own (DNS rebinding).
        host = request.headers.get("host", "localhost")
        host = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "origin" in request.headers or not is_loopback(host):
            raise Unauthorized("not for browsers or other hosts", where="request", fix="set [serve] token_file")

    def _route(self, request: Request, parts: list[str]) -> Response | Work:
        match (request.method, parts):
            case ("POST", ["v2", "models", name, "infer"]):
                return self._infer(name, "", request)
            case ("POST", ["v2", "models", name, "versions", version, "infer"]):
                return self._infer(name, version, request)
            case ("GET", ["v2", "health", "live"]):
                return answer({"live": True})
            case ("GET", ["v2", "health", "ready"]):
                return answer({"ready": self._ready()}, 200 if self._ready() else 503)
            case ("GET", ["v2"]):
                return answer(SERVER)
            case ("GET", ["v2", "models", name]):
                return answer(metadata(self._models.get(name)))
            case ("GET", ["v2", "models", name, "versions", version]):
                return answer(metadata(self._models.get(name, version)))
            case ("GET", ["v2", "models", name, "ready"]):
                return answer({"name": self._models.get(name).name, "ready": True})
            case ("GET", ["v2", "models", name, "versions", version, "ready"]):
                return answer({"name": self._models.get(name, version).name, "ready": True})
            case ("POST", ["v2", "repository", "index"]):
                return lambda: answer(self._repository.index())
            case ("POST", ["v2", "repository", "models", name, "load"]):
                return lambda: self._change(self._repository.load, name)
            case ("POST", ["v2", "repository", "models", name, "unload"]):
                return lambda: self._change(self._repository.unload, name)
            case ("GET", ["metrics"]):
                return Response(200, self._meters.text().encode(), "text/plain; version=0.0.4")
        raise NotFound(f"nothing answers {request.method} {request.path:.128}", where="request")

    def _change(self, change: Callable[[str], None], name: str) -> Response:
        try:
            change(name)
        except ContinuumError as error:
            return failed(error)
        return answer({})

    def _infer(self, name: str, version: str, request: Request) -> Response | Work:
        served = self._models.get(name, version)  # the version that this request gets, whatever is flipped meanwhile

        def work() -> Response:
            begin = self._clock()
            try:
                reply = infer(served, request, self._seen)
            except ContinuumError as error:
                reply = failed(error)
            except Exception:
                self._meters.count_request(served.name, 500, self._clock() - begin)
                raise
            spent = self._clock() - begin
            self._meters.count_request(served.name, reply.status, spent)
            served.usual_s += WEIGHT * (spent - served.usual_s)
            return reply

        # Handing a request to a thread and back costs as much as a small model does: those are answered at once.
        return work() if served.usual_s < QUICK_S and len(request.body) <= QUICK_BYTES else work


def infer(
    served: Served, request: Request, seen: Callable[[Served, dict[str, Tensor]], None] = lambda *_: None
) -> Response:  # fmt: skip
    """One inference, JSON or binary on either side; `seen` gets the outputs.

    Raises
    ------
    InvalidInput: the body does not fit the protocol, or the model.
    """
    where = f"model {served.name}"
    head, tail = head_of(request.body, request.headers.get(LENGTH), where=where)
    try:
        document = json.loads(head)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is no JSON", where=where, fix=f"for binary tensors send {HEADER}") from None
    if not isinstance(document, dict):
        raise InvalidInput("the body is no JSON object", where=where)
    inputs = decode(document, tail, where=where, side="inputs")
    binary, wanted = _asked_outputs(document, where)
    found = served.run(inputs, list(wanted))
    seen(served, found)
    described, raws = [], b""
    for name, tensor in found.items():
        entry, raw = describe(name, tensor, binary=wanted.get(name, binary))
        described.append(entry)
        raws += raw
    said = {"model_name": served.name, "model_version": served.version, "outputs": described}
    if "id" in document:
        said["id"] = document["id"]
    try:
        body = json.dumps(said, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        fix = "ask for binary outputs"
        raise InvalidInput("an output is NaN or infinite, which JSON cannot say", where=where, fix=fix) from None
    if not raws:
        return Response(200, body)
    return Response(200, body + raws, "application/octet-stream", ((HEADER, str(len(body))),))


def _asked_outputs(document: dict[str, Any], where: str) -> tuple[bool, dict[str, bool]]:
    """Whether outputs are binary unless they say otherwise; which are asked for by name, and whether each is binary."""
    try:
        everywhere = (document.get("parameters") or {}).get("binary_data_output") is True
        named = {str(each["name"]): bool((each.get("parameters") or {}).get("binary_data", everywhere))
                 for each in document.get("outputs") or ()}  # fmt: skip
    except (KeyError, TypeError, AttributeError):
        raise InvalidInput("`outputs` or `parameters` do not fit the protocol", where=where) from None
    return everywhere, named


def metadata(served: Served) -> dict[str, Any]:
    """Of a model, as the protocol has it; the digest and the cascade's threshold as parameters."""
    return {
        "name": served.name, "versions": [served.version], "platform": "onnxruntime_onnx",
        "inputs": [port.described for port in served.inputs], "outputs": [port.described for port in served.outputs],
        "parameters": {"digest": f"sha256:{served.digest}", "escalation_threshold": served.threshold},
    }  # fmt: skip


def answer(document: Any, status: int = 200) -> Response:
    """A JSON document."""
    return Response(status, json.dumps(document).encode())


def failure(status: int, what: str) -> Response:
    """An error as the protocol has it."""
    return answer({"error": what}, status)


def failed(error: ContinuumError) -> Response:
    """An error of ours as an answer."""
    statuses: dict[type[ContinuumError], int] = {InvalidInput: 400, NotFound: 404, Unauthorized: 401}
    return failure(statuses.get(type(error), 409 if not error.retryable else 503), str(error))
