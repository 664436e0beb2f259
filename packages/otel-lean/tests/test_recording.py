"""Calls record the same spans as with the SDK."""

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

REMOTE_SAMPLED = SpanContext(7, 8, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "x")]))
REMOTE_UNSAMPLED = SpanContext(7, 9, True, TraceFlags(TraceFlags.RANDOM_TRACE_ID))


class Counted(IdGenerator):
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
    return [described(span) for span in exporter.get_finished_spans()]


def described(span: sdk.ReadableSpan) -> dict[str, Any]:
    """Return the fields of a span, without times of the clock: they differ between two recordings."""
    assert span.start_time
    assert span.end_time
    attributes = span.attributes or {}
    return {
        "name": span.name,
        "context": tuple(span.context),
        "parent": span.parent and tuple(span.parent),
        "kind": span.kind,
        "times": [time for time in (span.start_time, span.end_time) if time < 1_000_000],
        "attributes": {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()},
        "events": [
            (
                event.name,
                event.timestamp if event.timestamp < 1_000_000 else None,
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


def attributes_are_set_and_replaced(tracer: Tracer) -> None:
    given: dict[str, str | int] = {"a": 1, "b": "two"}
    span = tracer.start_span("first", kind=SpanKind.CLIENT, attributes=given)
    given["a"] = 100
    span.set_attribute("b", [1, 2])
    span.set_attributes({"c": 0.5, "d": True})
    span.update_name("second")
    span.end()


def times_are_given(tracer: Tracer) -> None:
    span = tracer.start_span("past", start_time=5)
    span.add_event("within", timestamp=7)
    span.end(9)


def events_and_links_are_recorded(tracer: Tracer) -> None:
    links = [Link(REMOTE_SAMPLED, {"why": "redelivery"}), Link(trace.INVALID_SPAN_CONTEXT)]
    span = tracer.start_span("linked", links=links)
    span.add_link(REMOTE_UNSAMPLED)
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.add_link(trace.INVALID_SPAN_CONTEXT, {"why": "anyway"})
    span.add_event("one")
    span.add_event("two", {"n": 2})
    span.end()


def children_follow_their_parents(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root", attributes={"at": "root"}):
        with tracer.start_as_current_span("child", kind=SpanKind.SERVER):
            tracer.start_span("grandchild").end()
        tracer.start_span("another root", context=otel_context.Context()).end()


def children_follow_remote_parents(tracer: Tracer) -> None:
    for parent in (REMOTE_SAMPLED, REMOTE_UNSAMPLED):
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = tracer.start_span("below", context=context, attributes={"a": 1})
        reported = f"{tuple(span.get_span_context())} {span.is_recording()}"
        tracer.start_span(reported, context=otel_context.Context()).end()
        span.end()


def changes_after_the_end_are_ignored(tracer: Tracer) -> None:
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


def status_is_final_when_it_is_ok(tracer: Tracer) -> None:
    orders: list[list[tuple[Status | StatusCode, str | None]]] = [
        [(StatusCode.OK, None), (StatusCode.ERROR, "ignored")],
        [(StatusCode.ERROR, "first"), (StatusCode.ERROR, "second")],
        [(StatusCode.ERROR, "kept"), (StatusCode.UNSET, None)],
        [(Status(StatusCode.ERROR, "object"), None), (Status(StatusCode.UNSET), None)],
        [(StatusCode.ERROR, "then"), (Status(StatusCode.OK), None)],
    ]
    for order in orders:
        span = tracer.start_span("settled")
        for status, description in order:
            span.set_status(status, description)
        span.end()


def exceptions_pass_through(tracer: Tracer) -> None:
    for flags in ({}, {"record_exception": False}, {"set_status_on_exception": False}):
        with pytest.raises(LookupError), tracer.start_as_current_span("current", **flags):  # type: ignore[arg-type]
            raise LookupError("nothing there")
        with pytest.raises(LookupError), tracer.start_span("plain", **flags):  # type: ignore[arg-type]
            raise LookupError("nothing there")


def exceptions_are_recorded(tracer: Tracer) -> None:
    span = tracer.start_span("failed")
    span.record_exception(asyncio.QueueEmpty("of a module"))
    span.record_exception(ValueError("wrong"), {"exception.message": "[taken out]", "exception.stacktrace": "mine"}, 3)
    span.end()


def span_is_left_open_when_end_on_exit_is_false(tracer: Tracer) -> None:
    with tracer.start_as_current_span("open", end_on_exit=False) as span:
        pass
    span.set_attribute("later", 1)
    span.end()


def functions_are_decorated(tracer: Tracer) -> None:
    @tracer.start_as_current_span("decorated")
    async def work() -> None:
        trace.get_current_span().set_attribute("inside", 1)

    for _ in range(2):
        asyncio.run(work())


SCENARIOS = [
    attributes_are_set_and_replaced,
    times_are_given,
    events_and_links_are_recorded,
    children_follow_their_parents,
    children_follow_remote_parents,
    changes_after_the_end_are_ignored,
    status_is_final_when_it_is_ok,
    exceptions_pass_through,
    exceptions_are_recorded,
    span_is_left_open_when_end_on_exit_is_false,
    functions_are_decorated,
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
        lean = LeanTracerProvider(resource=resource, id_generator=Counted(), shutdown_on_exit=False)
        theirs = sdk.TracerProvider(resource=resource, id_generator=Counted(), shutdown_on_exit=False)
        assert record_spans(lean, scenario) == record_spans(theirs, scenario)

    @pytest.mark.parametrize("decision", [ALWAYS_ON, ALWAYS_OFF], ids=lambda sampler: sampler.get_description())
    @pytest.mark.parametrize("scenario", [children_follow_remote_parents, children_follow_their_parents])
    def test_spans_equal_those_of_the_sdk_when_a_sampler_decides_about_remote_parents(
        self, scenario: Scenario, decision: Sampler
    ) -> None:
        sampler = ParentBased(decision, remote_parent_sampled=decision, remote_parent_not_sampled=decision)
        lean = LeanTracerProvider(sampler=sampler, id_generator=Counted(), shutdown_on_exit=False)
        theirs = sdk.TracerProvider(sampler=sampler, id_generator=Counted(), shutdown_on_exit=False)
        assert record_spans(lean, scenario) == record_spans(theirs, scenario)

    def test_span_has_its_name_kind_ids_and_attributes(self) -> None:
        [span] = record_spans(
            LeanTracerProvider(id_generator=Counted(), shutdown_on_exit=False), attributes_are_set_and_replaced
        )
        assert span["attributes"] == {"a": 1, "b": (1, 2), "c": 0.5, "d": True}
        assert (span["name"], span["kind"], span["context"][:2]) == ("second", SpanKind.CLIENT, (1, 2))
