"""HTTP semantics of all routes of all services: HEAD, redirects, media types, content codings and validation."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.contracts.conftest import RunningShop

pytestmark = pytest.mark.xdist_group("contracts")  # these tests share one shop

DOCUMENTS = {"users": "", "orders": "", "notifications": "", "gateway": "/v2"}
"""The prefix of the paths in the OpenAPI document of each service."""
PAGES = ("/", "/v1/docs", "/v2/docs", "/v1/openapi.json", "/assets/swagger-ui.css", "/openapi.json", "/v2/nothing")
PROBES = ("/health/live", "/health/ready", "/health/startup")
PATH_PARAMETERS = {"sku": "TEA-HOP-50"}
UNKNOWN_ID = "0198b7f0-0000-7000-8000-000000000001"
"""The value of other path parameters."""

VARYING_HEADERS = {"date", "x-request-id", "traceresponse", "ratelimit-remaining", "ratelimit-reset", "server-timing"}
"""Headers that differ between two responses to the same request."""

WORKERS_HEADERS = {"Authorization": f"Basic {base64.b64encode(b'workers:the-workers-secret').decode()}"}


def list_operations(shop: RunningShop, method: str) -> Iterator[tuple[str, str, dict[str, str], dict[str, Any]]]:
    """Yield the service, path, headers and document of every documented operation with this method."""
    for name, prefix in DOCUMENTS.items():
        document = httpx.get(f"{shop.urls[name]}{prefix}/openapi.json", timeout=30).raise_for_status().json()
        for template, item in document["paths"].items():
            if method in item:
                path = prefix + template
                for parameter in (*item.get("parameters", ()), *item[method].get("parameters", ())):
                    if parameter["in"] == "path":
                        value = PATH_PARAMETERS.get(parameter["name"], UNKNOWN_ID)
                        path = path.replace(f"{{{parameter['name']}}}", value)
                headers = shop.service_headers if "/internal/" in path else shop.admin_headers
                yield name, path, headers, item[method]


def list_gets(shop: RunningShop) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the service, path and headers of a GET request for every path."""
    for name in DOCUMENTS:
        for path in PROBES:
            yield name, path, {}
    for path in PAGES:
        yield "gateway", path, {}
    for name, path, headers, _ in list_operations(shop, "get"):
        yield name, path, headers


def test_head_has_the_response_of_get_without_the_body(running_shop: RunningShop) -> None:
    checked = 0
    for name, path, headers in list_gets(running_shop):
        url = running_shop.urls[name] + path
        with httpx.Client(headers=headers, timeout=60) as client:
            get, head = client.get(url), client.head(url)
            again = client.get(url)  # would read the body of the response to HEAD, if it had one
        operation = f"{name} {path}"
        assert head.status_code == get.status_code == again.status_code, operation
        assert head.content == b"", operation
        varying = VARYING_HEADERS | ({"content-length"} if path.endswith(("/ready", "/dashboard")) else set())
        expected = {key: value for key, value in get.headers.items() if key not in varying}
        assert {key: value for key, value in head.headers.items() if key not in varying} == expected, operation
        for header in ("content-length", "server-timing"):
            assert (header in head.headers) == (header in get.headers), operation
        checked += 1
    assert checked > 30


def test_allow_header_contains_head_only_when_it_contains_get(running_shop: RunningShop) -> None:
    gateway = running_shop.urls["gateway"]
    for path, allowed in (("/v2/products", "GET, HEAD"), ("/v1/orders", "GET, HEAD, POST"), ("/v2/tokens", "POST")):
        assert httpx.delete(gateway + path, timeout=60).headers["allow"] == allowed
    assert httpx.head(f"{gateway}/v2/tokens", timeout=60).status_code == 405


def test_redirects_do_not_contain_the_host_of_the_request(running_shop: RunningShop) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    paths = {(name, path) for name, path, _ in list_gets(running_shop)}
    paths |= {("gateway", path) for path in ("/v1", "/v2", "/v1/", "/v2/", "/assets", "/assets/")}
    locations = set()
    for name, path in sorted(paths):
        for spelling in {path, f"{path}/", path.rstrip("/") or "/", f"/{path}"}:
            with httpx.Client(headers=forged, timeout=60) as client:
                response = client.send(
                    client.build_request("GET", running_shop.urls[name], extensions={"target": spelling.encode()})
                )
            assert "evil.example" not in str(response.headers), f"{name} {spelling}"
            if response.is_redirect:
                assert response.headers["location"].startswith("/"), f"{name} {spelling}"
                assert not response.headers["location"].startswith("//"), f"{name} {spelling}"
                locations.add(response.headers["location"])
    assert {"/v1/docs", "/v2/docs"} <= locations


