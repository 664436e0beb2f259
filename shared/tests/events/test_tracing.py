"""One trace from the publishing transaction to the effect, parent to child; quiet when there is nothing to tell."""

import asyncpg
import pytest
import structlog
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from structlog.testing import capture_logs

from shared.events import AfterCommit, CloudEvent, Poison, Trace, publish
from shared.events.tracing import process_span
from shared.statements import watch_statements
from testkit.spans import Spans
from testkit.things import GROUP, STREAM, Things, Watcher, made
from testkit.waiting import eventually

PUBLISH, PROCESS = f"publish {STREAM}", f"process {STREAM}"
tracer = trace.get_tracer(__name__)


@pytest.fixture
def traced(things: Things, spans: Spans) -> Things:
    """The service with a span for each of its statements."""
    watch_statements(things.engine.sync_engine, slow_s=0)
    return things


async def publish_traced(things: Things, n: int = 1) -> SpanContext:
    """Publish within a span, as a request does; the span's context."""
    with tracer.start_as_current_span("request") as span:
        async with things.sessions() as session, session.begin():
            await publish(session, made(n))
    return span.get_span_context()


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


class TestOneTrace:
    async def test_request_publish_process_and_effect_are_one_line(self, traced: Things, spans: Spans) -> None:
        async with traced.relay(), traced.consumer(Watcher()):
            request = await publish_traced(traced)
            await eventually(lambda: spans.named(PROCESS))
        published, processed = spans.one(PUBLISH), spans.one(PROCESS)
        assert parent_of(published) == request.span_id
        assert parent_of(processed) == id_of(published)
        assert (published.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
        inserts = [span for span in spans.finished() if span.name.startswith("INSERT")]
        assert id_of(processed) in {parent_of(span) for span in inserts}
        assert {span.context.trace_id for span in spans.finished() if span.context} == {request.trace_id}

    async def test_attributes_follow_the_conventions(self, things: Things, spans: Spans) -> None:
        async with things.relay(), things.consumer(Watcher()):
            await publish_traced(things)
            await eventually(lambda: spans.named(PROCESS))
        (entry,) = await things.redis.xrange(STREAM)
        event = CloudEvent.decode(entry[1][b"event"])
        connection = things.redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
        common = {
            "server.address": connection["host"],
            "server.port": connection["port"],
            "messaging.system": "redis",
            "messaging.destination.name": STREAM,
            "messaging.message.id": str(event.id),
            "cloudevents.event_id": str(event.id),
            "cloudevents.event_source": event.source,
            "cloudevents.event_type": event.type,
            "cloudevents.event_subject": event.subject,
        }
        assert spans.one(PUBLISH).attributes == common | {
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
        }
        cost = {"hopline.db.queries": 0, "hopline.db.duration_ms": 0.0}  # this engine is not watched
        assert spans.one(PROCESS).attributes == common | cost | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": GROUP,
        }

    async def test_baggage_arrives(self, things: Things, spans: Spans) -> None:
        seen: list[object] = []

        async def look() -> None:
            seen.append((baggage.get_baggage("hopline.synthetic"), trace.get_current_span().get_span_context().span_id))

        async with things.relay(), things.consumer(Watcher(after_commit=look)):
            token = otel_context.attach(baggage.set_baggage("hopline.synthetic", "true"))
            await publish_traced(things)
            otel_context.detach(token)
            await eventually(lambda: spans.named(PROCESS))
        assert seen == [("true", id_of(spans.one(PROCESS)))]

    async def test_without_a_trace_no_publish_span(self, things: Things, spans: Spans) -> None:
        async with things.relay(), things.consumer(Watcher()):
            await things.publish(1)
            await eventually(lambda: spans.named(PROCESS))
        assert spans.named(PUBLISH) == []
        assert spans.one(PROCESS).parent is None


class TestFailure:
    def test_is_told_without_whom_it_names(self, spans: Spans) -> None:
        with (
            pytest.raises(ValueError, match="ann@"),
            process_span(STREAM, GROUP, made(1), server={}, redelivered=False),
        ):
            raise ValueError("a secret detail of ann@hopline.example")
        failed = spans.one(PROCESS)
        assert failed.status.description == "ValueError: a secret detail of [address]"
        [raised] = failed.events
        assert "hopline.example" not in str(raised.attributes)
        assert set(raised.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}
        assert (raised.attributes or {})["exception.type"] == "ValueError"


