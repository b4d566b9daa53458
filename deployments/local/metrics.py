"""The simulated Prometheus: its HTTP API over the world's series, as a Starlette sub-app."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from blocks.errors import InvalidInput, Refused
from deployments.local.faults.fault import Fault
from deployments.local.faults.samples import ReadyNodes, SampleFaults
from deployments.local.promql import Row, Selector, evaluate, parse, parse_duration
from deployments.local.scrapes import Scrapes
from deployments.local.world import World

MAX_POINTS = 11_000

Params = dict[str, list[str]]
Handler = Callable[[Scrapes, Params], Any]


def prometheus_app(
    world: World, ready_nodes: ReadyNodes, token: str | None = None, faults: Iterable[Fault] = ()
) -> Starlette:
    """The API to mount (at `/prometheus`); every path but the health checks asks for the bearer `token` when given.

    `ready_nodes(cluster, pool)` is asked at the moment of each query. Answers, errors and limits have Prometheus 2's
    own form; `time` defaults to the simulated present. `faults` may disturb the series.
    """
    disturbed = SampleFaults(world.fleet, faults)
    scrapes = Scrapes(world, disturbed.frozen(ready_nodes), disturbed)
    both, get = ["GET", "POST"], ["GET"]
    table: list[tuple[str, Handler, list[str]]] = [
        ("/api/v1/query", _query, both),
        ("/api/v1/query_range", _query_range, both),
        ("/api/v1/labels", _label_names, both),
        ("/api/v1/label/{label}/values", _label_values, get),
        ("/api/v1/series", _series, both),
        ("/api/v1/status/buildinfo", _buildinfo, get),
    ]
    routes = [Route(path, _endpoint(handler, scrapes, token), methods=methods) for path, handler, methods in table]
    health = [Route(path, _healthy, methods=get) for path in ("/-/healthy", "/-/ready")]
    return Starlette(routes=routes + health)


def _endpoint(handler: Handler, scrapes: Scrapes, token: str | None) -> Callable[[Request], Any]:
    expected = f"Bearer {token}".encode()

    async def endpoint(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if token is not None and not secrets.compare_digest(given, expected):
            return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": "Bearer"})
        try:
            data = handler(scrapes, await _params(request))
        except InvalidInput as error:
            return _failure(400, "bad_data", error.what, error.fix)
        except Refused as error:
            return _failure(422, "execution", error.what, error.fix)
        except RecursionError:
            return _failure(400, "bad_data", 'invalid parameter "query": nested too deeply', "use fewer operators")
        return _json(200, {"status": "success", "data": data})

    return endpoint


def _failure(status: int, kind: str, what: str, fix: str) -> Response:
    return _json(status, {"status": "error", "errorType": kind, "error": f"{what}; {fix}" if fix else what})


def _json(status: int, body: Any) -> Response:
    return Response(json.dumps(body, separators=(",", ":")), status, media_type="application/json")


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("The simulated Prometheus is healthy.\n")


async def _params(request: Request) -> Params:
    """Form fields first, then those of the URL, as Go's `FormValue` reads them; path parameters beside them."""
    params: Params = {name: [value] for name, value in request.path_params.items()}
    kind = request.headers.get("content-type", "").partition(";")[0]
    form = (await request.body()).decode(errors="replace") if kind == "application/x-www-form-urlencoded" else ""
    for source in (form, request.url.query):
        for name, values in parse_qs(source, keep_blank_values=True).items():
            params.setdefault(name, []).extend(values)
    return params


def _query(scrapes: Scrapes, params: Params) -> Any:
    at_s = _time(params, "time", scrapes.now_s())
    expression = _parsed(params, "query")
    result = _evaluated(expression, scrapes, np.array([at_s]))
    if isinstance(result, np.ndarray):
        return {"resultType": "scalar", "result": [_timestamp(at_s), _number(float(result[0]))]}
    rows = [{"metric": _metric(row), "value": [_timestamp(at_s), _number(float(row.values[0]))]} for row in result]
    return {"resultType": "vector", "result": rows}