def test_problems_do_not_contain_the_host_of_the_request(running_shop: RunningShop) -> None:
    """The member `instance` of a problem is a path. If it were a URL, a request could set its host."""
    response = httpx.get(
        running_shop.urls["users"] + "/nothing", headers={"Host": "evil.example/elsewhere"}, timeout=60
    )
    assert "evil.example" not in response.text
    assert "elsewhere" not in response.text


BODIES = {
    "application/json": b'{"grant_type": "password", "username": "ann@hopline.example", "password": "x"}',
    "application/x-www-form-urlencoded": b"grant_type=password&username=ann%40hopline.example&password=x",
    "multipart/form-data; boundary=b": b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n',
    "multipart/form-data": b"malformed",
    "text/plain": b"grant_type=password",
    "": b"grant_type=password",
}
"""A body by its media type; "" stands for a request without a Content-Type header."""


def test_response_is_415_when_the_media_type_is_not_documented(running_shop: RunningShop) -> None:
    checked = set()
    for method in ("post", "put", "patch"):
        for name, path, headers, operation in list_operations(running_shop, method):
            if "requestBody" not in operation:
                continue
            [accepted] = operation["requestBody"]["content"]
            credentials = WORKERS_HEADERS if path == "/internal/tokens" else headers
            valid = {**credentials, "Idempotency-Key": "a"}
            for media_type, body in BODIES.items():
                sent = {**valid, "Content-Type": media_type} if media_type else valid
                response = httpx.request(method, running_shop.urls[name] + path, content=body, headers=sent, timeout=60)
                case = f"{method} {name} {path} {media_type!r}: {response.text}"
                if media_type == accepted:
                    assert response.status_code != 415, case
                    continue
                assert response.status_code == 415, case
                assert response.json()["type"].endswith("/unsupported-media-type"), case
                assert response.headers["accept"] == accepted, case
            checked.add((accepted, name))
    assert {accepted for accepted, _ in checked} == {"application/json", "application/x-www-form-urlencoded"}
    assert {name for _, name in checked} == set(DOCUMENTS)


@pytest.mark.parametrize("coding", ["gzip", "identity, gzip", "x-unknown"])
def test_response_is_415_when_the_body_is_encoded(running_shop: RunningShop, coding: str) -> None:
    for name, prefix in DOCUMENTS.items():
        for path in (f"{prefix}/orders", "/nothing"):
            headers = {**running_shop.admin_headers, "Content-Encoding": coding, "Content-Type": "application/json"}
            response = httpx.post(running_shop.urls[name] + path, content=b"{}", headers=headers, timeout=60)
            assert response.status_code == 415, name
            assert response.headers["accept-encoding"] == "identity"
            assert response.json()["type"].endswith("/unsupported-media-type")


def test_body_is_accepted_when_its_coding_is_identity(running_shop: RunningShop) -> None:
    headers = {"Content-Encoding": "identity", "Content-Type": "application/x-www-form-urlencoded"}
    body = "grant_type=password&username=ann@hopline.example&password=wrong"
    response = httpx.post(f"{running_shop.urls['gateway']}/v2/tokens", content=body, headers=headers, timeout=60)
    assert response.status_code == 401


INVALID_INTEGERS = ("1_0", " 3", "+3", "3.0", "1e1", "0x3", "true", "\u0663", "")
INVALID_JSON_INTEGERS = ("3", "1_0", True, 3.5, None, [3])


def test_response_is_422_when_an_integer_in_a_query_is_not_decimal_digits(running_shop: RunningShop) -> None:
    checked = set()
    for name, path, headers, operation in (*list_operations(running_shop, "get"), *list_version_1(running_shop)):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] != "query" or parameter["schema"].get("type") != "integer":
                continue
            for value in INVALID_INTEGERS:
                response = httpx.get(
                    running_shop.urls[name] + path, params={parameter["name"]: value}, headers=headers, timeout=60
                )
                case = f"{name} {path}?{parameter['name']}={value!r}: {response.text}"
                assert response.status_code == 422, case
                assert [error["field"] for error in response.json()["errors"]] == [parameter["name"]], case
            checked.add(f"{name} {path} {parameter['name']}")
    assert {"gateway /v2/products limit", "gateway /v2/notifications after_seq", "gateway /v1/orders offset"} <= checked
    assert len(checked) > 10


