"""Calls to the services: one httpx transport for each of them, bytes in, bytes out.

A gateway needs no cookies, redirects and authentication of its own, which is what `httpx.AsyncClient` adds to its
transport, at a third of the processor time of a call (ADR 22).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import lru_cache, partial
from typing import cast
from uuid import UUID

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from starlette.datastructures import Headers

from gateway.answers import Answer, Download, Refused
from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from gateway.resilience import metrics
from gateway.resilience.guard import Guard
from shared.calls import RESEND_COUNT, TEMPLATE
from shared.deadline import GRACE_S, at_most
from shared.errors import BadRequest, Problem, Unavailable
from shared.http import propagated_headers

CONNECT_TIMEOUT_S = 3.0
"""Long enough for a second SYN (RFC 6298 sends it after 1 s), and for an event loop that is late under load."""

_URLS = 1024
_SHORT_URL = 256
"""Number of URLs that are kept parsed, and characters of one: longer ones are a client's, who could fill the memory."""

Endpoint = tuple[str, str]
"""Method and template."""

_OK = 200
_PROBE = "/health/ready"


class Upstream:
    """One service. A call has `timeout_s` seconds from the wait for a connection to the last byte.

    Calls share one guard, except those to expensive endpoints: each has a guard of its own, `endpoint_guards`, so that
    its overload does not block the others.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        transport: httpx.AsyncBaseTransport,
        timeout_s: float,
        guard: Guard,
        endpoint_guards: Mapping[Endpoint, Guard],
    ) -> None:
        self.name = name
        self.guard = guard
        self._endpoint_guards = endpoint_guards
        self._transport = transport
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    async def send(
        self,
        method: str,
        path: str,
        *,
        template: str,
        query: str = "",
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float | None = None,
        reader: UUID | None = None,
    ) -> Answer:
        """Request `path`, which is percent-encoded, and return the response whatever its status.

        `template` is the path with the names of its parameters: it names the span. A request that is safe to repeat is
        tried again if it fails (see `gateway.resilience`); all attempts together have `timeout_s` seconds.
        For a file, which has a user as its `reader`, they have it until the body of a good response begins: the file is
        a Download, which is read as it arrives and keeps one of the places for files until it is closed.
        Raises UpstreamUnreachable, UpstreamTimeout or UpstreamBroken if there is no response to pass on, UpstreamBusy
        or CircuitOpen if no request is sent, BadRequest if the URL is longer than httpx takes (64 KiB), TooManyRequests
        if the reader has as many files as they may, and DeadlineSpent if no time is left.
        """
        timeout_s = timeout_s or self._timeout_s
        url = _parsed(f"{self._url}{path}?{query}" if query else f"{self._url}{path}")

        async def attempt(number: int) -> Answer:
            limit_s = at_most(timeout_s)
            request = httpx.Request(
                method,
                url,
                headers={**headers, **propagated_headers()},
                content=body,
                extensions={
                    TEMPLATE: template,
                    **({RESEND_COUNT: number} if number else {}),
                    "on_resend": partial(self._note_resend, number + 1),
                    "timeout": _timeouts(limit_s),
                },
            )
            try:
                async with asyncio.timeout(limit_s + GRACE_S):  # httpx bounds each read, this bounds all of them
                    response = await self._transport.handle_async_request(request)
                    if reader is not None and response.status_code == _OK:
                        return self._download(path, response)
                    answer = await _read(path, response)
            except (httpx.TransportError, TimeoutError) as error:
                raise self._problem(error) from error
            if not answer.passable:
                raise UpstreamBroken(f"{self.name} answered {answer.status} without saying why")
            return answer

        if reader is None:
            guard = self._endpoint_guards.get((method, template), self.guard)
            return await guard.call(method, headers, attempt, timeout_s=timeout_s)
        async with AsyncExitStack() as until_read:
            until_read.enter_context(self.guard.readers.of(reader))
            await until_read.enter_async_context(self.guard.files)
            answer = await self.guard.call(method, headers, attempt, timeout_s=timeout_s, may_hedge=False)
            if isinstance(answer, Download):
                until_read.push_async_callback(answer.close)
                answer = replace(answer, close=until_read.pop_all().aclose)
            return answer

    async def get(
        self,
        path: str,
        *,
        template: str = "",
        query: str = "",
        headers: Mapping[str, str],
        timeout_s: float | None = None,
    ) -> bytes:
        """Return the JSON at `path`, unparsed; raises Refused with any response but 200, and what `send` raises."""
        answer = await self.send(
            "GET", path, template=template or path, query=query, headers=headers, timeout_s=timeout_s
        )
        if answer.status != _OK:
            raise Refused(answer)
        if answer.media_type != "application/json":
            raise UpstreamBroken(f"{self.name} answered with {answer.media_type or 'an unnamed type'}, not JSON")
        return answer.body

    def state(self) -> dict[str, object]:
        """Return the state of the guards, for readiness."""
        endpoints = {f"{method} {path}": guard.state() for (method, path), guard in self._endpoint_guards.items()}
        return {**self.guard.state(), "endpoints": endpoints}

    async def ping(self) -> None:
        """Raise if the service is not ready. Makes no span; the caller bounds the time."""
        try:
            with suppress_http_instrumentation():
                timeouts = _timeouts(self._timeout_s)
                request = httpx.Request("GET", f"{self._url}{_PROBE}", extensions={"timeout": timeouts})
                answer = await _read(_PROBE, await self._transport.handle_async_request(request))
        except httpx.TransportError as error:
            raise self._problem(error) from error
        if answer.status != _OK:
            raise Unavailable(f"{_PROBE} answered {answer.status}")

    def _problem(self, error: httpx.TransportError | TimeoutError) -> Problem:
        """Return the problem that stands for a response that did not arrive."""
        if isinstance(error, httpx.ConnectError):
            return UpstreamUnreachable(f"{self.name} cannot be reached")
        if isinstance(error, httpx.PoolTimeout):
            return UpstreamBusy(f"{self.name} has as many connections as it may")
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return UpstreamTimeout(f"{self.name} did not answer in time")
        return UpstreamBroken(f"{self.name} broke off its answer")

    def _note_resend(self, number: int) -> None:
        """Record that a kept connection was closed and the transport sends the request again on a new one."""
        trace.get_current_span().set_attribute("http.request.resend_count", number)
        metrics.repeated(self.name)

    def _download(self, path: str, response: httpx.Response) -> Download:
        return Download(
            path=path,
            status=response.status_code,
            headers=_headers(response),
            body=b"",
            chunks=self._chunks(response),
            close=response.aclose,
        )

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; each read has the time of a call. A failure cuts the client's response off."""
        try:
            async for chunk in response.aiter_raw():
                yield chunk
        except httpx.TransportError as error:
            raise self._problem(error) from error


def _parsed(url: str) -> httpx.URL:
    """Parse a URL, a short one once: httpx takes longer for it than for the rest of a request."""
    try:
        return _parsed_once(url) if len(url) <= _SHORT_URL else httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadRequest("The URL is too long") from error


_parsed_once = lru_cache(maxsize=_URLS)(httpx.URL)


def _timeouts(limit_s: float) -> dict[str, float]:
    """Return httpx's request extension `timeout`, in seconds."""
    return {"connect": min(limit_s, CONNECT_TIMEOUT_S), "read": limit_s, "write": limit_s, "pool": limit_s}


async def _read(path: str, response: httpx.Response) -> Answer:
    """Read the body to its end, undecoded."""
    async with aclosing(response):
        body = b"".join([chunk async for chunk in cast("httpx.AsyncByteStream", response.stream)])
    return Answer(path=path, status=response.status_code, headers=_headers(response), body=body)


def _headers(response: httpx.Response) -> Headers:
    return Headers(raw=[(name.lower(), value) for name, value in response.headers.raw])
