"""Responses of services, and how clients receive them: with listed headers only, and with the body unchanged.

Only the `instance` of a problem changes, to the path that the client requested.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from shared.errors.problems import ProblemError

log = structlog.get_logger(__name__)

RESPONSE_HEADERS = frozenset(
    {
        "accept",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "etag",
        "idempotency-replayed",
        "last-modified",
        "link",
        "retry-after",
        "vary",
        "www-authenticate",
    }
)
"""Headers that are forwarded unchanged. Hop-by-hop headers (RFC 9110 §7.6.1) and internal ones are dropped. The gateway
sets the request and trace ids itself, and adds the version to `Location`."""

PROBLEM = "application/problem+json"
FIRST_ERROR_STATUS = HTTPStatus.BAD_REQUEST
CLIENT_READ_TIMEOUT_S = 30.0
"""A download is aborted if its client reads nothing for this time, because each download occupies a slot."""


@lru_cache(maxsize=64)
def _parse_media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamResponse:
    """A complete response of a service. `path` is the path that was requested from the service."""

    path: str
    status: int
    headers: Headers
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; empty if there is none."""
        for name, value in self.headers.raw:
            if name == b"content-type":
                return _parse_media_type(value)
        return ""

    @property
    def is_forwardable(self) -> bool:
        """Whether clients may receive it. An error that is not a problem (RFC 9457) comes from a crash or a proxy."""
        return self.status < FIRST_ERROR_STATUS or self.media_type == PROBLEM


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamDownload(UpstreamResponse):
    """A successful response whose body is still arriving. Iterate over `chunks` once, then call `close`."""

    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


class UpstreamResponseError(Exception):
    """A service responded to a part of an aggregate with a problem."""

    def __init__(self, response: UpstreamResponse) -> None:
        super().__init__(f"{response.path}: {response.status}")
        self.response = response


def get_version_prefix(request: Request) -> str:
    """Return the prefix of the version that serves the request, also if `API-Version` selected the version."""
    return f"/{request.app.version}"


def to_client_response(upstream: UpstreamResponse, *, prefix: str, path: str) -> Response:
    """Return the response for a client that requested `path`. `prefix` (`/v2`) is added to `Location`."""
    if isinstance(upstream, UpstreamDownload):
        response: Response = _DownloadResponse(upstream)
    else:
        is_problem = upstream.media_type == PROBLEM
        body = _replace_instance(upstream.body, upstream.path, path) if is_problem else upstream.body
        response = Response(body, upstream.status)
    for name, value in upstream.headers.items():
        if name in RESPONSE_HEADERS:
            response.headers.append(name, value)
        elif name == "location" and value.startswith("/"):
            response.headers["location"] = value if value.startswith(f"{prefix}/") else prefix + value
    return response


class _DownloadResponse(StreamingResponse):
    """Streams a file as fast as the client reads it.

    If the service or the client stops before the end, the response stays incomplete and the server closes the
    connection.
    """

    def __init__(self, download: UpstreamDownload) -> None:
        length = download.headers.get("Content-Length")
        super().__init__(download.chunks, download.status, headers={"Content-Length": length} if length else None)
        self._close = download.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_timeout(message: Message) -> None:
            async with asyncio.timeout(CLIENT_READ_TIMEOUT_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_with_timeout)
        except (ProblemError, TimeoutError) as error:
            log.warning("download_aborted", error=f"{type(error).__name__}: {error}")
        finally:
            await self._close()


def _replace_instance(body: bytes, upstream_path: str, client_path: str) -> bytes:
    """Replace the `instance` of a problem.

    Text of a client in the body cannot match: quotes are escaped inside JSON strings.
    """
    before, after = (b'"instance":' + orjson.dumps(path) for path in (upstream_path, client_path))
    return body.replace(before, after, 1)
