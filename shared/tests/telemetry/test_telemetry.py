"""The providers and exporters that OpenTelemetry's variables select, and the limits on the context of callers."""

import os
from concurrent.futures import ThreadPoolExecutor
from socket import gethostname
from typing import Any
from urllib.parse import unquote

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_lean import LeanTracerProvider
from shared.config import ConfigurationError, ServiceSettings, Signal, load_settings
from shared.telemetry.propagation import MAX_TRACESTATE_BYTES, UntrustedContextPropagator
from shared.telemetry.setup import (
    DEFAULTS,
    create_exporter,
    create_resource,
    create_tracer_provider,
    public_sampler,
    set_defaults,
)

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


class TestTracerProvider:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (None, TracerProvider),
            ("", TracerProvider),
            ("sdk_tracer_provider", TracerProvider),
            ("lean", LeanTracerProvider),
        ],
    )
    def test_provider_is_selected_by_the_variable(
        self, name: str | None, expected: type, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OTEL_PYTHON_TRACER_PROVIDER", raising=False)
        if name is not None:
            monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", name)
        assert type(create_tracer_provider(ServiceSettings())) is expected

    def test_start_fails_when_the_provider_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "fast")
        with pytest.raises(ConfigurationError, match=r"'fast'.*lean.*sdk_tracer_provider"):
            create_tracer_provider(ServiceSettings())


