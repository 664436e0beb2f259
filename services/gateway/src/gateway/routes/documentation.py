"""The OpenAPI document of each version and the page that shows it, both served without another host.

The documents are package data, written by `make openapi`: the services that define them are not installed here.
"""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse, Response

ASSETS: Final = "/assets"


def documentation(version: str) -> APIRouter:
    """Return the routes `/{version}`, `/{version}/docs` and `/{version}/openapi.json`."""
    router = APIRouter(prefix=f"/{version}", include_in_schema=False)
    document = files("gateway").joinpath("documents", f"{version}.json").read_bytes()

    @router.get("")
    @router.get("/")
    async def redirect_to_page() -> RedirectResponse:
        return RedirectResponse(f"/{version}/docs")

    @router.get("/docs")
    async def show_page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=f"/{version}/openapi.json",
            title=f"Hopline API {version}",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
        )

    @router.get("/openapi.json")
    async def read_document() -> Response:
        return Response(document, media_type="application/json")

    return router
