"""Request bodies: JSON, YAML and the little protobuf that kubectl sends; and what a client accepts."""

from __future__ import annotations

import json
from typing import Any

import yaml

from deployments.local.kubernetes import protobuf, status
from deployments.local.kubernetes.decoding import DecodeError, DuplicateField, decode, parse_json, parse_strictly
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.schemas import parse

Json = dict[str, Any]

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
SERVED = (JSON, YAML)
MERGE, STRATEGIC, JSON_PATCH, APPLY = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)
PATCH_TYPES = {MERGE: "merge", STRATEGIC: "strategic", JSON_PATCH: "json", APPLY: "apply"}


class _Loader(yaml.SafeLoader):
    """YAML as the server reads it: what looks like a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _yaml(raw: bytes) -> Any:
    """YAML as JSON: through JSON and back, so that keys are strings and nothing is left that JSON has not."""
    try:
        return parse_json(json.dumps(yaml.load(raw, _Loader)))  # a safe loader with fewer types  # nosec B506
    except TypeError as error:
        raise ValueError(f"no JSON: {error}") from error


def media_type(header: str) -> str:
    """A Content-Type without its parameters; JSON when there is none."""
    return header.partition(";")[0].strip().lower() or JSON


def parsed(raw: bytes, content_type: str, kind: Kind, *, strict: bool = False) -> Any:
    """A body's object.

    Raises
    ------
    StatusError: 400 when it does not parse, 415 in a format that is not taken.
    """
    form = media_type(content_type)
    if form == PROTOBUF:
        return protobuf.decode(raw)
    if form not in (JSON, YAML):
        raise status.unsupported_media_type((JSON, YAML, PROTOBUF))
    what = f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind"
    try:
        if form == YAML:
            found = _yaml(raw)
        else:
            found = parse_strictly(raw) if strict else parse_json(raw)
    except DuplicateField as error:
        raise status.undecodable(kind, f"strict decoding error: {error}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise status.bad_request(f"{what}; parse error: {error}") from error
    if not isinstance(found, dict):
        raise status.bad_request(f"{what}; parse error: the body is no object")
    return found


def parsed_patch(raw: bytes, form: str) -> Any:
    """A patch: any JSON, or YAML for server-side apply.

    Raises
    ------
    StatusError: 400 when it does not parse.
    """
    try:
        found = _yaml(raw) if form == APPLY else parse_json(raw)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise status.bad_request(f"error decoding patch: {error}") from error
    if form != JSON_PATCH and not isinstance(found, dict):
        raise status.bad_request("error decoding patch: the patch is no object")
    return found


def optional(raw: bytes, content_type: str) -> Json:
    """A body that may be left out: DeleteOptions.

    Raises
    ------
    StatusError: 400 when there is one and it does not parse.
    """
    if not raw.strip():
        return {}
    kind = Kind("", "v1", "", "DeleteOptions")
    return typed(kind, dict(parsed(raw, content_type, kind)))


def typed(kind: Kind, body: Json) -> Json:
    """A body in the shape of a kind that is not stored.

    Raises
    ------
    StatusError: 400, it has another shape.
    """
    try:
        fields = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
        return dict(decode(fields, parse(kind.kind)))
    except DecodeError as error:
        raise status.undecodable(kind, str(error)) from error


_SHAPES = {
    "": "json",
    "as=Table": "table",
    "as=PartialObjectMetadata": "metadata",
    "as=PartialObjectMetadataList": "metadata",
}


def accepted(header: str) -> str:
    """The format to answer in: `json`, `yaml`, `table` or `metadata`, the first that the client names and we have.

    Raises
    ------
    StatusError: 406.
    """
    for entry in (header or "*/*").split(","):
        form, *parameters = (part.strip() for part in entry.split(";"))
        if form in (JSON, "*/*", "application/*"):
            shape = next((part for part in parameters if part.startswith("as=")), "")
            if shape in _SHAPES:
                return _SHAPES[shape]
        elif form == YAML:
            return "yaml"
    raise status.not_acceptable(SERVED)
