"""PromQL text to an expression tree, by recursive descent."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import NoReturn

from blocks.errors import InvalidInput
from deployments.local.promql.tree import Aggregation, Arithmetic, Expression, Matcher, Number, RangeCall, Selector

AGGREGATIONS = ("sum", "avg", "max", "min", "count")
RANGE_FUNCTIONS = ("rate", "increase", "max_over_time", "avg_over_time")
SUPPORTED = (
    f"the simulated Prometheus knows selectors with = != =~ !~, {'|'.join(AGGREGATIONS)} with or without `by`, "
    f"{', '.join(RANGE_FUNCTIONS)} over a range selector, time(), numbers, and + - * / with a scalar on one side"
)

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    | (?P<duration>(?:\d+(?:ms|[smhdwy]))+)(?![A-Za-z0-9_])
    | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF]\b|[nN][aA][nN]\b))
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    | (?P<symbol>!=|=~|!~|==|<=|>=|[-+*/%^=<>(){}\[\],:@])""",
    re.VERBOSE,
)
_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse(text: str) -> Expression:
    """The expression tree of a query.

    Raises
    ------
    InvalidInput: not PromQL, or not the part of it that is known; the text says where, and what is known.
    RecursionError: brackets nested hundreds deep.

    >>> parse("sum by (pool) (up) * 2").operator
    '*'
    """
    parser = _Parser(text)
    expression = parser.sum()
    if parser.kind != "end":
        parser.refuse(f"unexpected {parser.text!r}")
    return expression


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `5m` or `1h30m`; ValueError when it is none.

    >>> parse_duration("1h30m")
    5400.0
    """
    if not re.fullmatch(r"(?:\d+(?:ms|[smhdwy]))+", text):
        raise ValueError(f"no duration: {text!r}")
    return float(sum(int(n) * _DURATION_S[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", text)))


class _Parser:
    """One token of look-ahead: `kind`, `text` and `at` (column from 1) describe the token not yet taken."""

    def __init__(self, source: str) -> None:
        self.source, self.end = source, 0
        self.kind, self.text, self.at = "", "", 1
        self._step()

    def _step(self) -> None:
        while True:
            self.at = self.end + 1
            if self.end == len(self.source):
                self.kind, self.text = "end", "end of input"
                return
            match = _TOKEN.match(self.source, self.end)
            if match is None:
                self.refuse(f"unexpected character {self.source[self.end]!r}")
            self.end = match.end()
            if match.lastgroup != "space":
                self.kind, self.text = str(match.lastgroup), match[0]
                return

    def refuse(self, what: str, at: int | None = None) -> NoReturn:
        raise InvalidInput(f"1:{self.at if at is None else at}: parse error: {what}", where="PromQL", fix=SUPPORTED)

    def take(self) -> str:
        text = self.text
        self._step()
        return text

    def skip(self, symbol: str) -> bool:
        """Take the token if it is this symbol."""
        if self.kind != "symbol" or self.text != symbol:
            return False
        self._step()
        return True

    def expect(self, symbol: str) -> None:
        if not self.skip(symbol):
            self.refuse(f"unexpected {self.text!r}, expected {symbol!r}")

    def sum(self) -> Expression:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Expression:
        return self.chain(("*", "/"), self.unary)

    def chain(self, operators: tuple[str, ...], operand: Callable[[], Expression]) -> Expression:
        left = operand()
        while self.kind == "symbol" and self.text in operators:
            at, operator = self.at, self.take()
            left = self.arithmetic(operator, left, operand(), at)
        return left

    def arithmetic(self, operator: str, left: Expression, right: Expression, at: int) -> Arithmetic:
        types = {left.type, right.type}
        if "range vector" in types:
            self.refuse("binary expression must contain only scalar and instant vector types", at)
        if types == {"instant vector"}:
            self.refuse(f"no {operator} between two vectors", at)
        return Arithmetic(operator, left, right)

    def unary(self) -> Expression:
        at = self.at
        if self.skip("-"):
            return self.arithmetic("*", Number(-1.0), self.unary(), at)
        return self.unary() if self.skip("+") else self.primary()

    def primary(self) -> Expression:
        if self.kind == "number":
            text = self.take()
            return Number(float(int(text, 16)) if text[:2] in ("0x", "0X") else float(text))
        if self.skip("("):
            inner = self.sum()
            self.expect(")")
            return inner
        if self.kind == "name":
            return self.named()
        if self.kind == "symbol" and self.text == "{":
            return self.selector(None, self.at)
        empty = self.kind == "end" and self.at == 1
        return self.refuse("no expression found in input" if empty else f"unexpected {self.text!r}")

    def named(self) -> Expression:
        at, name = self.at, self.take()
        opens = self.kind == "symbol" and self.text == "("
        if name in AGGREGATIONS and (opens or (self.kind == "name" and self.text in ("by", "without"))):
            return self.aggregation(name)
        if not opens:
            return self.selector(name, at)
        self.expect("(")
        if name == "time":
            self.expect(")")
            return Number(None)
        if name not in RANGE_FUNCTIONS:
            self.refuse(f"unknown function with name {name!r}", at)
        at, operand = self.at, self.sum()
        if not isinstance(operand, Selector) or operand.range_s is None:
            self.refuse(f"expected type range vector in call to function {name!r}, got {operand.type}", at)
        self.expect(")")
        return RangeCall(name, operand)

    def aggregation(self, operator: str) -> Aggregation:
        by = self.grouping() if self.kind == "name" else None
        self.expect("(")
        at, operand = self.at, self.sum()
        if operand.type != "instant vector":
            self.refuse(f"expected type instant vector in aggregation expression, got {operand.type}", at)
        self.expect(")")
        if by is None and self.kind == "name":
            by = self.grouping()
        return Aggregation(operator, by or (), operand)

    def grouping(self) -> tuple[str, ...]:
        if self.text != "by":
            self.refuse(f"unexpected {self.text!r}, expected 'by'")
        self._step()
        self.expect("(")
        labels: list[str] = []
        while not self.skip(")"):
            labels.append(self.label("grouping opts"))
            if not self.skip(","):
                self.expect(")")
                break
        return tuple(labels)

    def label(self, place: str) -> str:
        if self.kind != "name" or not _LABEL.fullmatch(self.text):
            self.refuse(f"unexpected {self.text!r} in {place}, expected a label")
        return self.take()

    def selector(self, name: str | None, at: int) -> Selector:
        matchers = [] if name is None else [Matcher("__name__", "=", name)]
        if self.skip("{"):
            while not self.skip("}"):
                matchers.append(self.matcher())
                if not self.skip(","):
                    self.expect("}")
                    break
        if all(matcher.matches({}) for matcher in matchers):
            self.refuse("vector selector must contain at least one non-empty matcher", at)
        range_s = None
        if self.skip("["):
            if self.kind != "duration":
                self.refuse(f"unexpected {self.text!r} in range, expected a duration")
            range_s = parse_duration(self.take())
            if range_s <= 0:
                self.refuse("duration must be greater than 0", at)
            self.expect("]")
        return Selector(tuple(matchers), range_s)

    def matcher(self) -> Matcher:
        label, operator = self.label("label matching"), self.text
        if self.kind != "symbol" or operator not in ("=", "!=", "=~", "!~"):
            self.refuse(f"unexpected {operator!r} in label matching, expected one of = != =~ !~")
        self._step()
        if self.kind != "string":
            self.refuse(f"unexpected {self.text!r} in label matching, expected string")
        at, quoted = self.at, self.take()
        try:
            value = quoted[1:-1] if quoted[0] == "`" else str(ast.literal_eval(quoted))
            re.compile(value if "~" in operator else "")
        except (SyntaxError, ValueError, re.error) as error:
            self.refuse(f"error parsing {quoted}: {error}", at)
        return Matcher(label, operator, value)