def list_version_1(shop: RunningShop) -> Iterator[tuple[str, str, dict[str, str], dict[str, Any]]]:
    """Yield the GET operations of version 1 without path parameters, in the form of `list_operations`."""
    document = httpx.get(f"{shop.urls['gateway']}/v1/openapi.json", timeout=30).raise_for_status().json()
    for path, item in document["paths"].items():
        if "get" in item and "{" not in path:
            yield "gateway", f"/v1{path}", shop.admin_headers, item["get"]


def test_response_is_422_when_an_integer_in_json_is_not_a_number(running_shop: RunningShop) -> None:
    checked = set()
    for name, prefix in DOCUMENTS.items():
        document = httpx.get(f"{running_shop.urls[name]}{prefix}/openapi.json", timeout=30).json()
        for service, path, headers, operation in list_operations(running_shop, "post"):
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if service != name or content is None:
                continue
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            for member, described in schema["properties"].items():
                if described.get("type") != "integer":
                    continue
                for value in INVALID_JSON_INTEGERS:
                    response = httpx.post(
                        running_shop.urls[name] + path, json={member: value}, headers=headers, timeout=60
                    )
                    assert response.status_code == 422, f"{name} {path} {member}={value!r}: {response.text}"
                    assert member in [error["field"] for error in response.json()["errors"]]
                checked.add(f"{path} {member}")
    assert {"/v2/notifications/read up_to", "/notifications/read up_to"} <= checked
    assert any(case.endswith(" size_bytes") for case in checked)
    assert any(case.endswith(" progress") for case in checked)


def test_cursor_is_rejected_when_it_is_changed(running_shop: RunningShop) -> None:
    url = f"{running_shop.urls['gateway']}/v2/products"
    cursor = httpx.get(url, params={"limit": "1"}, timeout=60).json()["next_cursor"]
    assert httpx.get(url, params={"cursor": cursor}, timeout=60).status_code == 200
    for spelling in (f"{cursor}=", f"{cursor}!", f" {cursor}", f"{cursor[:4]}.{cursor[4:]}"):
        response = httpx.get(url, params={"cursor": spelling}, timeout=60)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor"), spelling


UNKNOWN_MEMBERS = 3_400
MISSING_MEMBERS = len(("email", "password", "name"))
MAX_LISTED_ERRORS = 20
MAX_PROBLEM_BYTES = 8 * 1024

BODIES_WITH_MANY_ERRORS = (
    {f"unknown{number}": 1 for number in range(UNKNOWN_MEMBERS)},
    {"x" * 58_000: 1},
    {"items": [{"sku": "a b", "quantity": 0}] * 50},
    {"items": [{f"unknown{number}": 1 for number in range(3_000)}]},
)
"""Bodies just below the maximum size with many invalid members, or with one long name."""


def test_validation_problem_is_small_when_the_body_has_many_errors(running_shop: RunningShop) -> None:
    for name, path in (("users", "/users"), ("orders", "/orders"), ("gateway", "/v2/orders"), ("gateway", "/v2/users")):
        for body in BODIES_WITH_MANY_ERRORS:
            headers = running_shop.admin_headers | {"Idempotency-Key": "a"}
            response = httpx.post(running_shop.urls[name] + path, json=body, headers=headers, timeout=60)
            assert response.status_code == 422, response.text[:200]
            assert len(response.content) < MAX_PROBLEM_BYTES, f"{name} {path}"
            assert 0 < len(response.json()["errors"]) <= MAX_LISTED_ERRORS


def test_validation_problem_contains_the_number_of_omitted_errors(running_shop: RunningShop) -> None:
    response = httpx.post(f"{running_shop.urls['users']}/users", json=BODIES_WITH_MANY_ERRORS[0], timeout=60)
    omitted = UNKNOWN_MEMBERS + MISSING_MEMBERS - MAX_LISTED_ERRORS
    assert response.json()["detail"].endswith(f"; {omitted} more are omitted")
