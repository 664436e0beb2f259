"""The providers and exporters that OpenTelemetry's variables select, and the limits on context of callers."""

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
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_lean import LeanTracerProvider
from shared.config import ConfigurationError, ServiceSettings, Signal, load_settings
from shared.telemetry.propagation import UntrustedContextPropagator
from shared.telemetry.setup import (
    DEFAULTS,
    create_exporter,
    create_resource,
    create_tracer_provider,
    public_sampler,
    set_defaults,
)

Variables = pytest.MonkeyPatch
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
    def test_provider_is_the_one_of_the_setting(self, name: str | None, expected: type, monkeypatch: Variables) -> None:
        monkeypatch.delenv("OTEL_PYTHON_TRACER_PROVIDER", raising=False)
        if name is not None:
            monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", name)
        assert type(create_tracer_provider(ServiceSettings())) is expected

    def test_start_fails_when_the_provider_is_not_installed(self, monkeypatch: Variables) -> None:
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
    def test_exporter_is_the_one_of_the_protocol(
        self, variables: dict[str, str], module: str, monkeypatch: Variables
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
    def test_exporter_is_created_for_signals_with_an_endpoint(
        self, variables: dict[str, str], exported: list[Signal], monkeypatch: Variables
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = ServiceSettings()
        signals: tuple[Signal, ...] = ("traces", "metrics", "logs")
        assert [signal for signal in signals if settings.exports(signal)] == exported


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector for gRPC that keeps the names of spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - the protocol's
        self.names += [span.name for span in request.resource_spans[0].scope_spans[0].spans]
        return ExportTraceServiceResponse()


class TestGrpc:
    def test_spans_arrive_by_grpc(self, monkeypatch: Variables) -> None:
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
    def test_resource_has_service_process_and_attributes_of_the_environment(self, monkeypatch: Variables) -> None:
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.2.3,k8s.pod.name=pod-1")
        described = create_resource("orders", ServiceSettings()).attributes
        expected = {"service.name": "orders", "service.namespace": "hopline", "service.version": "1.2.3"}
        assert expected.items() <= described.items()
        assert described["k8s.pod.name"] == "pod-1"
        assert described["host.name"] == gethostname()
        assert (
            described["service.instance.id"]
            != create_resource("orders", ServiceSettings()).attributes["service.instance.id"]
        )

    def test_resource_has_the_service_name_of_the_environment(self, monkeypatch: Variables) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "orders-canary")
        assert create_resource("orders", ServiceSettings()).attributes["service.name"] == "orders-canary"


class TestDefaults:
    def test_defaults_do_not_replace_variables_that_are_set(self, monkeypatch: Variables) -> None:
        for name in DEFAULTS:
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5000")
        set_defaults()
        assert {name: os.environ[name] for name in DEFAULTS} == {**DEFAULTS, "OTEL_BSP_SCHEDULE_DELAY": "5000"}


class TestUntrustedContext:
    @pytest.fixture
    def propagator(self) -> UntrustedContextPropagator:
        return UntrustedContextPropagator(
            CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
        )

    def test_only_known_members_of_the_baggage_are_kept(self, propagator: UntrustedContextPropagator) -> None:
        given = {"baggage": f"a={'x' * 4000},hopline.synthetic=true,b=2"}
        assert dict(baggage.get_all(propagator.extract(given, Context()))) == {"hopline.synthetic": "true"}

    @pytest.mark.parametrize(
        ("value", "kept"),
        [("x" * 40, True), ("x" * 41, False), ("%F0%9F%9B%92" * 10, True), ("%F0%9F%9B%92" * 11, False)],
        ids=["40 bytes", "41 bytes", "40 bytes of UTF-8", "44 bytes of UTF-8"],
    )
    def test_baggage_is_kept_when_its_value_is_short(
        self, propagator: UntrustedContextPropagator, value: str, kept: bool
    ) -> None:
        given = {"baggage": f"hopline.synthetic={value}"}
        expected = {"hopline.synthetic": unquote(value)} if kept else {}
        assert dict(baggage.get_all(propagator.extract(given, Context()))) == expected

    @pytest.mark.parametrize("last", [10, 200])
    def test_first_members_of_a_tracestate_are_kept_when_it_is_too_long(
        self, propagator: UntrustedContextPropagator, last: int
    ) -> None:
        members = [f"vendor{number}={'x' * 20}" for number in range(10, 25)]  # 434 bytes
        given = {"traceparent": TRACEPARENT, "tracestate": ",".join([*members, f"last={'x' * last}"])}
        remote = trace.get_current_span(propagator.extract(given, Context())).get_span_context()
        expected = given["tracestate"] if last == 10 else ",".join(members)
        assert remote.trace_state.to_header() == expected
        assert remote.is_remote
        assert (remote.trace_id, remote.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)

    @pytest.mark.parametrize("second", [TRACEPARENT, TRACEPARENT.replace("0af7", "1af7"), "malformed"])
    def test_several_traceparents_are_ignored(self, propagator: UntrustedContextPropagator, second: str) -> None:
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
        assert remote.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
        assert remote.trace_state.to_header() == ""

    def test_several_tracestate_headers_are_joined(self, propagator: UntrustedContextPropagator) -> None:
        context = propagator.extract({"traceparent": [TRACEPARENT], "tracestate": ["a=1", "b=2"]}, Context())
        assert trace.get_current_span(context).get_span_context().trace_state.to_header() == "a=1,b=2"


class TestPublicSampler:
    """At a public entry the root sampler also decides about traces of callers, and keeps their ids and tracestate."""

    @pytest.fixture(params=["sdk_tracer_provider", "lean"], autouse=True)
    def provider(self, request: pytest.FixtureRequest, monkeypatch: Variables) -> None:
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
    def test_sampler_decides_about_remote_parents(
        self,
        sampler: str | None,
        argument: str | None,
        recorded: bool,
        flags: int,
        monkeypatch: Variables,
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
    def test_start_fails_when_a_sampler_setting_is_invalid(self, name: str, value: str, monkeypatch: Variables) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            load_settings(ServiceSettings)
