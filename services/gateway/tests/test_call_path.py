"""The number of functions between the socket of the gateway and the write to the service."""

import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.call_path import record_calls

MAX_FUNCTIONS = 110


async def test_order_passes_few_functions_of_the_gateway(
    open_gateway: OpenGateway, services: Services, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_TRANSPORT", "httptools")
    services.orders.respond("POST", "/orders", {}, status=201)
    async with open_gateway() as gateway:

        async def place_order() -> None:
            response = await gateway.post("/v2/orders", headers={**token, "Idempotency-Key": "k"}, json={"items": []})
            assert response.status_code == 201

        functions = await record_calls(place_order, until_write_of="httpx_httptools")
    assert 0 < len(functions) <= MAX_FUNCTIONS, sorted(functions)
