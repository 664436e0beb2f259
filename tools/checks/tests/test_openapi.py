"""Version 1 does not change, version 2 stays compatible, and the linter reports no problem."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from checks.openapi import compose, documents, lint
from checks.openapi.compatibility import losses
from checks.programs import Program
from testkit.checkout import Checkout

Change = Callable[[Any], object]
SERVED = "services/gateway/src/gateway/documents"


@pytest.fixture
def v2(root: Path) -> Any:
    return json.loads((root / "docs/openapi/v2.json").read_bytes())


@pytest.fixture
def openapi(root: Path, tmp_path: Path) -> Checkout:
    """A copy of the committed and served documents, which the test may change."""
    return Checkout.of(root, ["docs/openapi", SERVED], into=tmp_path)


def test_committed_documents_are_those_of_the_code(openapi: Checkout) -> None:
    assert not list(documents.check(openapi.root))
    openapi.corrupt("docs/openapi/v1.json", "One product", "A product")
    openapi.corrupt("docs/openapi/v2.json", "Get a product", "Get the product")
    first, second = documents.check(openapi.root)
    assert "never changes, but differs in /paths//products/{sku}/get/summary" in first.wrong
    assert "has a compatible change" in second.wrong
    (openapi.root / "docs/openapi/v1.json").unlink()
    assert "is missing" in [finding.wrong for finding in documents.check(openapi.root)]


def test_gateway_serves_the_committed_documents(openapi: Checkout) -> None:
    openapi.corrupt(f"{SERVED}/v1.json", "One product", "A product")
    openapi.corrupt(f"{SERVED}/v2.json", "Get a product", "Get the product")
    found = [finding.wrong for finding in documents.check(openapi.root) if finding.place.startswith(SERVED)]
    assert found == [
        "version 1 never changes, but this file differs",
        "differs from the routes and the services",
    ]


class TestComposing:
    def test_operation_is_described_by_its_service(self, v2: Any) -> None:
        assert compose.compose() == v2
        assert "Packed already" in v2["paths"]["/orders/{order_id}/cancel"]["post"]["responses"]["409"]["description"]
        assert schema(v2, "Dashboard")["properties"]["user"]["anyOf"][0] == {"$ref": "#/components/schemas/User"}
        assert "email" in schema(v2, "User")["properties"]

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/orders", 200), ("POST", "/users", 202)], ids=["parameters", "statuses"]
    )
    def test_difference_from_the_service_is_found(self, method: str, path: str, status: int) -> None:
        router = APIRouter()

        @router.api_route(path, methods=[method], status_code=status)
        async def other() -> list[str]:
            return []

        with pytest.raises(ValueError, match=f"{method} {path}: the gateway and the service have different"):
            compose.compose(services=[*compose.SERVICES, router])

    def test_operation_is_found_when_no_service_describes_it(self) -> None:
        with pytest.raises(ValueError, match="GET /notifications: no service describes it"):
            compose.compose(services=compose.SERVICES[:-1])

    @pytest.mark.parametrize(("method", "path"), [("get", "/products"), ("get", "/orders"), ("get", "/notifications")])
    def test_gateway_validates_parameters_like_the_service(self, v2: Any, method: str, path: str) -> None:
        service = compose.described(compose.SERVICES)
        ours, theirs = (
            {parameter["name"]: bounds(parameter["schema"], of) for parameter in call(of, method, path)["parameters"]}
            for of in (v2, service)
        )
        theirs.get("after_seq", {}).pop("maximum", None)  # the published document does not have it
        assert ours == theirs


def bounds(parameter: Any, document: Any) -> dict[str, Any]:
    """Return the type, bounds and values of a parameter as one flat mapping."""
    flat: dict[str, Any] = {}
    for alternative in (parameter, *parameter.get("anyOf", ())):
        named = schema(document, alternative["$ref"].rpartition("/")[2]) if "$ref" in alternative else alternative
        kept = {name: value for name, value in named.items() if name not in {"title", "description", "anyOf"}}
        flat |= {name: value for name, value in kept.items() if value != "null"}
    return flat


def call(document: Any, method: str, path: str) -> Any:
    return document["paths"][path][method]


def schema(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]


LOSSES: list[tuple[str, Change]] = [
    ("GET /dashboard was removed", lambda now: now["paths"].pop("/dashboard")),
    ("POST /orders was removed", lambda now: now["paths"]["/orders"].pop("post")),
    ("the parameter status was removed", lambda now: call(now, "get", "/orders")["parameters"].pop()),
    ("the parameter limit is required", lambda now: call(now, "get", "/orders")["parameters"][0].update(required=True)),
    (
        "limit: maximum fell to 10",
        lambda now: call(now, "get", "/orders")["parameters"][0]["schema"].update(maximum=10),
    ),
    ("limit: minimum rose to 2", lambda now: call(now, "get", "/orders")["parameters"][0]["schema"].update(minimum=2)),
    ("a body is required", lambda now: call(now, "get", "/dashboard").update(requestBody={"required": True})),
    ("is not application/json", lambda now: call(now, "post", "/orders")["requestBody"]["content"].clear()),
    ("the body must have note", lambda now: schema(now, "NewOrder")["required"].append("note")),
    ("the body lost items", lambda now: schema(now, "NewOrder")["properties"].pop("items")),
    ("body.items: maxItems fell", lambda now: schema(now, "NewOrder")["properties"]["items"].update(maxItems=5)),
    ("items[].sku: has another", lambda now: schema(now, "NewItem")["properties"]["sku"].update(pattern="x")),
    ("refresh_token is rejected", lambda now: schema(now, "TokenRequest")["properties"]["grant_type"]["enum"].pop()),
    ("the response 201 was removed", lambda now: call(now, "post", "/orders")["responses"].pop("201")),
    ("lost its header Location", lambda now: call(now, "post", "/orders")["responses"]["201"]["headers"].clear()),
    ("201 lost total_cents", lambda now: schema(now, "Order")["properties"].pop("total_cents")),
    ("need not have currency", lambda now: schema(now, "Order")["required"].remove("currency")),
    ("total_cents can be string", lambda now: schema(now, "Order")["properties"]["total_cents"].update(type="string")),
    ("user.name can be null", lambda now: schema(now, "User")["properties"].update(name={"type": ["string", "null"]})),
]


CONSTRAINTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"type": "string"}, {"type": "string", "format": "uuid"}, "has another format"),
    ({"type": "string", "format": "uuid"}, {"type": "string"}, ""),
    ({"type": "integer"}, {"type": "integer", "multipleOf": 5}, "must be a multiple of 5 now"),
    ({"type": "integer", "multipleOf": 5}, {"type": "integer", "multipleOf": 10}, "must be a multiple of 10 now"),
    ({"type": "integer", "multipleOf": 10}, {"type": "integer", "multipleOf": 5}, ""),
    ({"type": "object"}, {"type": "object", "additionalProperties": False}, "cannot have all other fields any more"),
    ({"type": "object", "additionalProperties": False}, {"type": "object"}, ""),
    (
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        ".* cannot be string any more",
    ),
    ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, ""),
    ({"$ref": "#/components/schemas/NewItem"}, {"anyOf": [{"$ref": "#/components/schemas/NewItem"}]}, ""),
]


@pytest.mark.parametrize(("was", "now", "expected"), CONSTRAINTS)
def test_constraint_is_compared_when_clients_send_the_value(
    v2: Any, was: dict[str, Any], now: dict[str, Any], expected: str
) -> None:
    before, after = deepcopy(v2), deepcopy(v2)
    schema(before, "NewOrder")["properties"]["value"] = was
    schema(after, "NewOrder")["properties"]["value"] = now

    found = list(losses(before, after))

    assert len(found) == bool(expected), found
    assert all(loss.startswith("POST /orders: the body.value") and loss.endswith(expected) for loss in found)


CHOICES: list[tuple[str, list[str], list[str], list[str]]] = [
    ("NewOrder", ["NewItem", "Login"], ["NewItem", "Login"], []),
    ("NewOrder", ["NewItem", "Login"], ["Login", "NewItem"], []),
    ("NewOrder", ["NewItem", "Login"], ["NewItem", "Login", "Other"], []),
    ("NewOrder", ["NewItem", "Login"], ["NewItem"], ["must have quantity", "must have sku"]),
    ("Order", ["NewItem", "Login"], ["Login"], []),
    ("Order", ["NewItem"], ["NewItem", "Login"], ["lost quantity", "lost sku"]),
]


@pytest.mark.parametrize(("owner", "was", "now", "expected"), CHOICES)
def test_every_alternative_is_compared(
    v2: Any, owner: str, was: list[str], now: list[str], expected: list[str]
) -> None:
    before, after = deepcopy(v2), deepcopy(v2)
    for document, names in ((before, was), (after, now)):
        document["components"]["schemas"]["Login"] = {"type": "object", "properties": {"name": {"type": "string"}}}
        document["components"]["schemas"]["Other"] = {"type": "object", "properties": {"id": {"type": "string"}}}
        references = [{"$ref": f"#/components/schemas/{name}"} for name in names]
        schema(document, owner)["properties"]["value"] = {"anyOf": references}

    found = list(losses(before, after))

    assert all(any(part in loss for loss in found) for part in expected), found
    assert bool(found) == bool(expected), found


@pytest.mark.parametrize(("expected", "change"), LOSSES, ids=[expected for expected, _ in LOSSES])
def test_incompatible_change_is_found(v2: Any, expected: str, change: Change) -> None:
    now = deepcopy(v2)
    change(now)
    found = [loss for loss in losses(v2, now) if expected in loss]
    assert found, list(losses(v2, now))
    assert [finding.wrong for finding in documents.compare_growing(v2, now)] == list(losses(v2, now))


GROWTH: dict[str, Change] = {
    "a call": lambda now: now["paths"].update({"/new": now["paths"]["/dashboard"]}),
    "an optional parameter": lambda now: call(now, "get", "/orders")["parameters"].append(
        {"in": "query", "name": "q", "required": False, "schema": {"type": "string"}}
    ),
    "an optional field to send": lambda now: schema(now, "NewOrder")["properties"].update(note={"type": "string"}),
    "a field to get": lambda now: schema(now, "Order")["properties"].update(note={"type": "string"}),
    "a further state": lambda now: schema(now, "OrderStatus")["enum"].append("returned"),
    "a wider bound": lambda now: call(now, "get", "/orders")["parameters"][0]["schema"].update(maximum=500),
    "another response": lambda now: call(now, "get", "/orders")["responses"].update({"410": {"description": "gone"}}),
    "other words": lambda now: call(now, "get", "/orders").update(summary="All your orders"),
}


@pytest.mark.parametrize("change", GROWTH.values(), ids=list(GROWTH))
def test_compatible_change_must_only_be_written_to_the_file(v2: Any, change: Change) -> None:
    now = deepcopy(v2)
    change(now)
    assert now != v2
    assert not list(losses(v2, now))
    [finding] = documents.compare_growing(v2, now)
    assert finding.fix == "make openapi"
    assert not list(documents.report_losses(v2, now))


@pytest.mark.parametrize(("was", "now"), [({"example": None}, {}), ({}, {"example": None})], ids=["removed", "added"])
def test_key_with_null_differs_from_a_missing_key(was: dict[str, None], now: dict[str, None]) -> None:
    [finding] = documents.compare_frozen({"info": was}, {"info": now})
    assert finding.wrong.endswith("differs in /info/example")


def test_linter_finds_only_the_mistake(openapi: Checkout, has: Callable[[Program], None]) -> None:
    has(lint.REDOCLY)
    assert not list(lint.check(openapi.root))
    openapi.corrupt("docs/openapi/v2.json", '"operationId": "read_me"', '"operationId": "change_me"')
    [finding] = lint.check(openapi.root)
    assert finding.place.startswith("docs/openapi/v2.json#/paths/~1users~1me")
    assert "operation-operationId-unique" in finding.fix


def test_failed_linter_is_a_finding(tmp_path: Path, has: Callable[[Program], None]) -> None:
    has(lint.REDOCLY)
    (tmp_path / "docs/openapi").mkdir(parents=True)
    [finding] = lint.check(tmp_path)
    assert "the linter failed" in finding.wrong
