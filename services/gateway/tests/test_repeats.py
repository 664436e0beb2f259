"""A call whose kept connection had ended tells that it was written twice."""

from services.gateway.tests.conftest import OpenGateway
from services.gateway.tests.connections.peer import Peer

from testkit.metrics import Metrics
from testkit.spans import Spans

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class TestRepeatedCall:
    async def test_is_counted_and_named_on_its_span(
        self, open_gateway: OpenGateway, peer: Peer, spans: Spans, counted: Metrics
    ) -> None:
        async with open_gateway(orders_url=f"http://127.0.0.1:{peer.port}") as gateway:
            peer.says(OK)
            assert (await gateway.get("/v2/products")).status_code == 200
            peer.hangs_up()
            peer.says(OK)
            assert (await gateway.get("/v2/products")).status_code == 200
        calls = spans.named("GET /products")
        assert [(span.attributes or {}).get("http.request.resend_count") for span in calls] == [None, 1]
        assert counted.value("hopline.gateway.repeats", {"peer.service": "orders"}) == 1
