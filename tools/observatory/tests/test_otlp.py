"""What exporters send, and what is refused."""

import gzip
import json
import time
import zlib

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from testkit.observatory import MakeTelemetry, Observatory

PROTOBUF = "application/x-protobuf"
EIGHT_MEBIBYTES = 8 * 1024 * 1024


def export_of(*ids: tuple[bytes, bytes]) -> ExportTraceServiceRequest:
    """Build a request with one span per (trace id, span id) given in bytes."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "orders"
    spans = resource_spans.scope_spans.add().spans
    for trace_id, span_id in ids:
        now = time.time_ns()
        spans.add(
            trace_id=trace_id, span_id=span_id, name="op", start_time_unix_nano=now, end_time_unix_nano=now + 1_000
        )
    return request


def post(
    observatory: Observatory, path: str, body: bytes, content_type: str, encoding: str = "identity"
) -> httpx.Response:
    headers = {"content-type": content_type, "content-encoding": encoding}
    return httpx.post(observatory.url("otlp", path), content=body, headers=headers, timeout=10)


class TestAccepts:
    def test_spans_of_the_sdk(self, observatory: Observatory, telemetry: MakeTelemetry) -> None:
        with telemetry(observatory, "sdk").tracer.start_as_current_span("hello") as span:
            trace_id = format(span.get_span_context().trace_id, "032x")

        assert observatory.get("jaeger", f"/api/traces/{trace_id}").is_success

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_compressed_bodies(self, observatory: Observatory, encoding: str) -> None:
        trace_id = encoding.encode().rjust(16, b"x")
        body = export_of((trace_id, b"spanspan")).SerializeToString()
        packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

        answer = post(observatory, "/v1/traces", packed, PROTOBUF, encoding)

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == PROTOBUF
        assert observatory.get("jaeger", f"/api/traces/{trace_id.hex()}").is_success

    def test_json_with_hexadecimal_ids(self, observatory: Observatory) -> None:
        trace_id = "5b8efff798038103d269b633813fc60c"
        span = {
            "traceId": trace_id,
            "spanId": "eee19b7ec3c1b174",
            "parentSpanId": "eee19b7ec3c1b173",
            "name": "I'm a server span",
            "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": "1544712661000000000",
            "kind": 2,
            "attributes": [{"key": "n", "value": {"intValue": "7"}}],
            "somethingNew": True,
        }
        body = json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}).encode()

        answer = post(observatory, "/v1/traces", body, "application/json; charset=utf-8")

        assert (answer.status_code, answer.json()) == (200, {})
        (kept,) = observatory.get("jaeger", f"/api/traces/{trace_id}").json()["data"][0]["spans"]
        assert kept["references"][0]["spanID"] == "eee19b7ec3c1b173"
        assert {"key": "n", "type": "int64", "value": 7} in kept["tags"]

    def test_a_repeated_batch_once(self, observatory: Observatory) -> None:
        body = export_of((b"repeatedrepeated", b"spanspan")).SerializeToString()

        post(observatory, "/v1/traces", body, PROTOBUF)
        post(observatory, "/v1/traces", body, PROTOBUF)

        trace = observatory.get("jaeger", f"/api/traces/{b'repeatedrepeated'.hex()}").json()["data"][0]
        assert len(trace["spans"]) == 1

    def test_metrics_and_counts_their_points(self, observatory: Observatory) -> None:
        before = observatory.get("jaeger", "/observatory/contents").json()["metric_points_counted"]
        exporter = OTLPMetricExporter(endpoint=observatory.url("otlp", "/v1/metrics"))
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], shutdown_on_exit=False)
        counter = provider.get_meter("test").create_counter("orders.placed")
        counter.add(1, {"sku": "a"})
        counter.add(1, {"sku": "b"})

        provider.shutdown()

        after = observatory.get("jaeger", "/observatory/contents").json()["metric_points_counted"]
        assert after - before == 2


class TestPartialSuccess:
    def test_keeps_the_valid_spans_and_counts_the_others(self, observatory: Observatory) -> None:
        good = (b"partly-partly-ok", b"spanspan")
        request = export_of(good, (b"", b"spanspan"), (bytes(16), b"spanspan"), (b"t" * 16, b"short"))

        answer = post(observatory, "/v1/traces", request.SerializeToString(), PROTOBUF)

        assert answer.status_code == 200
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (partial.rejected_spans, bool(partial.error_message)) == (3, True)
        assert observatory.get("jaeger", f"/api/traces/{good[0].hex()}").is_success

    def test_is_a_failure_when_nothing_is_valid(self, observatory: Observatory) -> None:
        answer = post(observatory, "/v1/traces", export_of((b"", b"")).SerializeToString(), PROTOBUF)

        assert answer.status_code == 400
        assert "valid trace id" in Status.FromString(answer.content).message


class TestRefuses:
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
    def test_bytes_that_are_no_protobuf(self, observatory: Observatory, path: str) -> None:
        answer = post(observatory, path, b"\xff\xff not protobuf", PROTOBUF)

        assert answer.status_code == 400
        assert answer.headers["content-type"] == PROTOBUF
        assert Status.FromString(answer.content).message.startswith("not a Export")

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b'{"resourceSpans": 3}',
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "no hex"}]}]}]}',
            b'{"a":' * 900 + b"1" + b"}" * 900,
            b"[" * 100_000,
        ],
    )
    def test_json_of_another_shape(self, observatory: Observatory, body: bytes) -> None:
        answer = post(observatory, "/v1/traces", body, "application/json")

        assert answer.status_code == 400
        assert answer.json()["message"]

    def test_a_content_type_it_does_not_know(self, observatory: Observatory) -> None:
        assert post(observatory, "/v1/traces", b"", "text/plain").status_code == 415

    def test_an_encoding_it_does_not_know(self, observatory: Observatory) -> None:
        assert post(observatory, "/v1/traces", b"", PROTOBUF, "br").status_code == 415

    @pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"x" * 1_000)[:-20]], ids=["other", "cut"])
    def test_broken_compression(self, observatory: Observatory, body: bytes) -> None:
        assert post(observatory, "/v1/traces", body, PROTOBUF, "gzip").status_code == 400

    def test_a_body_that_is_too_large(self, observatory: Observatory) -> None:
        assert post(observatory, "/v1/traces", bytes(EIGHT_MEBIBYTES + 1), PROTOBUF).status_code == 413

    def test_a_body_that_becomes_too_large(self, observatory: Observatory) -> None:
        bomb = gzip.compress(bytes(20 * EIGHT_MEBIBYTES))

        answer = post(observatory, "/v1/traces", bomb, PROTOBUF, "gzip")

        assert answer.status_code == 413
