"""The same calls record the same spans with this provider as with the SDK's."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer, TraceState

from otel_lean.tracer import LeanTracerProvider

Scenario = Callable[[Tracer], None]
"""Calls of the API that record spans."""

MAX_PASSED_TIME_NS = 1_000_000
"""The scenarios pass times below this one. Times of the clock are later."""

REMOTE_SAMPLED = SpanContext(7, 8, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "x")]))
REMOTE_UNSAMPLED = SpanContext(7, 9, True, TraceFlags(TraceFlags.RANDOM_TRACE_ID))


class CountingIdGenerator(IdGenerator):
    """Generates the ids 1, 2, 3… for traces and spans, so that two providers can be compared."""

    def __init__(self) -> None:
        self._ids = count(1)

    def generate_span_id(self) -> int:
        return next(self._ids)

    def generate_trace_id(self) -> int:
        return next(self._ids)

    def is_trace_id_random(self) -> bool:
        return True


def record_spans(provider: sdk.TracerProvider, scenario: Scenario) -> list[dict[str, Any]]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    scenario(provider.get_tracer("tests", "1", "https://schema.example", {"a": 1}))
    return [describe(span) for span in exporter.get_finished_spans()]


def describe(span: sdk.ReadableSpan) -> dict[str, Any]:
    """Return the fields of a span without times of the clock, because these differ between two recordings."""
    assert span.start_time
    assert span.end_time
    attributes = span.attributes or {}
    return {
        "name": span.name,
        "context": tuple(span.context),
        "parent": span.parent and tuple(span.parent),
        "kind": span.kind,
        "times": [time for time in (span.start_time, span.end_time) if time < MAX_PASSED_TIME_NS],
        "attributes": {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()},
        "events": [
            (
                event.name,
                event.timestamp if event.timestamp < MAX_PASSED_TIME_NS else None,
                dict(event.attributes or {}),
                event.dropped_attributes,
            )
            for event in span.events
        ],
        "links": [(tuple(link.context), dict(link.attributes or {}), link.dropped_attributes) for link in span.links],
        "status": (span.status.status_code, span.status.description),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "scope": span.instrumentation_scope,
        "resource": span.resource,
    }


def set_and_replace_attributes(tracer: Tracer) -> None:
    given: dict[str, str | int] = {"a": 1, "b": "two"}
    span = tracer.start_span("first", kind=SpanKind.CLIENT, attributes=given)
    given["a"] = 100
    span.set_attribute("b", [1, 2])
    span.set_attributes({"c": 0.5, "d": True})
    span.update_name("second")
    span.end()


def pass_times(tracer: Tracer) -> None:
    span = tracer.start_span("past", start_time=5)
    span.add_event("within", timestamp=7)
    span.end(9)


def add_events_and_links(tracer: Tracer) -> None:
    links = [Link(REMOTE_SAMPLED, {"why": "redelivery"}), Link(trace.INVALID_SPAN_CONTEXT)]
    span = tracer.start_span("linked", links=links)
    span.add_link(REMOTE_UNSAMPLED)
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.add_link(trace.INVALID_SPAN_CONTEXT, {"why": "anyway"})
    span.add_event("one")
    span.add_event("two", {"n": 2})
    span.end()


def start_children(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root", attributes={"at": "root"}):
        with tracer.start_as_current_span("child", kind=SpanKind.SERVER):
            tracer.start_span("grandchild").end()
        tracer.start_span("another root", context=otel_context.Context()).end()


def start_children_of_remote_parents(tracer: Tracer) -> None:
    for parent in (REMOTE_SAMPLED, REMOTE_UNSAMPLED):
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = tracer.start_span("below", context=context, attributes={"a": 1})
        state = f"{tuple(span.get_span_context())} {span.is_recording()}"
        tracer.start_span(state, context=otel_context.Context()).end()  # a span with this name, to compare it
        span.end()


def change_after_the_end(tracer: Tracer) -> None:
    span = tracer.start_span("over")
    span.set_attribute("recording", span.is_recording())
    span.end(5)
    tracer.start_span(f"recording: {span.is_recording()}").end()
    span.set_attribute("late", 1)
    span.set_attributes({"late": 1})
    span.add_event("late")
    span.add_link(REMOTE_SAMPLED)
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.end(6)


def set_status_repeatedly(tracer: Tracer) -> None:
    sequences: list[list[tuple[Status | StatusCode, str | None]]] = [
        [(StatusCode.OK, None), (StatusCode.ERROR, "ignored")],
        [(StatusCode.ERROR, "first"), (StatusCode.ERROR, "second")],
        [(StatusCode.ERROR, "kept"), (StatusCode.UNSET, None)],
        [(Status(StatusCode.ERROR, "object"), None), (Status(StatusCode.UNSET), None)],
        [(StatusCode.ERROR, "then"), (Status(StatusCode.OK), None)],
    ]
    for sequence in sequences:
        span = tracer.start_span("with status")
        for status, description in sequence:
            span.set_status(status, description)
        span.end()


def raise_within_a_span(tracer: Tracer) -> None:
    for flags in ({}, {"record_exception": False}, {"set_status_on_exception": False}):
        with pytest.raises(LookupError), tracer.start_as_current_span("current", **flags):  # type: ignore[arg-type]
            raise LookupError("not found")
        with pytest.raises(LookupError), tracer.start_span("plain", **flags):  # type: ignore[arg-type]
            raise LookupError("not found")


def record_exceptions(tracer: Tracer) -> None:
    span = tracer.start_span("failed")
    span.record_exception(asyncio.QueueEmpty("of a module"))
    span.record_exception(ValueError("wrong"), {"exception.message": "[redacted]", "exception.stacktrace": "mine"}, 3)
    span.end()


def end_after_the_block(tracer: Tracer) -> None:
    with tracer.start_as_current_span("open", end_on_exit=False) as span:
        pass
    span.set_attribute("later", 1)
    span.end()


def decorate_a_function(tracer: Tracer) -> None:
    @tracer.start_as_current_span("decorated")
    async def work() -> None:
        trace.get_current_span().set_attribute("inside", 1)

    for _ in range(2):
        asyncio.run(work())


SCENARIOS = [
    set_and_replace_attributes,
    pass_times,
    add_events_and_links,
    start_children,
    start_children_of_remote_parents,
    change_after_the_end,
    set_status_repeatedly,
    raise_within_a_span,
    record_exceptions,
    end_after_the_block,
    decorate_a_function,
]
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"OTEL_TRACES_SAMPLER": "always_off"},
    {"OTEL_TRACES_SAMPLER": "always_on"},
    {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
    {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_SPAN_EVENT_COUNT_LIMIT": "1", "OTEL_SPAN_LINK_COUNT_LIMIT": "1"},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "1"},
    {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2"},
    {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2"},
    {"OTEL_SDK_DISABLED": "true"},
]


class TestAgainstTheSdk:
    @pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
    @pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
    def test_spans_of_the_same_calls_equal_those_of_the_sdk(
        self, scenario: Scenario, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        resource = Resource.create({"service.name": "tests"})
        lean = LeanTracerProvider(resource=resource, id_generator=CountingIdGenerator(), shutdown_on_exit=False)
        official = sdk.TracerProvider(resource=resource, id_generator=CountingIdGenerator(), shutdown_on_exit=False)
        assert record_spans(lean, scenario) == record_spans(official, scenario)

    @pytest.mark.parametrize("decision", [ALWAYS_ON, ALWAYS_OFF], ids=lambda sampler: sampler.get_description())
    @pytest.mark.parametrize("scenario", [start_children_of_remote_parents, start_children])
    def test_spans_equal_those_of_the_sdk_when_a_sampler_decides_about_remote_parents(
        self, scenario: Scenario, decision: Sampler
    ) -> None:
        sampler = ParentBased(decision, remote_parent_sampled=decision, remote_parent_not_sampled=decision)
        lean = LeanTracerProvider(sampler=sampler, id_generator=CountingIdGenerator(), shutdown_on_exit=False)
        official = sdk.TracerProvider(sampler=sampler, id_generator=CountingIdGenerator(), shutdown_on_exit=False)
        assert record_spans(lean, scenario) == record_spans(official, scenario)

    def test_recorded_span_has_its_name_kind_ids_and_attributes(self) -> None:
        [span] = record_spans(
            LeanTracerProvider(id_generator=CountingIdGenerator(), shutdown_on_exit=False), set_and_replace_attributes
        )
        assert span["attributes"] == {"a": 1, "b": (1, 2), "c": 0.5, "d": True}
        assert (span["name"], span["kind"], span["context"][:2]) == ("second", SpanKind.CLIENT, (1, 2))
