"""The REST API over httpx."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx

from hopline_client import api
from hopline_client.api import Request
from hopline_client.backoff import NO_RETRIES, RetryPolicy
from hopline_client.models import Tokens

T = TypeVar("T")

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Maximum size of a response that is read into memory."""

MAX_FILE_BYTES = 1024 * 1024 * 1024
DOWNLOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that is being received; `name` is "" if the response contains no file name."""

    name: str
    chunks: AsyncIterator[bytes]


class Client:
    """A client of the gateway that `http` has as its base URL. After `log_in` all requests carry the access token.

    An expired access token is refreshed once, also if several requests need it at the same time. `timeout_s` limits
    each attempt, `retry_policy` the number of attempts and the time between them. Headers such as `traceparent` and
    `baggage` can be given with each call, or as defaults of `http`.

    Raises, in all methods: httpx.TransportError if there is no complete response, ProblemError if the refresh token is
    rejected (then log in again).
    """

    def __init__(
        self, *, http: httpx.AsyncClient, retry_policy: RetryPolicy | None = None, timeout_s: float = 10.0
    ) -> None:
        self.http = http
        self.tokens: Tokens | None = None
        self._retry_policy = retry_policy or RetryPolicy()
        self._timeout_s = timeout_s
        self._refreshing: asyncio.Task[None] | None = None

    async def log_in(self, *, email: str, password: str) -> None:
        """Request tokens, and use them from now on. Raises ProblemError if the password is wrong."""
        self.tokens = None
        self.tokens = await self.call(api.log_in(email=email, password=password))

    async def call(self, request: Request[T], *, headers: Mapping[str, str] | None = None) -> T:
        """Return the body of a successful response. Raises ProblemError for an error response."""
        return api.read(request, await self.send(request, headers=headers))

    async def send(
        self,
        request: Request[object],
        *,
        headers: Mapping[str, str] | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> httpx.Response:
        """Return the response, even if it is an error response. `NO_RETRIES` sends the request exactly once."""
        policy = retry_policy or self._retry_policy
        remaining_s = policy.budget_s
        for attempt in range(policy.retries):
            delay_s = policy.backoff.delay_s(attempt)
            try:
                response = await self._attempt(request, headers)
            except httpx.TransportError:
                if not request.is_repeatable or delay_s > remaining_s:
                    raise
            else:
                delay_s = max(delay_s, api.retry_after_s(response) or 0)
                if not api.is_retryable(request, response) or delay_s > remaining_s:
                    return response
            remaining_s -= delay_s
            await asyncio.sleep(delay_s)
        return await self._attempt(request, headers, refreshes=policy.retries > 0)

    @asynccontextmanager
    async def download(
        self, request: Request[bytes], *, max_bytes: int = MAX_FILE_BYTES, timeout_s: float = DOWNLOAD_TIMEOUT_S
    ) -> AsyncIterator[Download]:
        """Yield a file while it is received. Raises ProblemError for an error response.

        Raises httpx.ReadError if the file is larger than `max_bytes`, TimeoutError if the block lasts longer than
        `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            response = await self._open(request, None, refreshes=True)
            async with aclosing(response):
                if not response.is_success:
                    api.read(request, await _load(response))
                yield Download(name=api.filename(response), chunks=_limited(response, max_bytes))

    async def _attempt(
        self, request: Request[object], headers: Mapping[str, str] | None, *, refreshes: bool = True
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._open(request, headers, refreshes=refreshes)
                async with aclosing(response):
                    return await _load(response)
        except TimeoutError:
            message = f"{request.method} {request.path}: no complete response within {self._timeout_s:g} s"
            raise httpx.ReadTimeout(message) from None

    async def _open(
        self, request: Request[object], headers: Mapping[str, str] | None, *, refreshes: bool
    ) -> httpx.Response:
        """Send the request, and once more with new tokens if the access token expired.

        Return the response before its body was received.
        """
        used = self.tokens
        response = await self._start(request, headers)
        if response.status_code == httpx.codes.UNAUTHORIZED and used and refreshes:
            await response.aclose()
            await self._refresh(used)
            response = await self._start(request, headers)
        return response

    async def _start(self, request: Request[object], headers: Mapping[str, str] | None) -> httpx.Response:
        all_headers = {**request.headers, **(headers or {})}
        if self.tokens:
            all_headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        return await self.http.send(self.http.build_request(**request.arguments(), headers=all_headers), stream=True)

    async def _refresh(self, used: Tokens) -> None:
        """Replace `used` unless another call did so already. Concurrent calls share one refresh and its failure.

        The refresh continues if a call is cancelled, because a refresh token can be used only once.
        """
        if self.tokens is not used:
            return
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._renew(used))
            self._refreshing.add_done_callback(self._end_refresh)
        await asyncio.shield(self._refreshing)

    async def _renew(self, used: Tokens) -> None:
        request = api.refresh(used["refresh_token"])
        response = await self._attempt(request, None, refreshes=False)
        renewed = api.read(request, response)
        if self.tokens is used:  # no other login meanwhile
            self.tokens = renewed

    def _end_refresh(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # marks it as retrieved, because all calls that wait for it may have been cancelled


@asynccontextmanager
async def open_client(
    gateway: str, *, retry_policy: RetryPolicy | None = None, timeout_s: float = 10.0
) -> AsyncIterator[Client]:
    """Yield a client of the gateway at this URL. Proxies in the environment are ignored."""
    async with httpx.AsyncClient(base_url=gateway, timeout=timeout_s, trust_env=False) as http:
        yield Client(http=http, retry_policy=retry_policy, timeout_s=timeout_s)


async def _load(response: httpx.Response) -> httpx.Response:
    """Return the response with its body. Raises httpx.ReadError if it is larger than `MAX_BODY_BYTES`."""
    content = b"".join([chunk async for chunk in _limited(response, MAX_BODY_BYTES)])
    headers = response.headers.copy()
    headers.pop("Content-Encoding", None)  # it is decoded
    return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)


async def _limited(response: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    remaining = max_bytes
    async for chunk in response.aiter_bytes():
        remaining -= len(chunk)
        if remaining < 0:
            raise httpx.ReadError(f"The body is larger than {max_bytes} bytes", request=response.request)
        yield chunk


__all__ = ["NO_RETRIES", "Client", "Download", "open_client"]
