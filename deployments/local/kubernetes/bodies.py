"""Request bodies: JSON, YAML and the little protobuf that kubectl sends; and what a client accepts."""

from __future__ import annotations

import json
from typing import Any

import yaml

from deployments.local.kubernetes import protobuf, status
from deployments.local.kubernetes.decoding import DuplicateField, parse_strictly
from deployments.local.kubernetes.kinds import Kind

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
            found = yaml.safe_load(raw)
        else:
            found = parse_strictly(raw) if strict else json.loads(raw)
    except DuplicateField as error:
        raise status.undecodable(kind, f"strict decoding error: {error}") from error
    except (ValueError, yaml.YAMLError) as error:
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
        found = yaml.safe_load(raw) if form == APPLY else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise status.bad_request(f"error decoding patch: {error}") from error
    if form != JSON_PATCH and not isinstance(found, dict):
        raise status.bad_request("error decoding patch: the patch is no object")
    return found


def optional(raw: bytes, content_type: str) -> Json:
    """A body that may be left out, such as DeleteOptions.

    Raises
    ------
    StatusError: 400 when there is one and it does not parse.
    """
    if not raw.strip():
        return {}
    return dict(parsed(raw, content_type, Kind("", "v1", "", "DeleteOptions")))


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