class TestSecondTries:
    async def test_retry_keeps_the_parent_and_links_to_it(self, things: Things, spans: Spans) -> None:
        async with things.relay(), things.consumer(Watcher(failures={1: 1})):
            await publish_traced(things)
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        published = spans.one(PUBLISH)
        first, second = spans.named(PROCESS)
        assert first.status.status_code is StatusCode.ERROR
        assert [parent_of(first), parent_of(second)] == [id_of(published)] * 2
        assert not first.links
        assert [link.context.span_id for link in second.links] == [id_of(published)]
        assert second.attributes is not None
        assert second.attributes["hopline.messaging.redelivered"] is True

    async def test_taken_over_entry_is_redelivered(self, things: Things, spans: Spans) -> None:
        await things.send(1)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with things.consumer(Watcher(), claim_idle_s=0):
            await eventually(lambda: spans.named(PROCESS))
        assert spans.one(PROCESS).attributes is not None
        assert "hopline.messaging.redelivered" in (spans.one(PROCESS).attributes or {})

    async def test_one_that_was_applied_and_not_acknowledged_leads_to_who_did_it(
        self, things: Things, spans: Spans
    ) -> None:
        watcher = Watcher()
        async with things.relay(), things.consumer(watcher):
            await publish_traced(things)
            await eventually(lambda: spans.named(PROCESS))
        await things.redis.xgroup_setid(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with things.consumer(watcher, claim_idle_s=0):
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        published = spans.one(PUBLISH)
        first, second = spans.named(PROCESS)
        assert parent_of(second) == id_of(published)
        assert [link.context.span_id for link in second.links] == [id_of(published), id_of(first)]
        flags = {"hopline.messaging.redelivered": True, "hopline.applied_before": True, "hopline.db.queries": 0}
        assert flags.items() <= dict(second.attributes or {}).items()
        assert watcher.calls == [1]
        assert await things.pending() == 0

    async def test_what_redis_has_forgotten_and_is_shipped_again_makes_no_span(
        self, traced: Things, spans: Spans
    ) -> None:
        watcher = Watcher()
        async with traced.relay(poll_s=0.05):
            async with traced.consumer(watcher):
                await publish_traced(traced)
                await eventually(lambda: spans.named(PROCESS))
            await traced.redis.xgroup_setid(STREAM, GROUP, id="0")
            await publish_traced(traced, 2)
            await eventually(lambda: is_length(traced, 2))
            async with traced.consumer(watcher):
                await eventually(lambda: len(watcher.calls) == 2)
        assert len(spans.named(PROCESS)) == 2
        assert watcher.calls == [1, 2]


class TestQuiet:
    async def test_next_leader_makes_no_spans_for_what_was_shipped(self, things: Things, spans: Spans) -> None:
        for n in (1, 2):
            async with things.relay():
                await publish_traced(things, n)
                await eventually(lambda n=n: is_length(things, n))  # type: ignore[misc]
        assert len(spans.named(PUBLISH)) == 2

    async def test_idle_consumer_and_burials_make_no_spans(self, traced: Things, spans: Spans) -> None:
        await traced.send(1)
        await traced.redis.xadd(STREAM, {"event": "not json"}, id="2-0")
        async with traced.consumer(Watcher(failures={1: None}, error=Poison), claim_idle_s=0):
            await eventually(lambda: is_acknowledged(traced))
        assert [span.name for span in spans.finished() if span.parent is None] == [PROCESS]

    async def test_idle_relay_makes_no_spans(self, traced: Things, spans: Spans) -> None:
        observer = await asyncpg.connect(traced.database_url)
        async with traced.relay(poll_s=0.01):
            await publish_traced(traced)
            await eventually(lambda: spans.named(PUBLISH))
            spans.clear()
            now = await observer.fetchval("SELECT clock_timestamp()")
            await eventually(lambda: observer.fetchval(POLLS_SINCE, now), what="the next poll")
        await observer.close()
        assert spans.finished() == ()


async def is_length(things: Things, length: int) -> bool:
    return len(await things.stream()) == length


POLLS_SINCE = """SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'relay%' AND datname = current_database() AND query_start > $1"""


async def is_acknowledged(things: Things) -> bool:
    if await things.pending():
        return False
    (group,) = await things.redis.xinfo_groups(STREAM)
    return bool(group["last-delivered-id"] == b"2-0")


class TestForgotten:
    async def test_lone_event_of_a_flushed_redis_tells_that_it_was_applied(self, things: Things, spans: Spans) -> None:
        watcher = Watcher()
        async with things.relay(poll_s=0.05), things.consumer(watcher):
            await publish_traced(things)
            await eventually(lambda: spans.named(PROCESS))
            await things.redis.flushdb()
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        told = [(span.attributes or {}).get("hopline.applied_before") for span in spans.named(PROCESS)]
        assert (told, watcher.calls) == ([None, True], [1])


class TestLogs:
    async def test_every_line_names_the_event(self, things: Things, spans: Spans) -> None:
        async def look() -> None:
            structlog.get_logger().info("looked")

        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            async with things.relay(), things.consumer(Watcher(after_commit=look)):
                await things.publish(1)
                await eventually(lambda: [line for line in lines if line["event"] == "looked"])
        (entry,) = await things.redis.xrange(STREAM)
        event = CloudEvent.decode(entry[1][b"event"])
        (line,) = [line for line in lines if line["event"] == "event_processed"]
        assert (line["event_id"], line["event_type"]) == (str(event.id), event.type)

    async def test_bindings_end_with_the_event(self, things: Things, spans: Spans) -> None:
        bound: list[AfterCommit | dict[str, object]] = []
        async with things.relay(), things.consumer(Watcher()):
            await things.publish(1)
            await eventually(lambda: spans.named(PROCESS))
            bound.append(structlog.contextvars.get_contextvars())
        assert bound == [{}]


class TestTrace:
    def test_round_trip_keeps_parent_state_and_baggage(self, spans: Spans) -> None:
        given = Trace("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "vendor=1", "k=v")
        token = otel_context.attach(given.context())
        try:
            assert Trace.current() == given
        finally:
            otel_context.detach(token)
        link = given.link()
        assert link is not None
        assert link.context.span_id == int("b" * 16, 16)

    def test_nothing_stays_nothing(self) -> None:
        assert Trace.current() == Trace()
        assert Trace().link() is None
