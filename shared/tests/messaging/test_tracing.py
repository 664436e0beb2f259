"""The spans, links and log records of an event from its publication to its effect. Polling creates no spans."""

import asyncpg
import pytest
import structlog
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from structlog.testing import capture_logs

from shared.db.statements import record_statements
from shared.messaging import CloudEvent, PoisonEventError, TraceContext, publish
from shared.messaging.tracing import process_span
from testkit.metrics import RecordedMetrics
from testkit.sample_service import GROUP, STREAM, EffectHandler, SampleService, sample_event
from testkit.spans import Spans
from testkit.waiting import eventually

from .conditions import has_acknowledged_up_to, has_applied, has_entries, redeliver_all

PUBLISH, PROCESS = f"publish {STREAM}", f"process {STREAM}"
tracer = trace.get_tracer(__name__)


@pytest.fixture
def traced(sample: SampleService, spans: Spans) -> SampleService:
    """Return the service, with a span for each of its SQL statements."""
    record_statements(sample.engine.sync_engine, slow_s=0)
    return sample


async def publish_traced(sample: SampleService, number: int = 1) -> SpanContext:
    """Publish within a span, as a request does, and return the context of the span."""
    with tracer.start_as_current_span("request") as span:
        async with sample.sessions() as session, session.begin():
            await publish(session, sample_event(number))
    return span.get_span_context()


