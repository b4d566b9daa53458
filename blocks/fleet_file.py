"""fleet.yaml at the door: every mistake at once, each with its line, field and fix; then the fleet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from blocks import fleet_checks as checks
from blocks.errors import InvalidInput
from blocks.fleet import Fleet
from blocks.fleet_words import translate
from blocks.marked_yaml import read_yaml

MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file. `line` and `column` count from 1; both are 0 where the file cannot be opened."""

    file: str
    line: int
    column: int
    field: str
    problem: str
    fix: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f"{place} {self.field}" if self.field else place
        return f"{where}: {self.problem}. To mend it: {self.fix}"

    def as_json(self) -> dict[str, object]:
        """The same as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class FleetFile:
    """What a file says: the fleet, or None where `problems` holds an error; warnings leave the fleet usable."""

    fleet: Fleet | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """The problems that make the file unusable."""
        return [problem for problem in self.problems if problem.severity == "error"]


def load_fleet(path: Path | str) -> Fleet:
    """The fleet of a fleet.yaml.

    Raises
    ------
    InvalidInput: the file cannot be read or is not right; the first error is told in full, the others are counted.
    """
    read = read_fleet(path)
    if read.fleet is not None:
        return read.fleet
    first, *others = read.errors
    more = f" ({len(others)} more: `continuum fleet validate {path}` shows all)" if others else ""
    where = f"{first.file}:{first.line} {first.field}".strip() if first.line else first.file
    raise InvalidInput(first.problem, where=where, fix=first.fix + more)


def read_fleet(path: Path | str) -> FleetFile:
    """Read and check a fleet.yaml; nothing is raised, every problem is in the answer, in the order of the file."""
    file = str(path)
    try:
        with Path(path).open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return FleetFile(None, (Problem(file, 0, 0, "", f"cannot be read: {reason}", "check the path"),))
    if len(raw) > MAX_BYTES:
        fix = "split the fleet, or check that this is a fleet.yaml"
        return FleetFile(None, (Problem(file, 0, 0, "", f"is larger than {MAX_BYTES // 2**20} MiB", fix),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        return FleetFile(None, (Problem(file, line, column, "", "is not UTF-8", "save the file as UTF-8"),))
    return check_text(text, file)


def check_text(text: str, file: str) -> FleetFile:
    """Check the text of a fleet.yaml; `file` is the name told in the problems."""
    root, mistakes = read_yaml(text)
    problems = [Problem(file, *each.place, "", _printable(each.problem), each.fix) for each in mistakes]
    if not problems and (root is None or root.value is None):
        fix = "start with `continuum fleet discover`, or copy deployments/kubernetes/fleet.example.yaml"
        problems.append(Problem(file, 1, 1, "", "is empty", fix))
    elif root is not None:
        fleet, found = _check_data(root.data())
        problems += [Problem(file, *root.locate(each.path), *_told(each), each.severity) for each in found]
        problems.sort(key=lambda problem: (problem.line, problem.column))
        if fleet is not None and not any(problem.severity == "error" for problem in problems):
            return FleetFile(fleet, tuple(problems))
    return FleetFile(None, tuple(problems))


def fleet_of(data: object, source: str) -> Fleet:
    """The fleet of plain data such as a stored block's, checked as a file is.

    Raises
    ------
    InvalidInput: as `load_fleet`; `source` names where the data came from.
    """
    fleet, found = _check_data(data)
    errors = [each for each in found if each.severity == "error"]
    if fleet is not None and not errors:
        return fleet
    field, problem, fix = _told(errors[0])
    more = f" ({len(errors) - 1} more)" if errors[1:] else ""
    raise InvalidInput(problem, where=f"{source} {field}".strip(), fix=fix + more)


def _printable(text: str) -> str:
    """`text` as one line: a key from the file may hold control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _told(found: checks.Finding) -> tuple[str, str, str]:
    return _printable(checks.field_path(found.path)), _printable(found.problem), _printable(found.fix)


def fleet_schema() -> dict[str, Any]:
    """JSON Schema of fleet.yaml, for editors and other tools."""
    schema = Fleet.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Continuum fleet.yaml"}


def _check_data(data: object) -> tuple[Fleet | None, list[checks.Finding]]:
    found = list(checks.all_findings(data))
    try:
        return Fleet.model_validate(data), found
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=True)
        return None, found + list(translate(details, found))
