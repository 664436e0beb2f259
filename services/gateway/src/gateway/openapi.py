"""The OpenAPI document of a version and the page that shows it, without a byte from another host."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from gateway.answers import PROBLEM
from gateway.schemas import Problem

SCHEMAS = "#/components/schemas/"
ASSETS = "/assets"

WRONG_FIELD = "A parameter or a field is wrong; `errors` names it"


def assets() -> StaticFiles:
    """The files of the documentation page, from a wheel: a machine without a network shows it too."""
    return StaticFiles(packages=[("fastapi_offline", "static")])


def body_of(model: type[BaseModel], media_type: str) -> dict[str, Any]:
    """A request body that is described and not parsed; `describe` puts the model itself into the document."""
    return {"required": True, "content": {media_type: {"schema": {"$ref": SCHEMAS + model.__name__}}}}


def header(description: str) -> dict[str, Any]:
    """A response header."""
    return {"description": description, "schema": {"type": "string"}}


def problems(expected: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a call: the problems to expect, by status, and any other."""
    named: dict[int | str, dict[str, Any]] = {status: _problem(expected[status]) for status in sorted(expected)}
    return named | {"default": _problem("Any other problem: 500, 502, 503 and 504 can come from every call")}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": {"$ref": SCHEMAS + Problem.__name__}}}}


def describe(app: FastAPI, models: Sequence[type[BaseModel]]) -> None:
    """Put `models`, which routes name without FastAPI's knowing, and Problem into the document; serve the page."""
    app.openapi = _with_models(app, models)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    app.add_route("/docs", _page, include_in_schema=False)


def _with_models(app: FastAPI, models: Sequence[type[BaseModel]]) -> Callable[[], dict[str, Any]]:
    of_routes = app.openapi

    def document() -> dict[str, Any]:
        described = of_routes()
        wanted = [(model, "validation") for model in (*models, Problem)]
        _, definitions = models_json_schema(wanted, ref_template=SCHEMAS + "{model}")  # type: ignore[arg-type]
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(definitions["$defs"])
        return described

    return document


async def _page(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url=f"{request.scope['root_path']}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
    )
