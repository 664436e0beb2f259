import json
from typing import Any
from uuid import uuid4

from services.orders.tests.clients import JSON, order_body
from services.orders.tests.factories import Shop, error_fields

from testkit.tokens import TokenIssuer

KEY = {"Idempotency-Key": "k"}


def item(**changes: Any) -> dict[str, Any]:
    return {"items": [{"sku": "BAG-CANVAS", "quantity": 1} | changes]}


WRONG_BODIES: list[tuple[Any, str]] = [
    ([], "body"),
    ({}, "items"),
    ({"items": []}, "items"),
    ({"items": None}, "items"),
    ({"items": item()["items"] * 51}, "items"),
    ({"items": [{"sku": "BAG-CANVAS"}]}, "items.0.quantity"),
    ({"items": [{"quantity": 1}]}, "items.0.sku"),
    (item(quantity=0), "items.0.quantity"),
    (item(quantity=-1), "items.0.quantity"),
    (item(quantity=10_001), "items.0.quantity"),
    (item(quantity=2**63), "items.0.quantity"),
    (item(quantity=1.5), "items.0.quantity"),
    (item(quantity="1"), "items.0.quantity"),
    (item(quantity=True), "items.0.quantity"),
    (item(quantity=None), "items.0.quantity"),
    (item(sku=""), "items.0.sku"),
    (item(sku="a\x00b"), "items.0.sku"),
    (item(sku="x" * 65), "items.0.sku"),
    (item(sku="\ud800"), "items.0.sku"),
    (item(sku=7), "items.0.sku"),
    (item(colour="red"), "items.0.colour"),
    (item(**{"\ud800": 1}), "items.0"),
    (item() | {"user_id": str(uuid4())}, "user_id"),
]


class TestBody:
    async def test_body_is_rejected_with_the_field_name_when_it_is_invalid(self, shop: Shop) -> None:
        customer = shop.client()
        for body, field in WRONG_BODIES:
            rejected = await customer.send_order(json.dumps(body).encode(), headers=KEY)
            assert (rejected.status_code, error_fields(rejected)) == (422, [field]), body
            assert rejected.headers["Content-Type"] == "application/problem+json"

    async def test_body_is_a_bad_request_when_the_json_is_malformed(self, shop: Shop) -> None:
        customer = shop.client()
        for body in (b"{", b'{"items": [', b"\xff\xfe", b'{"items": 1' + b"0" * 5000 + b"}"):
            rejected = await customer.send_order(body, headers=KEY)
            assert rejected.status_code == 400, body
            assert rejected.headers["Content-Type"] == "application/problem+json"

    async def test_body_is_rejected_when_it_is_too_large(self, shop: Shop) -> None:
        rejected = await shop.client().send_order(b" " * 70_000, headers=KEY)
        assert rejected.status_code == 413

    async def test_order_is_out_of_stock_when_it_exceeds_the_available_units(self, shop: Shop) -> None:
        products = (await shop.http.get("/products", params={"limit": 100})).json()["items"]
        for product in products:
            rejected = await shop.client().place_order((product["sku"], product["available"] + 1))
            assert rejected.status_code == 409


class TestKey:
    async def test_key_is_a_bad_request_when_it_is_missing_or_malformed(self, shop: Shop) -> None:
        customer, body = shop.client(), json.dumps(item()).encode()
        for headers in ({}, *({"Idempotency-Key": key} for key in ("", "two words", "x" * 256, "tab\tbed"))):
            rejected = await customer.send_order(body, headers=headers)
            assert (rejected.status_code, error_fields(rejected)) == (400, ["Idempotency-Key"]), headers

    async def test_key_accepts_visible_ascii(self, shop: Shop) -> None:
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
        wrong: list[dict[str, Any]] = [
            {"lifetime": -60},
            {"aud": "else"},
            {"iss": "else"},
            {"role": "owner"},
            {"sub": "me"},
            {"jti": None},
        ]
        for claims in wrong:
            headers = shop.issuer.headers(**({"sub": uuid4()} | claims))
            assert (await shop.http.get("/orders", headers=headers)).status_code == 401, claims

    async def test_token_is_rejected_when_the_signature_is_foreign(self, shop: Shop) -> None:
        forged = TokenIssuer(key_id=shop.issuer.key_id).headers(uuid4())
        unknown = TokenIssuer().headers(uuid4())
        for headers in (forged, unknown, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic bWU6bWU="}):
            assert (await shop.http.get("/orders", headers=headers)).status_code == 401


class TestOrderId:
    async def test_order_id_is_rejected_when_it_is_malformed(self, shop: Shop) -> None:
        for path in ("/orders/7", "/orders/%00"):
            assert (await shop.client().get(path)).status_code == 422
