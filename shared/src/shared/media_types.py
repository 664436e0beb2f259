"""The media types of request bodies that routes accept: JSON, or one kind of form. Others get a 415 that names it.

A route with a JSON body refuses other types while FastAPI validates it (`shared.error_handlers`). Form routes use
`FormRoute`, because FastAPI would parse multipart too and take any other type for an empty form.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from shared.errors import UnsupportedMediaType

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


def media_type_of(request: Request) -> str:
    """Return the media type of the body in lower case, without parameters; empty if the request names none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Return whether the body is JSON, also by the suffix `+json` (RFC 6839 §3.1)."""
    media_type = media_type_of(request)
    return media_type == JSON or media_type.endswith("+json")


def unsupported(accepted: str) -> UnsupportedMediaType:
    """Return the problem for a body that is not of the `accepted` type."""
    return UnsupportedMediaType(f"Send the body with Content-Type: {accepted}", headers={"Accept": accepted})


class FormRoute(APIRoute):
    """A route whose body is a URL-encoded form; for a router's `route_class`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler; it raises UnsupportedMediaType before the body is parsed."""
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            media_type = media_type_of(request)
            if media_type != FORM and (media_type or _has_body(request)):
                raise unsupported(FORM)
            return await handle(request)

        return handle_form


def _has_body(request: Request) -> bool:
    return "Transfer-Encoding" in request.headers or request.headers.get("Content-Length", "0") != "0"
