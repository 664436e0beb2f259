"""A browser, an observatory and the trace of one order for each test module of the pages.

The fixtures have module scope, because the browser's driver keeps an event loop running. A session-scoped browser would
prevent later tests of coroutines.
"""

import smtplib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage

import pytest
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context, use_span
from playwright.sync_api import BrowserContext, Page

from testkit.browser import clean_page, running_chromium
from testkit.observatory import Observatory, Telemetry, running_observatory

MILLISECOND_NS = 1_000_000
STATEMENT = "INSERT INTO outbox (id) VALUES ($1)"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with running_chromium() as running:
        yield running


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    with running_observatory() as running:
        yield running


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    with clean_page(browser) as opened:
        yield opened


@dataclass(frozen=True)
class Order:
    """An order's trace: its id, and its span ids by role."""

    trace_id: str
    spans: dict[str, str]


class Shop:
    """Five services that export spans at given times, in milliseconds after a common start."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._start_ns = time.time_ns() - 10_000 * MILLISECOND_NS
        self._services: dict[str, Telemetry] = {}

    def at(self, milliseconds: float) -> int:
        return self._start_ns + int(milliseconds * MILLISECOND_NS)

    def service(self, name: str) -> Telemetry:
        if name not in self._services:
            self._services[name] = Telemetry(self._observatory, name)
        return self._services[name]

    def span(
        self,
        service: str,
        name: str,
        between: tuple[float, float],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Span | None = None,
        links: tuple[Span, ...] = (),
        failure: str = "",
        attributes: Mapping[str, str | float] | None = None,
    ) -> Span:
        """Export a span. With a failure, it has the error status and the exception."""
        span = self.service(service).tracer.start_span(
            name,
            kind=kind,
            context=set_span_in_context(parent) if parent else None,
            links=[Link(link.get_span_context()) for link in links],
            attributes=attributes,
            start_time=self.at(between[0]),
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR, failure))
            span.record_exception(RuntimeError(failure), timestamp=self.at(between[1]))
        span.end(self.at(between[1]))
        return span

    def log(self, service: str, span: Span, milliseconds: float, line: str, **attributes: str | int) -> None:
        with use_span(span):
            self.service(service).log(line, time_ns=self.at(milliseconds), **attributes)

    def mail(self, span: Span, message_id: str, subject: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@example.org", "ada@example.org", subject
        message["Message-ID"] = message_id
        message["X-Trace-Id"] = hex_trace(span)
        message.set_content("On its way.")
        with smtplib.SMTP("127.0.0.1", self._observatory.port("smtp"), timeout=10) as client:
            client.send_message(message)

    def order(self) -> Order:
        """Export an order with its event, and a job whose second attempt sends an email."""
        server, client, producer, consumer = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER
        stream = {"messaging.destination.name": "events:orders", "messaging.system": "redis"}
        queue = {"messaging.destination.name": "hopline:jobs", "messaging.system": "arq"}
        root = self.span("gateway", "POST /v2/orders", (0, 40), kind=server)
        call = self.span("gateway", "POST /orders", (2, 39), kind=client, parent=root)
        placed = self.span("orders", "POST /orders", (4, 38), kind=server, parent=call)
        stored = {"db.query.text": STATEMENT, "db.system.name": "postgresql", "db.namespace": "orders|public"}
        insert = self.span("orders", "INSERT", (10, 20), kind=client, parent=placed, attributes=stored)
        publish = self.span(
            "orders", "publish events:orders", (50, 52), kind=producer, parent=placed, attributes=stream
        )
        take, feed = (
            self.span(name, "process events:orders", between, kind=consumer, parent=publish, attributes=stream)
            for name, between in (("workers", (57, 60)), ("notifications", (94, 104)))
        )
        push = self.span("notifications", "send notification", (108, 109), kind=producer, parent=feed)
        job, message_id = "run send_order_email", f"<{hex_trace(root)}@hopline.example>"
        first = self.span("workers", job, (75, 85), kind=consumer, parent=take, failure="no answer", attributes=queue)
        due = queue | {"hopline.job.wait_s": 0.01}
        second = self.span("workers", job, (2_110, 2_150), kind=consumer, parent=take, links=(first,), attributes=due)
        smtp = {"network.protocol.name": "smtp", "hopline.email.message_id": message_id}
        mail = self.span("workers", "SMTP send", (2_120, 2_130), kind=client, parent=second, attributes=smtp)
        self.log("gateway", root, 39, "http_request", status=201)
        self.log("orders", placed, 30, "order_placed", order_id="o-1")
        self.log("workers", second, 2_140, "email_sent")
        self.mail(root, message_id, "We have your order")
        named = {"root": root, "call": call, "placed": placed, "insert": insert, "publish": publish, "feed": feed}
        named |= {"push": push, "take": take, "first": first, "second": second, "mail": mail}
        return Order(hex_trace(root), {name: hex_span(span) for name, span in named.items()})

    def crash(self) -> Order:
        """Export an event whose consumer crashed after a push, so its span is lost, and the repeated attempt."""
        server, producer, consumer = SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER
        root = self.span("gateway", "POST /v2/orders", (0, 40), kind=server)
        publish = self.span("orders", "publish events:orders", (50, 52), kind=producer, parent=root)
        dead = self.service("notifications").tracer.start_span("process", context=set_span_in_context(publish))
        push = self.span("notifications", "send notification", (300, 301), kind=producer, parent=dead)
        again = self.span("notifications", "process", (900, 901), kind=consumer, parent=publish, links=(publish, dead))
        named = {"root": root, "publish": publish, "dead": dead, "push": push, "again": again}
        return Order(hex_trace(root), {name: hex_span(span) for name, span in named.items()})

    def close(self) -> None:
        for service in self._services.values():
            service.close()


def hex_trace(span: Span) -> str:
    return format(span.get_span_context().trace_id, "032x")


def hex_span(span: Span) -> str:
    return format(span.get_span_context().span_id, "016x")


@pytest.fixture(scope="module")
def shop(observatory: Observatory) -> Iterator[Shop]:
    made = Shop(observatory)
    yield made
    made.close()


@pytest.fixture(scope="module")
def order(shop: Shop) -> Order:
    return shop.order()
