"""Composes version 2's OpenAPI document from the services' documents and the gateway's routes.

The service that serves a forwarded operation describes it: texts, header parameters, bodies, responses and schemas. The
gateway describes aggregates, and the path and query parameters that it validates. Each operation gets the additions of
the gateway: security, 401, 429 and the problems of a gateway.
"""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI

from gateway.routes import aggregates, v2
from gateway.schemas import SERVICE_SCHEMA
from notifications.routes import notifications_router
from orders.routes import orders_router, products_router, reports_router
from shared.web.openapi import PROBLEM_SCHEMA, PROBLEMS, document_header, document_problem
from users.routes import tokens_router, users_router

SERVICES: Final = [
    users_router,
    tokens_router,
    products_router,
    orders_router,
    reports_router,
    notifications_router,
]
SCHEMAS: Final = "#/components/schemas/"
PUBLIC_NAMES: Final = {
    "OrderCreate": "NewOrder",
    "OrderItemCreate": "NewItem",
    "ReportCreate": "NewReport",
    "UserCreate": "NewUser",
    "UserUpdate": "UserChange",
}
"""Public schema names, for which clients may have generated code. Services may use other names."""
DESCRIPTION: Final = """\
Money is in integer cents, times are RFC 3339 in UTC, and every error is a problem (RFC 9457) whose `trace_id` leads to
what happened. Every response carries `X-Request-ID` and `traceresponse`.
"""


def compose(*, services: Sequence[APIRouter] = SERVICES) -> dict[str, Any]:
    """Return the document of version 2, from the routers of the services.

    Raises:
        ValueError: A route of the gateway and that of its service differ.
    """
    document = describe(
        [aggregates.router, v2.router],
        title="Hopline API v2",
        summary="An online shop whose every hop you can watch",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        version="v2",
        servers=[{"url": "/v2"}],
    )
    service_document = describe(services)
    for path, operations in document["paths"].items():
        for method, route in operations.items():
            operations[method] = _compose_operation(
                f"{method.upper()} {path}", route, service_document["paths"].get(path, {}).get(method)
            )
    schemas = service_document["components"]["schemas"] | document["components"]["schemas"]
    schemas["Problem"] = {"title": "Problem", "description": "Every error (RFC 9457)."} | PROBLEM_SCHEMA
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def describe(routers: Sequence[APIRouter], **info: Any) -> dict[str, Any]:
    """Return the document of `routers` with public schema names and one problem schema."""
    app = FastAPI(responses=PROBLEMS, generate_unique_id_function=lambda route: route.name, **info)
    for router in routers:
        app.include_router(router)
    document: dict[str, Any] = _published(app.openapi())
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {
        _public_name(name): schema | {"title": _public_name(schema["title"])} for name, schema in schemas.items()
    }
    return document


def _published(node: Any) -> Any:
    if isinstance(node, list):
        return [_published(value) for value in node]
    if not isinstance(node, dict):
        return node
    name = "Problem" if node == PROBLEM_SCHEMA else node.get(SERVICE_SCHEMA) or node.get("$ref", "")
    return (
        {"$ref": SCHEMAS + _public_name(name.removeprefix(SCHEMAS))}
        if name
        else {key: _published(value) for key, value in node.items()}
    )


def _public_name(name: str) -> str:
    return PUBLIC_NAMES.get(name, name)


def _compose_operation(place: str, route: dict[str, Any], service: dict[str, Any] | None) -> dict[str, Any]:
    source = service or route
    parameters = route.get("parameters", []) + [
        parameter for parameter in source.get("parameters", []) if parameter["in"] == "header"
    ]
    names, source_names = (
        {parameter["name"] for parameter in described} for described in (parameters, source.get("parameters", []))
    )
    if names != source_names:
        different = ", ".join(sorted(names ^ source_names))
        raise ValueError(f"{place}: the gateway and the service have different parameters: {different}")
    status, source_status = min(route["responses"]), min(source["responses"])
    if status != source_status:
        raise ValueError(f"{place}: the gateway and the service have different statuses: {status} and {source_status}")
    if {"application/json": {"schema": {}}} in [response.get("content") for response in source["responses"].values()]:
        raise ValueError(f"{place}: no service describes it, so add its router to SERVICES")
    responses = {
        **({"401": document_problem("No valid access token")} if "security" in route else {}),
        **source["responses"],
        "429": document_problem("A rate limit is exceeded")
        | {"headers": {"Retry-After": document_header("Seconds to wait")}},
        "default": document_problem("Any other problem: 500, 502, 503 and 504 can come from every call"),
    }
    if not parameters and "requestBody" not in source:
        del responses["422"]  # there is no input to validate
    operation: dict[str, Any] = source | {
        "tags": [place.split("/")[1]],
        "operationId": route["operationId"],
        "security": route.get("security", []),
        "parameters": parameters,
        "responses": _published(dict(sorted(responses.items()))),
    }
    return operation
