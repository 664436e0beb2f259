"""The page at `/` and its files, which are package data: `make web` builds them from `services/gateway/web`.

All files are read and compressed once, at the start. Their names contain a hash of their content, so browsers keep them
for a year and request only the page again.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from mimetypes import guess_type
from typing import Final

from fastapi import APIRouter
from pydantic import WebsocketUrl
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.settings import Settings

_DIRECTORY = files("gateway").joinpath("assets")
_PAGE_CACHING = "no-cache"  # the browser revalidates its copy
_FILE_CACHING = "public, max-age=31536000, immutable"
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_GZIP = re.compile(r"(?:^|[,\s])gzip\s*(?:$|,|;(?!\s*q=0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)
"""Matches an `Accept-Encoding` that lists gzip. The weight 0 means that gzip is not acceptable (RFC 9110 §12.4.2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFile:
    """One file, uncompressed and compressed. The entity tag is weak, because it is the same for both."""

    body: bytes
    compressed: bytes
    etag: str
    media_type: str
    cache_control: str

    def response(self, requested: Headers) -> Response:
        """Return 304 without a body if the client has this content, else the file, compressed if that is acceptable."""
        headers = {"Cache-Control": self.cache_control, "ETag": self.etag, "Vary": "Accept-Encoding"}
        known = [tag.strip().removeprefix("W/") for tag in requested.get("if-none-match", "").split(",")]
        if self.etag.removeprefix("W/") in known or "*" in known:  # the weak comparison (RFC 9110 §13.1.2)
            return Response(status_code=304, headers=headers)
        if not _GZIP.search(requested.get("accept-encoding", "")):
            return Response(self.body, headers=headers, media_type=self.media_type)
        headers["Content-Encoding"] = "gzip"
        return Response(self.compressed, headers=headers, media_type=self.media_type)


class AssetFiles(StaticFiles):
    """The files of the page, and those of the documentation page, whose names have no hash."""

    def __init__(self) -> None:
        super().__init__(packages=[("fastapi_offline", "static")])
        self._files = _read_assets()

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the response for one file."""
        file = self._files.get(path)
        if file is None or scope["method"] != "GET":
            return await super().get_response(path, scope)
        return file.response(Headers(scope=scope))


def create_page_router(settings: Settings) -> APIRouter:
    """Return the route of the page."""
    router = APIRouter(include_in_schema=False)
    page = _page_file("index.html", _DIRECTORY.joinpath("index.html").read_bytes(), cache_control=_PAGE_CACHING)
    policy = get_content_security_policy(settings.public_ws_url)

    @router.get("/")
    async def read_page(request: Request) -> Response:
        response = page.response(request.headers)
        response.headers["Content-Security-Policy"] = policy
        return response

    return router


def get_content_security_policy(websocket: WebsocketUrl) -> str:
    """Return the policy of the page.

    It allows the origins of the page and the WebSocket, and images in data: URLs, but no inline scripts or styles.
    """
    is_default = websocket.port == _DEFAULT_PORTS[websocket.scheme]
    origin = f"{websocket.scheme}://{websocket.host}" + ("" if is_default else f":{websocket.port}")
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": f"'self' {origin}",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


@cache
def _read_assets() -> Mapping[str, PageFile]:
    return {
        file.name: _page_file(file.name, file.read_bytes(), cache_control=_FILE_CACHING)
        for file in _DIRECTORY.joinpath("assets").iterdir()
    }


def _page_file(name: str, body: bytes, *, cache_control: str) -> PageFile:
    media_type, _ = guess_type(name)
    return PageFile(
        body=body,
        compressed=gzip.compress(body, mtime=0),
        etag=f'W/"{blake2b(body, digest_size=16).hexdigest()}"',
        media_type=media_type or "application/octet-stream",
        cache_control=cache_control,
    )
