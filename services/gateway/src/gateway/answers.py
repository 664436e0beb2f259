"""What a service answered, and how it reaches the client: its bytes as they are, its headers by a list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from shared.errors import Problem

log = structlog.get_logger(__name__)

HEADERS_TO_CLIENTS = frozenset(
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
"""Passed on unchanged. A list of what may pass: hop-by-hop headers (RFC 9110 §7.6.1), the request and trace ids, which
the gateway sets itself, and whatever a service says to itself stay inside. `Location` is translated."""

PROBLEM = "application/problem+json"
ERROR = 400
STALLED_S = 30.0
"""A client that takes nothing of a file for so long has gone, or keeps its place from others."""


@lru_cache(maxsize=64)
def _media_type(content_type: bytes) -> str:
    """A `Content-Type` without its parameters, in lower case."""
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer of a service, read to its end. `path` is what the service was asked for, in its own words."""

    path: str
    status: int
    headers: Headers
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without parameters."""
        for name, value in self.headers.raw:
            if name == b"content-type":
                return _media_type(value)
        return ""

    @property
    def passable(self) -> bool:
        """Whether clients can read it: an error is a problem (RFC 9457), anything else a crash page or a proxy's."""
        return self.status < ERROR or self.media_type == PROBLEM


@dataclass(frozen=True, kw_only=True, slots=True)
class Download(Answer):
    """A good answer whose body is still on its way: `chunks` can be read once, and `close` must be called."""

    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


class Refused(Exception):
    """A service answered a part of a larger question with a problem of its own."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.path}: {answer.status}")
        self.answer = answer


def prefix_of(request: Request) -> str:
    """Where the version that serves this request is mounted, also where a header chose it and not the path."""
    return f"/{request.app.version}"


def to_client(answer: Answer, *, prefix: str, path: str) -> Response:
    """The response for a client who asked for `path`; what is found below `prefix` (`/v2`) is named with it."""
    response = _response(answer, path)
    for name, value in answer.headers.items():
        if name in HEADERS_TO_CLIENTS:
            response.headers.append(name, value)
        elif name == "location" and value.startswith("/"):
            response.headers["location"] = value if value.startswith(f"{prefix}/") else prefix + value
    return response


def _response(answer: Answer, path: str) -> Response:
    if isinstance(answer, Download):
        return _PassedOn(answer)
    return Response(_as_asked(answer, path) if answer.media_type == PROBLEM else answer.body, answer.status)


class _PassedOn(StreamingResponse):
    """Passes a file on as it comes and no faster than it is read; the service's connection ends with the client's.

    Whichever of the two stops half way, the answer is left without its end, for which the server cuts the connection.
    """

    def __init__(self, download: Download) -> None:
        length = download.headers.get("Content-Length")
        super().__init__(download.chunks, download.status, headers={"Content-Length": length} if length else None)
        self._close = download.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_to_who_reads(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_to_who_reads)
        except (Problem, TimeoutError) as error:
            log.warning("download_broken_off", error=f"{type(error).__name__}: {error}")
        finally:
            await self._close()


def _as_asked(answer: Answer, path: str) -> bytes:
    """The problem with the client's path for its `instance`. Inside a JSON string the member would be escaped."""
    return answer.body.replace(_instance(answer.path), _instance(path), 1)


def _instance(path: str) -> bytes:
    return b'"instance":' + orjson.dumps(path)
