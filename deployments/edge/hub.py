"""The hub, seen from an agent: requests over one kept-alive connection, outwards only; no redirect is followed."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from blocks.errors import Conflict, InvalidInput, NotFound, Refused, TimedOut, Unauthorized, Unreachable
from blocks.manifest import MAX_MANIFEST_BYTES
from deployments.edge.config import HubSettings, read_secret

MOST_BYTES = 4 * 2**20  # of a document; blobs are bounded by the size that their manifest states
CHUNK_BYTES = 256 * 2**10
SLOWEST_BYTES_S = 1024  # of a blob on average, beyond the time-out


class Answer(NamedTuple):
    """Status, lower-case headers, whole body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Hub:
    """One connection, for one thread. Every request may be repeated without harm.

    Raises (every method)
    ---------------------
    ContinuumError: the kind that fits; `retryable` where the hub may answer later.
    """

    def __init__(self, settings: HubSettings, edge: str, clock: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(settings.url)
        self._settings, self._clock, self._edge = settings, clock, quote(edge, safe="")
        self._base, self.where = parts.path.rstrip("/"), f"hub {parts.hostname}:{parts.port or 443}"
        host = parts.hostname or ""
        self._http = (
            http.client.HTTPSConnection(host, parts.port, timeout=settings.timeout_s, context=_tls(settings))
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=settings.timeout_s)
        )

    def desired(self, etag: str = "") -> Answer:
        """What this edge should run: 200 with a document, or 304 where it is what `etag` names."""
        return self._ask("GET", f"/v1/edges/{self._edge}/desired", headers={"If-None-Match": etag} if etag else {})

    def manifest(self, digest: str) -> bytes:
        """A signed manifest, not yet verified."""
        return self._ask("GET", f"/v1/manifests/sha256:{digest}", most=MAX_MANIFEST_BYTES).body

    def document(self, digest: str, most: int) -> bytes:
        """A blob that is held in memory, its digest verified: the base of a round."""
        body = self._ask("GET", f"/v1/blobs/sha256:{digest}", most=most).body
        if hashlib.sha256(body).hexdigest() != digest:
            raise Refused("its sha256 is another", where=f"blob {digest[:12]}")
        return body

    def fetch(self, digest: str, size_bytes: int, into: Path) -> None:
        """A blob into a file, going on where an earlier try was cut off; written to the disk, not yet verified."""
        have = into.stat().st_size if into.exists() else 0
        if have > size_bytes:
            into.unlink()
            have = 0
        if have == size_bytes and have:
            return
        asked = {"Range": f"bytes={have}-"} if have else {}
        with self._exchange("GET", f"/v1/blobs/sha256:{digest}", b"", asked) as reply:
            if reply.status == 416:
                into.unlink()
            self._check(reply.status, b"")
            resumed = reply.status == 206 and (reply.getheader("Content-Range") or "").startswith(f"bytes {have}-")
            if not resumed:
                have = 0
            with into.open("ab" if resumed else "wb", buffering=0) as file:
                for part in self._parts(reply):
                    have += len(part)
                    if have > size_bytes:
                        break
                    with _on_disk(into):
                        rest = memoryview(part)
                        while rest:  # unbuffered, so a write may take a part of it
                            rest = rest[file.write(rest) :]
                with _on_disk(into):
                    os.fsync(file.fileno())
            if have > size_bytes:
                into.unlink()
                raise Refused(f"longer than the {size_bytes} bytes of its manifest", where=f"blob {digest[:12]}")
            if have < size_bytes:
                raise Unreachable(f"cut off after {have} of {size_bytes} bytes", where=f"blob {digest[:12]}")

    def send_update(self, round_id: str, body: bytes) -> tuple[bool, str]:
        """Hand in an update: whether it was taken, and why not."""
        path = f"/v1/rounds/{quote(round_id, safe='')}/updates/{self._edge}"
        answer = self._ask("PUT", path, body, {"Content-Type": "application/octet-stream"}, allowed=(409, 422))
        said = object_of(answer.body, self.where) if answer.body.lstrip()[:1] == b"{" else {}
        return answer.status == 200 and said.get("accepted") is True, str(said.get("reason") or answer.status)

    def send_items(self, epoch: str, items: list[dict[str, Any]]) -> int:
        """Hand in items of the outbox; returns the last number that the hub holds."""
        body = json.dumps({"epoch": epoch, "items": items}, allow_nan=False).encode()
        answer = self._ask("POST", f"/v1/edges/{self._edge}/outbox", body, {"Content-Type": "application/json"})
        acked = object_of(answer.body, self.where).get("acked")
        if isinstance(acked, bool) or not isinstance(acked, int) or acked < 0:
            raise InvalidInput(f"`acked` is {acked!r:.40}", where=self.where)
        return acked

    def send_status(self, document: dict[str, Any]) -> None:
        """Tell which versions are in service, and what was refused."""
        body = json.dumps(document).encode()
        self._ask("POST", f"/v1/edges/{self._edge}/status", body, {"Content-Type": "application/json"})

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None,
        most: int = MOST_BYTES, allowed: tuple[int, ...] = (),
    ) -> Answer:  # fmt: skip
        with self._exchange(method, path, body, headers or {}) as reply:
            received = bytearray()
            for part in self._parts(reply):
                received += part
                if len(received) > most:
                    raise Refused(f"an answer of more than {most} bytes", where=self.where)
            if reply.length:
                raise Unreachable(f"cut off {reply.length} bytes before its end", where=self.where)
            named = {name.lower(): text for name, text in reply.getheaders()}
            if reply.status not in allowed:
                self._check(reply.status, bytes(received))
            return Answer(reply.status, named, bytes(received))

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """One request, repeated at once where the kept-alive connection turns out to be closed."""
        sent = {"User-Agent": "continuum-edge", **headers}
        if self._settings.token_file:  # read each time: tokens are rotated in place
            sent["Authorization"] = f"Bearer {read_secret(self._settings.token_file)}"
        whole = False
        try:
            try:
                fresh = self._http.sock is None
                self._http.request(method, self._base + path, body or None, sent)
                reply = self._http.getresponse()
            except (ConnectionError, http.client.BadStatusLine, http.client.CannotSendRequest):
                if fresh:
                    raise
                self._http.close()
                self._http.request(method, self._base + path, body or None, sent)
                reply = self._http.getresponse()
            if reply.getheader("Content-Encoding", "identity") != "identity":
                raise Refused("a compressed body, which was not asked for", where=self.where)
            yield reply
            if reply.length == 0:
                reply.read()  # frees the connection
            whole = reply.isclosed()
        except TimeoutError:
            raise TimedOut("no answer in time", where=self.where) from None
        except ssl.SSLError as error:
            raise Unreachable(f"TLS failed ({error.reason or error})", where=self.where, fix="check [hub] ca") from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of our own disk
            raise Unreachable(f"no connection ({type(error).__name__})", where=self.where) from None
        finally:
            if not whole:  # what is left of an answer must not be taken for the next one
                self._http.close()

    def _parts(self, reply: http.client.HTTPResponse) -> Iterator[bytes]:
        begin, count = self._clock(), 0
        while part := reply.read1(CHUNK_BYTES):
            yield part
            count += len(part)
            if self._clock() - begin > self._settings.timeout_s + count / SLOWEST_BYTES_S:
                raise TimedOut("the answer trickles", where=self.where)

    def _check(self, status: int, body: bytes) -> None:
        said = f"status {status} {' '.join(body[:120].decode('utf-8', 'replace').split())}".strip()
        if status < 300 or status == 304:
            return
        if status in (401, 403):
            raise Unauthorized(said, where=self.where, fix="check the agent's token at the hub")
        if status == 404:
            raise NotFound(said, where=self.where)
        if status in (409, 412):
            raise Conflict(said, where=self.where)
        if status >= 500 or status in (408, 425, 429):
            raise Unreachable(said, where=self.where)
        raise Refused(said, where=self.where)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Failures of our own disk are no failures of the hub."""
    try:
        yield
    except OSError as error:
        told = f"cannot be written ({error.strerror})"
        raise Refused(told, where=f"file {path.name}", fix="make room on the disk") from None


def seconds_until(deadline: str, answer: Answer, now_s: float) -> float:
    """From now to a deadline by the hub's clock (its `Date`), else by ours (`now_s`, since 1970): edges' clocks lie.

    Raises
    ------
    InvalidInput: no time with a zone.
    """
    try:
        at = datetime.fromisoformat(deadline)
        if at.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError):
        raise InvalidInput(f"deadline {deadline!r:.40} is no time with a zone", where="round") from None
    with suppress(KeyError, ValueError, TypeError):
        now_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
    return at.timestamp() - now_s


def object_of(body: bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    InvalidInput: something else, e.g. the page of a proxy.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInput("no JSON object", where=where, fix="check that it is the hub and no proxy")
    return document


def _tls(settings: HubSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key or None)
    return context