def get_parent_id(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


def get_span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


class TestOneTrace:
    async def test_spans_of_request_publish_process_and_effect_are_one_trace(
        self, traced: SampleService, spans: Spans
    ) -> None:
        async with traced.relay(), traced.consumer(EffectHandler()):
            request = await publish_traced(traced)
            await eventually(lambda: spans.named(PROCESS))
        published, processed = spans.one(PUBLISH), spans.one(PROCESS)
        assert get_parent_id(published) == request.span_id
        assert get_parent_id(processed) == get_span_id(published)
        assert (published.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
        inserts = [span for span in spans.finished() if span.name.startswith("INSERT")]
        assert get_span_id(processed) in {get_parent_id(span) for span in inserts}
        assert {span.context.trace_id for span in spans.finished() if span.context} == {request.trace_id}

    async def test_attributes_follow_the_semantic_conventions(self, sample: SampleService, spans: Spans) -> None:
        async with sample.relay(), sample.consumer(EffectHandler()):
            await publish_traced(sample)
            await eventually(lambda: spans.named(PROCESS))
        event = await read_only_event(sample)
        connection = sample.redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
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
        # The statements are not counted, because `record_statements` was not called for this engine.
        cost = {"hopline.db.queries": 0, "hopline.db.duration_ms": 0.0}
        assert spans.one(PROCESS).attributes == common | cost | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": GROUP,
        }

    async def test_baggage_and_the_process_span_are_current_in_the_consumer(
        self, sample: SampleService, spans: Spans
    ) -> None:
        found: list[tuple[object, int]] = []

        async def record_context() -> None:
            span_id = trace.get_current_span().get_span_context().span_id
            found.append((baggage.get_baggage("hopline.synthetic"), span_id))

        async with sample.relay(), sample.consumer(EffectHandler(after_commit=record_context)):
            token = otel_context.attach(baggage.set_baggage("hopline.synthetic", "true"))
            await publish_traced(sample)
            otel_context.detach(token)
            await eventually(lambda: spans.named(PROCESS))
        assert found == [("true", get_span_id(spans.one(PROCESS)))]

    async def test_publish_span_is_missing_when_the_event_has_no_trace(
        self, sample: SampleService, spans: Spans
    ) -> None:
        async with sample.relay(), sample.consumer(EffectHandler()):
            await sample.publish(1)
            await eventually(lambda: spans.named(PROCESS))
        assert spans.named(PUBLISH) == []
        assert spans.one(PROCESS).parent is None


class TestFailure:
    def test_exception_is_recorded_without_addresses(self, spans: Spans, metrics: RecordedMetrics) -> None:
        with (
            pytest.raises(ValueError, match="ann@"),
            process_span(STREAM, GROUP, sample_event(1), server={}, redelivered=False),
        ):
            raise ValueError("a secret detail of ann@hopline.example")
        failed = spans.one(PROCESS)
        assert failed.status.description == "ValueError: a secret detail of [address]"
        [recorded] = failed.events
        assert "hopline.example" not in str(recorded.attributes)
        assert set(recorded.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}
        assert (recorded.attributes or {})["exception.type"] == "ValueError"
        attributes = {"messaging.operation.name": "process", "error.type": "ValueError"}
        assert metrics.value("messaging.process.duration", attributes) == 1


class TestRedelivery:
    async def test_retry_is_a_child_of_the_publish_span_with_a_link(self, sample: SampleService, spans: Spans) -> None:
        async with sample.relay(), sample.consumer(EffectHandler(failures={1: 1})):
            await publish_traced(sample)
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        published = spans.one(PUBLISH)
        first, second = spans.named(PROCESS)
        assert first.status.status_code is StatusCode.ERROR
        assert [get_parent_id(first), get_parent_id(second)] == [get_span_id(published)] * 2
        assert not first.links
        assert [link.context.span_id for link in second.links] == [get_span_id(published)]
        assert (second.attributes or {})["hopline.messaging.redelivered"] is True

    async def test_claimed_entry_is_marked_as_redelivered(self, sample: SampleService, spans: Spans) -> None:
        await sample.send(1)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with sample.consumer(EffectHandler(), claim_idle_s=0):
            await eventually(lambda: spans.named(PROCESS))
        assert (spans.one(PROCESS).attributes or {})["hopline.messaging.redelivered"] is True

    async def test_redelivery_links_to_the_span_that_applied_the_event(
        self, sample: SampleService, spans: Spans
    ) -> None:
        handler = EffectHandler()
        async with sample.relay(), sample.consumer(handler):
            await publish_traced(sample)
            await eventually(lambda: spans.named(PROCESS))
        await redeliver_all(sample)
        await sample.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with sample.consumer(handler, claim_idle_s=0):
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        published = spans.one(PUBLISH)
        first, second = spans.named(PROCESS)
        assert get_parent_id(second) == get_span_id(published)
        assert [link.context.span_id for link in second.links] == [get_span_id(published), get_span_id(first)]
        flags = {"hopline.messaging.redelivered": True, "hopline.applied_before": True, "hopline.db.queries": 0}
        assert flags.items() <= dict(second.attributes or {}).items()
        assert handler.calls == [1]
        assert await sample.pending() == 0

    async def test_applied_event_has_no_second_span_when_the_stream_is_read_again(
        self, traced: SampleService, spans: Spans
    ) -> None:
        handler = EffectHandler()
        async with traced.relay(poll_s=0.05):
            async with traced.consumer(handler):
                await publish_traced(traced)
                await eventually(lambda: spans.named(PROCESS))
            await redeliver_all(traced)
            await publish_traced(traced, 2)
            await eventually(lambda: has_entries(traced, 2))
            async with traced.consumer(handler):
                await eventually(lambda: len(handler.calls) == 2)
        assert len(spans.named(PROCESS)) == 2
        assert handler.calls == [1, 2]


class TestNoSpans:
    async def test_next_leader_creates_no_spans_for_appended_events(self, sample: SampleService, spans: Spans) -> None:
        for n in (1, 2):
            async with sample.relay():
                await publish_traced(sample, n)
                await eventually(lambda n=n: has_entries(sample, n))  # type: ignore[misc]
        assert len(spans.named(PUBLISH)) == 2

    async def test_idle_consumer_and_dead_letters_create_no_spans(self, traced: SampleService, spans: Spans) -> None:
        await traced.send(1)
        await traced.redis.xadd(STREAM, {"event": "not json"}, id="2-0")
        async with traced.consumer(EffectHandler(failures={1: None}, error=PoisonEventError), claim_idle_s=0):
            await eventually(lambda: has_acknowledged_up_to(traced, b"2-0"))
        assert [span.name for span in spans.finished() if span.parent is None] == [PROCESS]

    async def test_idle_relay_creates_no_spans(self, traced: SampleService, spans: Spans) -> None:
        observer = await asyncpg.connect(traced.database_url)
        async with traced.relay(poll_s=0.01):
            await publish_traced(traced)
            await eventually(lambda: spans.named(PUBLISH))
            spans.clear()
            now = await observer.fetchval("SELECT clock_timestamp()")
            await eventually(lambda: observer.fetchval(POLLS_SINCE, now), what="the next poll")
        await observer.close()
        assert spans.finished() == ()


POLLS_SINCE = """SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'relay%' AND datname = current_database() AND query_start > $1"""


async def read_only_event(sample: SampleService) -> CloudEvent:
    """Return the event of the only entry of the stream."""
    [(_entry_id, fields)] = await sample.redis.xrange(STREAM)
    return CloudEvent.decode(fields[b"event"])


class TestFlushedRedis:
    async def test_repeated_event_after_a_flush_is_marked_as_applied(self, sample: SampleService, spans: Spans) -> None:
        handler = EffectHandler()
        async with sample.relay(poll_s=0.05), sample.consumer(handler):
            await publish_traced(sample)
            await eventually(lambda: spans.named(PROCESS))
            await sample.redis.flushdb()
            await eventually(lambda: len(spans.named(PROCESS)) == 2)
        flags = [(span.attributes or {}).get("hopline.applied_before") for span in spans.named(PROCESS)]
        assert flags == [None, True]
        assert handler.calls == [1]


class TestLogs:
    async def test_log_records_of_consumer_and_handler_have_id_and_type_of_the_event(
        self, sample: SampleService
    ) -> None:
        async def log_record() -> None:
            structlog.get_logger().info("logged_by_handler")

        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as records:
            async with sample.relay(), sample.consumer(EffectHandler(after_commit=log_record)):
                await sample.publish(1)
                await eventually(lambda: "event_processed" in {record["event"] for record in records})
        event = await read_only_event(sample)
        for name in ("logged_by_handler", "event_processed"):
            [record] = [record for record in records if record["event"] == name]
            assert (record["event_id"], record["event_type"]) == (str(event.id), event.type)

    async def test_later_log_record_of_the_consumer_does_not_have_the_id_of_an_earlier_event(
        self, sample: SampleService
    ) -> None:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as records:
            async with sample.consumer(EffectHandler()):
                await sample.send(1)
                await eventually(lambda: has_applied(sample, 1))
                await sample.redis.xadd(STREAM, {"event": "not json"}, id="2-0")
                await eventually(lambda: "event_dead_lettered" in {record["event"] for record in records})
        [record] = [record for record in records if record["event"] == "event_dead_lettered"]
        assert "event_id" not in record


class TestTraceContext:
    def test_current_context_has_parent_state_and_baggage(self, spans: Spans) -> None:
        parent_id = "b" * 16
        given = TraceContext(f"00-{'a' * 32}-{parent_id}-01", "vendor=1", "k=v")
        token = otel_context.attach(given.context())
        try:
            assert TraceContext.current() == given
        finally:
            otel_context.detach(token)
        link = given.link()
        assert link is not None
        assert link.context.span_id == int(parent_id, 16)

    def test_current_context_is_empty_and_has_no_link_without_a_span(self) -> None:
        assert TraceContext.current() == TraceContext()
        assert TraceContext().link() is None
