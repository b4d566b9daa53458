"""Label and field selectors: parsed once, asked often."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]
Match = Callable[[Json], bool]

_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_TOKEN = re.compile(r"\s*(?P<token>==|!=|=|!|,|\(|\)|>|<|[^\s,()=!<>]+)")


class Requirement(NamedTuple):
    """One condition on labels: a key, an operator (In, NotIn, Exists, DoesNotExist, Gt, Lt), its values."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: dict[str, str]) -> bool:
        """Whether the labels meet it; NotIn also holds where the key is missing."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        if value is None or not value.lstrip("-").isdigit():
            return False
        bound = int(next(iter(self.values)))
        return int(value) > bound if self.operator == "Gt" else int(value) < bound


def matches(requirements: Iterable[Requirement], labels: dict[str, str]) -> bool:
    """Whether labels meet every requirement.

    >>> matches(parse_labels("tier in (gold,silver),zone!=z1"), {"tier": "gold"})
    True
    """
    for requirement in requirements:  # noqa: SIM110 - a generator for all() takes twice as long, and every pod is asked
        if not requirement.holds(labels):
            return False
    return True


def parse_labels(text: str) -> list[Requirement]:
    """Requirements of a label selector's text.

    Raises
    ------
    StatusError: 400, it does not parse.
    """
    return _LabelParser(text).parse()


class _LabelParser:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise _unparsed(f"unexpected {text[position]!r}")
            self._tokens.append(match["token"])
            position = match.end()

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._tokens:
            found.append(self._requirement())
            if self._tokens:
                self._expect(",")
                if not self._tokens:
                    raise _unparsed("found '', expected: identifier after ','")
        return found

    def _next(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise _unparsed(f"found '{found}', expected: '{token}'")

    def _requirement(self) -> Requirement:
        token = self._next()
        if token == "!":
            return Requirement(_label_key(self._next()), "DoesNotExist")
        key = _label_key(token)
        if not self._tokens or self._tokens[0] == ",":
            return Requirement(key, "Exists")
        operator = self._next()
        if operator in ("=", "==", "!="):
            return Requirement(key, "NotIn" if operator == "!=" else "In", frozenset([self._value()]))
        if operator in ("in", "notin"):
            return Requirement(key, "In" if operator == "in" else "NotIn", self._values())
        if operator in (">", "<"):
            bound = self._value()
            if not bound.lstrip("-").isdigit():
                raise _unparsed(f"{bound!r} is no integer")
            return Requirement(key, "Gt" if operator == ">" else "Lt", frozenset([bound]))
        raise _unparsed(f"found '{operator}', expected: =, !=, ==, in, notin")

    def _value(self) -> str:
        if not self._tokens or self._tokens[0] == ",":
            return ""
        return _label_value(self._next())

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values: set[str] = set()
        while True:
            if self._tokens and self._tokens[0] in (",", ")"):
                values.add("")
            else:
                values.add(_label_value(self._next()))
            if (token := self._next()) == ")":
                return frozenset(values)
            if token != ",":
                raise _unparsed(f"found '{token}', expected: ',' or ')'")


def _label_key(token: str) -> str:
    if not _LABEL_KEY.match(token):
        raise _unparsed(f"{token!r} is no label key")
    return token


def _label_value(token: str) -> str:
    if not _LABEL_VALUE.match(token):
        raise _unparsed(f"{token!r} is no label value")
    return token


def _unparsed(why: str) -> status.StatusError:
    return status.bad_request(f"unable to parse requirement: {why}")


def of_selector(selector: Json | None) -> list[Requirement] | None:
    """Requirements of a LabelSelector object; None (no selector) matches nothing, an empty one everything."""
    if selector is None:
        return None
    found = [Requirement(key, "In", frozenset([value])) for key, value in selector.get("matchLabels", {}).items()]
    for entry in selector.get("matchExpressions", ()):
        found.append(Requirement(entry["key"], entry["operator"], frozenset(entry.get("values", ()))))
    return found


def selects(selector: Json | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector object takes these labels.

    >>> selects({"matchLabels": {"app": "web"}}, {"app": "web"}), selects({}, {}), selects(None, {})
    (True, True, False)
    """
    requirements = of_selector(selector)
    return requirements is not None and matches(requirements, labels)


def as_text(selector: Json | None) -> str:
    """A LabelSelector object as a selector's text.

    >>> as_text({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]})
    'a=b,c'
    """
    words = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
    parts = [f"{key}={value}" for key, value in sorted(dig(selector, "matchLabels", default={}).items())]
    for entry in dig(selector, "matchExpressions", default=()):
        parts.append(words[entry["operator"]].format(entry["key"], ",".join(sorted(entry.get("values", ())))))
    return ",".join(parts)


def parse_fields(text: str, kind: Kind) -> list[tuple[tuple[str, ...], bool, str]]:
    """Path, whether it must be equal, and value of each part of a field selector.

    Raises
    ------
    StatusError: 400, the text does not parse or the kind has no such field to select by.
    """
    found = []
    for part in filter(None, text.split(",")):
        match = re.match(r"^(?P<path>[^=!]+)(?P<operator>!=|==|=)(?P<value>.*)$", part)
        if match is None:
            raise status.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path = match["path"].strip()
        if path not in ("metadata.name", "metadata.namespace", *kind.fields):
            raise status.bad_request(f"field label not supported: {path}")
        found.append((tuple(path.split(".")), match["operator"] != "!=", match["value"].strip()))
    return found


def _field(obj: Json, path: tuple[str, ...]) -> str:
    value = dig(obj, *path, default="")
    if path == ("source",):
        return str(dig(obj, "source", "component", default=""))
    if path == ("spec", "unschedulable"):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value).lower()


class Selection(NamedTuple):
    """Which objects a list or a watch wants."""

    namespace: str | None
    labels: list[Requirement]
    fields: list[tuple[tuple[str, ...], bool, str]]

    @property
    def filtered(self) -> bool:
        """Whether it wants less than all."""
        return bool(self.labels or self.fields)

    def takes(self, obj: Json) -> bool:
        """Whether it wants an object."""
        metadata = obj["metadata"]
        if self.namespace is not None and metadata.get("namespace", "") != self.namespace:
            return False
        if self.labels and not matches(self.labels, metadata.get("labels", {})):
            return False
        return all((_field(obj, path) == value) is equal for path, equal, value in self.fields)


def selection(kind: Kind, namespace: str | None, labels: str = "", fields: str = "") -> Selection:
    """What a request's selectors and namespace ask for.

    Raises
    ------
    StatusError: 400, a selector does not parse.
    """
    return Selection(namespace, parse_labels(labels), parse_fields(fields, kind))
