"""The catalog: pages of products, and single products."""

import pytest
from services.orders.tests.factories import Shop, error_fields

from shared.web.pagination import encode_cursor

SEEDED_PRODUCTS = 30


class TestListProducts:
    async def test_pages_cover_the_seeded_catalog_in_order_of_sku(self, shop: Shop) -> None:
        limit = 7
        skus: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await shop.http.get("/products", params={"limit": limit, **cursor})).json()
            skus += [product["sku"] for product in page["items"]]
            if page["next_cursor"] is None:
                break
            assert len(page["items"]) == limit
            cursor = {"cursor": page["next_cursor"]}
        assert skus == sorted(set(skus))
        assert len(skus) == SEEDED_PRODUCTS

    async def test_product_has_price_and_available_units(self, shop: Shop) -> None:
        first = (await shop.http.get("/products", params={"limit": 1})).json()["items"][0]
        assert first == {
            "sku": "BAG-CANVAS",
            "name": "Canvas tote bag",
            "unit_price_cents": 1490,
            "currency": "EUR",
            "available": 9000,
        }

    async def test_last_page_has_no_cursor_when_it_is_full(self, shop: Shop) -> None:
        page = (await shop.http.get("/products", params={"limit": SEEDED_PRODUCTS})).json()
        assert (len(page["items"]), page["next_cursor"]) == (SEEDED_PRODUCTS, None)

    @pytest.mark.parametrize(
        "cursor",
        ["nonsense", "W10", encode_cursor("a\x00b"), encode_cursor("a", "b")],
        ids=["no cursor", "empty list", "no sku", "two parts"],
    )
    async def test_cursor_is_rejected_when_it_is_invalid(self, shop: Shop, cursor: str) -> None:
        rejected = await shop.http.get("/products", params={"cursor": cursor})
        assert rejected.status_code == 400
        assert error_fields(rejected) == ["cursor"]

    @pytest.mark.parametrize("limit", ["0", "101", "many"])
    async def test_limit_is_rejected_when_it_is_out_of_bounds(self, shop: Shop, limit: str) -> None:
        rejected = await shop.http.get("/products", params={"limit": limit})
        assert rejected.status_code == 422
        assert error_fields(rejected) == ["limit"]


class TestReadProduct:
    async def test_product_is_returned_when_it_is_sold_out(self, shop: Shop) -> None:
        assert (await shop.http.get("/products/SOCKS-HOP-XL")).json()["available"] == 0

    async def test_product_is_not_found_when_the_sku_is_unknown(self, shop: Shop) -> None:
        missing = await shop.http.get("/products/nothing-like-it")
        assert missing.status_code == 404
        assert missing.json()["type"].endswith("/product-not-found")
