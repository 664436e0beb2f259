"""The service map, with spans of the SDK: calls, time windows and failures."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from testkit.observatory import MakeTelemetry, Observatory

MILLISECOND_NS = 1_000_000
MINUTE_MS = 60_000


class Reporter:
    """Exports spans at times in milliseconds from now, with names that only this test uses."""

    def __init__(self, observatory: Observatory, telemetry: MakeTelemetry) -> None:
        self._observatory = observatory
        self._telemetry = telemetry
        self._now_ns = time.time_ns()
        self._mark = f"~{secrets.token_hex(4)}"

    def own(self, name: str) -> str:
        return name + self._mark

    def nodes(self, **parameters: str) -> dict[str, dict[str, Any]]:
        """Return the nodes of this test by name."""
        found = self._observatory.get("jaeger", "/observatory/map", **parameters).json()["nodes"]
        return {node["name"].removesuffix(self._mark): node for node in found if node["name"].endswith(self._mark)}

    def edges(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the edges of these nodes by the names of both ends."""
        found = self._observatory.get("jaeger", "/observatory/map").json()["edges"]
        named = {(edge["source"]["name"], edge["target"]["name"]): edge for edge in found}
        return {
            (source.removesuffix(self._mark), target.removesuffix(self._mark)): edge
            for (source, target), edge in named.items()
            if self._mark in source + target
        }

    def span(
        self,
        service: str,
        kind: SpanKind,
        between: tuple[int, int],
        parent: Span | None = None,
        *,
        failed: bool = False,
        attributes: Mapping[str, str | int] | None = None,
    ) -> Span:
        span = self._telemetry(self._observatory, self.own(service)).tracer.start_span(
            "op",
            kind=kind,
            context=set_span_in_context(parent) if parent else None,
            attributes=attributes,
            start_time=self._now_ns + between[0] * MILLISECOND_NS,
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._now_ns + between[1] * MILLISECOND_NS)
        return span


@pytest.fixture
def report(observatory: Observatory, telemetry: MakeTelemetry) -> Reporter:
    return Reporter(observatory, telemetry)


class TestCalls:
    def test_calls_are_counted_once_from_the_callers_span(self, report: Reporter) -> None:
        root = report.span("gateway", SpanKind.SERVER, (-100, -40))
        for start, end, failed in ((-90, -80, False), (-70, -50, True)):
            call = report.span("gateway", SpanKind.CLIENT, (start, end), root, failed=failed)
            report.span("orders", SpanKind.SERVER, (start + 1, start + 2), call)

        found = report.edges()

        assert set(found) == {("outside", "gateway"), ("gateway", "orders")}
        figures = found["gateway", "orders"]
        assert (figures["calls"], figures["errors"]) == (2, 1)
        assert (figures["p50_us"], figures["p95_us"], figures["waited_p50_us"]) == (10_000, 20_000, None)

    @pytest.mark.parametrize(
        ("attributes", "peer"),
        [
            ({"service.peer.name": "users", "server.address": "10.0.0.7"}, ("service", "users")),
            ({"server.address": "10.0.0.7", "server.port": 8001}, ("host", "10.0.0.7:8001")),
            ({"db.system.name": "postgresql", "db.namespace": "orders|public"}, ("store", "postgresql orders")),
            ({"network.protocol.name": "smtp", "server.address": "10.0.0.7"}, ("store", "smtp")),
        ],
    )
    def test_call_has_the_named_peer_when_there_is_no_response(
        self, report: Reporter, attributes: dict[str, str | int], peer: tuple[str, str]
    ) -> None:
        report.span("orders", SpanKind.CLIENT, (-9, -1), failed=True, attributes=attributes)

        (edge,) = report.edges().values()

        assert (edge["target"]["kind"], edge["target"]["name"]) == peer
        assert edge["errors"] == 1

    def test_call_has_the_service_at_the_address_when_there_is_no_response(self, report: Reporter) -> None:
        there: dict[str, str | int] = {"server.address": report.own("host"), "server.port": 8001}
        report.span("users", SpanKind.SERVER, (-90, -80), attributes=there)
        report.span("workers", SpanKind.CLIENT, (-9, -1), failed=True, attributes=there)

        assert ("workers", "users") in report.edges()

    def test_calls_within_a_service_are_not_an_edge(self, report: Reporter) -> None:
        root = report.span("orders", SpanKind.INTERNAL, (-9, -1))
        report.span("orders", SpanKind.CLIENT, (-8, -7), root, attributes={"service.peer.name": report.own("orders")})
        report.span("orders", SpanKind.INTERNAL, (-6, -5), root)

        assert report.edges() == {}


class TestMessages:
    def test_message_is_an_edge_through_its_stream_with_a_wait(self, report: Reporter) -> None:
        stream = {"messaging.destination.name": report.own("events:orders")}
        sent = report.span("orders", SpanKind.PRODUCER, (-100, -98), attributes=stream)
        report.span("workers", SpanKind.CONSUMER, (-56, -50), sent, attributes=stream)
        report.span("workers", SpanKind.CONSUMER, (-99, -97), sent, attributes=stream)  # before the producer span ended

        found = report.edges()

        assert set(found) == {("orders", "events:orders"), ("events:orders", "workers")}
        assert found["orders", "events:orders"]["calls"] == 1
        taken = found["events:orders", "workers"]
        assert (taken["calls"], taken["waited_p50_us"], taken["waited_p95_us"]) == (2, 0, 42_000)

    def test_message_of_a_queue_is_an_edge_from_its_cause(self, report: Reporter) -> None:
        cause = report.span("orders", SpanKind.SERVER, (-100, -90))
        queue = {"messaging.destination.name": report.own("jobs")}
        report.span("workers", SpanKind.CONSUMER, (-80, -70), cause, attributes=queue)

        found = report.edges()

        assert set(found) == {("outside", "orders"), ("orders", "jobs"), ("jobs", "workers")}
        assert found["orders", "jobs"]["p50_us"] is None


class TestWindow:
    def test_window_contains_spans_that_started_within_it(self, report: Reporter) -> None:
        report.span("old", SpanKind.SERVER, (-10 * MINUTE_MS, -10 * MINUTE_MS + 5))
        report.span("young", SpanKind.SERVER, (-MINUTE_MS, -MINUTE_MS + 5))

        assert set(report.nodes(lookback="5m")) == {"young"}
        assert set(report.nodes()) == {"old", "young"}

    def test_window_begins_at_the_first_span(self, report: Reporter, observatory: Observatory) -> None:
        report.span("young", SpanKind.SERVER, (-MINUTE_MS, -MINUTE_MS + 5))

        seconds = observatory.get("jaeger", "/observatory/map", lookback="5m").json()["seconds"]

        assert 60 <= seconds < 300

    def test_response_is_400_when_the_window_is_invalid(self, observatory: Observatory) -> None:
        assert observatory.get("jaeger", "/observatory/map", lookback="always").status_code == 400

    def test_map_is_empty_without_spans(self, limited_observatory: Observatory) -> None:
        response = limited_observatory.get("jaeger", "/observatory/map").json()

        assert (response["nodes"], response["edges"]) == ([], [])


class TestNodes:
    def test_nodes_show_failures_of_their_requests(self, report: Reporter) -> None:
        for failed in (False, False, True):
            root = report.span("orders", SpanKind.SERVER, (-20, -10), failed=failed)
            report.span("orders", SpanKind.INTERNAL, (-19, -11), root, failed=True)

        orders = report.nodes()["orders"]

        assert (orders["calls"], orders["errors"], orders["p95_us"]) == (3, 1, 10_000)
