"""The search for traces in Jaeger's query API, with spans that the OpenTelemetry SDK exports."""

import secrets
import time
from typing import Any

import pytest

from testkit.observatory import CreateTelemetry, Observatory, trace_id_of

SECOND_NS = 1_000_000_000


class TestSearch:
    @pytest.fixture
    def shop(self, observatory: Observatory, create_telemetry: CreateTelemetry) -> tuple[str, dict[int, str]]:
        """Export three traces of a separate service. Return its name, and the trace ids by duration in milliseconds."""
        name = f"shop-{secrets.token_hex(4)}"
        tracer = create_telemetry(observatory, name).tracer
        trace_ids = {}
        for operation, milliseconds, sku in (("GET /a", 1, "mug"), ("GET /b", 20, "cup"), ("GET /b", 300, "mug")):
            start_ns = time.time_ns()
            span = tracer.start_span(operation, attributes={"sku": sku, "count": milliseconds}, start_time=start_ns)
            span.end(start_ns + milliseconds * 1_000_000)
            trace_ids[milliseconds] = trace_id_of(span)
        return name, trace_ids

    @pytest.mark.parametrize(
        ("parameters", "expected_ms"),
        [
            ({}, [300, 20, 1]),
            ({"limit": 2}, [300, 20]),
            ({"operation": "GET /b"}, [300, 20]),
            ({"minDuration": "20ms"}, [300, 20]),
            ({"minDuration": "0.1s"}, [300]),
            ({"minDuration": "1m30s"}, []),
            ({"maxDuration": "19999us"}, [1]),
            ({"minDuration": "2ms", "maxDuration": "200ms"}, [20]),
            ({"tags": '{"sku":"mug"}'}, [300, 1]),
            ({"tags": '{"sku":"mug","count":"1"}'}, [1]),
            ({"tag": "sku:cup"}, [20]),
            ({"tag": "host.name:host-1"}, [300, 20, 1]),
            ({"lookback": "custom"}, [300, 20, 1]),  # as Jaeger's page sends it, with start and end
            ({"start": 1, "end": 2}, []),
        ],
    )
    def test_search_finds_matching_traces(
        self,
        observatory: Observatory,
        shop: tuple[str, dict[int, str]],
        parameters: dict[str, Any],
        expected_ms: list[int],
    ) -> None:
        name, trace_ids = shop

        response = observatory.get("jaeger", "/api/traces", service=name, **parameters)

        assert [item["traceID"] for item in response.json()["data"]] == [
            trace_ids[duration_ms] for duration_ms in expected_ms
        ]

    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ({}, ["recent", "old"]),  # two days by default
            ({"lookback": "1h"}, ["recent"]),
            ({"lookback": "3h"}, ["recent", "old"]),
            ({"lookback": "3d"}, ["recent", "old", "ancient"]),
        ],
    )
    def test_lookback_excludes_spans_that_started_before_it(
        self,
        observatory: Observatory,
        create_telemetry: CreateTelemetry,
        parameters: dict[str, str],
        expected: list[str],
    ) -> None:
        service = f"shop-{secrets.token_hex(4)}"
        tracer, now_ns = create_telemetry(observatory, service).tracer, time.time_ns()
        for operation, hours in (("ancient", 60), ("old", 2), ("recent", 0)):
            start_ns = now_ns - hours * 3_600 * SECOND_NS
            tracer.start_span(operation, start_time=start_ns).end(start_ns + SECOND_NS)

        response = observatory.get("jaeger", "/api/traces", service=service, **parameters)

        assert [item["spans"][0]["operationName"] for item in response.json()["data"]] == expected

    def test_search_by_ids_returns_traces_and_lists_missing_ids(
        self, observatory: Observatory, shop: tuple[str, dict[int, str]]
    ) -> None:
        _, trace_ids = shop
        stored, missing = trace_ids[1], secrets.token_hex(16)

        response = observatory.get("jaeger", f"/api/traces?traceID={stored}&traceID={missing}").json()

        assert [item["traceID"] for item in response["data"]] == [stored]
        assert response["errors"] == [{"msg": "trace not found", "traceID": missing}]

    @pytest.mark.parametrize(
        "parameters",
        [
            {"limit": "0"},
            {"limit": "many"},
            {"limit": "1_0"},
            {"limit": "+1"},
            {"limit": "٣"},
            {"limit": "1" * 5_000},
            {"start": "٣"},
            {"minDuration": "٣s"},
            {"minDuration": "fast"},
            {"minDuration": "5"},
            {"minDuration": "2s", "maxDuration": "1s"},
            {"tags": "{"},
            {"tags": '{"a": 1}'},
            {"tag": "nocolon"},
            {"start": "yesterday"},
            {"start": "2", "end": "1"},
            {"lookback": "always"},
        ],
    )
    def test_search_is_rejected_when_a_parameter_is_invalid(
        self, observatory: Observatory, parameters: dict[str, Any]
    ) -> None:
        response = observatory.get("jaeger", "/api/traces", service="orders", **parameters)

        assert response.status_code == 400
        assert next(iter(parameters)) in response.json()["errors"][0]["msg"]

    def test_search_is_rejected_when_the_service_is_missing(self, observatory: Observatory) -> None:
        response = observatory.get("jaeger", "/api/traces")

        assert response.status_code == 400
        assert response.json()["errors"] == [{"code": 400, "msg": "parameter 'service' is required"}]

    def test_services_and_operations_are_listed(
        self, observatory: Observatory, shop: tuple[str, dict[int, str]]
    ) -> None:
        name, _ = shop

        services = observatory.get("jaeger", "/api/services").json()
        operations = observatory.get("jaeger", f"/api/services/{name}/operations").json()
        kinds = observatory.get("jaeger", "/api/operations", service=name, spanKind="internal").json()

        assert name in services["data"]
        assert services["total"] == len(services["data"])
        assert (operations["data"], operations["total"]) == (["GET /a", "GET /b"], 2)
        assert kinds["data"] == [
            {"name": "GET /a", "spanKind": "internal"},
            {"name": "GET /b", "spanKind": "internal"},
        ]
        assert observatory.get("jaeger", "/api/services/unknown/operations").json()["data"] == []
