"""What the three simulated cloud APIs have in common: reading a request, asking for credentials, mapping errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.errors import ContinuumError, InvalidInput, NotFound, Unauthorized

Json = dict[str, Any]
Answer = Json | Response
Refusal = Callable[[ContinuumError], Response]


class Call:
    """One request to a cloud API: path parameters, query, headers and the JSON body ({} where there is none)."""

    def __init__(self, request: Request, body: Json) -> None:
        self.path, self.query, self.headers, self.body = (
            request.path_params,
            request.query_params,
            request.headers,
            body,
        )
        self.method = request.method
        self.origin = f"{request.url.scheme}://{request.url.netloc}"
        self.base = self.origin + request.scope.get("root_path", "")  # with the path that the API is mounted at

    def whole_number(self, value: Any, name: str) -> int:
        """A number of nodes from the body. InvalidInput: it is not a whole number."""
        try:
            if isinstance(value, bool) or int(value) != float(value):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise InvalidInput(f"{name} is not a whole number", where="request body", fix=f"send {name}") from None


def route(path: str, handler: Callable[[Call], Answer], *methods: str) -> Route:
    """A route whose handler gets a `Call`; any signature passes, but some Authorization header must be there."""

    async def endpoint(request: Request) -> Response:
        if "authorization" not in request.headers:
            raise Unauthorized(
                "no Authorization header", where=request.url.path, fix="sign the request; any key will do"
            )
        answer = handler(Call(request, _parsed(await request.body())))
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return Route(path, endpoint, methods=list(methods) or ["GET"])


def api(routes: list[Route], refusal: Refusal) -> Starlette:
    """An API of these routes whose every error, an unknown path too, is written by `refusal`."""

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ContinuumError)
        return refusal(error)

    async def unknown(request: Request, _: Exception) -> Response:
        return refusal(NotFound(f"{request.method} is not simulated", where=request.url.path))

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        ContinuumError: refused,
        404: unknown,
        405: unknown,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


def _parsed(raw: bytes) -> Json:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise InvalidInput("the body is not JSON", where="request") from None
    if not isinstance(body, dict):
        raise InvalidInput("the body is not a JSON object", where="request")
    return body
