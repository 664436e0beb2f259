"""The bytes of the encoder decode to the same message as those of the official encoder."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_lean import wire
from otel_lean.encoder import encode

INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(1, 2**64 - 1)
SCALARS = st.one_of(st.text(max_size=200), st.booleans(), INT64, st.floats(allow_nan=False), st.binary(max_size=8))
VALUES = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=4,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["http.route", "n", "ключ"]) | st.text(max_size=5), VALUES, max_size=5)
BOUNDED_ATTRIBUTES = ATTRIBUTES | ATTRIBUTES.map(lambda values: BoundedAttributes(1, values))
STATES = st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.sampled_from(["1", "t:2"]), max_size=2)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1), TraceFlags(3)]),
    STATES.map(lambda state: TraceState(list(state.items()))),
)
EVENTS = st.lists(st.builds(Event, st.text(max_size=5), BOUNDED_ATTRIBUTES, TIMES), max_size=3)
LINKS = st.lists(st.builds(Link, CONTEXTS, BOUNDED_ATTRIBUTES), max_size=3)
STATUSES = st.sampled_from([Status(), Status(StatusCode.OK), Status(StatusCode.ERROR)]) | st.builds(
    Status, st.just(StatusCode.ERROR), st.text(max_size=200)
)
RESOURCES = [Resource({"service.name": "a"}), Resource({"service.name": "b", "n": 1}, "https://schema.example/b")]
SCOPES = [None, InstrumentationScope("plain"), InstrumentationScope("full", "1", "https://schema.example", {"a": 1})]
SPANS = st.builds(
    ReadableSpan,
    name=st.text(max_size=5),
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=st.sampled_from(RESOURCES),
    attributes=BOUNDED_ATTRIBUTES,
    events=EVENTS | EVENTS.map(lambda events: BoundedList.from_seq(1, events)),
    links=LINKS | LINKS.map(lambda links: BoundedList.from_seq(1, links)),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=TIMES,
    end_time=TIMES,
    instrumentation_scope=st.sampled_from(SCOPES),
)


def decode_batch(*spans: ReadableSpan) -> ExportTraceServiceRequest:
    """Encode the spans with this package, and decode the bytes with the official message class."""
    return ExportTraceServiceRequest.FromString(encode(spans))


def create_span(**fields: Any) -> ReadableSpan:
    context = SpanContext(1, 2, is_remote=False)
    return ReadableSpan("example", context=context, resource=RESOURCES[0], start_time=1, end_time=2, **fields)


def decode_single_span(span: ReadableSpan) -> Span:
    return decode_batch(span).resource_spans[0].scope_spans[0].spans[0]


class TestEncoded:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(SPANS, max_size=4))
    def test_batch_equals_that_of_the_official_encoder(self, spans: list[ReadableSpan]) -> None:
        assert decode_batch(*spans) == encode_spans(spans)

    def test_batch_of_512_spans_equals_that_of_the_official_encoder(self) -> None:
        spans = [create_span(attributes={"n": number, "long": "x" * number, "d": number / 7}) for number in range(512)]
        assert decode_batch(*spans) == encode_spans(spans)

    def test_values_are_encoded_by_type_when_they_are_equal_in_python(self) -> None:
        for value in (1, True, 1.0, 0, False, 0.0, -0.0, "1"):
            [attribute] = decode_single_span(create_span(attributes={"v": value})).attributes
            assert repr(getattr(attribute.value, attribute.value.WhichOneof("value") or "")) == repr(value)

    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            (2**63, str(2**63)),
            (-(2**63) - 1, str(-(2**63) - 1)),
            ("half a \ud83d", "half a ?"),
            (SpanKind, str(SpanKind)),
        ],
    )
    def test_value_is_encoded_as_text_when_the_protocol_cannot_represent_it(self, value: Any, encoded: str) -> None:
        [attribute] = decode_single_span(create_span(attributes=MappingProxyType({"v": value}))).attributes
        assert attribute.value.string_value == encoded

    @pytest.mark.parametrize("value", ["x", 1, 0.5, None])
    def test_key_is_encoded_as_text_when_it_has_another_type(self, value: Any) -> None:
        attributes: Any = {1: value, "map": {2: value}}
        decoded = decode_single_span(create_span(attributes=attributes)).attributes
        assert [attribute.key for attribute in decoded] == ["1", "map"]
        assert [item.key for item in decoded[1].value.kvlist_value.values] == ["2"]

    def test_lone_surrogate_is_replaced_in_every_text(self) -> None:
        surrogate = "\ud83d"
        status, event = Status(StatusCode.ERROR, surrogate), Event(surrogate, {surrogate: 1}, 1)
        span = decode_single_span(create_span(status=status, events=[event], attributes={surrogate: surrogate}))
        [decoded_event], [attribute] = span.events, span.attributes
        assert span.status.message == "?"
        assert (decoded_event.name, decoded_event.attributes[0].key) == ("?", "?")
        assert (attribute.key, attribute.value.string_value) == ("?", "?")


class TestCache:
    def test_size_of_the_cache_is_limited(self) -> None:
        for number in range(3 * wire._CACHED_PIECES):
            wire.encode_attributes(9, {"n": number, f"k{number}": "x"})
        assert wire._encode_number.cache_info().currsize == wire._CACHED_PIECES
        assert wire._encode_before_text.cache_info().currsize == wire._CACHED_PIECES

    def test_cache_has_one_piece_for_short_texts_of_the_same_length(self) -> None:
        wire._encode_before_text.cache_clear()
        for text in ("http://orders/1", "http://orders/2", "x" * (wire._MAX_CACHED_TEXT_BYTES + 1)):
            wire.encode_attributes(9, {"url.full": text})
        assert wire._encode_before_text.cache_info().currsize == 1
