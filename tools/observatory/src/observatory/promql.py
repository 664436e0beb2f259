"""The supported part of PromQL, which the dashboards of `infra/grafana` and the metrics page use.

    histogram_quantile(0.99, sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket[5m])))

Reference: https://prometheus.io/docs/prometheus/latest/querying/basics/. Other expressions raise UnsupportedError.
Regular expressions use RE2, as in Prometheus.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from observatory.logql import InvalidPatternError, Matcher

SUPPORTED: Final = (
    'supported here: metric{label="value"} with = != =~ !~ and a range such as [5m] within rate or increase; '
    "histogram_quantile(q, sum by (le, …) (rate(…_bucket[5m]))); sum, min, max, avg, count by (…) (…); topk(n, …); "
    "+ - * / and comparisons of two such expressions with the same labels, or of one and a number"
)
MAX_LENGTH: Final = 4_000
MAX_DEPTH: Final = 30
MAX_OPERATORS: Final = 100
"""Maximum number of operators. `a + b + c + …` has one level of nesting per operator, and its evaluation recurses."""

_WORD = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)(?![a-zA-Z_])|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/<>=(){},]))""",
    re.ASCII | re.DOTALL,
)
_RANGE = re.compile(r"\[\s*((?:\d{1,6}(?:ms|[smhdw]))+)\s*\]", re.ASCII)
_RANGE_PART = re.compile(r"(\d+)(ms|[smhdw])", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_AGGREGATIONS = frozenset({"sum", "min", "max", "avg", "count", "topk"})
_RATES = frozenset({"rate", "increase"})
_PRECEDENCE = ({"==", "!=", "<", ">", "<=", ">="}, {"+", "-"}, {"*", "/"})


class UnsupportedError(ValueError):
    """The expression is invalid or not supported.

    The message contains the reason. If the parser rejected the expression, it also contains the position and the
    supported syntax.
    """


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric by its name and labels, with a range for `rate` and `increase`, else 0."""

    name: str
    matchers: tuple[tuple[str, Matcher], ...]
    range_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`rate` or `increase` over the selector's range."""

    function: str
    selector: Selector


@dataclass(frozen=True, slots=True)
class Quantile:
    """`histogram_quantile` of buckets."""

    quantile: float
    buckets: "Expression"


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregation such as `sum by (…) (…)`; `count` is the number of `topk`, which has no labels."""

    function: str
    labels: tuple[str, ...]
    operand: "Expression"
    count: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """An arithmetic operation, or a comparison that keeps the values on its left for which it is true."""

    operator: str
    left: "Expression"
    right: "Expression"


Expression: TypeAlias = Number | Selector | Rate | Quantile | Aggregation | Binary


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        UnsupportedError: The expression is not valid PromQL, or not supported.
    """
    if len(text) > MAX_LENGTH:
        raise UnsupportedError(f"the expression has more than {MAX_LENGTH} characters")
    return _Parser(text).whole()


def selectors(expression: Expression) -> Iterator[Selector]:
    """Yield the selectors within an expression."""
    match expression:
        case Selector():
            yield expression
        case Rate(selector=selector):
            yield selector
        case Quantile(buckets=inner) | Aggregation(operand=inner):
            yield from selectors(inner)
        case Binary(left=left, right=right):
            yield from selectors(left)
            yield from selectors(right)


class _Parser:
    """Recursive descent over the tokens, at most MAX_DEPTH deep."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self._operators = 0
        self._kind, self._word = "", ""
        self._advance()

    def whole(self) -> Expression:
        if not self._word:
            self._fail("the expression is empty")
        expression = self._binary(0)
        if self._word:
            self._fail(f"unexpected {self._word!r}")
        return expression

    def _binary(self, level: int) -> Expression:
        if level == len(_PRECEDENCE):
            return self._operand()
        left = self._binary(level + 1)
        while self._kind == "sign" and self._word in _PRECEDENCE[level]:
            self._operators += 1
            if self._operators > MAX_OPERATORS:
                self._fail(f"more than {MAX_OPERATORS} operators")
            operator = self._advance()
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _operand(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} levels of nesting")
        try:
            if self._kind == "number":
                return Number(float(self._advance()))
            if self._word == "(":
                return self._parenthesised()
            if self._word == "-":
                self._advance()
                return Binary("*", Number(-1.0), self._operand())
            return self._named()
        finally:
            self._depth -= 1

    def _named(self) -> Expression:
        if self._kind != "name":
            self._fail(f"unexpected {self._word!r}" if self._word else "the expression ends too early")
        name = self._advance()
        if name in _AGGREGATIONS:
            return self._aggregation(name)
        if self._word != "(":
            return self._selector(name)
        if name in _RATES:
            return self._rate(name)
        if name != "histogram_quantile":
            self._fail(f"unsupported function {name!r}")
        self._expect("(")
        quantile = self._number("the quantile", 0, 1)
        self._expect(",")
        buckets = self._binary(0)
        self._expect(")")
        return Quantile(quantile, buckets)

    def _rate(self, name: str) -> Expression:
        inner = self._parenthesised(ranged=True)
        if not isinstance(inner, Selector) or not inner.range_s:
            self._fail(f"{name} needs a metric with a range")
        return Rate(name, inner)

    def _aggregation(self, function: str) -> Expression:
        labels = self._labels()
        self._expect("(")
        count = 0
        if function == "topk":
            count = int(self._number("the number of topk", 1, 1_000))
            self._expect(",")
        operand = self._binary(0)
        self._expect(")")
        labels = labels or self._labels()
        if function == "topk" and labels:
            self._fail("unsupported 'by' of topk")
        return Aggregation(function, labels, operand, count)

    def _labels(self) -> tuple[str, ...]:
        if self._word == "without":
            self._fail("unsupported 'without'")
        if self._word != "by":
            return ()
        self._advance()
        self._expect("(")
        names = []
        while self._word != ")":
            if self._kind != "name":
                self._fail(f"unexpected {self._word!r} among the labels")
            names.append(self._advance())
            if self._word == ",":
                self._advance()
        self._expect(")")
        return tuple(names)

    def _parenthesised(self, *, ranged: bool = False) -> Expression:
        self._expect("(")
        if ranged and self._kind == "name" and self._word not in _AGGREGATIONS:
            inner: Expression = self._selector(self._advance(), ranged=True)
        else:
            inner = self._binary(0)
        self._expect(")")
        return inner

    def _selector(self, name: str, *, ranged: bool = False) -> Selector:
        matchers = self._matchers() if self._word == "{" else ()
        if self._kind == "range" and not ranged:
            self._fail("a range is allowed only within rate and increase")
        return Selector(name, matchers, self._range())

    def _range(self) -> float:
        if self._kind != "range":
            return 0.0
        found = _RANGE.fullmatch(self._word)
        seconds = sum(int(number) * _SECONDS[unit] for number, unit in _RANGE_PART.findall(found[1])) if found else 0
        if not seconds:
            self._fail(f"invalid range {self._word!r}")
        self._advance()
        return seconds

    def _matchers(self) -> tuple[tuple[str, Matcher], ...]:
        self._expect("{")
        found: list[tuple[str, Matcher]] = []
        while self._word != "}":
            if self._kind != "name":
                self._fail(f"unexpected {self._word!r} among the labels")
            label, operator = self._advance(), self._advance()
            if operator not in {"=", "!=", "=~", "!~"} or self._kind != "text":
                self._fail(f"invalid comparison of {label!r}")
            found.append((label, self._matcher(operator, self._advance())))
            if self._word == ",":
                self._advance()
        self._expect("}")
        if any(label in {"le", "__name__"} for label, _ in found):
            self._fail("unsupported comparison of 'le' or '__name__'")
        return tuple(found)

    def _matcher(self, operator: str, quoted: str) -> Matcher:
        value = re.sub(r"\\(.)", lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted[1:-1], flags=re.DOTALL)
        try:
            return Matcher.of(operator, value)
        except InvalidPatternError as error:
            self._fail(str(error))

    def _number(self, what: str, low: float, high: float) -> float:
        if self._kind != "number" or not low <= float(self._word) <= high:
            self._fail(f"{what} must be a number from {low} to {high}")
        return float(self._advance())

    def _expect(self, sign: str) -> None:
        if self._word != sign:
            self._fail(f"expected {sign!r}, not {self._word!r}" if self._word else f"expected {sign!r} at the end")
        self._advance()

    def _advance(self) -> str:
        """Return the current token and read the next one."""
        token = self._word
        found = _WORD.match(self._text, self._position)
        if found is None:
            if self._text[self._position :].strip():
                self._fail(f"unexpected {self._text[self._position :].strip()[:20]!r}")
            self._kind, self._word = "", ""
        else:
            self._kind, self._word = found.lastgroup or "", found[0].strip()
            self._position = found.end()
        return token

    def _fail(self, reason: str) -> NoReturn:
        raise UnsupportedError(f"{reason} at character {self._position}: {SUPPORTED}")
