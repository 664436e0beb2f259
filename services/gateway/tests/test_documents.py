"""The document, the pages, and what browsers of other origins may do."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from services.gateway.tests.conftest import OpenGateway, Services

from gateway.routes import v1

PUBLIC = {
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
FOR_ANYBODY = {"register", "grant_tokens", "list_products", "read_product"}


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


def described(router: APIRouter) -> dict[str, Any]:
    """The document that FastAPI makes of the routes alone."""
    app = FastAPI()
    app.include_router(router)
    return app.openapi()


def checked(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The bounds of path and query parameters by operation: what the gateway itself checks."""
    return {
        f"{method} {path}": {
            one["name"]: {name: value for name, value in one["schema"].items() if name not in {"title", "description"}}
            for one in operation.get("parameters", [])
            if one["in"] != "header"
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


class TestOpenApi:
    async def test_lists_every_public_call_below_its_version(self, document: dict[str, Any]) -> None:
        assert {path: set(methods) for path, methods in document["paths"].items()} == PUBLIC
        assert document["servers"] == [{"url": "/v2"}]

    async def test_every_reference_leads_somewhere(self, document: dict[str, Any]) -> None:
        for reference in references(document):
            section, name = reference.removeprefix("#/components/").split("/")
            assert name in document["components"][section]

    async def test_every_call_says_who_may_what_comes_back_and_what_goes_wrong(self, document: dict[str, Any]) -> None:
        for operation in operations(document):
            assert operation["summary"]
            name = operation["operationId"]
            assert (operation["security"] != []) == (name not in FOR_ANYBODY), name
            assert ("401" in operation["responses"]) or name in FOR_ANYBODY
            success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            file = {"text/csv", "application/pdf"} if name == "download_report" else {"application/json"}
            assert set(success["content"]) == file, name
            assert all(content["schema"] for content in success["content"].values()), name
            problems = [answer for status, answer in operation["responses"].items() if not status.startswith("2")]
            assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems)
            assert "default" in operation["responses"]

    async def test_placing_an_order_says_what_it_needs(self, document: dict[str, Any]) -> None:
        place = document["paths"]["/orders"]["post"]
        [key] = place["parameters"]
        assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)
        assert place["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/NewOrder"
        }
        assert set(place["responses"]["201"]["headers"]) == {"Location", "Idempotency-Replayed"}
        form = document["paths"]["/tokens"]["post"]["requestBody"]["content"]
        assert list(form) == ["application/x-www-form-urlencoded"]

    async def test_version_one_lists_the_routes_there_are(self, gateway: httpx.AsyncClient) -> None:
        document = (await gateway.get("/v1/openapi.json")).json()
        assert checked(document) == checked(described(v1.router))


class TestPages:
    async def test_a_versions_root_leads_to_its_documentation(self, gateway: httpx.AsyncClient) -> None:
        page = await gateway.get("/v2/", follow_redirects=True)
        assert page.status_code == 200
        assert page.url.path == "/v2/docs"

    async def test_the_documentation_page_needs_no_other_host(self, gateway: httpx.AsyncClient) -> None:
        page = (await gateway.get("/v2/docs")).text
        assert "/v2/openapi.json" in page
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(links) == 3
        for link in links:
            assert link.startswith("/")
            assert (await gateway.get(link)).status_code == 200

    async def test_the_front_page_leads_on(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(traces_url="http://localhost:26686") as gateway:
            page = await gateway.get("/")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert '<link rel="icon" href="data:,">' in page.text  # browsers ask for /favicon.ico otherwise
            links = re.findall(r'<a href="([^"]+)"', page.text)
            assert "http://localhost:26686/" in links
            for link in links[:2]:
                assert (await gateway.get(link)).status_code == 200


class TestCors:
    PREFLIGHT = {  # noqa: RUF012
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }

    async def test_is_off_by_default(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.options("/v2/orders", headers=self.PREFLIGHT)
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers

    async def test_lets_the_named_origins_in(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.answers("GET", "/products", {})
        async with open_gateway(cors_origins="https://shop.example, https://other.example") as gateway:
            response = await gateway.options("/v2/orders", headers=self.PREFLIGHT)
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == "https://shop.example"
            assert "x-request-id" in response.headers
            read = await gateway.get("/v2/products", headers={"Origin": "https://shop.example"})
            assert "Idempotency-Replayed" in read.headers["access-control-expose-headers"]
            foreign = await gateway.options("/v2/orders", headers={**self.PREFLIGHT, "Origin": "https://evil.example"})
            assert foreign.status_code == 400
            assert foreign.headers["content-type"] == "application/problem+json"
            told = foreign.json()
            assert told["type"].endswith("/preflight-refused")
            assert (told["detail"], told["instance"]) == ("Disallowed CORS origin", "/v2/orders")
            assert "POST" in foreign.headers["access-control-allow-methods"]
            assert foreign.headers["vary"].startswith("Origin")
            assert "access-control-allow-origin" not in foreign.headers
