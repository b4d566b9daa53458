"""Does a server keep to the Open Inference Protocol v2, and where does it differ: what was asked, what came, quirks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from blocks.errors import ContinuumError, InvalidInput
from blocks.http import excerpt
from blocks.inference import InferenceEndpoint, Reply, checked, model_path, outputs_of, ready_path
from blocks.tensors import DTYPES, Tensor, encode

UNKNOWN = "continuum-probe-no-such-model"


class Check(NamedTuple):
    """One question. `ok`: False breaks the protocol's core; None was not asked. `quirk`: what a client must know."""

    name: str
    asked: str
    got: str
    ok: bool | None
    quirk: str = ""


def probe(endpoint: InferenceEndpoint, model: str = "", *, load: bool = False, metrics: str = "metrics") -> list[Check]:
    """Ask everything; nothing changes on the server unless `load`, which puts the model back as it was found.

    The core is health, server metadata, a 4xx or 5xx for an unknown model and, with a `model`, its readiness, metadata
    and JSON inference. Extensions (repository, binary tensors, metrics) and odd statuses are quirks.

    Raises
    ------
    ContinuumError: the server cannot be reached at all.
    """
    endpoint.exchange("GET", "v2/health/live")
    checks = [*_server(endpoint, metrics)]
    if not model:
        return [*checks, Check("model", "", "", None, "not asked: no model was named")]
    found = load and endpoint.exchange("GET", ready_path(model)).status == 200
    if load and not found:
        checks.append(_changes(endpoint, model, "load"))
    checks += _model(endpoint, model)
    if not load:
        return checks
    checks.append(_changes(endpoint, model, "unload"))
    if not checks[-1].quirk:
        checks.append(_after_unload(endpoint, model))
    if found:
        again = _changes(endpoint, model, "load")
        checks.append(again._replace(ok=False, quirk="the model may be left unloaded") if again.quirk else again)
    return checks


def conforms(checks: Iterable[Check]) -> bool:
    """Whether no check of the core failed."""
    return all(check.ok is not False for check in checks)


def _server(endpoint: InferenceEndpoint, metrics: str) -> Iterator[Check]:
    for name in ("live", "ready"):
        yield _ask(endpoint, name, "GET", f"v2/health/{name}", b"", _success)
    yield _ask(endpoint, "server metadata", "GET", "v2", b"", _named)
    yield _ask(endpoint, "unknown model", "GET", ready_path(UNKNOWN), b"", _unknown)
    yield _ask(endpoint, "repository index", "POST", "v2/repository/index", b"{}", _index)
    yield _ask(endpoint, "metrics", "GET", metrics, b"", _metrics)


def _model(endpoint: InferenceEndpoint, model: str) -> Iterator[Check]:
    yield _ask(endpoint, "model ready", "GET", ready_path(model), b"", _success)
    described: dict[str, Any] = {}

    def keep(reply: Reply) -> tuple[bool, str]:
        verdict = _named(reply)
        described.update(json.loads(reply.body) if verdict[0] else {})
        return (True, "no inputs in the metadata: the client must know them") if _none(described) else verdict

    yield _ask(endpoint, "model metadata", "GET", model_path(model), b"", keep)
    path = f"{model_path(model)}/infer"
    try:
        inputs = _zeros(described)
    except InvalidInput as error:
        yield Check("infer", f"POST {path}", "", None, f"not asked: {error.what}")
        return
    asked = {"infer": (inputs, "1", False, _infers), "infer binary": (inputs, "1", True, _infers_binary),
             "infer without id": (inputs, "", False, _without_id),
             "infer bad shape": (_misshapen(inputs), "1", False, _bad_shape)}  # fmt: skip
    for name, (tensors, request_id, binary, judge) in asked.items():
        body, headers = encode(tensors, request_id, binary=binary)
        yield _ask(endpoint, name, "POST", path, body, judge, headers)


