"""What statements cost: each is counted, measured, and told on the span of whoever made it (`shared.tracing`).

A statement gets a CLIENT span if it failed, took `slow_s` seconds or longer, or has `execution_options(span=True)`: a
decision of the business that is taken in SQL. The SQLAlchemy instrumentation of OpenTelemetry makes one for each, at
several times the cost (ADR 11).
"""

import re
from collections import defaultdict
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any

import structlog
from opentelemetry import metrics
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

from shared.tracing import show, tell

log = structlog.get_logger(__name__)

SPAN = "span"
"""The execution option of statements that always have a span."""

SCHEMA = "public"
"""Where the tables of every database are; `db.namespace` is `database|schema` (semantic conventions, PostgreSQL)."""

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")

LONGEST_SUMMARY = 100
_ACCOUNT = "account"

_WRITTEN = re.compile(
    r"\b(INSERT)\s+INTO\s+\"?([a-z_][\w.]*)|\b(DELETE)\s+FROM\s+\"?([a-z_][\w.]*)"
    r"|(?<!FOR\s)(?<!KEY\s)(?<!DO\s)\b(UPDATE)\s+\"?([a-z_][\w.]*)",
    re.IGNORECASE,
)
_READ = re.compile(r"\b(?:FROM|JOIN)\s+\"?([a-z_][\w.]*)\"?(?!\s*\(|[\w.])", re.IGNORECASE)

_meter = metrics.get_meter(__name__)


class _Totals:
    """Statements and seconds since the process began, by database, summary and SQLSTATE.

    Sums that are read when metrics are collected: recording each statement in a histogram would cost as much as telling
    it. What the sums hide, slow statements, has spans.
    """

    def __init__(self) -> None:
        self._by_kind: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        _meter.create_observable_counter(
            "hopline.db.statements", [self._counts], unit="{statement}", description="Statements by what they do"
        )
        _meter.create_observable_counter(
            "hopline.db.time", [self._times], unit="s", description="Time spent waiting for statements"
        )

    def add(self, database: str, summary: str, error_type: str, took_s: float) -> None:
        """Count one statement."""
        sums = self._by_kind[database, summary, error_type]
        sums[0] += 1
        sums[1] += took_s

    def _counts(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(int(count), _labels(*kind)) for kind, (count, _seconds) in list(self._by_kind.items())]

    def _times(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(seconds, _labels(*kind)) for kind, (_count, seconds) in list(self._by_kind.items())]


def _labels(database: str, summary: str, error_type: str) -> dict[str, AttributeValue]:
    labels: dict[str, AttributeValue] = {"db.namespace": database, "db.query.summary": summary}
    return {**labels, "error.type": error_type} if error_type else labels


_totals = _Totals()


@dataclass(slots=True)
class DatabaseCost:
    """Statements and the seconds they took, of one request, event or job."""

    queries: int = 0
    seconds: float = 0.0

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """For a span."""
        return {"hopline.db.queries": self.queries, "hopline.db.duration_ms": self.milliseconds}

    @property
    def milliseconds(self) -> float:
        """For a log line."""
        return round(self.seconds * 1000, 2)


_cost: ContextVar[DatabaseCost | None] = ContextVar("database_cost", default=None)


def database_cost() -> "_Counted":
    """Count what is executed in this context, by this task and those it starts."""
    return _Counted()


class _Counted:
    """By hand: each request goes through it, and a generator would take three times as long."""

    __slots__ = ("_token",)
    _token: Token[DatabaseCost | None]

    def __enter__(self) -> DatabaseCost:
        cost = DatabaseCost()
        self._token = _cost.set(cost)
        return cost

    def __exit__(self, *_: object) -> None:
        _cost.reset(self._token)


MAX_SLOW = 20
"""Slow statements that a process remembers, by their text, for `/debug/slow-statements`."""


@dataclass(frozen=True, slots=True)
class SlowStatement:
    """How often a statement was slow, and its longest duration in seconds."""

    count: int = 0
    longest_s: float = 0.0


