"""Accepted and rejected OTLP requests."""

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

from testkit.observatory import CreateTelemetry, Observatory, trace_id_of

PROTOBUF = "application/x-protobuf"
EIGHT_MEBIBYTES = 8 * 1024 * 1024


def build_export(*ids: tuple[bytes, bytes]) -> ExportTraceServiceRequest:
    """Build a request with one span for each pair of trace id and span id."""
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


def post_export(
    observatory: Observatory, path: str, body: bytes, content_type: str, encoding: str = "identity"
) -> httpx.Response:
    headers = {"content-type": content_type, "content-encoding": encoding}
    return httpx.post(observatory.url("otlp", path), content=body, headers=headers, timeout=10)


class TestAcceptedRequest:
    def test_spans_of_the_sdk_are_accepted(self, observatory: Observatory, create_telemetry: CreateTelemetry) -> None:
        with create_telemetry(observatory, "sdk").tracer.start_as_current_span("hello") as span:
            trace_id = trace_id_of(span)

        assert observatory.get("jaeger", f"/api/traces/{trace_id}").is_success

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_compressed_bodies_are_accepted(self, observatory: Observatory, encoding: str) -> None:
        trace_id = encoding.encode().rjust(16, b"x")
        body = build_export((trace_id, b"spanspan")).SerializeToString()
        packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

        response = post_export(observatory, "/v1/traces", packed, PROTOBUF, encoding)

        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == PROTOBUF
        assert observatory.get("jaeger", f"/api/traces/{trace_id.hex()}").is_success

    def test_json_with_hexadecimal_ids_is_accepted(self, observatory: Observatory) -> None:
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

        response = post_export(observatory, "/v1/traces", body, "application/json; charset=utf-8")

        assert (response.status_code, response.json()) == (200, {})
        (stored,) = observatory.get("jaeger", f"/api/traces/{trace_id}").json()["data"][0]["spans"]
        assert stored["references"][0]["spanID"] == "eee19b7ec3c1b173"
        assert {"key": "n", "type": "int64", "value": 7} in stored["tags"]

    def test_repeated_batch_is_stored_once(self, observatory: Observatory) -> None:
        body = build_export((b"repeatedrepeated", b"spanspan")).SerializeToString()

        post_export(observatory, "/v1/traces", body, PROTOBUF)
        post_export(observatory, "/v1/traces", body, PROTOBUF)

        trace = observatory.get("jaeger", f"/api/traces/{b'repeatedrepeated'.hex()}").json()["data"][0]
        assert len(trace["spans"]) == 1

    def test_metrics_are_accepted_and_their_points_counted(self, observatory: Observatory) -> None:
        before = observatory.get("prometheus", "/observatory/metrics").json()["kept"]["received"]
        exporter = OTLPMetricExporter(endpoint=observatory.url("otlp", "/v1/metrics"))
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], shutdown_on_exit=False)
        counter = provider.get_meter("test").create_counter("orders.placed")
        counter.add(1, {"sku": "a"})
        counter.add(1, {"sku": "b"})

        provider.shutdown()

        after = observatory.get("prometheus", "/observatory/metrics").json()["kept"]["received"]
        assert after - before == 2


class TestPartialSuccess:
    def test_valid_spans_are_stored_and_invalid_spans_are_counted(self, observatory: Observatory) -> None:
        valid = (b"partly-partly-ok", b"spanspan")
        request = build_export(valid, (b"", b"spanspan"), (bytes(16), b"spanspan"), (b"t" * 16, b"short"))

        response = post_export(observatory, "/v1/traces", request.SerializeToString(), PROTOBUF)

        assert response.status_code == 200
        partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        assert (partial.rejected_spans, bool(partial.error_message)) == (3, True)
        assert observatory.get("jaeger", f"/api/traces/{valid[0].hex()}").is_success

    def test_response_is_400_when_no_span_is_valid(self, observatory: Observatory) -> None:
        response = post_export(observatory, "/v1/traces", build_export((b"", b"")).SerializeToString(), PROTOBUF)

        assert response.status_code == 400
        assert "valid trace id" in Status.FromString(response.content).message


class TestRejectedRequest:
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
    def test_request_is_rejected_when_the_protobuf_is_invalid(self, observatory: Observatory, path: str) -> None:
        response = post_export(observatory, path, b"\xff\xff not protobuf", PROTOBUF)

        assert response.status_code == 400
        assert response.headers["content-type"] == PROTOBUF
        assert Status.FromString(response.content).message.startswith("the body is not an Export")

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
    def test_request_is_rejected_when_the_json_is_not_an_export(self, observatory: Observatory, body: bytes) -> None:
        response = post_export(observatory, "/v1/traces", body, "application/json")

        assert response.status_code == 400
        assert response.json()["message"]

    def test_request_is_rejected_when_the_content_type_is_unknown(self, observatory: Observatory) -> None:
        assert post_export(observatory, "/v1/traces", b"", "text/plain").status_code == 415

    def test_request_is_rejected_when_the_encoding_is_unknown(self, observatory: Observatory) -> None:
        assert post_export(observatory, "/v1/traces", b"", PROTOBUF, "br").status_code == 415

    @pytest.mark.parametrize(
        "body",
        [b"not gzip", gzip.compress(b"x" * 1_000)[:-20], gzip.compress(b"") + gzip.compress(b"")],
        ids=["not gzip", "truncated gzip", "second gzip member"],
    )
    def test_request_is_rejected_when_the_compression_is_invalid(self, observatory: Observatory, body: bytes) -> None:
        assert post_export(observatory, "/v1/traces", body, PROTOBUF, "gzip").status_code == 400

    def test_request_is_rejected_when_the_body_is_too_large(self, observatory: Observatory) -> None:
        assert post_export(observatory, "/v1/traces", bytes(EIGHT_MEBIBYTES + 1), PROTOBUF).status_code == 413

    def test_request_is_rejected_when_the_decompressed_body_is_too_large(self, observatory: Observatory) -> None:
        bomb = gzip.compress(bytes(20 * EIGHT_MEBIBYTES))

        response = post_export(observatory, "/v1/traces", bomb, PROTOBUF, "gzip")

        assert response.status_code == 413
