"""A draft as the text of a fleet.yaml, each doubtful value with its `# check:`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from blocks.fleet_checks import Path
from blocks.sightings import Skipped
from tasks.inventory.decide import Draft

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
# Words that YAML 1.1 or 1.2 readers take for something other than text.
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def fleet_text(draft: Draft, skipped: Sequence[Skipped], found_at: str) -> str:
    """The file: what was found when, what was passed over, then the fleet.

    found_at: the time of the discovery, for people.
    """
    head = [
        f"# Written by `continuum fleet discover`, {found_at}.",
        "# Look at every `# check:`, then run `continuum fleet validate` on this file.",
    ]
    head += [f"# check: passed over {each.source}: {_comment(each.reason)}" for each in skipped]
    head += [f"# check: left out {_comment(reason)}" for reason in draft.left_out]
    return "\n".join([*head, *_mapping(draft.data, (), draft, "")]) + "\n"


def scalar(value: Any) -> str:
    """A scalar that every YAML reader takes for the same value.

    >>> scalar("eu-west-1"), scalar("NO"), scalar("3920m"), scalar(True), scalar(None)
    ('eu-west-1', '"NO"', '"3920m"', 'true', 'null')
    """
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else '"' + "".join(map(_escaped, value)) + '"'
    return json.dumps(value)


def _escaped(letter: str) -> str:
    """A letter inside of double quotes; JSON's way of writing letters beyond U+FFFF is no YAML."""
    if letter in '"\\':
        return "\\" + letter
    if " " <= letter <= "~":
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) <= 0xFFFF else f"\\U{ord(letter):08x}"


def _mapping(data: dict[str, Any], path: Path, draft: Draft, indent: str) -> Iterator[str]:
    for key, value in data.items():
        at = (*path, key)
        mark = f"  # check: {_comment(draft.checks[at])}" if at in draft.checks else ""
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:{mark}"
            yield from _mapping(value, at, draft, indent + "  ")
        elif isinstance(value, list) and value:
            yield f"{indent}{key}:{mark}"
            for index, item in enumerate(value):
                first, *rest = _mapping(item, (*at, index), draft, indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        elif isinstance(value, str) and _is_block(value):
            yield f"{indent}{key}: |{mark}"
            yield from (f"{indent}  {line}" for line in value.splitlines())
        else:
            yield f"{indent}{key}: {scalar(value) if value not in ([], {}) else json.dumps(value)}{mark}"


def _is_block(text: str) -> bool:
    """Whole lines that a block can hold: such as a query, not a control character."""
    return text.endswith("\n") and bool(text.strip()) and all(line.isprintable() for line in text[:-1].split("\n"))


def _comment(text: str) -> str:
    """One line that ends no comment."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
