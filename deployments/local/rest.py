"""What the three simulated cloud APIs have in common: reading a request, credentials, rates, mapping errors."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.errors import CloudRefused, ContinuumError, InvalidInput, NotFound, Throttled, Unauthorized
from deployments.local.throttling import Throttle

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
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(f"{name} is not a whole number", where="request body", fix=f"send {name}") from None

    def section(self, name: str) -> Json:
        """A part of the body that is an object; {} where it is absent. InvalidInput: it is something else."""
        found = self.body.get(name) or {}
        if not isinstance(found, dict):
            raise InvalidInput(f"{name} is not an object", where="request body", fix="send a JSON object")
        return found

    def only(self, *names: str) -> None:
        """InvalidInput: the body asks for something beside these, which is not simulated."""
        if unknown := sorted(set(self.body) - set(names)):
            raise InvalidInput(f"{', '.join(unknown)} is not simulated", where="request body", fix=f"send {names}")


class Row(NamedTuple):
    """One line of an API's table: path, what answers there, method."""

    path: str
    handler: Callable[[Call], Answer]
    method: str = "GET"


def api(rows: list[Row], refusal: Refusal, throttle: Throttle, account_of: Callable[[Call], str]) -> Starlette:
    """An API of these rows whose every error, an unknown path too, is written by `refusal`.

    Any signature passes, but some Authorization header must be there; the account that a call counts for is throttled.
    """

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ContinuumError)
        answer = refusal(error)
        if isinstance(error, Throttled):
            answer.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        return answer

    async def unknown(request: Request, _: Exception) -> Response:
        return refusal(NotFound(f"{request.method} {request.url.path} is not simulated"))

    def route(row: Row) -> Route:
        async def endpoint(request: Request) -> Response:
            if "authorization" not in request.headers:
                raise Unauthorized(
                    "no Authorization header", where=request.url.path, fix="sign the request; any key will do"
                )
            call = Call(request, _parsed(await request.body()))
            throttle.admit(account_of(call), call.method)
            answer = row.handler(call)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return Route(row.path, endpoint, methods=[row.method])

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        ContinuumError: refused,
        404: unknown,
        405: unknown,
    }
    return Starlette(routes=[route(row) for row in rows], exception_handlers=handlers)


def said(error: ContinuumError) -> str:
    """The words of a refusal, in one line: the cloud's own where it has some."""
    return error.what if isinstance(error, (CloudRefused, Throttled)) else str(error)


def _parsed(raw: bytes) -> Json:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise InvalidInput("the body is not JSON", where="request") from None
    if not isinstance(body, dict):
        raise InvalidInput("the body is not a JSON object", where="request")
    return body