class Account:
    """Where the statements of one database are entered."""

    def __init__(self, url: URL, *, slow_s: float, echo: bool = False) -> None:
        self.slow: dict[str, SlowStatement] = {}
        self._slow_s = slow_s
        self._echo = echo
        self._database = f"{url.database or ''}|{SCHEMA}"
        self._place: dict[str, AttributeValue] = {
            "db.system.name": "postgresql",
            "db.namespace": self._database,
            "server.address": url.host or "",
            "server.port": url.port or 5432,
        }

    def settle(self, statement: str, summary: str, *, took_s: float, span: bool, error_type: str) -> None:
        """Count, measure and tell a statement that has just ended; `error_type` says how it failed, if it did."""
        if (cost := _cost.get()) is not None:
            cost.queries += 1
            cost.seconds += took_s
        if not is_instrumentation_enabled():
            return
        _totals.add(self._database, summary, error_type, took_s)
        if took_s >= self._slow_s > 0:
            log.warning("slow_query", duration_ms=round(took_s * 1000, 1), summary=summary, statement=statement)
            self._keep_slow(statement, took_s)
        if self._echo:
            log.info(
                "statement", duration_ms=round(took_s * 1000, 1), statement=statement, error_type=error_type or None
            )
        if span or error_type or took_s >= self._slow_s:
            attributes = {**self._place, "db.query.summary": summary, "db.query.text": statement}
            if _SQLSTATE.fullmatch(error_type):
                attributes["db.response.status_code"] = error_type
            show(summary, took_s=took_s, attributes=attributes, error_type=error_type)
        else:
            tell(summary, took_s=took_s)

    def _keep_slow(self, statement: str, took_s: float) -> None:
        """Remember the statement as the latest one; the oldest is dropped beyond `MAX_SLOW`."""
        known = self.slow.pop(statement, SlowStatement())
        self.slow[statement] = SlowStatement(count=known.count + 1, longest_s=max(known.longest_s, took_s))
        if len(self.slow) > MAX_SLOW:
            del self.slow[next(iter(self.slow))]


def watch_statements(engine: Engine, *, slow_s: float, echo: bool = False) -> None:
    """Enter the statements of this engine in an account of its own; `account_of` its connections finds it.

    `echo` logs each of them, those of `shared.driver` too, which SQLAlchemy's own `echo` does not see.
    """
    account = Account(engine.url, slow_s=slow_s, echo=echo)
    engine.update_execution_options(**{_ACCOUNT: account})

    def begun(*arguments: Any) -> None:
        arguments[4].hopline_started = perf_counter()  # the execution context

    def ended(_connection: Connection, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        settle(statement, context, "")

    def failed(failure: ExceptionContext) -> None:
        if hasattr(failure.execution_context, "hopline_started"):
            settle(failure.statement or "", failure.execution_context, error_type_of(failure.original_exception))

    def settle(statement: str, context: Any, error_type: str) -> None:
        took_s = perf_counter() - context.hopline_started
        span = bool(context.execution_options.get(SPAN))
        account.settle(statement, summary_of(statement), took_s=took_s, span=span, error_type=error_type)

    event.listen(engine, "before_cursor_execute", begun)
    event.listen(engine, "after_cursor_execute", ended)
    event.listen(engine, "handle_error", failed)


def account_of(connection: Connection) -> Account | None:
    """Where this connection's statements are entered; None where nobody watches."""
    return connection.get_execution_options().get(_ACCOUNT)


def error_type_of(error: BaseException) -> str:
    """The SQLSTATE, else the exception's type. Not the text: PostgreSQL quotes the values that are in its way."""
    return getattr(error, "sqlstate", None) or type(error).__qualname__


@lru_cache(maxsize=1024)
def summary_of(statement: str) -> str:
    """`db.query.summary` after the semantic conventions: what is written to, else the first table that is read."""
    written = [" ".join(word for word in match if word) for match in _WRITTEN.findall(statement)]
    if not written and (read := _READ.search(statement)):
        written = [f"SELECT {read[1]}"]
    return " ".join(written)[:LONGEST_SUMMARY] or statement.split(None, 1)[0].upper()
