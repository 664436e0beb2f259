from uuid import uuid4

import pytest
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, format_trace_id

from shared.events import Trace
from testkit.spans import Spans, told
from testkit.waiting import eventually

from .factories import order_data, order_event, registered_event, ship
from .standins import body, person
from .world import World


class TestOrderEmail:
    @pytest.mark.parametrize(
        ("status", "subject"),
        [
            ("placed", "We have your order"),
            ("shipped", "Your order is on its way"),
            ("cancelled", "Your order is cancelled"),
        ],
    )
    async def test_says_what_became_of_the_order(self, world: World, status: str, subject: str) -> None:
        event = order_event(status)
        person(world.users, event.data["user_id"])
        async with world.worker():
            await ship(world.redis, event)
            await eventually(lambda: world.mailbox.messages)
        (message,) = world.mailbox.messages
        number = event.data["order_id"][:8]
        assert message["To"] == "Ada Lovelace <ada@hopline.example>"
        assert message["From"] == "Hopline <shop@hopline.example>"
        assert message["Subject"] == f"{subject} ({number})"
        for form in ("plain", "html"):
            assert "Blue cup" in body(message, form)
            assert "25.00 EUR" in body(message, form)
            assert "32.50 EUR" in body(message, form)
        assert world.mailbox.recipients == ["ada@hopline.example"]

    async def test_html_is_escaped_and_text_is_not(self, world: World) -> None:
        event = order_event()
        person(world.users, event.data["user_id"], name='<b>Åse</b>\r\n"x"')
        async with world.worker():
            await ship(world.redis, event)
            await eventually(lambda: world.mailbox.messages)
        (message,) = world.mailbox.messages
        assert "<b>Åse</b>" in body(message, "plain")
        assert "&lt;b&gt;Åse&lt;/b&gt;" in body(message, "html")
        assert message["To"].addresses[0].display_name == '<b>Åse</b> "x"'

    async def test_message_id_belongs_to_the_order_and_its_status(self, world: World) -> None:
        data = order_data()
        person(world.users, data["user_id"])
        async with world.worker():
            for status in ("placed", "shipped"):
                await ship(world.redis, order_event(status, data=data))
            await eventually(lambda: len(world.mailbox.messages) == 2)
        sent = {str(message["Message-ID"]) for message in world.mailbox.messages}
        assert len(sent) == 2
        assert sent == {email.message_id for email in await world.emails()}
        assert {email.state for email in await world.emails()} == {"sent"}

    async def test_one_trace_from_event_to_mail_server(self, world: World, spans: Spans) -> None:
        event = order_event("shipped")
        person(world.users, event.data["user_id"])
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("publish") as cause:
            cause_context = cause.get_span_context()
            carried = Trace.current()
        traced = event.model_copy(
            update={"traceparent": carried.traceparent, "tracestate": "a=b", "baggage": "hopline.synthetic=true"}
        )
        async with world.worker():
            await ship(world.redis, traced)
            await eventually(lambda: spans.named("run send_order_email"))
        run, send = spans.one("run send_order_email"), spans.one("SMTP send")
        consume = spans.one("process events:orders")
        assert consume.parent is not None
        assert consume.parent.span_id == cause_context.span_id
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
        (message,) = world.mailbox.messages
        assert message["X-Trace-Id"] == format_trace_id(cause_context.trace_id)
        (asked,) = world.users.asked
        assert format_trace_id(cause_context.trace_id) in asked["traceparent"]
        assert asked["tracestate"] == "a=b"
        assert asked["baggage"] == "hopline.synthetic=true"
        assert baggage.get_all() == {}

    async def test_few_spans_each_worth_reading(self, world: World, spans: Spans) -> None:
        event = order_event("shipped", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        person(world.users, event.data["user_id"])
        async with world.worker():
            await ship(world.redis, event)
            await eventually(lambda: spans.named("run send_order_email"))
        trace_id = int("4bf92f3577b34da6a3ce929d0e0e4736", 16)
        ours = [span for span in spans.finished() if span.context and span.context.trace_id == trace_id]
        assert sorted(span.name for span in ours) == [
            "GET /internal/users/{user_id}",
            "SMTP send",
            "process events:orders",
            "run send_order_email",
        ]
        assert told(spans.one("process events:orders")) == ["INSERT inbox", "INSERT job"]
        assert told(spans.one("run send_order_email")) == [
            "INSERT email",
            "UPDATE email",
            "UPDATE job",
        ]

    async def test_the_token_is_nobodys_trace(self, world: World, spans: Spans) -> None:
        event = order_event("shipped", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        person(world.users, event.data["user_id"])
        async with world.worker():
            await ship(world.redis, event)
            await eventually(lambda: spans.named("run send_order_email"))
        (granted,) = world.users.granted
        assert "4bf92f3577b34da6a3ce929d0e0e4736" not in granted["traceparent"]


class TestWelcomeEmail:
    async def test_greets_a_new_user(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        async with world.worker():
            await ship(world.redis, registered_event(user_id))
            await eventually(lambda: world.mailbox.messages)
        (message,) = world.mailbox.messages
        assert message["Subject"] == "Welcome to Hopline"
        assert "Welcome, Ada Lovelace" in body(message, "plain")
        assert "Welcome, Ada Lovelace" in body(message, "html")
