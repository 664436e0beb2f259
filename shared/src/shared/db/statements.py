"""Metrics, spans and log records of SQL statements (ADR 11).

A statement gets a CLIENT span if it failed, took `slow_s` seconds or longer, or has `execution_options(span=True)`,
which marks business rules in SQL. Any other statement is an event of the current span (`shared.telemetry.spans`).
OpenTelemetry's instrumentation of SQLAlchemy creates a span for each statement, at several times the cost.
"""

import re
from collections import defaultdict
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any, Self

import asyncpg
import structlog
from opentelemetry import metrics
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

from shared.telemetry.spans import add_event, record_span

log = structlog.get_logger(__name__)

SPAN = "span"
"""Execution option of statements that always get a span."""

SCHEMA = "public"
"""Schema of all tables; `db.namespace` is `database|schema` (semantic conventions for PostgreSQL)."""

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")

MAX_SUMMARY_CHARACTERS = 100
_RECORDER = "recorder"
"""Execution option with the StatementRecorder of an engine."""

_WRITTEN_TABLE = re.compile(
    r"\b(INSERT)\s+INTO\s+\"?([a-z_][\w.]*)|\b(DELETE)\s+FROM\s+\"?([a-z_][\w.]*)"
    r"|(?<!FOR\s)(?<!KEY\s)(?<!DO\s)\b(UPDATE)\s+\"?([a-z_][\w.]*)",
    re.IGNORECASE,
)
_READ_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+\"?([a-z_][\w.]*)\"?(?!\s*\(|[\w.])", re.IGNORECASE)

_meter = metrics.get_meter(__name__)


class _Totals:
    """Statements and seconds since the process started, by database, summary and SQLSTATE.

    These are sums, because recording a histogram would take as long as adding the span event. Slow statements have
    spans.
    """

    def __init__(self) -> None:
        self._by_labels: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        _meter.create_observable_counter(
            "hopline.db.statements", [self._counts], unit="{statement}", description="Executed statements by summary"
        )
        _meter.create_observable_counter(
            "hopline.db.time", [self._times], unit="s", description="Time that statements took"
        )

    def add(self, database: str, summary: str, error_type: str, duration_s: float) -> None:
        """Count one statement."""
        sums = self._by_labels[database, summary, error_type]
        sums[0] += 1
        sums[1] += duration_s

    def _counts(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(int(count), _labels(*key)) for key, (count, _seconds) in list(self._by_labels.items())]

    def _times(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(seconds, _labels(*key)) for key, (_count, seconds) in list(self._by_labels.items())]


def _labels(database: str, summary: str, error_type: str) -> dict[str, AttributeValue]:
    labels: dict[str, AttributeValue] = {"db.namespace": database, "db.query.summary": summary}
    return {**labels, "error.type": error_type} if error_type else labels


_totals = _Totals()


@dataclass(slots=True)
class DatabaseCost:
    """Number and total duration of the statements of one request, event or job.

    As a context manager, it counts the statements in its block, including those of tasks started in it.
    """

    queries: int = 0
    seconds: float = 0.0
    _token: Token["DatabaseCost | None"] = field(init=False, repr=False, compare=False)

    def __enter__(self) -> Self:
        self._token = _cost.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _cost.reset(self._token)

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """The attributes of a span."""
        return {"hopline.db.queries": self.queries, "hopline.db.duration_ms": self.milliseconds}

    @property
    def milliseconds(self) -> float:
        """The duration for a log record."""
        return round(self.seconds * 1000, 2)


_cost: ContextVar[DatabaseCost | None] = ContextVar("database_cost", default=None)


MAX_SLOW = 20
"""Number of slow statements that a process keeps for `/debug/slow-statements`."""


@dataclass(frozen=True, slots=True)
class SlowStatement:
    """How often a statement was slow, and its maximum duration in seconds."""

    count: int = 0
    longest_s: float = 0.0


