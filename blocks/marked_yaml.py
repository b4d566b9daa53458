"""YAML read into plain data that remembers where each field stands, with every mistake named and no surprise inside.

Scalars follow YAML 1.2: only `true` and `false` are booleans and only decimal digits are numbers, because
the older rules turn the grid zone `NO` into False and `12:30` into 750. Tags are refused, aliases and `<<`
work within limits, so a small file cannot unfold into a huge one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from blocks.fleet_checks import Path

MAX_DEPTH = 50
MAX_NODES = 2_000_000

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?")
_QUOTED = re.compile(r"'[^'<]{2,}'")  # a parser's message may quote what could be part of a secret

Place = tuple[int, int]  # line and column, both from 1


@dataclass(frozen=True)
class Mistake:
    """Something YAML itself does not allow, or that we refuse: where, what, how to mend it."""

    place: Place
    problem: str
    fix: str


@dataclass
class Node:
    """A scalar, list or mapping of the file, with the place of its value and of each key."""

    place: Place
    value: Any
    size: int = 1
    height: int = 0
    keys: dict[str, Place] = field(default_factory=dict)

    def data(self) -> Any:
        """The same as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value

    def locate(self, path: Path) -> Place:
        """Line and column of a field; for one that is absent, of the nearest thing around it."""
        place, node = self.place, self
        for key in path:
            if isinstance(key, str) and isinstance(node.value, dict) and key in node.value:
                place, node = node.keys[key], node.value[key]
            elif isinstance(key, int) and isinstance(node.value, list) and key < len(node.value):
                node = node.value[key]
                place = node.place
            else:
                break
        return place


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    merges: list[Node] = field(default_factory=list)


def read_yaml(text: str) -> tuple[Node | None, list[Mistake]]:
    """The document as nodes, and all its mistakes; no nodes where it is empty or cannot be parsed to its end."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_loader()):
            builder.take(event)
    except yaml.YAMLError as error:
        return None, builder.mistakes + (_tabs(text) or [_syntax(error, text)])
    except _TooMuch as error:
        return None, [*builder.mistakes, error.mistake]
    return builder.root, builder.mistakes


def _tabs(text: str) -> list[Mistake]:
    """Every tab that indents a line: looked for only in a file that is no YAML, since PromQL may be indented so."""
    return [
        Mistake((number, line.index("\t") + 1), "a tab in the indentation", "use spaces")
        for number, line in enumerate(text.splitlines(), 1)
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip()
    ]


def _loader() -> Any:
    """The C parser where PyYAML was built with it: ten times as fast."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TooMuch(Exception):
    """The document is too deep, too large, or unfolds into itself: reading stops."""

    def __init__(self, mistake: Mistake) -> None:
        self.mistake = mistake
        super().__init__(mistake.problem)


def _too_deep(place: Place) -> _TooMuch:
    return _TooMuch(Mistake(place, f"nested deeper than {MAX_DEPTH} levels", "a fleet has 6 levels"))


class _Builder:
    """Turns the parser's events into nodes without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.mistakes: list[Mistake] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0
        self._take: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: lambda event: self._start(event, {}),
            yaml.SequenceStartEvent: lambda event: self._start(event, []),
            yaml.MappingEndEvent: lambda _: self._end(),
            yaml.SequenceEndEvent: lambda _: self._end(),
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: yaml.Event) -> None:
        """Use one event of the parser."""
        if use := self._take.get(type(event)):
            use(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _TooMuch(Mistake(_place(event), "a second document starts here", "keep one document a file"))

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        quoted = bool(event.style)  # None or "" is plain, by the parser used
        node = Node(_place(event), event.value if quoted else _plain(event.value))
        top = self._open[-1] if self._open else None
        if top and isinstance(top.node.value, dict) and top.key is None:
            self._key(top, event.value, node.place)
        else:
            self._add(node, event.anchor)

    def _key(self, top: _Open, key: str, place: Place) -> None:
        if key in top.node.keys and key != "<<":
            first = top.node.keys[key][0]
            self.mistakes.append(
                Mistake(place, f"the key `{key:.40}` is already at line {first}", "keep one of the two")
            )
        top.key = key
        top.node.keys[key] = place

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _TooMuch(Mistake(_place(event), "an alias (`*`) of nothing", "define it with `&`, or quote the text"))
        top = self._open[-1] if self._open else None
        if top and isinstance(top.node.value, dict) and top.key is None:
            raise _TooMuch(Mistake(_place(event), "an alias (`*`) as a key", "write the key out"))
        if any(each.node is node for each in self._open):
            raise _TooMuch(Mistake(_place(event), "an alias inside of what it repeats", "write it out"))
        self._add(node, None)

    def _start(self, event: Any, value: Any) -> None:
        self._refuse_tag(event)
        node = Node(_place(event), value)
        top = self._open[-1] if self._open else None
        if top and isinstance(top.node.value, dict) and top.key is None:
            raise _TooMuch(Mistake(node.place, "a list or mapping as a key", "use text as the key"))
        if len(self._open) >= MAX_DEPTH:
            raise _too_deep(node.place)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        for merged in done.merges:  # explicit keys win over `<<`, earlier merges over later ones
            for key, node in merged.value.items():
                done.node.value.setdefault(key, node)
                done.node.keys.setdefault(key, merged.keys[key])
        done.node.keys.pop("<<", None)
        self._add(done.node, None)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if top.node.height > MAX_DEPTH:
            raise _too_deep(node.place)
        if top.node.size > MAX_NODES:
            raise _TooMuch(Mistake(node.place, f"it unfolds into more than {MAX_NODES} values", "remove the aliases"))
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.key == "<<":
            self._merge(top, node)
        elif top.key is not None:
            top.node.value[top.key] = node
        top.key = None

    def _merge(self, top: _Open, node: Node) -> None:
        parts = node.value if isinstance(node.value, list) else [node]
        if all(isinstance(part.value, dict) for part in parts):
            top.merges.extend(parts)
        else:
            self.mistakes.append(Mistake(node.place, "`<<` of something that is no mapping", "give it an alias of one"))

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self.mistakes.append(Mistake(_place(event), "a YAML tag (`!`)", "remove it, or quote the text"))


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _plain(text: str) -> Any:
    """The value of an unquoted scalar, by YAML 1.2's core rules without octal and hexadecimal."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _syntax(error: yaml.YAMLError, text: str) -> Mistake:
    """Our words for the parser's: it names the place, and never shows the line itself, which may hold a secret."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        place = (mark.line + 1, mark.column + 1)
    elif isinstance(position, int):
        place = (text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
    else:
        place = (1, 1)
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    if "nesting depth" in str(words):  # the scanner runs ahead of the events that are counted here
        return _too_deep(place).mistake
    fix = "check the indentation, the `:` and the quotes of this line and the one above"
    return Mistake(place, f"no valid YAML: {_QUOTED.sub('...', str(words))}", fix)
