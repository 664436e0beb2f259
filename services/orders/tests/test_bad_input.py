"""Invalid requests: bodies, idempotency keys, tokens and ids."""

import json
import sys
from typing import Any
from uuid import uuid4

from services.orders.tests.clients import JSON, order_body
from services.orders.tests.factories import Shop, error_fields

from shared.web.app import MAX_BODY_BYTES
from testkit.tokens import TokenIssuer

KEY = {"Idempotency-Key": "k"}


def order_with(**changes: Any) -> dict[str, Any]:
    """Return the body of an order with one item, to which `changes` apply."""
    return {"items": [{"sku": "BAG-CANVAS", "quantity": 1} | changes]}


INVALID_BODIES: list[tuple[Any, str]] = [
    ([], "body"),
    ({}, "items"),
    ({"items": []}, "items"),
    ({"items": None}, "items"),
    ({"items": order_with()["items"] * 51}, "items"),
    ({"items": [{"sku": "BAG-CANVAS"}]}, "items.0.quantity"),
    ({"items": [{"quantity": 1}]}, "items.0.sku"),
    (order_with(quantity=0), "items.0.quantity"),
    (order_with(quantity=-1), "items.0.quantity"),
    (order_with(quantity=10_001), "items.0.quantity"),
    (order_with(quantity=2**63), "items.0.quantity"),
    (order_with(quantity=1.5), "items.0.quantity"),
    (order_with(quantity="1"), "items.0.quantity"),
    (order_with(quantity=True), "items.0.quantity"),
    (order_with(quantity=None), "items.0.quantity"),
    (order_with(sku=""), "items.0.sku"),
    (order_with(sku="a\x00b"), "items.0.sku"),
    (order_with(sku="x" * 65), "items.0.sku"),
    (order_with(sku="\ud800"), "items.0.sku"),
    (order_with(sku=7), "items.0.sku"),
    (order_with(colour="red"), "items.0.colour"),
    (order_with(**{"\ud800": 1}), "items.0"),
    (order_with() | {"user_id": str(uuid4())}, "user_id"),
]


class TestBody:
    async def test_body_is_rejected_with_the_field_name_when_it_is_invalid(self, shop: Shop) -> None:
        customer = shop.client()
        for body, field in INVALID_BODIES:
            rejected = await customer.send_order(json.dumps(body).encode(), headers=KEY)
            assert (rejected.status_code, error_fields(rejected)) == (422, [field]), body
            assert rejected.headers["Content-Type"] == "application/problem+json"

    async def test_body_is_a_bad_request_when_the_json_is_malformed(self, shop: Shop) -> None:
        customer = shop.client()
        too_many_digits = b'{"items": 1' + b"0" * sys.get_int_max_str_digits() + b"}"
        for body in (b"{", b'{"items": [', b"\xff\xfe", too_many_digits):
            rejected = await customer.send_order(body, headers=KEY)
            assert rejected.status_code == 400, body
            assert rejected.headers["Content-Type"] == "application/problem+json"

    async def test_body_is_rejected_when_it_is_too_large(self, shop: Shop) -> None:
        rejected = await shop.client().send_order(b" " * (MAX_BODY_BYTES + 1), headers=KEY)
        assert rejected.status_code == 413

    async def test_quantity_is_out_of_stock_and_not_invalid_when_it_exceeds_the_stock_of_any_seeded_product(
        self, shop: Shop
    ) -> None:
        products = (await shop.http.get("/products", params={"limit": 100})).json()["items"]
        customer = shop.client()
        for product in products:
            rejected = await customer.place_order((product["sku"], product["available"] + 1))
            assert rejected.status_code == 409


class TestKey:
    async def test_key_is_a_bad_request_when_it_is_missing_or_malformed(self, shop: Shop) -> None:
        customer, body = shop.client(), json.dumps(order_with()).encode()
        for headers in ({}, *({"Idempotency-Key": key} for key in ("", "two words", "x" * 256, "tab\tbed"))):
            rejected = await customer.send_order(body, headers=headers)
            assert (rejected.status_code, error_fields(rejected)) == (400, ["Idempotency-Key"]), headers

    async def test_key_is_accepted_when_it_is_visible_ascii(self, shop: Shop) -> None:
        for key in ("x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "!~"):
            assert (await shop.client().place_order(("BAG-CANVAS", 1), key=key)).status_code == 201


class TestToken:
    async def test_token_is_required_except_for_the_catalog(self, shop: Shop) -> None:
        calls = [
            ("GET", "/orders"),
            ("POST", "/orders"),
            ("GET", f"/orders/{uuid4()}"),
            ("POST", f"/orders/{uuid4()}/cancel"),
            ("POST", f"/internal/orders/{uuid4()}/pack"),
            ("POST", f"/internal/orders/{uuid4()}/ship"),
        ]
        for method, path in calls:
            rejected = await shop.http.request(method, path, content=order_body(("BAG-CANVAS", 1)), headers=JSON | KEY)
            assert rejected.status_code == 401, path
            assert rejected.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_token_is_rejected_when_a_claim_is_wrong(self, shop: Shop) -> None:
        wrong_claims: list[dict[str, Any]] = [
            {"lifetime": -60},
            {"aud": "else"},
            {"iss": "else"},
            {"role": "owner"},
            {"sub": "me"},
            {"jti": None},
        ]
        for claims in wrong_claims:
            headers = shop.issuer.headers(**({"sub": uuid4()} | claims))
            assert (await shop.http.get("/orders", headers=headers)).status_code == 401, claims

    async def test_token_is_rejected_when_it_is_forged_or_malformed(self, shop: Shop) -> None:
        wrong_signature = TokenIssuer(key_id=shop.issuer.key_id).headers(uuid4())
        unknown_key = TokenIssuer().headers(uuid4())
        malformed = {"Authorization": "Bearer nonsense"}
        other_scheme = {"Authorization": "Basic bWU6bWU="}
        for headers in (wrong_signature, unknown_key, malformed, other_scheme):
            assert (await shop.http.get("/orders", headers=headers)).status_code == 401


class TestOrderId:
    async def test_order_id_is_rejected_when_it_is_malformed(self, shop: Shop) -> None:
        for path in ("/orders/7", "/orders/%00"):
            assert (await shop.client().get(path)).status_code == 422