class StatementRecorder:
    """Records the statements of one database."""

    def __init__(self, *, url: URL, slow_s: float, echo: bool = False) -> None:
        self.slow: dict[str, SlowStatement] = {}
        self._slow_s = slow_s
        self._echo = echo
        self._database = f"{url.database or ''}|{SCHEMA}"
        self._server_attributes: dict[str, AttributeValue] = {
            "db.system.name": "postgresql",
            "db.namespace": self._database,
            "server.address": url.host or "",
            "server.port": url.port or 5432,
        }

    def record(self, statement: str, summary: str, *, duration_s: float, span: bool, error_type: str) -> None:
        """Record a statement that has just ended; `error_type` is empty unless it failed."""
        if (cost := _cost.get()) is not None:
            cost.queries += 1
            cost.seconds += duration_s
        if not is_instrumentation_enabled():
            return
        _totals.add(self._database, summary, error_type, duration_s)
        if duration_s >= self._slow_s > 0:
            log.warning("slow_query", duration_ms=round(duration_s * 1000, 1), summary=summary, statement=statement)
            self._keep_slow(statement, duration_s)
        if self._echo:
            log.info(
                "statement", duration_ms=round(duration_s * 1000, 1), statement=statement, error_type=error_type or None
            )
        if span or error_type or duration_s >= self._slow_s:
            attributes = {**self._server_attributes, "db.query.summary": summary, "db.query.text": statement}
            if _SQLSTATE.fullmatch(error_type):
                attributes["db.response.status_code"] = error_type
            record_span(summary, duration_s=duration_s, attributes=attributes, error_type=error_type)
        else:
            add_event(summary, duration_s=duration_s)

    def _keep_slow(self, statement: str, duration_s: float) -> None:
        """Keep the statement as the latest one; drop the oldest beyond `MAX_SLOW`."""
        known = self.slow.pop(statement, SlowStatement())
        self.slow[statement] = SlowStatement(count=known.count + 1, longest_s=max(known.longest_s, duration_s))
        if len(self.slow) > MAX_SLOW:
            del self.slow[next(iter(self.slow))]


def record_statements(engine: Engine, *, slow_s: float, echo: bool = False) -> None:
    """Record the statements of this engine. `get_statement_recorder` returns its recorder.

    `echo` logs every statement, including those of `shared.db.driver`, which SQLAlchemy's `echo` does not include.
    """
    recorder = StatementRecorder(url=engine.url, slow_s=slow_s, echo=echo)
    engine.update_execution_options(**{_RECORDER: recorder})

    def set_start(
        _connection: Connection, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool
    ) -> None:
        context.hopline_started = perf_counter()

    def record_success(
        _connection: Connection, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool
    ) -> None:
        record_end(statement, context, "")

    def record_failure(failure: ExceptionContext) -> None:
        if hasattr(failure.execution_context, "hopline_started"):
            record_end(failure.statement or "", failure.execution_context, get_error_type(failure.original_exception))

    def record_end(statement: str, context: Any, error_type: str) -> None:
        duration_s = perf_counter() - context.hopline_started
        span = bool(context.execution_options.get(SPAN))
        recorder.record(
            statement, summarize_statement(statement), duration_s=duration_s, span=span, error_type=error_type
        )

    event.listen(engine, "before_cursor_execute", set_start)
    event.listen(engine, "after_cursor_execute", record_success)
    event.listen(engine, "handle_error", record_failure)


def get_statement_recorder(connection: Connection) -> StatementRecorder | None:
    """Return the recorder of the connection's statements, or None."""
    return connection.get_execution_options().get(_RECORDER)


def get_error_type(error: BaseException) -> str:
    """Return the SQLSTATE, or the type of the exception. Its message would contain values of the row."""
    return getattr(error, "sqlstate", None) or type(error).__qualname__


def remove_row_values(error: BaseException) -> None:
    """Remove PostgreSQL's DETAIL from an error and its causes.

    It contains values of the row, and stack traces in logs and spans would contain it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, asyncpg.PostgresError):
            cause.detail = None
        cause = cause.__cause__


@lru_cache(maxsize=1024)
def summarize_statement(statement: str) -> str:
    """Return `db.query.summary` (semantic conventions): the tables that are written, or the first one that is read."""
    written = [" ".join(word for word in match if word) for match in _WRITTEN_TABLE.findall(statement)]
    if not written and (read := _READ_TABLE.search(statement)):
        written = [f"SELECT {read[1]}"]
    return " ".join(written)[:MAX_SUMMARY_CHARACTERS] or statement.split(None, 1)[0].upper()
