"""The validators of the OpenAPI documents: changes of both versions, composing version 2, and the linter."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from checks.openapi import compose, documents, lint
from checks.openapi.__main__ import main as update
from checks.openapi.compatibility import find_incompatible_changes
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


def test_repository_has_no_findings(openapi: Checkout) -> None:
    assert not list(documents.check(openapi.root))


def test_committed_document_is_found_when_it_differs_from_the_code(openapi: Checkout) -> None:
    openapi.corrupt("docs/openapi/v1.json", "One product", "A product")
    openapi.corrupt("docs/openapi/v2.json", "Get a product", "Get the product")
    first, second = documents.check(openapi.root)
    assert "never changes, but differs in /paths//products/{sku}/get/summary" in first.problem
    assert "has a compatible change" in second.problem


@pytest.mark.parametrize(
    ("file", "fix"),
    [
        ("docs/openapi/v1.json", "restore it from git"),
        ("docs/openapi/v2.json", "restore it from git"),
        (f"{SERVED}/v1.json", "restore it from git"),
        (f"{SERVED}/v2.json", "run `make openapi`"),
    ],
)
def test_document_is_found_when_it_is_missing(openapi: Checkout, file: str, fix: str) -> None:
    (openapi.root / file).unlink()
    [finding] = documents.check(openapi.root)
    assert (finding.place, finding.problem, finding.fix) == (file, "is missing", fix)


class TestUpdate:
    def test_both_files_are_written_when_the_change_is_compatible(self, openapi: Checkout) -> None:
        openapi.corrupt("docs/openapi/v2.json", "Get a product", "Get the product")
        (openapi.root / SERVED / "v2.json").unlink()
        assert update(openapi.root) == 0
        assert not list(documents.check(openapi.root))

    def test_nothing_is_written_when_the_change_is_incompatible(
        self, openapi: Checkout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        openapi.corrupt("docs/openapi/v2.json", '"/products/{sku}"', '"/products/{id}"')
        committed = (openapi.root / "docs/openapi/v2.json").read_bytes()
        assert update(openapi.root) == 1
        assert "GET /products/{id} was removed" in capsys.readouterr().out
        assert (openapi.root / "docs/openapi/v2.json").read_bytes() == committed

    def test_error_names_the_fix_when_the_committed_document_is_missing(
        self, openapi: Checkout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (openapi.root / "docs/openapi/v2.json").unlink()
        assert update(openapi.root) == 1
        assert capsys.readouterr().out == "docs/openapi/v2.json: is missing; restore it from git\n"


def test_served_document_is_found_when_it_differs_from_the_code(openapi: Checkout) -> None:
    openapi.corrupt(f"{SERVED}/v1.json", "One product", "A product")
    openapi.corrupt(f"{SERVED}/v2.json", "Get a product", "Get the product")
    found = [finding.problem for finding in documents.check(openapi.root) if finding.place.startswith(SERVED)]
    assert found == [
        "version 1 never changes, but this file differs",
        "differs from the routes and the services",
    ]


class TestCompose:
    def test_operation_is_described_by_its_service(self, v2: Any) -> None:
        assert compose.compose() == v2
        assert "Packed already" in v2["paths"]["/orders/{order_id}/cancel"]["post"]["responses"]["409"]["description"]
        assert schema(v2, "Dashboard")["properties"]["user"]["anyOf"][0] == {"$ref": "#/components/schemas/User"}
        assert "email" in schema(v2, "User")["properties"]

    @pytest.mark.parametrize(
        ("method", "path", "status", "expected"),
        [
            ("GET", "/orders", 200, "parameters: cursor, limit, status"),
            ("POST", "/users", 202, "statuses: 201 and 202"),
        ],
        ids=["parameters", "statuses"],
    )
    def test_difference_from_the_service_is_found(self, method: str, path: str, status: int, expected: str) -> None:
        router = APIRouter()

        @router.api_route(path, methods=[method], status_code=status)
        async def other() -> list[str]:
            return []

        with pytest.raises(ValueError, match=f"{method} {path}: the gateway and the service have different {expected}"):
            compose.compose(services=[*compose.SERVICES, router])

    def test_operation_is_found_when_no_service_describes_it(self) -> None:
        with pytest.raises(ValueError, match="GET /notifications: no service describes it"):
            compose.compose(services=compose.SERVICES[:-1])

    @pytest.mark.parametrize(("method", "path"), [("get", "/products"), ("get", "/orders"), ("get", "/notifications")])
    def test_gateway_validates_parameters_like_the_service(self, v2: Any, method: str, path: str) -> None:
        documents = (v2, compose.describe(compose.SERVICES))
        gateway_bounds, service_bounds = (
            {
                parameter["name"]: bounds(parameter["schema"], document)
                for parameter in operation(document, method, path)["parameters"]
            }
            for document in documents
        )
        service_bounds.get("after_seq", {}).pop("maximum", None)  # the published document does not have it
        assert gateway_bounds == service_bounds


def bounds(parameter: Any, document: Any) -> dict[str, Any]:
    """Return the type, bounds and values of a parameter in one mapping."""
    merged: dict[str, Any] = {}
    for alternative in (parameter, *parameter.get("anyOf", ())):
        named = schema(document, alternative["$ref"].rpartition("/")[2]) if "$ref" in alternative else alternative
        kept = {name: value for name, value in named.items() if name not in {"title", "description", "anyOf"}}
        merged |= {name: value for name, value in kept.items() if value != "null"}
    return merged


def operation(document: Any, method: str, path: str) -> Any:
    return document["paths"][path][method]


def schema(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]


INCOMPATIBLE: list[tuple[str, Change]] = [
    ("GET /dashboard was removed", lambda new: new["paths"].pop("/dashboard")),
    ("POST /orders was removed", lambda new: new["paths"]["/orders"].pop("post")),
    ("the parameter status was removed", lambda new: operation(new, "get", "/orders")["parameters"].pop()),
    (
        "the parameter limit is required",
        lambda new: operation(new, "get", "/orders")["parameters"][0].update(required=True),
    ),
    (
        "limit: maximum fell to 10",
        lambda new: operation(new, "get", "/orders")["parameters"][0]["schema"].update(maximum=10),
    ),
    (
        "limit: minimum rose to 2",
        lambda new: operation(new, "get", "/orders")["parameters"][0]["schema"].update(minimum=2),
    ),
    ("the body is required", lambda new: operation(new, "get", "/dashboard").update(requestBody={"required": True})),
    ("is not application/json", lambda new: operation(new, "post", "/orders")["requestBody"]["content"].clear()),
    ("the body must have note", lambda new: schema(new, "NewOrder")["required"].append("note")),
    ("the body: field items was removed", lambda new: schema(new, "NewOrder")["properties"].pop("items")),
    ("body.items: maxItems fell", lambda new: schema(new, "NewOrder")["properties"]["items"].update(maxItems=5)),
    ("items[].sku: has another", lambda new: schema(new, "NewItem")["properties"]["sku"].update(pattern="x")),
    ("refresh_token is rejected", lambda new: schema(new, "TokenRequest")["properties"]["grant_type"]["enum"].pop()),
    ("the response 201 was removed", lambda new: operation(new, "post", "/orders")["responses"].pop("201")),
    (
        "201: header Location was removed",
        lambda new: operation(new, "post", "/orders")["responses"]["201"]["headers"].clear(),
    ),
    ("201: field total_cents was removed", lambda new: schema(new, "Order")["properties"].pop("total_cents")),
    ("currency is optional", lambda new: schema(new, "Order")["required"].remove("currency")),
    (
        "total_cents can be string now",
        lambda new: schema(new, "Order")["properties"]["total_cents"].update(type="string"),
    ),
    (
        "user.name can be null now",
        lambda new: schema(new, "User")["properties"].update(name={"type": ["string", "null"]}),
    ),
]


@pytest.mark.parametrize(("expected", "change"), INCOMPATIBLE, ids=[expected for expected, _ in INCOMPATIBLE])
def test_incompatible_change_is_found(v2: Any, expected: str, change: Change) -> None:
    new = deepcopy(v2)
    change(new)
    changes = list(find_incompatible_changes(v2, new))
    assert any(expected in line for line in changes), changes
    assert [finding.problem for finding in documents.compare_growing(v2, new)] == changes


def test_body_is_found_when_it_was_optional_and_is_required_now(v2: Any) -> None:
    optional = deepcopy(v2)
    del operation(optional, "post", "/orders")["requestBody"]["required"]
    assert list(find_incompatible_changes(optional, v2)) == ["POST /orders: the body is required now"]
    assert not list(find_incompatible_changes(v2, optional))


COMPATIBLE: dict[str, Change] = {
    "an operation": lambda new: new["paths"].update({"/new": new["paths"]["/dashboard"]}),
    "an optional parameter": lambda new: operation(new, "get", "/orders")["parameters"].append(
        {"in": "query", "name": "q", "required": False, "schema": {"type": "string"}}
    ),
    "an optional field of a request": lambda new: schema(new, "NewOrder")["properties"].update(note={"type": "string"}),
    "a field of a response": lambda new: schema(new, "Order")["properties"].update(note={"type": "string"}),
    "a further state": lambda new: schema(new, "OrderStatus")["enum"].append("returned"),
    "a wider bound": lambda new: operation(new, "get", "/orders")["parameters"][0]["schema"].update(maximum=500),
    "another response": lambda new: operation(new, "get", "/orders")["responses"].update(
        {"410": {"description": "gone"}}
    ),
    "other words": lambda new: operation(new, "get", "/orders").update(summary="All your orders"),
}


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=list(COMPATIBLE))
def test_compatible_change_needs_only_an_update_of_the_file(v2: Any, change: Change) -> None:
    new = deepcopy(v2)
    change(new)
    assert new != v2
    assert not list(find_incompatible_changes(v2, new))
    [finding] = documents.compare_growing(v2, new)
    assert finding.fix == "run `make openapi`"
    assert not list(documents.report_incompatible_changes(v2, new))


@pytest.mark.parametrize(("old", "new"), [({"example": None}, {}), ({}, {"example": None})], ids=["removed", "added"])
def test_key_with_null_differs_from_a_missing_key(old: dict[str, None], new: dict[str, None]) -> None:
    [finding] = documents.compare_frozen({"info": old}, {"info": new})
    assert finding.problem.endswith("differs in /info/example")


def test_linter_finds_only_the_mistake(openapi: Checkout, require: Callable[[Program], None]) -> None:
    require(lint.REDOCLY)
    assert not list(lint.check(openapi.root))
    openapi.corrupt("docs/openapi/v2.json", '"operationId": "read_me"', '"operationId": "change_me"')
    [finding] = lint.check(openapi.root)
    assert finding.place.startswith("docs/openapi/v2.json#/paths/~1users~1me")
    assert "operation-operationId-unique" in finding.fix


def test_failure_of_the_linter_is_found(tmp_path: Path, require: Callable[[Program], None]) -> None:
    require(lint.REDOCLY)
    (tmp_path / "docs/openapi").mkdir(parents=True)
    [finding] = lint.check(tmp_path)
    assert "the linter failed" in finding.problem