class TestExporter:
    @pytest.mark.parametrize(
        ("variables", "module"),
        [
            ({}, "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
            ({"OTEL_PYTHON_TRACER_PROVIDER": "lean"}, "otel_lean.exporter"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"),
            (
                {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_PYTHON_TRACER_PROVIDER": "lean"},
                "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
            ),
            (
                {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
                "opentelemetry.exporter.otlp.proto.http.trace_exporter",
            ),
        ],
        ids=str,
    )
    def test_exporter_is_selected_by_protocol_and_provider(
        self, variables: dict[str, str], module: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OTEL_PYTHON_TRACER_PROVIDER", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        exporter = create_exporter("traces", ServiceSettings())
        try:
            assert type(exporter).__module__ == module
        finally:
            exporter.shutdown()

    @pytest.mark.parametrize(
        ("variables", "exported"),
        [
            ({}, []),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ["traces", "metrics", "logs"]),
            ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, ["metrics"]),
            (
                {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_METRICS_EXPORTER": "none"},
                ["traces", "logs"],
            ),
        ],
        ids=str,
    )
    def test_signal_is_exported_when_it_has_an_endpoint_and_its_exporter_is_not_none(
        self, variables: dict[str, str], exported: list[Signal], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = ServiceSettings()
        signals: tuple[Signal, ...] = ("traces", "metrics", "logs")
        assert [signal for signal in signals if settings.exports(signal)] == exported


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector for gRPC that stores the names of the received spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - the protocol's
        self.names += [span.name for span in request.resource_spans[0].scope_spans[0].spans]
        return ExportTraceServiceResponse()


class TestGrpc:
    def test_spans_are_exported_by_grpc_when_it_is_the_protocol(self, monkeypatch: pytest.MonkeyPatch) -> None:
        receiver, server = Receiver(), grpc.server(ThreadPoolExecutor(1))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        tracers = create_tracer_provider(ServiceSettings())
        tracers.add_span_processor(SimpleSpanProcessor(create_exporter("traces", ServiceSettings())))
        try:
            tracers.get_tracer("tests").start_span("by gRPC").end()
            assert receiver.names == ["by gRPC"]
        finally:
            tracers.shutdown()
            server.stop(None).wait()


class TestResource:
    def test_resource_has_service_process_and_attributes_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.2.3,k8s.pod.name=pod-1")
        attributes, others = (create_resource("orders", ServiceSettings()).attributes for _ in range(2))
        expected = {"service.name": "orders", "service.namespace": "hopline", "service.version": "1.2.3"}
        assert expected.items() <= attributes.items()
        assert attributes["k8s.pod.name"] == "pod-1"
        assert attributes["host.name"] == gethostname()
        assert attributes["service.instance.id"] != others["service.instance.id"]

    def test_resource_has_the_service_name_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "orders-canary")
        assert create_resource("orders", ServiceSettings()).attributes["service.name"] == "orders-canary"


class TestDefaults:
    def test_defaults_do_not_replace_variables_that_are_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in DEFAULTS:
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5000")
        set_defaults()
        assert {name: os.environ[name] for name in DEFAULTS} == {**DEFAULTS, "OTEL_BSP_SCHEDULE_DELAY": "5000"}


class TestUntrustedContext:
    @pytest.fixture
    def propagator(self) -> UntrustedContextPropagator:
        return UntrustedContextPropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

    def test_only_known_members_of_the_baggage_are_kept(self, propagator: UntrustedContextPropagator) -> None:
        given = {"baggage": f"a={'x' * 4000},hopline.synthetic=true,b=2"}
        assert dict(baggage.get_all(propagator.extract(given, Context()))) == {"hopline.synthetic": "true"}

    @pytest.mark.parametrize(
        ("value", "kept"),
        [("x" * 40, True), ("x" * 41, False), ("%F0%9F%9B%92" * 10, True), ("%F0%9F%9B%92" * 11, False)],
        ids=["40 bytes", "41 bytes", "40 bytes of UTF-8", "44 bytes of UTF-8"],
    )
    def test_known_member_of_the_baggage_is_kept_when_its_value_has_at_most_40_bytes(
        self, propagator: UntrustedContextPropagator, value: str, kept: bool
    ) -> None:
        given = {"baggage": f"hopline.synthetic={value}"}
        expected = {"hopline.synthetic": unquote(value)} if kept else {}
        assert dict(baggage.get_all(propagator.extract(given, Context()))) == expected

    @pytest.mark.parametrize("excess_bytes", [0, 1])
    def test_last_member_of_a_tracestate_is_removed_when_it_exceeds_the_limit(
        self, propagator: UntrustedContextPropagator, excess_bytes: int
    ) -> None:
        first_members = ",".join(f"vendor{number}={'x' * 20}" for number in range(10, 25))
        tracestate = f"{first_members},last=".ljust(MAX_TRACESTATE_BYTES + excess_bytes, "x")
        given = {"traceparent": TRACEPARENT, "tracestate": tracestate}
        remote = trace.get_current_span(propagator.extract(given, Context())).get_span_context()
        assert remote.trace_state.to_header() == (first_members if excess_bytes else tracestate)
        assert remote.is_remote
        assert (remote.trace_id, remote.span_id) == (int(TRACE_ID, 16), int(SPAN_ID, 16))

    @pytest.mark.parametrize("second", [TRACEPARENT, TRACEPARENT.replace("0af7", "1af7"), "malformed"])
    def test_traceparents_are_ignored_when_there_are_several(
        self, propagator: UntrustedContextPropagator, second: str
    ) -> None:
        for given in ([TRACEPARENT, second], [second, TRACEPARENT]):
            context = propagator.extract({"traceparent": given, "tracestate": "vendor=1"}, Context())
            assert not trace.get_current_span(context).get_span_context().is_valid

    @pytest.mark.parametrize(
        "tracestate",
        [
            ["vendor=1", "vendor=2"],
            ["vendor=1,vendor=1"],
            ["vendor=1", "no member"],
            [",".join(f"v{n}=1" for n in range(33))],
        ],
        ids=["twice in two headers", "twice in one", "malformed", "33 members"],
    )
    def test_only_the_tracestate_is_ignored_when_it_is_malformed(
        self, propagator: UntrustedContextPropagator, tracestate: list[str]
    ) -> None:
        context = propagator.extract({"traceparent": [TRACEPARENT], "tracestate": tracestate}, Context())
        remote = trace.get_current_span(context).get_span_context()
        assert remote.trace_id == int(TRACE_ID, 16)
        assert remote.trace_state.to_header() == ""

    def test_several_tracestate_headers_are_joined(self, propagator: UntrustedContextPropagator) -> None:
        context = propagator.extract({"traceparent": [TRACEPARENT], "tracestate": ["a=1", "b=2"]}, Context())
        assert trace.get_current_span(context).get_span_context().trace_state.to_header() == "a=1,b=2"


class TestPublicSampler:
    """The sampler of a public entry decides about traces of callers too. Their ids and their tracestate are kept."""

    @pytest.fixture(params=["sdk_tracer_provider", "lean"], autouse=True)
    def provider(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", request.param)

    @pytest.mark.parametrize("flags", [TraceFlags.DEFAULT, TraceFlags.SAMPLED])
    @pytest.mark.parametrize(
        ("sampler", "argument", "recorded"),
        [
            (None, None, True),
            ("parentbased_always_on", None, True),
            ("parentbased_always_off", None, False),
            ("parentbased_traceidratio", "1", True),
            ("parentbased_traceidratio", "0", False),
            ("always_on", None, True),
            ("always_off", None, False),
            ("traceidratio", "0", False),
        ],
    )
    def test_sampler_of_the_setting_decides_about_spans_with_a_remote_parent(
        self,
        sampler: str | None,
        argument: str | None,
        recorded: bool,
        flags: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in (("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        settings = ServiceSettings()
        tracer = create_tracer_provider(settings, sampler=public_sampler(settings)).get_tracer("tests")
        caller = SpanContext(7, 8, True, TraceFlags(flags), TraceState([("vendor", "1")]))
        entry = tracer.start_span("entry", trace.set_span_in_context(NonRecordingSpan(caller), Context()))
        inner = tracer.start_span("inner", trace.set_span_in_context(entry, Context()))
        for span in (entry, inner):
            assert span.is_recording() is recorded
            assert span.get_span_context().trace_id == 7
            assert span.get_span_context().trace_flags.sampled is recorded
            assert span.get_span_context().trace_state.to_header() == "vendor=1"

    @pytest.mark.parametrize(
        ("name", "value"), [("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_TRACES_SAMPLER_ARG", "half")]
    )
    def test_start_fails_when_a_sampler_setting_is_invalid(
        self, name: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            load_settings(ServiceSettings)
