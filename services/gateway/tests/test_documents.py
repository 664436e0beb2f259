"""The OpenAPI documents, the links of the pages, and cross-origin requests."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from services.gateway.tests.conftest import OpenGateway, Services

from gateway.routes import v1

OPERATIONS = {
    "/users": {"post"},
    "/tokens": {"post"},
    "/users/me": {"get", "patch"},
    "/users/lookup": {"post"},
    "/products": {"get"},
    "/products/{sku}": {"get"},
    "/orders": {"get", "post"},
    "/orders/{order_id}": {"get"},
    "/orders/{order_id}/cancel": {"post"},
    "/orders/{order_id}/summary": {"get"},
    "/dashboard": {"get"},
    "/notifications": {"get"},
    "/notifications/read": {"post"},
    "/ws-tickets": {"post"},
    "/reports": {"post"},
    "/reports/{report_id}": {"get"},
    "/reports/{report_id}/download": {"get"},
}
OPERATIONS_WITHOUT_TOKEN = {"register", "grant_tokens", "list_products", "read_product"}


@pytest.fixture
async def document(gateway: httpx.AsyncClient) -> dict[str, Any]:
    response = await gateway.get("/v2/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def generate_document(router: APIRouter) -> dict[str, Any]:
    """Return the document that FastAPI generates from the routes."""
    app = FastAPI()
    app.include_router(router)
    return app.openapi()


def parameter_bounds(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the type and the bounds of each path and query parameter, by operation. The gateway enforces them."""
    return {
        f"{method} {path}": {
            parameter["name"]: {
                name: value for name, value in parameter["schema"].items() if name not in {"title", "description"}
            }
            for parameter in operation.get("parameters", [])
            if parameter["in"] != "header"
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


class TestOpenApi:
    async def test_document_lists_every_operation(self, document: dict[str, Any]) -> None:
        assert {path: set(methods) for path, methods in document["paths"].items()} == OPERATIONS
        assert document["servers"] == [{"url": "/v2"}]

    async def test_every_reference_can_be_resolved(self, document: dict[str, Any]) -> None:
        for reference in references(document):
            section, name = reference.removeprefix("#/components/").split("/")
            assert name in document["components"][section]

    async def test_every_operation_documents_security_success_and_problems(self, document: dict[str, Any]) -> None:
        for operation in operations(document):
            name = operation["operationId"]
            assert operation["summary"], name
            assert (operation["security"] != []) == (name not in OPERATIONS_WITHOUT_TOKEN), name
            assert "401" in operation["responses"] or name in OPERATIONS_WITHOUT_TOKEN, name
            success = next(response for status, response in operation["responses"].items() if status.startswith("2"))
            is_download = name == "download_report"
            media_types = {"text/csv", "application/pdf"} if is_download else {"application/json"}
            assert set(success["content"]) == media_types, name
            assert all(content["schema"] for content in success["content"].values()), name
            problems = [response for status, response in operation["responses"].items() if not status.startswith("2")]
            assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems), name
            assert "default" in operation["responses"], name

    async def test_order_placement_documents_its_key_body_and_response_headers(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/orders"]["post"]
        [key] = operation["parameters"]
        assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)
        assert operation["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/NewOrder"
        }
        assert set(operation["responses"]["201"]["headers"]) == {"Location", "Idempotency-Replayed"}

    async def test_grant_of_tokens_documents_a_form(self, document: dict[str, Any]) -> None:
        body = document["paths"]["/tokens"]["post"]["requestBody"]["content"]
        assert list(body) == ["application/x-www-form-urlencoded"]

    async def test_version_one_documents_the_parameters_of_its_routes(self, gateway: httpx.AsyncClient) -> None:
        document = (await gateway.get("/v1/openapi.json")).json()
        assert parameter_bounds(document) == parameter_bounds(generate_document(v1.router))


class TestPages:
    async def test_version_root_redirects_to_its_documentation(self, gateway: httpx.AsyncClient) -> None:
        page = await gateway.get("/v2/", follow_redirects=True)
        assert page.status_code == 200
        assert page.url.path == "/v2/docs"

    async def test_documentation_page_needs_no_other_host(self, gateway: httpx.AsyncClient) -> None:
        page = (await gateway.get("/v2/docs")).text
        assert "/v2/openapi.json" in page
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(links) == 3, "the script, the style sheet and the icon"
        for link in links:
            assert link.startswith("/")
            assert (await gateway.get(link)).status_code == 200

    async def test_shop_page_has_working_links_and_needs_no_other_host(self, gateway: httpx.AsyncClient) -> None:
        page = await gateway.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert '<link rel="icon" href="data:,"' in page.text  # without it browsers request /favicon.ico
        links = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
        assert len(links) == 3, "the script, the style sheet and the documentation"
        for link in links:
            assert link.startswith("/")
            assert (await gateway.get(link)).status_code == 200


PREFLIGHT = {
    "Origin": "https://shop.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,idempotency-key,traceparent,tracestate,x-request-timeout-ms",
}


class TestCors:
    async def test_cors_is_off_by_default(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.options("/v2/orders", headers=PREFLIGHT)
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers

    async def test_request_is_allowed_when_its_origin_is_listed(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        async with open_gateway(cors_origins="https://shop.example, https://other.example") as gateway:
            preflight = await gateway.options("/v2/orders", headers=PREFLIGHT)
            read = await gateway.get("/v2/products", headers={"Origin": "https://shop.example"})
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "x-request-id" in preflight.headers
        exposed = read.headers["access-control-expose-headers"].split(", ")
        assert {"Idempotency-Replayed", "Content-Disposition"} <= set(exposed)

    async def test_preflight_is_rejected_when_its_origin_is_not_listed(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(cors_origins="https://shop.example") as gateway:
            response = await gateway.options("/v2/orders", headers={**PREFLIGHT, "Origin": "https://evil.example"})
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["type"].endswith("/preflight-refused")
        assert (problem["detail"], problem["instance"]) == ("Disallowed CORS origin", "/v2/orders")
        assert "POST" in response.headers["access-control-allow-methods"]
        assert response.headers["vary"].startswith("Origin")
        assert "access-control-allow-origin" not in response.headers
