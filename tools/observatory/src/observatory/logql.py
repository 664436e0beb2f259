"""The supported part of LogQL: a stream selector, then line filters and label filters.

    {service_name="orders", deployment_environment_name=~"dev.*"} |= "placed" | trace_id="4bf9…"

Reference: https://grafana.com/docs/loki/latest/query/log_queries/. Other expressions raise UnsupportedError. Regular
expressions use RE2, as in Loki, so matching takes linear time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Self

import re2

SUPPORTED: Final = (
    'supported here: {label="value", label2=~"regex"} with = != =~ !~, then any of |= "text", != "text", '
    '|~ "regex", !~ "regex", and label filters such as | trace_id="…" with = != =~ !~; '
    "no parsers, no formatting, no metric queries"
)

MAX_COMPARISONS = 20
MAX_PATTERN_LENGTH = 1_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_LINE_OPERATORS = {"|=": "=", "!=": "!=", "|~": "=~", "!~": "!~"}


class UnsupportedError(ValueError):
    """The expression is invalid or not supported. The message contains the position and the supported syntax."""


class InvalidPatternError(ValueError):
    """A regular expression is invalid. The message contains the expression and the reason."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One comparison: with a text (= and !=), or with a regular expression (=~ and !~).

    It applies to the whole value of a label, or to any part of a log line.
    """

    operator: str
    value: str
    _pattern: Any = field(repr=False)
    """A compiled re2 expression, or None."""

    @classmethod
    def of(cls, operator: str, value: str) -> Self:
        """Return the matcher. Raises InvalidPatternError."""
        try:
            return cls(operator, value, re2.compile(value, _options()) if "~" in operator else None)
        except re2.error as error:
            raise InvalidPatternError(f"invalid regular expression {value!r}: {_reason(error)}") from None

    def accepts(self, text: str) -> bool:
        """Return whether a label's value matches."""
        found = text == self.value if self._pattern is None else bool(self._pattern.fullmatch(text))
        return found != self.operator.startswith("!")

    def accepts_line(self, line: str) -> bool:
        """Return whether a log line contains the value or a match of the expression."""
        found = self.value in line if self._pattern is None else bool(self._pattern.search(line))
        return found != self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A parsed expression. `streams` compare index labels, `labels` any label, `lines` the log line."""

    streams: tuple[tuple[str, Matcher], ...]
    labels: tuple[tuple[str, Matcher], ...]
    lines: tuple[Matcher, ...]

    def accepts_stream(self, labels: Mapping[str, str]) -> bool:
        """Return whether the index labels match; a missing label is empty."""
        return all(matcher.accepts(labels.get(name, "")) for name, matcher in self.streams)

    def accepts_labels(self, labels: Mapping[str, str]) -> bool:
        """Return whether all labels match; a missing label is empty."""
        return all(matcher.accepts(labels.get(name, "")) for name, matcher in self.labels)

    def accepts_line(self, line: str) -> bool:
        """Return whether the log line matches."""
        return all(matcher.accepts_line(line) for matcher in self.lines)


def parse(expression: str) -> LogQuery:
    """Parse a log query; raises UnsupportedError."""
    return _Parser(expression).log_query()


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 19  # maximum size of a compiled expression in bytes
    return options


def _reason(error: Exception) -> str:
    """Return the message of an re2 error, which is bytes or a str."""
    [reason] = error.args
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


class _Parser:
    """Recursive descent over the expression; `_at` is the next character to read."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0
        self._comparisons = 0

    def log_query(self) -> LogQuery:
        streams = self._selector()
        labels: list[tuple[str, Matcher]] = []
        lines: list[Matcher] = []
        while self._peek():
            if operator := self._take(*_LINE_OPERATORS):
                lines.append(self._matcher(_LINE_OPERATORS[operator]))
            elif self._take("|"):
                labels.append(self._comparison())
            else:
                self._fail("expected a line filter or a label filter")
        return LogQuery(streams, tuple(labels), tuple(lines))

    def _selector(self) -> tuple[tuple[str, Matcher], ...]:
        self._expect("{")
        comparisons = [self._comparison()]
        while self._take(","):
            comparisons.append(self._comparison())
        self._expect("}")
        if all(matcher.accepts("") for _, matcher in comparisons):
            self._fail('at least one comparison must reject an empty label: =~".+" does, =~".*" and !="text" do not')
        return tuple(comparisons)

    def _comparison(self) -> tuple[str, Matcher]:
        name = self._read(_NAME, "a label name").group()
        operator = self._take("=~", "!=", "!~", "=")
        if not operator:
            self._fail(f"expected = != =~ or !~ after {name}")
        return name, self._matcher(operator)

    def _matcher(self, operator: str) -> Matcher:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            self._fail(f"at most {MAX_COMPARISONS} comparisons are allowed")
        quoted = self._read(_QUOTED, "a quoted text")
        text = self._unescaped(quoted[1]) if quoted[2] is None else quoted[2]
        if "~" in operator and len(text) > MAX_PATTERN_LENGTH:
            self._fail(f"a regular expression has at most {MAX_PATTERN_LENGTH} characters")
        try:
            return Matcher.of(operator, text)
        except InvalidPatternError as error:
            self._fail(str(error))

    def _unescaped(self, text: str) -> str:
        if unknown := {found[1] for found in _ESCAPE.finditer(text)} - _ESCAPED.keys():
            self._fail(f"unknown escape \\{unknown.pop()}: double the backslash, or quote with backticks")
        return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], text)

    def _peek(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _take(self, *tokens: str) -> str:
        self._peek()
        for token in tokens:
            if self._text.startswith(token, self._at):
                self._at += len(token)
                return token
        return ""

    def _expect(self, token: str) -> None:
        if not self._take(token):
            self._fail(f"expected {token}")

    def _read(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self._peek()
        found = pattern.match(self._text, self._at)
        if not found:
            self._fail(f"expected {what}")
        self._at = found.end()
        return found

    def _fail(self, reason: str) -> NoReturn:
        raise UnsupportedError(f"parse error at col {self._at + 1}: {reason}; {SUPPORTED}")
