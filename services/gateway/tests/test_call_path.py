"""The number of functions between the socket of the gateway and the write to the service."""

from services.gateway.tests.conftest import OpenGateway, Services

from shared.config import HttpTransport
from testkit.call_path import record_calls

MAX_FUNCTIONS = 89
"""An order passes 86. The rest is room for refactorings, so that only a new layer on the path fails the test."""


async def test_order_passes_a_limited_number_of_functions(
    open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
) -> None:
    services.orders.respond("POST", "/orders", {}, status=201)
    async with open_gateway(http_transport=HttpTransport.HTTPTOOLS) as gateway:

        async def place_order() -> None:
            response = await gateway.post(
                "/v2/orders", headers={**customer_headers, "Idempotency-Key": "k"}, json={"items": []}
            )
            assert response.status_code == 201

        functions = await record_calls(place_order, until_write_of="httpx_httptools")
    assert 0 < len(functions) <= MAX_FUNCTIONS, sorted(functions)
