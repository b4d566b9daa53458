"""The hub: the HTTP service that edges speak to, always outwards from where they are.

It hands out desired state, manifests and blobs, and takes updates, telemetry and status: `tasks/rollout/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from blocks.errors import (
    Conflict,
    ContinuumError,
    InvalidInput,
    NotConfigured,
    NotFound,
    Refused,
    StoreUnavailable,
    Unauthorized,
)
from blocks.http import LOOPBACK
from blocks.models import Registry
from blocks.store import Store
from blocks.store import edges as fleet_edges
from blocks.store.rounds import asked_of, round_of, take_update
from blocks.store.tables import Edge, RoundUpdate, TrainingRound, now
from deployments.http_service import Tls, configured, on_a_thread
from tasks.federation.decide.models import Shape
from tasks.federation.decide.updates import Call, Update, why_refused
from tasks.federation.decide.wire import Sent, read_update

MOST_UPDATE_BYTES = 256 << 20
MOST_TOLD_BYTES = 1 << 20  # of an outbox or a status
BODY_S = 60.0  # for a whole body
MOST_CONNECTIONS = 2000

Told = TypeVar("Told", bound=BaseModel)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")

_STATUS: tuple[tuple[type[ContinuumError], int], ...] = (
    (Unauthorized, 401), (NotFound, 404), (Conflict, 409), (InvalidInput, 422), (Refused, 403),
    (StoreUnavailable, 503),
)  # fmt: skip


class Item(BaseModel):
    """One thing of an outbox."""

    model_config = ConfigDict(extra="forbid")
    seq: int = Field(ge=1, lt=2**63)
    kind: str = Field(min_length=1, max_length=100)
    ts: str = Field(max_length=100)
    body: dict[str, Any]


class Outbox(BaseModel):
    """What an edge sends of its outbox, in order."""

    model_config = ConfigDict(extra="forbid")
    epoch: str = Field(min_length=1, max_length=100)
    items: list[Item] = Field(max_length=1000)


class Running(BaseModel):
    """A model on an edge: `state` is serving, loading, failed or another word of the edge."""

    name: str = Field(max_length=128)
    digest: str = Field(max_length=100)
    state: str = Field(max_length=200)


class Status(BaseModel):
    """What an edge says of itself."""

    models: list[Running] = Field(max_length=1000)
    ts: str = Field(max_length=100)


@dataclass
class Hub:
    """The handlers; `clock` gives timezone-aware UTC."""

    store: Store
    registry: Registry
    clock: Callable[[], datetime] = now
    shapes: dict[str, Shape] = field(default_factory=dict)

    def app(self) -> Starlette:
        """The service."""
        return Starlette(routes=[
            Route("/v1/health", lambda _: JSONResponse({"live": True})),
            Route("/v1/edges/{edge}/desired", self._get(self.desired)),
            Route("/v1/manifests/{digest}", self._get(self.manifest)),
            Route("/v1/blobs/{digest}", self._get(self.blob)),
            Route("/v1/rounds/{round}/updates/{edge}", self._take(self.update, MOST_UPDATE_BYTES), methods=["PUT"]),
            Route("/v1/edges/{edge}/outbox", self._take(self.outbox, MOST_TOLD_BYTES), methods=["POST"]),
            Route("/v1/edges/{edge}/status", self._take(self.status, MOST_TOLD_BYTES), methods=["POST"]),
        ])  # fmt: skip

    def desired(self, edge: Edge, request: Request) -> Response:
        """What the edge is to run, and the round that it is asked to train in; 304 where that is what it knows."""
        fleet_edges.seen(self.store, edge, self.clock)
        models = [self._wanted(row.wanted) for row in fleet_edges.models_of(self.store, edge.name) if row.wanted]
        asked = asked_of(self.store, edge.name, self.clock)
        body = json.dumps({"models": models, "round": asked and _round(asked)}, sort_keys=True).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    def manifest(self, _edge: Edge, request: Request) -> Response:
        """The signed manifest of a version."""
        return Response(self.registry.document(_hex(request)), media_type="application/json")

    def blob(self, _edge: Edge, request: Request) -> Response:
        """The bytes of a blob, or a range of them."""
        digest = _hex(request)
        size = self.registry.size(digest)
        first, last, status = 0, size - 1, 200
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
        asked = request.headers.get("range", "")
        if asked:
            found = _RANGE.fullmatch(asked)
            if not found or int(found[1]) >= size or (found[2] and int(found[2]) < int(found[1])):
                return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
            first, last, status = int(found[1]), min(int(found[2] or size), size - 1), 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        headers["Content-Length"] = str(last - first + 1)
        pieces = self.registry.pieces(digest, first, last)
        return StreamingResponse(pieces, status, headers, media_type="application/octet-stream")

    def update(self, edge: Edge, request: Request, body: bytes) -> Response:
        """Take what an edge has learnt; checked here by itself, and among the others when the round closes."""
        asked = round_of(self.store, request.path_params["round"])
        row = RoundUpdate(round_id=asked.id, edge=edge.name, digest=hashlib.sha256(body).hexdigest(), samples=0,
                          size_bytes=len(body), received_at=self.clock())  # fmt: skip
        try:
            sent = read_update(body, Shape(*asked.content["shape"]))
        except InvalidInput as error:
            return self._refused(row, error.what)
        row.samples, row.metrics = max(0, min(sent.samples, 2**62)), sent.metrics
        if sent.base != f"sha256:{asked.base}" or sent.round != asked.id:
            self._refused(row, "it was trained from another base, or answers another round")
            raise Conflict("it was trained from another base, or answers another round", where=f"round {asked.id}",
                           fix="ask for the desired state again")  # fmt: skip
        if why := _why(sent, edge, asked):
            return self._refused(row, why)
        row.digest = self.registry.put(sent.delta.astype("<f4", copy=False).tobytes(), "updates")
        take_update(self.store, row, self.clock)
        return JSONResponse({"accepted": True})

    def outbox(self, edge: Edge, _request: Request, body: bytes) -> Response:
        """Take telemetry, each item once."""
        told = _parsed(Outbox, body)
        items = [item.model_dump() for item in told.items]
        return JSONResponse({"acked": fleet_edges.take_outbox(self.store, edge.name, told.epoch, items, self.clock)})

    def status(self, edge: Edge, _request: Request, body: bytes) -> Response:
        """Keep what an edge says that it runs."""
        told = _parsed(Status, body)
        models = [each.model_dump() | {"digest": each.digest.removeprefix("sha256:")} for each in told.models]
        fleet_edges.report(self.store, edge.name, models, self.clock)
        return JSONResponse({})

    def _refused(self, row: RoundUpdate, why: str) -> Response:
        """Keep why an update does not count, so that the round's record tells it."""
        row.refused = why
        if row.edge in round_of(self.store, row.round_id).content["selected"]:
            with contextlib.suppress(Conflict):
                take_update(self.store, row, self.clock)
        return JSONResponse({"accepted": False, "reason": why}, 422)

    def _wanted(self, digest: str) -> dict[str, str]:
        manifest = self.registry.manifest(digest)
        return {"name": manifest.model, "version": manifest.version, "manifest": f"sha256:{digest}"}

    def _edge(self, request: Request) -> Edge:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("no token was sent", where="hub", fix="send Authorization: Bearer TOKEN")
        edge = fleet_edges.edge_of(self.store, token.strip())
        request.state.is_known = True
        if request.path_params.get("edge", edge.name) != edge.name:
            raise Refused(f"the token is that of {edge.name}", where=f"edge {request.path_params['edge']:.40}",
                          fix="use each edge's own token")  # fmt: skip
        return edge

    def _get(self, answer: Callable[[Edge, Request], Response]) -> Callable[[Request], Response]:
        """A handler on a thread of Starlette's."""

        def handler(request: Request) -> Response:
            try:
                return answer(self._edge(request), request)
            except ContinuumError as error:
                return _told(error)

        return handler

    def _take(
        self, answer: Callable[[Edge, Request, bytes], Response], most: int
    ) -> Callable[[Request], Awaitable[Response]]:  # fmt: skip
        """A handler that knows the sender before it reads a body of `most` bytes, and then works on a thread."""

        async def handler(request: Request) -> Response:
            try:
                edge = await run_in_threadpool(self._edge, request)
                body = await _body(request, most)
                return await run_in_threadpool(answer, edge, request, body)
            except ContinuumError as error:
                return _told(error)

        return handler


