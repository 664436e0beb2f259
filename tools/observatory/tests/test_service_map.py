"""The service map, with spans of the SDK: calls, time windows and failures."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from testkit.observatory import CreateTelemetry, Observatory

MILLISECOND_NS = 1_000_000
MINUTE_MS = 60_000


class Shop:
    """Exports spans at times in milliseconds relative to now. Each test has unique names of services and channels."""

    def __init__(self, observatory: Observatory, create_telemetry: CreateTelemetry) -> None:
        self._observatory = observatory
        self._create_telemetry = create_telemetry
        self._now_ns = time.time_ns()
        self._suffix = f"~{secrets.token_hex(4)}"

    def unique(self, name: str) -> str:
        """Return the name with the suffix of this test, which `get_nodes` and `get_edges` remove."""
        return name + self._suffix

    def get_nodes(self, **parameters: str) -> dict[str, dict[str, Any]]:
        """Return the nodes of this test by name."""
        found = self._observatory.get("jaeger", "/observatory/map", **parameters).json()["nodes"]
        return {node["name"].removesuffix(self._suffix): node for node in found if node["name"].endswith(self._suffix)}

    def get_edges(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the edges of this test by the names of their source and target."""
        found = self._observatory.get("jaeger", "/observatory/map").json()["edges"]
        named = {(edge["source"]["name"], edge["target"]["name"]): edge for edge in found}
        return {
            (source.removesuffix(self._suffix), target.removesuffix(self._suffix)): edge
            for (source, target), edge in named.items()
            if self._suffix in source + target
        }

    def export_span(
        self,
        service: str,
        kind: SpanKind,
        between: tuple[int, int],
        parent: Span | None = None,
        *,
        failed: bool = False,
        attributes: Mapping[str, str | int] | None = None,
    ) -> Span:
        span = self._create_telemetry(self._observatory, self.unique(service)).tracer.start_span(
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
def shop(observatory: Observatory, create_telemetry: CreateTelemetry) -> Shop:
    return Shop(observatory, create_telemetry)


class TestCalls:
    def test_calls_are_counted_once_from_the_callers_span(self, shop: Shop) -> None:
        root = shop.export_span("gateway", SpanKind.SERVER, (-100, -40))
        for start, end, failed in ((-90, -80, False), (-70, -50, True)):
            call = shop.export_span("gateway", SpanKind.CLIENT, (start, end), root, failed=failed)
            shop.export_span("orders", SpanKind.SERVER, (start + 1, start + 2), call)

        found = shop.get_edges()

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
        self, shop: Shop, attributes: dict[str, str | int], peer: tuple[str, str]
    ) -> None:
        shop.export_span("orders", SpanKind.CLIENT, (-9, -1), failed=True, attributes=attributes)

        (edge,) = shop.get_edges().values()

        assert (edge["target"]["kind"], edge["target"]["name"]) == peer
        assert edge["errors"] == 1

    def test_call_has_the_service_at_the_address_when_there_is_no_response(self, shop: Shop) -> None:
        address: dict[str, str | int] = {"server.address": shop.unique("host"), "server.port": 8001}
        shop.export_span("users", SpanKind.SERVER, (-90, -80), attributes=address)
        shop.export_span("workers", SpanKind.CLIENT, (-9, -1), failed=True, attributes=address)

        assert ("workers", "users") in shop.get_edges()

    def test_calls_within_a_service_have_no_edge(self, shop: Shop) -> None:
        root = shop.export_span("orders", SpanKind.INTERNAL, (-9, -1))
        shop.export_span(
            "orders", SpanKind.CLIENT, (-8, -7), root, attributes={"service.peer.name": shop.unique("orders")}
        )
        shop.export_span("orders", SpanKind.INTERNAL, (-6, -5), root)

        assert shop.get_edges() == {}


class TestMessages:
    def test_message_is_an_edge_through_its_stream_with_a_wait(self, shop: Shop) -> None:
        stream = {"messaging.destination.name": shop.unique("events:orders")}
        sent = shop.export_span("orders", SpanKind.PRODUCER, (-100, -98), attributes=stream)
        shop.export_span("workers", SpanKind.CONSUMER, (-56, -50), sent, attributes=stream)
        # This consumer started before the producer span ended, so the message did not wait.
        shop.export_span("workers", SpanKind.CONSUMER, (-99, -97), sent, attributes=stream)

        found = shop.get_edges()

        assert set(found) == {("orders", "events:orders"), ("events:orders", "workers")}
        assert found["orders", "events:orders"]["calls"] == 1
        consumed = found["events:orders", "workers"]
        assert (consumed["calls"], consumed["waited_p50_us"], consumed["waited_p95_us"]) == (2, 0, 42_000)

    def test_message_of_a_queue_is_an_edge_from_its_cause(self, shop: Shop) -> None:
        cause = shop.export_span("orders", SpanKind.SERVER, (-100, -90))
        queue = {"messaging.destination.name": shop.unique("jobs")}
        shop.export_span("workers", SpanKind.CONSUMER, (-80, -70), cause, attributes=queue)

        found = shop.get_edges()

        assert set(found) == {("outside", "orders"), ("orders", "jobs"), ("jobs", "workers")}
        assert found["orders", "jobs"]["p50_us"] is None


class TestWindow:
    def test_window_contains_spans_that_started_within_it(self, shop: Shop) -> None:
        shop.export_span("old", SpanKind.SERVER, (-10 * MINUTE_MS, -10 * MINUTE_MS + 5))
        shop.export_span("young", SpanKind.SERVER, (-MINUTE_MS, -MINUTE_MS + 5))

        assert set(shop.get_nodes(lookback="5m")) == {"young"}
        assert set(shop.get_nodes()) == {"old", "young"}

    def test_window_begins_at_the_first_span(self, shop: Shop, observatory: Observatory) -> None:
        shop.export_span("young", SpanKind.SERVER, (-MINUTE_MS, -MINUTE_MS + 5))

        seconds = observatory.get("jaeger", "/observatory/map", lookback="5m").json()["seconds"]

        assert 60 <= seconds < 300

    def test_response_is_400_when_the_window_is_invalid(self, observatory: Observatory) -> None:
        assert observatory.get("jaeger", "/observatory/map", lookback="always").status_code == 400

    def test_map_is_empty_when_there_are_no_spans(self, limited_observatory: Observatory) -> None:
        response = limited_observatory.get("jaeger", "/observatory/map").json()

        assert (response["nodes"], response["edges"]) == ([], [])


class TestNodes:
    def test_node_counts_its_requests_and_their_failures(self, shop: Shop) -> None:
        for failed in (False, False, True):
            root = shop.export_span("orders", SpanKind.SERVER, (-20, -10), failed=failed)
            shop.export_span("orders", SpanKind.INTERNAL, (-19, -11), root, failed=True)

        orders = shop.get_nodes()["orders"]

        assert (orders["calls"], orders["errors"], orders["p95_us"]) == (3, 1, 10_000)
