import pytest
from services.orders.tests.factories import Shop, fields

from shared.pages import encode_cursor


class TestListProducts:
    async def test_pages_through_the_seeded_catalog_by_sku(self, shop: Shop) -> None:
        skus: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await shop.http.get("/products", params={"limit": 7, **cursor})).json()
            skus += [product["sku"] for product in page["items"]]
            if page["next_cursor"] is None:
                break
            assert len(page["items"]) == 7
            cursor = {"cursor": page["next_cursor"]}
        assert skus == sorted(set(skus))
        assert len(skus) == 30

    async def test_shows_price_and_what_is_available(self, shop: Shop) -> None:
        first = (await shop.http.get("/products", params={"limit": 1})).json()["items"][0]
        assert first == {
            "sku": "BAG-CANVAS",
            "name": "Canvas tote bag",
            "unit_price_cents": 1490,
            "currency": "EUR",
            "available": 9000,
        }

    async def test_last_page_says_so_when_it_is_full(self, shop: Shop) -> None:
        page = (await shop.http.get("/products", params={"limit": 30})).json()
        assert (len(page["items"]), page["next_cursor"]) == (30, None)

    @pytest.mark.parametrize("cursor", ["nonsense", "W10", encode_cursor("a\x00b"), encode_cursor("a", "b")])
    async def test_refuses_a_cursor_it_never_gave(self, shop: Shop, cursor: str) -> None:
        refused = await shop.http.get("/products", params={"cursor": cursor})
        assert refused.status_code == 400
        assert fields(refused) == ["cursor"]

    @pytest.mark.parametrize("limit", ["0", "101", "many"])
    async def test_refuses_a_limit_out_of_bounds(self, shop: Shop, limit: str) -> None:
        refused = await shop.http.get("/products", params={"limit": limit})
        assert refused.status_code == 422
        assert fields(refused) == ["limit"]


class TestReadProduct:
    async def test_shows_it(self, shop: Shop) -> None:
        assert (await shop.http.get("/products/SOCKS-HOP-XL")).json()["available"] == 0

    async def test_unknown_one_is_not_found(self, shop: Shop) -> None:
        missing = await shop.http.get("/products/nothing-like-it")
        assert missing.status_code == 404
        assert missing.json()["type"].endswith("/product-not-found")
