"""Composes version 2's OpenAPI document of the services' documents and the gateway's routes.

A route that forwards is described by the service that serves it: texts, header parameters, bodies, responses and
schemas. An aggregate is described by the gateway. Path and query parameters are the gateway's, which checks them. The
gateway adds what it adds to every response: security, 401, 429 and the problems of a gateway.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fastapi import APIRouter, FastAPI

from gateway.routes import aggregates, v2
from gateway.schemas import OWNER
from notifications.routes import router as notifications
from orders.routes import orders, products, reports
from shared.openapi import PROBLEM_SCHEMA, PROBLEMS, header, problem
from users.routes import router as users

SERVICES: Final = {"users": [users], "orders": [products, orders, reports], "notifications": [notifications]}

PUBLIC_NAMES: Final = {
    "Registration": "NewUser",
    "Profile": "UserChange",
    "TokenForm": "TokenRequest",
    "FeedPage": "NotificationPage",
    "FeedDigest": "NotificationDigest",
    "ReadUpTo": "ReadMark",
}
"""Schemas whose public name differs from the service's by more than the suffix `Out`."""

SCHEMAS: Final = "#/components/schemas/"
DESCRIPTION: Final = """\
Money is in integer cents, times are RFC 3339 in UTC, and every error is a problem (RFC 9457) whose `trace_id` leads to
what happened. Every response carries `X-Request-ID` and `traceresponse`.
"""


class NotComposableError(Exception):
    """The gateway's routes and the services' documents disagree; the message names the operation."""


def compose() -> dict[str, Any]:
    """Return the document of version 2; raises NotComposableError."""
    document = described(
        [aggregates.router, v2.router],
        title="Hopline API v2",
        summary="An online shop whose every hop you can watch",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        version="v2",
        servers=[{"url": "/v2"}],
    )
    services = {name: described(routers) for name, routers in SERVICES.items()}
    for path, operations in document["paths"].items():
        for method, route in operations.items():
            owners = [
                each["paths"][path][method] for each in services.values() if method in each["paths"].get(path, {})
            ]
            operations[method] = _operation(f"{method.upper()} {path}", route, owners[0] if owners else None)
    document["components"]["schemas"] = _reachable(document, services)
    return document


def described(routers: Iterable[APIRouter], **info: Any) -> dict[str, Any]:
    """Return the document of `routers` with public schema names and one problem schema."""
    app = FastAPI(responses=PROBLEMS, generate_unique_id_function=lambda route: route.name, **info)
    for router in routers:
        app.include_router(router)
    document: dict[str, Any] = _published(app.openapi())
    components = document.setdefault("components", {})
    components["schemas"] = {
        _public_name(name): schema | {"title": _public_name(schema["title"])}
        for name, schema in components.get("schemas", {}).items()
    }
    return document


def _published(node: Any) -> Any:
    if node == PROBLEM_SCHEMA:
        return {"$ref": f"{SCHEMAS}Problem"}
    if isinstance(node, dict):
        return {
            key: SCHEMAS + _public_name(value.removeprefix(SCHEMAS)) if key == "$ref" else _published(value)
            for key, value in node.items()
        }
    return [_published(value) for value in node] if isinstance(node, list) else node


def _public_name(name: str) -> str:
    return PUBLIC_NAMES.get(name) or re.sub(r"Out(?=\W|_|$)", "", name)


def _operation(place: str, route: dict[str, Any], service: dict[str, Any] | None) -> dict[str, Any]:
    """Return the operation of a route of the gateway, as `service` describes it unless it is an aggregate."""
    described = service or route
    if service is None and {} in [content["schema"] for content in _contents(route)]:
        raise NotComposableError(f"{place}: no service describes it")
    if _statuses(route) != _statuses(described):
        raise NotComposableError(
            f"{place}: the gateway documents {_statuses(route)}, the service {_statuses(described)}"
        )
    checked = route.get("parameters", [])
    others = [one for one in described.get("parameters", []) if one["in"] == "header"]
    if service and _names(checked + others) != _names(service.get("parameters", [])):
        raise NotComposableError(
            f"{place}: the gateway has other parameters than {sorted(_names(described['parameters']))}"
        )
    security = route.get("security", [])
    responses = {
        **({"401": problem("No valid access token")} if security else {}),
        **described["responses"],
        "429": problem("A rate limit is used up") | {"headers": {"Retry-After": header("Seconds to wait")}},
        "default": problem("Any other problem: 500, 502, 503 and 504 can come from every call"),
    }
    parameters = checked + others
    if not parameters and "requestBody" not in described:
        del responses["422"]
    operation = {
        "tags": [place.split("/")[1]],
        **{key: described[key] for key in ("summary", "description")},
        "operationId": route["operationId"],
        "security": security,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": described["requestBody"]} if "requestBody" in described else {}),
        "responses": dict(sorted(responses.items())),
    }
    published: dict[str, Any] = _published(operation)
    return published


def _statuses(operation: dict[str, Any]) -> list[str]:
    return [status for status in operation["responses"] if status.startswith("2")]


def _contents(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation["responses"][status]["content"]["application/json"] for status in _statuses(operation)]


def _names(parameters: list[dict[str, Any]]) -> set[str]:
    return {one["name"] for one in parameters}


def _reachable(document: dict[str, Any], services: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schemas that the document refers to, each from the document that defines it."""
    defined = {"Problem": {"title": "Problem", "description": "Every error (RFC 9457).", **PROBLEM_SCHEMA}}
    for each in services.values():
        for name, schema in each["components"]["schemas"].items():
            if defined.setdefault(name, schema) != schema:
                raise NotComposableError(f"two services define {name} differently")
    defined |= {name: schema for name, schema in document["components"]["schemas"].items() if OWNER not in schema}
    found: dict[str, Any] = {}
    wanted = list(_references(document["paths"]))
    while wanted:
        name = wanted.pop()
        if name not in defined:
            raise NotComposableError(f"no service defines {name}")
        if name not in found:
            found[name] = defined[name]
            wanted += _references(defined[name])
    return dict(sorted(found.items()))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].removeprefix(SCHEMAS)
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _references(value)