def _query_range(scrapes: Scrapes, params: Params) -> Any:
    start_s, end_s, step_s = _time(params, "start"), _time(params, "end"), _step(params)
    if end_s < start_s:
        raise _invalid("end", "end timestamp must not be before start time")
    if step_s <= 0:
        raise _invalid("step", "zero or negative query resolution step widths are not accepted. Try a positive integer")
    points = round((end_s - start_s) * 1000) // round(step_s * 1000)  # whole milliseconds: 0.3 holds 0.1 three times
    if points > MAX_POINTS:
        raise InvalidInput(
            "exceeded maximum resolution of 11,000 points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    expression = _parsed(params, "query")
    steps = np.round(start_s + step_s * np.arange(points + 1), 3)
    result = _evaluated(expression, scrapes, steps)
    if isinstance(result, np.ndarray):
        result = [Row({}, result, np.ones(steps.size, dtype=bool))]
    return {
        "resultType": "matrix",
        "result": [{"metric": _metric(row), "values": _points(row, steps)} for row in result],
    }


def _points(row: Row, steps: np.ndarray) -> list[list[Any]]:
    times, values = steps[row.present].tolist(), row.values[row.present].tolist()
    return [[_timestamp(at_s), _number(value)] for at_s, value in zip(times, values, strict=True)]


def _series(scrapes: Scrapes, params: Params) -> Any:
    if not params.get("match[]"):
        raise InvalidInput("no match[] parameter provided")
    return _matched(scrapes, params)


def _label_names(scrapes: Scrapes, params: Params) -> Any:
    return sorted({label for labels in _matched(scrapes, params) for label in labels})


def _label_values(scrapes: Scrapes, params: Params) -> Any:
    label = params["label"][0]
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", label):
        raise InvalidInput(f'invalid label name: "{label}"')
    return sorted({labels[label] for labels in _matched(scrapes, params) if label in labels})


def _buildinfo(_: Scrapes, __: Params) -> Any:
    empty = dict.fromkeys(("branch", "buildUser", "buildDate", "goVersion"), "")
    return {"version": "2.42.0+simulated", "revision": "simulated", **empty}


def _matched(scrapes: Scrapes, params: Params) -> list[dict[str, str]]:
    """Labels of every series that fits any `match[]` (all series without one), once each, sorted."""
    start_s, end_s = _time(params, "start", -math.inf), _time(params, "end", math.inf)
    selectors = []
    for text in params.get("match[]", []):
        selector = _parsed({"match[]": [text]}, "match[]")
        if not isinstance(selector, Selector) or selector.range_s is not None:
            raise _invalid("match[]", "it must be an instant vector selector")
        selectors.append(selector.matchers)
    found = [labels for matchers in selectors or [()] for labels in scrapes.labels(matchers, start_s, end_s)]
    return [dict(labels) for labels in sorted({tuple(sorted(labels.items())) for labels in found})]


def _invalid(name: str, what: str, fix: str = "") -> InvalidInput:
    return InvalidInput(f'invalid parameter "{name}": {what}', fix=fix)


def _parsed(params: Params, name: str) -> Any:
    try:
        return parse(params.get(name, [""])[0])
    except InvalidInput as error:
        raise _invalid(name, error.what, error.fix) from error


def _evaluated(expression: Any, scrapes: Scrapes, steps: np.ndarray) -> np.ndarray | list[Row]:
    try:
        return evaluate(expression, scrapes, steps)
    except InvalidInput as error:
        raise _invalid("query", error.what, error.fix) from error


def _time(params: Params, name: str, default: float | None = None) -> float:
    """Seconds since 1970 of a number or an RFC 3339 time, to the millisecond."""
    text = params.get(name, [""])[0]
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        value = at.timestamp() if at is not None and at.tzinfo is not None else math.nan
    if not math.isfinite(value):
        raise _invalid(name, f'cannot parse "{text}" to a valid timestamp')
    return round(value, 3)


def _step(params: Params) -> float:
    text = params.get("step", [""])[0]
    try:
        value = parse_duration(text) if text[-1:].isalpha() else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _invalid("step", f'cannot parse "{text}" to a valid duration')
    return round(value, 3)


def _metric(row: Row) -> dict[str, str]:
    return dict(sorted(row.labels.items()))


def _timestamp(at_s: float) -> float | int:
    return int(at_s) if at_s == int(at_s) else at_s


def _number(value: float) -> str:
    """A sample as Prometheus writes it: the shortest text that reads back the same, never with an exponent.

    >>> [_number(value) for value in (1.0, 0.1, 1e-07, float("nan"), float("-inf"))]
    ['1', '0.1', '0.0000001', 'NaN', '-Inf']
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        return format(Decimal(text), "f")
    return text.removesuffix(".0")
