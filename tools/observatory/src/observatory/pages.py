"""HTML pages: traces on Jaeger's port, metrics on Prometheus's, the mailbox on Mailpit's.

Each page is a file in assets/ that reads JSON from the same port. Pages load nothing from other hosts and have no
inline scripts or styles. Scripts set text, never markup, so data of services and emails cannot inject content.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_ASSETS = files("observatory") / "assets"


def trace_pages() -> list[Route]:
    """Return `/` (the start page), `/search` (the traces, as in Jaeger), `/trace/{id}`, `/map` and their files."""
    return [
        _file("/", "start.html"),
        _file("/search", "traces.html"),
        _file("/trace/{trace_id}", "trace.html"),
        _file("/map", "map.html"),
        *_parts(),
    ]


def metric_pages() -> list[Route]:
    """Return `/` and its files."""
    return [_file("/", "metrics.html"), *_parts()]


def mail_pages() -> list[Route]:
    """Return `/` (also `/search`, as in Mailpit), `/view/{id}` and their files."""
    return [
        _file("/", "mailbox.html"),
        _file("/search", "mailbox.html"),
        _file("/view/{mail_id}", "mail.html"),
        *_parts(),
    ]


def _parts() -> list[Route]:
    names = sorted(item.name for item in _ASSETS.iterdir())
    return [_file(f"/assets/{name}", name) for name in names if not name.endswith(".html")]


def _file(path: str, name: str) -> Route:
    return Route(path, _endpoint(name))


def _endpoint(name: str) -> Callable[[Request], Awaitable[Response]]:
    body = (_ASSETS / name).read_bytes()
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]

    async def endpoint(_request: Request) -> Response:
        return Response(body, media_type=media_type, headers=_HEADERS)

    return endpoint
