"""A model server behind the Open Inference Protocol v2 over HTTP: Triton, MLServer, KServe, our edge agent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

from blocks.errors import ContinuumError, InvalidInput, OperationFailed, Refused, Throttled, TimedOut, Unreachable
from blocks.http import CONNECT_TIMEOUT_S, excerpt, not_json, of_status, shown
from blocks.tensors import HEADER, Tensor, decode, encode, head_of

READ_TIMEOUT_S = 10.0
MOST_BYTES = 256 * 2**20  # of an answer; a longer one is refused before it fills the memory
ATTEMPTS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
LOAD_DEADLINE_S = 300.0
NOT_READY = frozenset({400, 404, 503})  # of `ready`: Triton says 400 after an unload, MLServer and KServe 404


class Reply(NamedTuple):
    """A status, lower-case headers and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def client(url: str, timeout_s: float = READ_TIMEOUT_S) -> httpx.Client:
    """The one place that makes clients of endpoints: kept-alive connections, no proxy or ~/.netrc of the environment.

    Raises
    ------
    InvalidInput: `url` is no http(s) URL with a host.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise InvalidInput("the URL is malformed", where=f"endpoint {url:.80}", fix="write it as http://host[:port]")
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    return httpx.Client(base_url=url, timeout=timeout, trust_env=False, headers={"Accept-Encoding": "identity"})


class Breaker:
    """Tries a call up to 3 times, 1 s and 2 s apart; then the circuit is open for 4, 8, 16 and at most 30 s.

    While open it refuses at once, afterwards it lets one try through. An answer that is no network error closes it.
    A time-out counts and is not repeated: the work may still be going on.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self.failures, self._closed_at = 0, 0.0

    def call(self, ask: Callable[[], Reply], where: str) -> Reply:
        """The reply of `ask`; the last error where there is none."""
        left = self._closed_at - self._clock()
        if self.failures >= ATTEMPTS and left > 0:
            raise Unreachable(f"not asked: {self.failures} failures in a row, next try in {left:.0f} s", where=where)
        while True:
            try:
                reply = ask()
            except (Unreachable, Throttled) as error:
                self.failures += 1
                wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 10))
                if self.failures >= ATTEMPTS:
                    self._closed_at = self._clock() + wait
                if self.failures >= ATTEMPTS or not error.retryable or isinstance(error, TimedOut):
                    raise
                self._sleep(wait)
            except ContinuumError:
                self.failures = 0
                raise
            else:
                self.failures = 0
                return reply


