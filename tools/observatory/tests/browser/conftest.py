"""A browser, an observatory and the trace of one order for each test module of the pages.

The fixtures have module scope, because the browser's driver keeps an event loop running. A session-scoped browser would
prevent later tests of coroutines.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage

import pytest
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context, use_span
from playwright.sync_api import BrowserContext, Page, expect

from testkit.browser import clean_page, running_chromium
from testkit.observatory import Observatory, Telemetry, running_observatory, span_id_of, trace_id_of

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
    """Services that export spans at given times, in milliseconds after a common start."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._start_ns = time.time_ns() - 10_000 * MILLISECOND_NS
        self._services: dict[str, Telemetry] = {}

    def time_ns(self, milliseconds: float) -> int:
        """Return the time in nanoseconds since the epoch, `milliseconds` after the common start."""
        return self._start_ns + int(milliseconds * MILLISECOND_NS)

    def get_telemetry(self, name: str) -> Telemetry:
        """Return the telemetry of the service `name`."""
        if name not in self._services:
            self._services[name] = Telemetry(self._observatory, name)
        return self._services[name]

    def export_span(
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
        """Export a span. If `failure` is set, the span has the error status and an exception with this text."""
        span = self.get_telemetry(service).tracer.start_span(
            name,
            kind=kind,
            context=set_span_in_context(parent) if parent else None,
            links=[Link(link.get_span_context()) for link in links],
            attributes=attributes,
            start_time=self.time_ns(between[0]),
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR, failure))
            span.record_exception(RuntimeError(failure), timestamp=self.time_ns(between[1]))
        span.end(self.time_ns(between[1]))
        return span

    def export_log(self, service: str, span: Span, milliseconds: float, line: str, **attributes: str | int) -> None:
        with use_span(span):
            self.get_telemetry(service).log(line, time_ns=self.time_ns(milliseconds), **attributes)

    def send_email(self, span: Span, message_id: str, subject: str) -> None:
        """Send an email with the trace id of the span."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@example.org", "ada@example.org", subject
        message["Message-ID"] = message_id
        message["X-Trace-Id"] = trace_id_of(span)
        message.set_content("On its way.")
        self._observatory.send_email(message)

    def export_order(self) -> Order:
        """Export an order with its event, and a job whose second attempt sends an email."""
        server, client, producer, consumer = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER
        stream = {"messaging.destination.name": "events:orders", "messaging.system": "redis"}
        queue = {"messaging.destination.name": "hopline:jobs", "messaging.system": "arq"}
        root = self.export_span("gateway", "POST /v2/orders", (0, 40), kind=server)
        call = self.export_span("gateway", "POST /orders", (2, 39), kind=client, parent=root)
        placed = self.export_span("orders", "POST /orders", (4, 38), kind=server, parent=call)
        stored = {"db.query.text": STATEMENT, "db.system.name": "postgresql", "db.namespace": "orders|public"}
        insert = self.export_span("orders", "INSERT", (10, 20), kind=client, parent=placed, attributes=stored)
        publish = self.export_span(
            "orders", "publish events:orders", (50, 52), kind=producer, parent=placed, attributes=stream
        )
        take, feed = (
            self.export_span(name, "process events:orders", between, kind=consumer, parent=publish, attributes=stream)
            for name, between in (("workers", (57, 60)), ("notifications", (94, 104)))
        )
        push = self.export_span("notifications", "send notification", (108, 109), kind=producer, parent=feed)
        job, message_id = "run send_order_email", f"<{trace_id_of(root)}@hopline.example>"
        first = self.export_span(
            "workers", job, (75, 85), kind=consumer, parent=take, failure="no answer", attributes=queue
        )
        due = queue | {"hopline.job.wait_s": 0.01}
        second = self.export_span(
            "workers", job, (2_110, 2_150), kind=consumer, parent=take, links=(first,), attributes=due
        )
        smtp = {"network.protocol.name": "smtp", "hopline.email.message_id": message_id}
        mail = self.export_span("workers", "SMTP send", (2_120, 2_130), kind=client, parent=second, attributes=smtp)
        self.export_log("gateway", root, 39, "http_request", status=201)
        self.export_log("orders", placed, 30, "order_placed", order_id="o-1")
        self.export_log("workers", second, 2_140, "email_sent")
        self.send_email(root, message_id, "We have your order")
        named = {"root": root, "call": call, "placed": placed, "insert": insert, "publish": publish, "feed": feed}
        named |= {"push": push, "take": take, "first": first, "second": second, "mail": mail}
        return Order(trace_id_of(root), {name: span_id_of(span) for name, span in named.items()})

    def export_crash(self) -> Order:
        """Export an order whose event is processed twice. The first consumer crashed, so its span is lost."""
        server, producer, consumer = SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER
        root = self.export_span("gateway", "POST /v2/orders", (0, 40), kind=server)
        publish = self.export_span("orders", "publish events:orders", (50, 52), kind=producer, parent=root)
        dead = self.get_telemetry("notifications").tracer.start_span("process", context=set_span_in_context(publish))
        push = self.export_span("notifications", "send notification", (300, 301), kind=producer, parent=dead)
        again = self.export_span(
            "notifications", "process", (900, 901), kind=consumer, parent=publish, links=(publish, dead)
        )
        named = {"root": root, "publish": publish, "dead": dead, "push": push, "again": again}
        return Order(trace_id_of(root), {name: span_id_of(span) for name, span in named.items()})

    def close(self) -> None:
        for service in self._services.values():
            service.close()


@pytest.fixture(scope="module")
def shop(observatory: Observatory) -> Iterator[Shop]:
    created = Shop(observatory)
    yield created
    created.close()


@pytest.fixture(scope="module")
def order(shop: Shop) -> Order:
    """Export the trace of one order for the whole test module."""
    return shop.export_order()


@pytest.fixture
def trace_page(page: Page, observatory: Observatory, order: Order) -> Page:
    """Open the page of the order's trace."""
    page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}"))
    expect(page.locator("li.span")).to_have_count(len(order.spans))
    return page
