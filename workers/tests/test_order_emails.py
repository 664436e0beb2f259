from uuid import uuid4

import pytest
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, format_trace_id

from shared.messaging import TraceContext
from testkit.spans import Spans, event_names
from testkit.waiting import eventually

from .factories import append_event, order_data, order_event, registered_event
from .fakes import add_user, body
from .harness import Harness

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class TestOrderEmail:
    @pytest.mark.parametrize(
        ("status", "subject"),
        [
            ("placed", "We have your order"),
            ("shipped", "Your order is on its way"),
            ("cancelled", "Your order is cancelled"),
        ],
    )
    async def test_email_describes_the_order_and_its_status(self, harness: Harness, status: str, subject: str) -> None:
        event = order_event(status)
        add_user(harness.users, event.data["user_id"])
        async with harness.run_worker():
            await append_event(harness.redis, event)
            await eventually(lambda: harness.mailbox.messages)
        (message,) = harness.mailbox.messages
        number = event.data["order_id"][:8]
        assert message["To"] == "Ada Lovelace <ada@hopline.example>"
        assert message["From"] == "Hopline <shop@hopline.example>"
        assert message["Subject"] == f"{subject} ({number})"
        for form in ("plain", "html"):
            assert "Blue cup" in body(message, form)
            assert "25.00 EUR" in body(message, form)
            assert "32.50 EUR" in body(message, form)
        assert harness.mailbox.recipients == ["ada@hopline.example"]

    async def test_name_is_escaped_in_html_and_not_in_plain_text(self, harness: Harness) -> None:
        event = order_event()
        add_user(harness.users, event.data["user_id"], name='<b>Åse</b>\r\n"x"')
        async with harness.run_worker():
            await append_event(harness.redis, event)
            await eventually(lambda: harness.mailbox.messages)
        (message,) = harness.mailbox.messages
        assert "<b>Åse</b>" in body(message, "plain")
        assert "&lt;b&gt;Åse&lt;/b&gt;" in body(message, "html")
        assert message["To"].addresses[0].display_name == '<b>Åse</b> "x"'

    async def test_message_ids_differ_when_an_order_has_two_statuses(self, harness: Harness) -> None:
        data = order_data()
        add_user(harness.users, data["user_id"])
        async with harness.run_worker():
            for status in ("placed", "shipped"):
                await append_event(harness.redis, order_event(status, data=data))
            await eventually(lambda: len(harness.mailbox.messages) == 2)
        message_ids = {str(message["Message-ID"]) for message in harness.mailbox.messages}
        assert len(message_ids) == 2
        emails = await harness.list_emails()
        assert message_ids == {email.message_id for email in emails}
        assert {email.state for email in emails} == {"sent"}

    async def test_trace_continues_from_the_event_to_the_mail_server(self, harness: Harness, spans: Spans) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("publish") as publish:
            publish_context = publish.get_span_context()
            current = TraceContext.current()
        traced = event.model_copy(
            update={"traceparent": current.traceparent, "tracestate": "a=b", "baggage": "hopline.synthetic=true"}
        )
        async with harness.run_worker():
            await append_event(harness.redis, traced)
            await eventually(lambda: spans.named("run send_order_email"))
        run, send = spans.one("run send_order_email"), spans.one("SMTP send")
        consume = spans.one("process events:orders")
        assert consume.parent is not None
        assert consume.parent.span_id == publish_context.span_id
        assert run.parent is not None
        assert consume.context is not None
        assert run.parent.span_id == consume.context.span_id
        assert run.kind is SpanKind.CONSUMER
        assert run.attributes is not None
        assert run.attributes["hopline.job.attempt"] == 1
        assert run.attributes["hopline.job.outcome"] == "done"
        assert not run.links
        assert send.kind is SpanKind.CLIENT
        assert (send.attributes or {})["hopline.synthetic"] == "true"
        assert send.parent is not None
        assert run.context is not None
        assert send.parent.span_id == run.context.span_id
        (message,) = harness.mailbox.messages
        assert message["X-Trace-Id"] == format_trace_id(publish_context.trace_id)
        (request,) = harness.users.user_requests
        assert format_trace_id(publish_context.trace_id) in request["traceparent"]
        assert request["tracestate"] == "a=b"
        assert request["baggage"] == "hopline.synthetic=true"
        assert baggage.get_all() == {}

    async def test_order_email_creates_four_spans_in_the_trace_of_the_event(
        self, harness: Harness, spans: Spans
    ) -> None:
        event = order_event("shipped", traceparent=TRACEPARENT)
        add_user(harness.users, event.data["user_id"])
        async with harness.run_worker():
            await append_event(harness.redis, event)
            await eventually(lambda: spans.named("run send_order_email"))
        trace_id = int(TRACE_ID, 16)
        names = [span.name for span in spans.finished() if span.context and span.context.trace_id == trace_id]
        assert sorted(names) == [
            "GET /internal/users/{user_id}",
            "SMTP send",
            "process events:orders",
            "run send_order_email",
        ]
        assert event_names(spans.one("process events:orders")) == ["INSERT inbox", "INSERT job"]
        assert event_names(spans.one("run send_order_email")) == [
            "INSERT email",
            "UPDATE email",
            "UPDATE job",
        ]

    async def test_token_request_is_not_in_the_trace_of_a_job(self, harness: Harness, spans: Spans) -> None:
        event = order_event("shipped", traceparent=TRACEPARENT)
        add_user(harness.users, event.data["user_id"])
        async with harness.run_worker():
            await append_event(harness.redis, event)
            await eventually(lambda: spans.named("run send_order_email"))
        (request,) = harness.users.token_requests
        assert TRACE_ID not in request["traceparent"]


class TestWelcomeEmail:
    async def test_welcome_email_is_sent_when_a_user_registers(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        async with harness.run_worker():
            await append_event(harness.redis, registered_event(user_id))
            await eventually(lambda: harness.mailbox.messages)
        (message,) = harness.mailbox.messages
        assert message["Subject"] == "Welcome to Hopline"
        assert "Welcome, Ada Lovelace" in body(message, "plain")
        assert "Welcome, Ada Lovelace" in body(message, "html")
