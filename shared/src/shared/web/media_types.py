"""Media types of request bodies: a route accepts JSON or URL-encoded forms, and responds 415 to others.

Routes with a JSON body reject other types in the validation error handler (`shared.web.error_handlers`). Form routes
use `FormRoute`, because FastAPI also parses multipart forms and treats any other type as an empty form.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from shared.errors.problems import UnsupportedMediaTypeError

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


def get_media_type(request: Request) -> str:
    """Return the media type of the body in lower case, without parameters; empty without a Content-Type."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Return whether FastAPI parses the body as JSON: `application/json`, or `application/…+json` (RFC 6839 §3.1)."""
    media_type = get_media_type(request)
    return media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))


def unsupported_media_type(media_type: str) -> UnsupportedMediaTypeError:
    """Return the problem for a body that does not have this media type."""
    return UnsupportedMediaTypeError(f"Send the body with Content-Type: {media_type}", headers={"Accept": media_type})


class FormRoute(APIRoute):
    """A route whose body is a URL-encoded form; for a router's `route_class`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler; it raises UnsupportedMediaTypeError before the body is parsed."""
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            media_type = get_media_type(request)
            if media_type != FORM and (media_type or _has_body(request)):
                raise unsupported_media_type(FORM)
            return await handle(request)

        return handle_form


def _has_body(request: Request) -> bool:
    return "Transfer-Encoding" in request.headers or request.headers.get("Content-Length", "0") != "0"