class InferenceEndpoint:
    """One server. `http` comes from `client`; clock and sleep (seconds) are injected for tests.

    Raises (every method)
    ---------------------
    ContinuumError: the kind that fits the status (see `blocks.http.of_status`); `OperationFailed` where the server
        itself reports an error in a 200 or a 500, which a repeat does not mend.
    """

    def __init__(
        self,
        url: str,
        http: httpx.Client,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http, self._clock, self._sleep = http, clock, sleep
        self.where, self._breaker = f"endpoint {shown(url)}", Breaker(clock, sleep)

    def live(self) -> bool:
        """Whether the server runs."""
        return self._is_well(self._breaker.call(lambda: self.exchange("GET", "v2/health/live"), self.where))

    def ready(self, model: str = "") -> bool:
        """Whether the server, or one model of it, takes requests."""
        return self._is_well(self._breaker.call(lambda: self.exchange("GET", ready_path(model)), self.where))

    def metadata(self, model: str = "", version: str = "") -> dict[str, Any]:
        """Of the server (name, version, extensions) or of a model (name, versions, platform, inputs, outputs)."""
        document = self._document("GET", model_path(model, version) if model else "v2")
        if not isinstance(document, dict):
            raise InvalidInput("metadata is no JSON object", where=self.where)
        return document

    def infer(
        self, model: str, inputs: Mapping[str, Tensor], *, version: str = "", binary: bool = False, request_id: str = ""
    ) -> dict[str, Tensor]:
        """The outputs by name; an `id` is always sent, because KServe answers 500 without one."""
        body, headers = encode(inputs, request_id or uuid4().hex, binary=binary)
        reply = self._asked("POST", f"{model_path(model, version)}/infer", body, headers)
        return outputs_of(reply, self.where)

    def index(self) -> list[dict[str, Any]]:
        """The models of the repository, each with name, version, state and reason."""
        document = self._document("POST", "v2/repository/index", b"{}")
        if not isinstance(document, list):
            raise InvalidInput("the repository index is no JSON list", where=self.where)
        return document

    def load(self, model: str, *, deadline_s: float = LOAD_DEADLINE_S, poll_s: float = 1.0) -> None:
        """Load a model and return once it is ready.

        The request is sent once: a load that outlives the time-out goes on in the server (Triton), so `ready` is polled
        until `deadline_s`. A server that keeps an older version in service meanwhile is ready throughout.
        """
        self._change(model, "load", True, deadline_s, poll_s)

    def unload(self, model: str, *, deadline_s: float = LOAD_DEADLINE_S, poll_s: float = 1.0) -> None:
        """Unload a model and return once it is no longer ready; sent once, as `load`."""
        self._change(model, "unload", False, deadline_s, poll_s)

    def metrics(self, url: str = "metrics") -> str:
        """Prometheus text; Triton and MLServer serve it at a port of its own: give the whole `url` then."""
        text = self._asked("GET", url).body.decode("utf-8", "replace")
        if text.lstrip()[:1] in ("<", "{"):
            raise not_json(text.encode(), where=f"{self.where} metrics")
        return text

    def exchange(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """One request, whatever its status; no repeat and no breaker. The body may take three time-outs in all."""
        begin, received = self._clock(), bytearray()
        patience_s = 3 * (self._http.timeout.read or READ_TIMEOUT_S)
        try:
            with self._http.stream(method, path, content=body or None, headers=headers) as answer:
                for part in answer.iter_bytes():
                    received += part
                    if len(received) > MOST_BYTES:
                        raise Refused(f"an answer of more than {MOST_BYTES} bytes", where=self.where)
                    if self._clock() - begin > patience_s:
                        raise TimedOut(f"the answer trickled for {patience_s:g} s", where=self.where)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _of_httpx(error, self.where) from None
        return Reply(answer.status_code, {name.lower(): text for name, text in answer.headers.items()}, bytes(received))

    def _change(self, model: str, verb: str, ready: bool, deadline_s: float, poll_s: float) -> None:
        until, where = self._clock() + deadline_s, f"{self.where} model {model}"
        with suppress(TimedOut):  # it may still be going on: only `ready` tells
            checked(self.exchange("POST", f"v2/repository/models/{quote(model, safe='')}/{verb}", b"{}"), where)
        while True:
            try:
                if self._is_well(self.exchange("GET", ready_path(model))) is ready:
                    return
            except Unreachable as error:  # a server that loads may not answer
                if not error.retryable:
                    raise
            if self._clock() >= until:
                raise TimedOut(f"{verb} has not ended after {deadline_s:g} s", where=where, fix="read its log")
            self._sleep(poll_s)

    def _is_well(self, reply: Reply) -> bool:
        if reply.status in NOT_READY:
            return False
        checked(reply, self.where)
        if reply.body.lstrip()[:1] == b"<":
            raise not_json(reply.body, where=self.where)
        document = _json(reply.body)
        return not (isinstance(document, dict) and False in (document.get("ready"), document.get("live")))

    def _asked(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        return self._breaker.call(lambda: checked(self.exchange(method, path, body, headers), self.where), self.where)

    def _document(self, method: str, path: str, body: bytes = b"") -> Any:
        reply = self._asked(method, path, body)
        if (document := _json(reply.body)) is None:
            raise not_json(reply.body, where=self.where)
        return document


def model_path(model: str, version: str = "") -> str:
    """The path of a model or of one version.

    >>> model_path("a/b", "3")
    'v2/models/a%2Fb/versions/3'
    """
    return f"v2/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


def ready_path(model: str = "") -> str:
    """Where the server, or one model, says whether it is ready."""
    return f"{model_path(model)}/ready" if model else "v2/health/ready"


def checked(reply: Reply, where: str) -> Reply:
    """The reply, where it is a success in its body too.

    A 500 with the protocol's own error body is the server's verdict on this request (MLServer on a bad shape): it must
    neither be repeated nor open the circuit.
    """
    if reply.status in (200, 500):
        head, _ = head_of(reply.body, reply.headers.get(HEADER.lower()), where=where)
        document = _json(head)
        if isinstance(document, dict) and document.get("error"):
            raise OperationFailed(f"status {reply.status} with an error: {excerpt(head)}", where=where)
    if not 200 <= reply.status < 300:
        raise of_status(reply.status, reply.body, where=where, retry_after=reply.headers.get("retry-after"))
    return reply


def outputs_of(reply: Reply, where: str) -> dict[str, Tensor]:
    """The tensors of an inference answer, JSON or binary."""
    head, tail = head_of(reply.body, reply.headers.get(HEADER.lower()), where=where)
    document = _json(head)
    if document is None:
        raise not_json(head, where=where)
    return decode(document, tail, where=where)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _of_httpx(error: Exception, where: str) -> ContinuumError:
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return InvalidInput("the URL is malformed", where=where, fix="write it as http://host[:port]")
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return TimedOut("no answer in time", where=where, fix="read the state again before repeating it")
    kind = type(error).__name__
    return Unreachable(f"no connection ({kind})", where=where, fix="check the address and whether it is up")
