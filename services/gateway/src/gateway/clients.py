"""Calls to the services: bytes in, bytes out, each with one span and a bound on its time.

On connections of its own and not by `shared.http.open_http_client`: a gateway is mostly an HTTP client, and with httpx
a call would cost ten times as much (ADR 5).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Span
from starlette.datastructures import Headers

from gateway.answers import PROBLEM, Answer, Download, Refused
from gateway.connections import Connections, Reply
from gateway.errors import UpstreamBroken, UpstreamTimeout
from gateway.resilience.guard import Guard
from gateway.spans import ClientSpan
from shared.deadline import REQUEST_TIMEOUT, as_header, at_most
from shared.errors import Unavailable
from shared.faults import Fault, Faults, FaultSwitchedOn, answer_of, suffer
from shared.middleware import REQUEST_ID, current_request_id

_OK = 200
_PROBE = "/health/ready"
_CHUNK_BYTES = 64 * 1024


class Upstream:
    """One service. A call has `timeout_s` seconds from the wait for a connection to the last byte."""

    def __init__(self, *, name: str, connections: Connections, timeout_s: float, guard: Guard, faults: Faults) -> None:
        self.name = name
        self.guard = guard
        self._faults = faults
        self._connections = connections
        self._timeout_s = timeout_s
        self._attributes: dict[str, str | int] = {
            "server.address": connections.origin.host,
            "server.port": connections.origin.port,
            "peer.service": name,
        }

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
        """Ask for `path`, which is percent-encoded, and return the answer whatever its status.

        `template` is the path with its parameters' names: it names the span, after the semantic conventions. What is
        safe to repeat is tried again where it fails (see `gateway.resilience`); all of it has `timeout_s` seconds.
        For a file, which has a user as its `reader`, that is while the body of a good answer has not begun: it comes as
        it is read, a Download, and keeps one of the places for files until it is closed.
        Raises UpstreamUnreachable, UpstreamTimeout or UpstreamBroken where there is no answer to pass on, UpstreamBusy
        or CircuitOpen where the service is not asked, TooManyRequests where the reader has as many files as they may,
        and DeadlineSpent where no time is left for it.
        """
        target = f"{path}?{query}" if query else path
        attributes: dict[str, str | int] = {"http.request.method": method, "url.template": template, **self._attributes}
        timeout_s = timeout_s or self._timeout_s

        async def attempt(number: int) -> Answer:
            with ClientSpan(attributes, url=f"{self._connections.origin.url}{target}", resend_count=number) as span:
                patience_s = at_most(timeout_s)
                carried = _carried(headers, patience_s)
                span.carry(carried)
                try:
                    answer = await self._exchange(
                        method,
                        target,
                        path=path,
                        headers=carried,
                        body=body,
                        download=reader is not None,
                        span=span.span,
                        until=asyncio.get_running_loop().time() + patience_s,
                        on_repeat=span.repeated,
                    )
                except TimeoutError as late:
                    raise UpstreamTimeout(f"{self.name} did not answer in time") from late
                span.answered(answer.status)
                if not answer.passable:
                    raise UpstreamBroken(f"{self.name} answered {answer.status} without saying why")
                return answer

        if reader is None:
            return await self.guard.call(method, headers, attempt, timeout_s=timeout_s)
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
        """Return the JSON at `path`, unparsed; raises Refused with any answer but 200, and what `send` raises."""
        answer = await self.send(
            "GET", path, template=template or path, query=query, headers=headers, timeout_s=timeout_s
        )
        if answer.status != _OK:
            raise Refused(answer)
        if answer.media_type != "application/json":
            raise UpstreamBroken(f"{self.name} answered with {answer.media_type or 'an unnamed type'}, not JSON")
        return answer.body

    async def ping(self) -> None:
        """Raise where the service is not ready; probes make no spans. The caller bounds the time."""
        span = trace.get_current_span()
        answer = await self._exchange("GET", _PROBE, path=_PROBE, headers={}, body=b"", span=span, is_probe=True)
        if answer.status != _OK:
            raise Unavailable(f"{_PROBE} answered {answer.status}")

    async def _exchange(
        self,
        method: str,
        target: str,
        *,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        download: bool = False,
        span: Span,
        until: float | None = None,
        on_repeat: Callable[[], None] | None = None,
        is_probe: bool = False,
    ) -> Answer:
        fault = self._faults.towards(self.name, is_probe=is_probe)
        if fault is not None:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                async with asyncio.timeout_at(until):
                    answer = await self._suffered(fault, path)
            if answer is not None:
                return answer
        reply = await self._connections.request(
            method, target, headers, body, streamed=download, until=until, on_repeat=on_repeat
        )
        if reply.stream is not None:
            return self._download(path, reply, reply.stream)
        return Answer(path=path, status=reply.status, headers=Headers(raw=reply.headers), body=reply.body)

    async def _suffered(self, fault: Fault, path: str) -> Answer | None:
        """What stands for the answer to a call that suffers this; None where the service is to be asked."""
        try:
            if not await suffer(fault):
                return None
        except ConnectionResetError as lost:
            raise UpstreamBroken(f"{self.name} broke off its answer") from lost
        problem = Headers({"Content-Type": PROBLEM})
        return Answer(path=path, status=FaultSwitchedOn.status, headers=problem, body=answer_of(fault, path=path))

    def _download(self, path: str, reply: Reply, stream: asyncio.StreamReader) -> Download:
        async def close() -> None:
            self._connections.release(reply)

        return Download(
            path=path,
            status=reply.status,
            headers=Headers(raw=reply.headers),
            body=b"",
            chunks=self._chunks(stream),
            close=close,
        )

    async def _chunks(self, stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """The body as it comes; each piece has the time of a call. What fails now breaks the client's answer off."""
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    chunk = await stream.read(_CHUNK_BYTES)
            except TimeoutError as late:
                raise UpstreamTimeout(f"{self.name} did not answer in time") from late
            if not chunk:
                return
            yield chunk


def _carried(headers: Mapping[str, str], patience_s: float) -> dict[str, str]:
    """The headers, the request's id and how long the answer is waited for."""
    carried = {**headers, REQUEST_TIMEOUT: as_header(patience_s)}
    current = current_request_id.get()
    if current:
        carried[REQUEST_ID] = current
    return carried