def _ask(
    endpoint: InferenceEndpoint, name: str, method: str, path: str, body: bytes,
    judge: Callable[[Reply], tuple[bool, str]], headers: dict[str, str] | None = None,
) -> Check:  # fmt: skip
    asked = f"{method} {path if '://' in path else '/' + path}"
    try:
        reply = endpoint.exchange(method, path, body, headers)
    except ContinuumError as error:
        optional = judge in (_index, _metrics)
        return Check(name, asked, error.what, optional, "not served" if optional else "")
    try:
        ok, quirk = judge(reply)
    except ContinuumError as error:
        ok, quirk = False, error.what
    said = excerpt(reply.body, 60) if reply.status >= 300 else ""
    return Check(name, asked, f"{reply.status} {said}".strip(), ok, quirk)


def _success(reply: Reply) -> tuple[bool, str]:
    checked(reply, "")
    html = reply.body.lstrip()[:1] == b"<"
    return not html, "an HTML page" if html else ""


def _named(reply: Reply) -> tuple[bool, str]:
    checked(reply, "")
    try:
        document = json.loads(reply.body)
    except ValueError:
        return False, f"not JSON: {excerpt(reply.body, 60)}"
    named = isinstance(document, dict) and bool(document.get("name"))
    return named, "" if named else "no `name`"


def _unknown(reply: Reply) -> tuple[bool, str]:
    if reply.status < 300:
        return False, "an unknown model is ready"
    return True, "" if reply.status == 404 else f"{reply.status} where others say 404"


def _index(reply: Reply) -> tuple[bool, str]:
    try:
        listed = reply.status == 200 and isinstance(json.loads(reply.body), list)
    except ValueError:
        listed = False
    return True, "" if listed else "no repository index: models cannot be listed"


def _metrics(reply: Reply) -> tuple[bool, str]:
    text = reply.status == 200 and reply.body.lstrip()[:1] not in (b"<", b"{")
    return True, "" if text else "no metrics here: Triton and MLServer have a port of their own (8002, 8082)"


def _infers(reply: Reply) -> tuple[bool, str]:
    outputs = outputs_of(checked(reply, ""), "")
    return bool(outputs), "" if outputs else "no outputs"


def _infers_binary(reply: Reply) -> tuple[bool, str]:
    try:
        return True, "" if _infers(reply)[0] else "no outputs"
    except ContinuumError:
        return True, "no binary tensors: send JSON"


def _without_id(reply: Reply) -> tuple[bool, str]:
    return True, "" if reply.status == 200 else "a request must have an `id`"


def _bad_shape(reply: Reply) -> tuple[bool, str]:
    if reply.status < 300:
        return True, "takes a wrong shape: check shapes before sending"
    return True, f"{reply.status} for a wrong shape: it is no failure of the server" if reply.status >= 500 else ""


def _changes(endpoint: InferenceEndpoint, model: str, verb: str) -> Check:
    asked = f"POST /v2/repository/models/{model}/{verb}"
    try:
        (endpoint.load if verb == "load" else endpoint.unload)(model)
    except ContinuumError as error:
        return Check(verb, asked, error.what, True, f"cannot {verb} models")
    return Check(verb, asked, "done", True)


def _after_unload(endpoint: InferenceEndpoint, model: str) -> Check:
    def judge(reply: Reply) -> tuple[bool, str]:
        if reply.status == 200:
            return True, "still ready after an unload"
        return True, "" if reply.status == 404 else f"{reply.status} where others say 404"

    return _ask(endpoint, "ready after unload", "GET", ready_path(model), b"", judge)


def _none(described: dict[str, Any]) -> bool:
    return bool(described) and not described.get("inputs")


def _zeros(described: dict[str, Any]) -> dict[str, Tensor]:
    """One row of zeros (empty text for BYTES) for every input; an open length (-1) is 1."""
    if not described.get("inputs"):
        raise InvalidInput("the metadata names no inputs")
    try:
        return {
            str(each["name"]): np.full([1 if int(n) < 0 else int(n) for n in each["shape"]],
                                       "" if each["datatype"] == "BYTES" else 0, DTYPES[each["datatype"]])
            for each in described["inputs"]
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, MemoryError, AttributeError):
        raise InvalidInput("the inputs of the metadata have no known name, shape or datatype") from None


def _misshapen(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: np.zeros((1, 1, 1, 3, 7), tensor.dtype) for name, tensor in inputs.items()}
