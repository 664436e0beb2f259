"""The number of functions between the socket of the service and the response to an order."""

from services.orders.tests.factories import Shop

from testkit.call_path import record_calls

MAX_FUNCTIONS = 85
"""An order passes 82. The rest is room for refactorings, so that only a new layer on the path fails the test."""


async def test_order_passes_at_most_the_allowed_number_of_functions(shop: Shop) -> None:
    sku, customer = await shop.create_product(), shop.client()

    async def place_order() -> None:
        await customer.create_order((sku, 1))

    functions = await record_calls(place_order, until_write_of="uvicorn")
    assert 0 < len(functions) <= MAX_FUNCTIONS, sorted(functions)
