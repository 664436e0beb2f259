"""Calls to the services. Each service has a separate httpx transport.

The gateway needs no cookies, redirects or authentication of an HTTP client. `httpx.AsyncClient` adds them to a
transport, which takes a third of the CPU time of a call (ADR 22).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from http import HTTPStatus
from typing import cast
from uuid import UUID

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from starlette.datastructures import Headers

from gateway.errors import UpstreamBrokenError, UpstreamBusyError, UpstreamTimeoutError, UpstreamUnreachableError
from gateway.resilience import metrics
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.resilience.retry import is_repeatable
from gateway.responses import UpstreamDownload, UpstreamResponse, UpstreamResponseError
from shared.context import GRACE_S, MAX_TIMEOUT_S, limit_to_deadline
from shared.errors.problems import BadRequestError, ProblemError, UnavailableError
from shared.http.client import propagated_headers
from shared.http.spans import RESEND_COUNT, TEMPLATE

CONNECT_TIMEOUT_S = 3.0
"""Includes a second SYN, which RFC 6298 sends after 1 s, and the delay of an event loop under load."""

_MAX_CACHED_URLS = 1024
_MAX_CACHED_URL_LENGTH = 256
"""Longer URLs are not cached, because clients choose URLs and could fill the memory."""

Endpoint = tuple[str, str]
"""Method and path template, for example `("POST", "/orders")`."""

_PROBE = "/health/ready"


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamRequest:
    """A request to a service. `path` is percent-encoded; `template` is the path with the names of its parameters.

    `headers` are decoded as Latin-1, so that each byte of a value is sent as it was received.
    """

    method: str
    path: str
    template: str
    headers: Mapping[str, str]
    query: str = ""
    body: bytes = b""


class Upstream:
    """One service. A call has `timeout_s` seconds from the wait for a connection to the last byte.

    Calls share one pipeline, except those to expensive endpoints: each has a separate one in `endpoint_pipelines`, so
    that its overload does not block the others.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        transport: httpx.AsyncBaseTransport,
        timeout_s: float,
        pipeline: ResiliencePipeline,
        endpoint_pipelines: Mapping[Endpoint, ResiliencePipeline],
    ) -> None:
        self.name = name
        self.pipeline = pipeline
        self.endpoint_pipelines = endpoint_pipelines
        self._transport = transport
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    async def send(self, request: UpstreamRequest, *, timeout_s: float | None = None) -> UpstreamResponse:
        """Send a request and return the response, whatever its status.

        A request that is safe to repeat is retried if it fails (`gateway.resilience`). All attempts together have
        `timeout_s` seconds.

        Raises:
            UpstreamUnreachableError, UpstreamTimeoutError, UpstreamBrokenError: There is no response to forward.
            UpstreamBusyError, CircuitOpenError: No request was sent.
            BadRequestError: The URL is longer than httpx accepts (64 KiB).
            DeadlineExceededError: No time is left.
        """
        pipeline = self.endpoint_pipelines.get((request.method, request.template), self.pipeline)
        attempt = partial(self._attempt, request, self._parse_url(request))
        return await pipeline.call(
            attempt,
            timeout_s=timeout_s or self._timeout_s,
            repeatable=is_repeatable(request.method, request.template, request.headers),
            may_hedge=request.method == "GET",
        )

    async def download(self, request: UpstreamRequest, *, user_id: UUID) -> UpstreamResponse:
        """Request a file for a user by GET. A successful response is an UpstreamDownload.

        A download takes a slot until it is closed. The timeout applies until the body begins, then to each read of the
        body.

        Raises:
            TooManyRequestsError: The user has reached the limit of concurrent downloads.
            ProblemError: An error of `send`.
        """
        attempt = partial(self._attempt, request, self._parse_url(request), stream=True)
        async with AsyncExitStack() as until_read:
            until_read.enter_context(self.pipeline.downloads_per_user.hold(user_id))
            await until_read.enter_async_context(self.pipeline.downloads)
            response = await self.pipeline.call(attempt, timeout_s=self._timeout_s, repeatable=True, may_hedge=False)
            if isinstance(response, UpstreamDownload):
                until_read.push_async_callback(response.close)
                response = replace(response, close=until_read.pop_all().aclose)
            return response

    async def get(
        self,
        path: str,
        *,
        template: str = "",
        query: str = "",
        headers: Mapping[str, str],
        timeout_s: float | None = None,
    ) -> bytes:
        """Return the JSON at `path`, unparsed.

        Raises:
            UpstreamResponseError: The status is not 200.
            UpstreamBrokenError: The response is not JSON.
            ProblemError: An error of `send`.
        """
        request = UpstreamRequest(method="GET", path=path, template=template or path, query=query, headers=headers)
        response = await self.send(request, timeout_s=timeout_s)
        if response.status != HTTPStatus.OK:
            raise UpstreamResponseError(response)
        if response.media_type != "application/json":
            raise UpstreamBrokenError(f"{self.name} sent {response.media_type or 'no media type'} instead of JSON")
        return response.body

    def state(self) -> dict[str, object]:
        """Return the state of the pipelines, for readiness."""
        endpoints = {
            f"{method} {path}": pipeline.state() for (method, path), pipeline in self.endpoint_pipelines.items()
        }
        return {**self.pipeline.state(), "endpoints": endpoints}

    async def ping(self) -> None:
        """Raise ProblemError if the service is not ready. Creates no span; the caller limits the time."""
        try:
            with suppress_http_instrumentation():
                timeouts = _timeouts(self._timeout_s)
                request = httpx.Request("GET", f"{self._url}{_PROBE}", extensions={"timeout": timeouts})
                response = await _read(_PROBE, await self._transport.handle_async_request(request))
        except httpx.TransportError as error:
            raise self._to_problem(error) from error
        if response.status != HTTPStatus.OK:
            raise UnavailableError(f"The status of {_PROBE} is {response.status}")

    async def _attempt(
        self, request: UpstreamRequest, url: httpx.URL, number: int, *, stream: bool = False
    ) -> UpstreamResponse:
        """Send the request once; the pipeline has set the deadline."""
        timeout_s = limit_to_deadline(MAX_TIMEOUT_S)
        read_timeout_s = self._timeout_s if stream else timeout_s  # the body of a download arrives after the deadline
        sent = httpx.Request(
            request.method,
            url,
            headers=httpx.Headers({**request.headers, **propagated_headers()}, encoding="latin-1"),
            content=request.body,
            extensions={
                TEMPLATE: request.template,
                **({RESEND_COUNT: number} if number else {}),
                "on_resend": partial(self._record_resend, number + 1),
                "timeout": {**_timeouts(timeout_s), "read": read_timeout_s},
            },
        )
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):  # for all reads together, because httpx limits each read
                received = await self._transport.handle_async_request(sent)
                if stream and received.status_code == HTTPStatus.OK:
                    return self._to_download(request.path, received)
                response = await _read(request.path, received)
        except (httpx.TransportError, TimeoutError) as error:
            raise self._to_problem(error) from error
        if not response.is_forwardable:
            raise UpstreamBrokenError(f"{self.name} responded {response.status} without a problem")
        return response

    def _parse_url(self, request: UpstreamRequest) -> httpx.URL:
        """Return the parsed URL. Short ones are cached, because parsing takes longer than the rest of a request."""
        url = f"{self._url}{request.path}?{request.query}" if request.query else f"{self._url}{request.path}"
        try:
            return _parse_once(url) if len(url) <= _MAX_CACHED_URL_LENGTH else httpx.URL(url)
        except httpx.InvalidURL as error:
            raise BadRequestError("The URL is longer than 64 KiB") from error

    def _to_problem(self, error: httpx.TransportError | TimeoutError) -> ProblemError:
        if isinstance(error, httpx.ConnectError):
            return UpstreamUnreachableError(f"{self.name} cannot be reached")
        if isinstance(error, httpx.PoolTimeout):
            return UpstreamBusyError(f"All connections to {self.name} are in use")
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return UpstreamTimeoutError(f"{self.name} did not respond in time")
        return UpstreamBrokenError(f"{self.name} closed the connection before the end of its response")

    def _record_resend(self, number: int) -> None:
        """Record that a kept connection was closed, so that the transport sends the request on a new one."""
        trace.get_current_span().set_attribute("http.request.resend_count", number)
        metrics.record_resend(self.name)

    def _to_download(self, path: str, response: httpx.Response) -> UpstreamDownload:
        return UpstreamDownload(
            path=path,
            status=response.status_code,
            headers=_headers(response),
            body=b"",
            chunks=self._chunks(response),
            close=response.aclose,
        )

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        try:
            async for chunk in response.aiter_raw():
                yield chunk
        except httpx.TransportError as error:
            raise self._to_problem(error) from error


_parse_once = lru_cache(maxsize=_MAX_CACHED_URLS)(httpx.URL)


def _timeouts(timeout_s: float) -> dict[str, float]:
    """Return httpx's request extension `timeout`, in seconds."""
    return {"connect": min(timeout_s, CONNECT_TIMEOUT_S), "read": timeout_s, "write": timeout_s, "pool": timeout_s}


async def _read(path: str, response: httpx.Response) -> UpstreamResponse:
    """Read the whole body, without decoding it."""
    async with aclosing(response):
        body = b"".join([chunk async for chunk in cast("httpx.AsyncByteStream", response.stream)])
    return UpstreamResponse(path=path, status=response.status_code, headers=_headers(response), body=body)


def _headers(response: httpx.Response) -> Headers:
    return Headers(raw=[(name.lower(), value) for name, value in response.headers.raw])
