"""Calls to the services: bytes in, bytes out, each with one span and a bound on its time.

aiohttp directly and not `shared.http.open_http_client`: a gateway is mostly an HTTP client, httpx on top would triple
what a call costs (ADR 0005), and its transport reports a refused connection as a connect timeout.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from opentelemetry import propagate
from yarl import URL

from gateway.answers import PROBLEM, Answer, Download, Refused
from gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.resilience.guard import Guard
from gateway.spans import ClientSpan
from shared.deadline import REQUEST_TIMEOUT, as_header, at_most
from shared.errors import Unavailable
from shared.faults import Faults, FaultSwitchedOn, answer_of, suffer
from shared.http import request_id
from shared.middleware import REQUEST_ID

_OK = 200
_PROBE = "/health/ready"
_CHUNK_BYTES = 64 * 1024


class Upstream:
    """One service. A call has `timeout_s` seconds from the wait for a connection to the last byte."""

    def __init__(
        self, *, name: str, url: str, session: aiohttp.ClientSession, timeout_s: float, guard: Guard, faults: Faults
    ) -> None:
        self.name = name
        self.guard = guard
        self._faults = faults
        self._url = url.rstrip("/")
        self._session = session
        self._timeout_s = timeout_s
        self._failures_named = _FailuresNamed(name)
        self._attributes: dict[str, str | int] = {
            "server.address": URL(url).host or "",
            "server.port": URL(url).port or 0,
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
        download: bool = False,
    ) -> Answer:
        """Ask for `path`, which is percent-encoded, and return the answer whatever its status.

        `template` is the path with its parameters' names: it names the span, after the semantic conventions. What is
        safe to repeat is tried again where it fails (see `gateway.resilience`); all of it has `timeout_s` seconds.
        For a `download` that is while the body of a good answer has not begun: it comes as it is read, a Download, and
        keeps one of the places for files until it is closed.
        Raises UpstreamUnreachable, UpstreamTimeout or UpstreamBroken where there is no answer to pass on, UpstreamBusy
        or CircuitOpen where the service is not asked, and DeadlineSpent where no time is left for it.
        """
        url = URL(f"{self._url}{path}{'?' if query else ''}{query}", encoded=True)
        attributes: dict[str, str | int] = {"http.request.method": method, "url.template": template, **self._attributes}
        timeout_s = timeout_s or self._timeout_s

        async def attempt(number: int) -> Answer:
            with ClientSpan(attributes, url=str(url), resend_count=number) as span, self._failures_named:
                patience_s = at_most(timeout_s)
                async with asyncio.timeout(patience_s):
                    carried = _carried(headers, patience_s)
                    answer = await self._exchange(method, url, path=path, headers=carried, body=body, download=download)
                span.answered(answer.status)
                if not answer.passable:
                    raise UpstreamBroken(f"{self.name} answered {answer.status} without saying why")
                return answer

        if not download:
            return await self.guard.call(method, headers, attempt, timeout_s=timeout_s)
        async with AsyncExitStack() as until_read:
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
        probe = URL(f"{self._url}{_PROBE}", encoded=True)
        answer = await self._exchange("GET", probe, path=_PROBE, headers={}, body=b"")
        if answer.status != _OK:
            raise Unavailable(f"{_PROBE} answered {answer.status}")

    async def _exchange(
        self, method: str, url: URL, *, path: str, headers: Mapping[str, str], body: bytes, download: bool = False
    ) -> Answer:
        fault = self._faults.towards(self.name)
        if fault is not None and await suffer(fault):
            problem = CIMultiDictProxy(CIMultiDict({"Content-Type": PROBLEM}))
            return Answer(path=path, status=FaultSwitchedOn.status, headers=problem, body=answer_of(fault, path=path))
        response = await self._session.request(method, url, headers=headers, data=body or None, allow_redirects=False)
        if download and response.status == _OK:
            return self._download(path, response)
        body = await response.read()  # gives the connection back, or closes it where that fails
        return Answer(path=path, status=response.status, headers=response.headers, body=body)

    def _download(self, path: str, response: aiohttp.ClientResponse) -> Download:
        async def close() -> None:
            response.release()
            await response.wait_for_close()

        return Download(
            path=path,
            status=response.status,
            headers=response.headers,
            body=b"",
            chunks=self._chunks(response),
            close=close,
        )

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes; each piece has the time of a call. What fails now breaks the client's answer off."""
        while True:
            with self._failures_named:
                async with asyncio.timeout(self._timeout_s):
                    chunk = await response.content.read(_CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


class _FailuresNamed:
    """A context, for any number of calls at once, that raises what goes wrong inside of it by our names.

    By hand: each call goes through it, and a generator would take several times as long.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise UpstreamTimeout(f"{self._service} did not answer in time") from error
        if isinstance(error, aiohttp.ClientConnectorError):
            raise UpstreamUnreachable(f"{self._service} can not be reached") from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise UpstreamBroken(f"{self._service} broke off its answer") from error


def _carried(headers: Mapping[str, str], patience_s: float) -> dict[str, str]:
    """The headers, the request's id, the trace's context and how long the answer is waited for."""
    carried = {**headers, REQUEST_TIMEOUT: as_header(patience_s)}
    current = request_id()
    if current:
        carried[REQUEST_ID] = current
    propagate.inject(carried)
    return carried
