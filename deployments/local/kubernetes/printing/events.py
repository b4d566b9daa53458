"""Events: the one kind whose table does not begin with its name."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.printing.ages import since
from deployments.local.kubernetes.printing.columns import Column, field, shows
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]


def _first(event: Json, now_s: float) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now_s)


def _last(event: Json, now_s: float) -> str:
    text = dig(event, "series", "lastObservedTime") or event.get("lastTimestamp")
    return since(text, now_s) if text else _first(event, now_s)


def _object(event: Json) -> str:
    about = event["involvedObject"]
    return "/".join(part for part in (about.get("kind", "").lower(), about.get("name", "")) if part)


def _source(event: Json) -> str:
    component = dig(event, "source", "component") or event.get("reportingComponent", "")
    host = dig(event, "source", "host") or event.get("reportingInstance", "")
    return ", ".join(part for part in (component, host) if part)


COLUMNS: dict[str, list[Column]] = {
    "events": [
        Column("Last Seen", _last), field("Type", "type", default=""), field("Reason", "reason", default=""),
        shows("Object", _object), field("Subobject", "involvedObject", "fieldPath", default="", wide=True),
        shows("Source", _source, wide=True), shows("Message", lambda event: event.get("message", "").strip()),
        Column("First Seen", _first, wide=True),
        shows("Count", lambda event: dig(event, "series", "count") or event.get("count") or 1, wide=True),
        field("Name", "metadata", "name", wide=True),
    ],
}  # fmt: skip
