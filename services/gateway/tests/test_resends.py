"""A request that is sent again on a new connection is counted, and its span has `http.request.resend_count`."""

from services.gateway.tests.conftest import OpenGateway

from testkit.metrics import RecordedMetrics
from testkit.raw_server import raw_server
from testkit.spans import Spans

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class TestResend:
    async def test_resend_is_counted_when_the_kept_connection_was_closed(
        self, open_gateway: OpenGateway, spans: Spans, metrics: RecordedMetrics
    ) -> None:
        async with raw_server() as orders, open_gateway(orders_url=orders.url) as gateway:
            orders.respond(OK)
            assert (await gateway.get("/v2/products")).status_code == 200
            orders.disconnect()
            orders.respond(OK)
            assert (await gateway.get("/v2/products")).status_code == 200
        calls = spans.named("GET /products")
        assert [(span.attributes or {}).get("http.request.resend_count") for span in calls] == [None, 1]
        assert metrics.value("hopline.gateway.repeats", {"service.peer.name": "orders"}) == 1
