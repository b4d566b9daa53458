"""The HTTP side of a simulated cluster: one ASGI app that authenticates, routes, answers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from deployments.local.kubernetes import access, bodies, discovery, escalation, openapi, routing, status
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.list_options import TRUE
from deployments.local.kubernetes.requests import Answer, Call, Handlers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from deployments.local.kubernetes.cluster import SimulatedCluster

Json = dict[str, Any]

_NOT_FOUND = "404 page not found\n"
_ONE_NAME = re.compile(r"^metadata\.name==?([^,=!]+)\Z")
LARGEST_BODY = 3 * 1024 * 1024
"""Bytes that a request's body may have."""


class KubernetesApp:
    """ASGI app of one cluster. After every request that may have written something, the controllers take a step."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._handlers = Handlers(cluster.backend, cluster.access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        try:
            response = await self._answer(request, path)
        except routing.UnknownPath:
            response = Response(_NOT_FOUND, 404, media_type="text/plain")
        except status.StatusError as error:
            response = _json(error.body(), error.code)
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        headers = request.headers
        user = self._cluster.access.user(
            headers.get("authorization", ""), headers.get("impersonate-user", ""), headers.getlist("impersonate-group")
        )
        if path in ("/healthz", "/livez", "/readyz"):
            return Response("ok", media_type="text/plain")
        if path == "/version":
            return _json(discovery.version())
        if (found := self._discovered(path.rstrip("/"), user, request.scope.get("root_path", ""))) is not None:
            return _json(found)
        if path == "/openapi/v2" and openapi.V2_ASKED in headers.get("accept", ""):
            return Response(openapi.second_version(), media_type=openapi.V2_TYPE)
        try:
            if not path.startswith(("/api/", "/apis/")):
                raise routing.UnknownPath(path)
            target = routing.locate(self._cluster.backend.registry, path)
        except (routing.UnknownPath, status.StatusError):
            self._check_rights(user, routing.asked(path, request.method))
            raise
        return await self._resource(request, target, user)

    def _check_rights(self, user: access.User, asked: access.Request) -> None:
        if self._cluster.access.allows(user, asked):
            return
        if asked.path:
            raise status.forbidden_path(user.name, asked.verb, asked.path)
        raise access.denied(user, asked, Kind(asked.group, "", asked.resource, ""))

    def _discovered(self, path: str, user: access.User, prefix: str) -> Json | None:
        registry = self._cluster.backend.registry
        parts = path.split("/")[1:]
        found: Json | None = None
        if parts == ["openapi", "v3"]:
            found = openapi.index(registry, prefix)
        elif parts[:2] == ["openapi", "v3"]:
            found = openapi.document(registry, "/".join(parts[2:]))
        elif parts == ["api"]:
            found = discovery.core_versions()
        elif parts == ["apis"]:
            found = discovery.groups(registry)
        elif len(parts) == 2 and parts[0] == "apis" and parts[1] in registry.groups():
            found = discovery.group(registry, parts[1])
        elif parts == ["api", "v1"]:
            found = discovery.resources(registry, "", "v1")
        elif len(parts) == 3 and parts[0] == "apis" and parts[2] in registry.groups().get(parts[1], ()):
            found = discovery.resources(registry, parts[1], parts[2])
        if found is not None and not self._cluster.access.allows(user, access.Request("get", path=path)):
            raise status.forbidden_path(user.name, "get", path)
        return found

    async def _resource(self, request: Request, target: routing.Target, user: access.User) -> Response:
        query = dict(request.query_params)
        watch = target.watched or query.get("watch") in TRUE
        verb = routing.verb(target, request.method, watch=watch)
        selected = _ONE_NAME.match(query.get("fieldSelector", ""))  # roles may name objects of lists and watches too
        name = target.name or (selected[1] if selected else "")
        self._check_rights(user, access.Request(verb, target.kind.group, target.kind.plural, target.subresource,
                                                target.place, name))  # fmt: skip
        body = await request.body()
        if len(body) > LARGEST_BODY:
            raise status.too_large(LARGEST_BODY)
        call = Call(target, verb, query, body, request.headers.get("content-type", ""), user,
                    bodies.accepted(request.headers.get("accept", "")), request.headers.get("user-agent", ""),
                    request.query_params.getlist("dryRun"),
                    escalation.guard(self._cluster.access, user, target.kind))  # fmt: skip
        if verb == "watch":
            lines = await self._handlers.watch(call)
            return StreamingResponse(lines, media_type="application/json")
        if verb == "list":
            await self._handlers.await_version(call)
        answer = self._handlers.handle(call)
        if request.method != "GET":
            self._cluster.step()
        return _rendered(answer, call.form, pretty=query.get("pretty") in TRUE)


def _json(body: Json, code: int = 200) -> Response:
    return Response(json.dumps(body, separators=(",", ":")), code, media_type="application/json")


def _rendered(answer: Answer, form: str, *, pretty: bool) -> Response:
    content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, separators=(",", ":")).encode()
    media_type = "application/json"
    if form == "yaml":
        content, media_type = yaml.safe_dump(json.loads(content), sort_keys=False).encode(), "application/yaml"
    elif pretty:
        content = json.dumps(json.loads(content), indent=2, ensure_ascii=False).encode()
    response = Response(content, answer.code, media_type=media_type)
    for warning in answer.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{text}"')
    return response