def _told(error: ContinuumError) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse({"accepted": False, "reason": str(error)}, status)


async def _body(request: Request, most: int) -> bytes:
    too_large = InvalidInput(f"the body is over {most} bytes", where="hub", fix="send less at once")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise InvalidInput(f"the body took more than {BODY_S:g} s", where="hub", fix="send less at once") from None
    return bytes(body)


def _parsed(kind: type[Told], body: bytes) -> Told:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{place}: {first['msg']}", where=kind.__name__.lower(), fix="see the hub's README"
        ) from None


def _hex(request: Request) -> str:
    found = _DIGEST.fullmatch(request.path_params["digest"])
    if not found:
        raise InvalidInput("it is no sha256:HEX", where="digest", fix="write 64 hexadecimal digits after sha256:")
    return found[1]


def _round(asked: TrainingRound) -> dict[str, Any]:
    told = {
        "id": asked.id,
        "model": asked.model,
        "base": f"sha256:{asked.base}",
        "deadline": asked.deadline.isoformat(),
    }
    wanted = ("seed", "epochs", "batch", "lr", "kind", "scaling")
    return told | {name: asked.content[name] for name in wanted if name in asked.content}


def _why(sent: Sent, edge: Edge, asked: TrainingRound) -> str:
    selected = asked.content["selected"]
    if edge.name not in selected or sent.edge != edge.name:
        return "the edge was not asked"
    shape, place = Shape(*asked.content["shape"]), selected.index(edge.name)
    call = Call(asked.number, asked.base, tuple(range(len(selected))), shape.size)
    return why_refused(Update(place, asked.number, asked.base, sent.samples, sent.delta), call, ())


def hub_server(hub: Hub, *, host: str, tls: Tls | None) -> uvicorn.Config:
    """Settings of the hub's server.

    Raises
    ------
    NotConfigured: beyond loopback without TLS, where every token would travel in clear; or a PEM file is not there.
    """
    if tls is None and host not in LOOPBACK:
        raise NotConfigured("edges' tokens would travel in clear", where=f"--host {host}",
                            fix="give --certificate and --key, or put a proxy with TLS before it")  # fmt: skip
    return configured(hub.app(), most_connections=MOST_CONNECTIONS, tls=tls)


@contextmanager
def running_hub(hub: Hub, *, tls: Tls | None = None) -> Iterator[str]:
    """The hub's URL on the loopback while the block runs, on a thread of this process: for the demo and for tests."""
    with on_a_thread(hub_server(hub, host="127.0.0.1", tls=tls)) as url:
        yield url
