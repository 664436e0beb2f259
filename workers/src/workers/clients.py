"""HTTP clients of the other services. Their requests have the access token of the workers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from datetime import date
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import httpx
from pydantic import SecretStr, TypeAdapter

from shared.context import enforce_deadline
from shared.http.spans import TEMPLATE
from shared.telemetry.spans import detached_context
from workers.errors import DependencyUnavailableError, PermanentJobError
from workers.schemas import AccessToken, DaySales, Problem, User

CLIENT_ID = "workers"
SALES = "/internal/sales"
CALL_TIMEOUT_S = 10.0
"""Timeout of one call, in seconds. The called service receives it as a deadline, and stops its work by then."""

EXPIRY_MARGIN_S = 30.0
"""A token is replaced this number of seconds before it expires, or at half of its lifetime if that is later."""

RETRY_DELAY_S = 5.0
"""Delay in seconds after a failed replacement, while the old token is still valid."""

_USERS = TypeAdapter(list[User])


class ServiceToken(httpx.Auth):
    """The workers' access token by client credentials (RFC 6749 §4.4), cached until shortly before it expires.

    If a service responds with 401, for example because users has new keys, the token is fetched again and the request
    is repeated once. `clock` returns seconds.
    """

    def __init__(
        self, *, users: httpx.AsyncClient, secret: SecretStr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = users
        self._credentials = httpx.BasicAuth(CLIENT_ID, secret.get_secret_value())
        self._clock = clock
        self._token = ""
        self._fresh_until = float("-inf")
        self._expires_at = float("-inf")
        self._lock = asyncio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with the token.

        Raises:
            DependencyUnavailableError: Users is unavailable and there is no valid token.
        """
        token = await self._current()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {await self._current(rejected=token)}"
            yield request

    async def _current(self, *, rejected: str = "") -> str:
        async with self._lock:  # concurrent jobs fetch one new token
            if self._token == rejected:
                await self._fetch()
            elif self._clock() >= self._fresh_until:
                await self._replace()
            return self._token

    async def _replace(self) -> None:
        """Fetch a new token. If users is unavailable, keep the old token while it is valid."""
        try:
            await self._fetch()
        except DependencyUnavailableError:
            now = self._clock()
            if now >= self._expires_at:
                raise
            self._fresh_until = now + RETRY_DELAY_S

    async def _fetch(self) -> None:
        form = {"grant_type": "client_credentials"}
        with detached_context():
            response = await call(self._users, "POST", "/internal/tokens", auth=self._credentials, form=form)
        expect(response, HTTPStatus.OK)
        granted = AccessToken.model_validate_json(response.content)
        self._token = granted.access_token
        self._expires_at = self._clock() + granted.expires_in
        self._fresh_until = self._expires_at - min(EXPIRY_MARGIN_S, granted.expires_in / 2)


class UsersClient:
    """Client of the internal API of users."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def get(self, user_id: UUID) -> User:
        """Return the user.

        Raises:
            PermanentJobError: The user does not exist.
            DependencyUnavailableError: Users is unavailable.
        """
        response = await call(
            self._http, "GET", f"/internal/users/{user_id}", template="/internal/users/{user_id}", auth=self._token
        )
        if problem_slug(response) == "user-not-found":
            raise PermanentJobError(f"there is no user {user_id}")
        expect(response, HTTPStatus.OK)
        return User.model_validate_json(response.content)

    async def list_admins(self) -> list[User]:
        """Return the admins.

        Raises:
            DependencyUnavailableError: Users is unavailable.
        """
        response = await call(self._http, "GET", "/internal/admins", auth=self._token)
        expect(response, HTTPStatus.OK)
        return _USERS.validate_json(response.content)


class OrdersClient:
    """Client of the internal API of orders, without reports (`workers.reports.client`)."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def advance(self, order_id: UUID, step: Literal["pack", "ship"]) -> bool:
        """Pack or ship the order, or return False if it was cancelled or deleted. The call is safe to repeat.

        Raises:
            DependencyUnavailableError: Orders is unavailable.
        """
        response = await call(
            self._http,
            "POST",
            f"/internal/orders/{order_id}/{step}",
            template=f"/internal/orders/{{order_id}}/{step}",
            auth=self._token,
        )
        if problem_slug(response) in {"order-not-found", "order-state"}:
            return False
        expect(response, HTTPStatus.OK)
        return True

    async def get_sales(self, day: date) -> DaySales:
        """Return the sales of a day in UTC.

        Raises:
            DependencyUnavailableError: Orders is unavailable.
        """
        response = await call(self._http, "GET", f"/internal/sales?day={day}", template=SALES, auth=self._token)
        expect(response, HTTPStatus.OK)
        return DaySales.model_validate_json(response.content)


async def call(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    auth: httpx.Auth,
    template: str = "",
    form: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
) -> httpx.Response:
    """Make one call. `template` is the path with the names of its parameters. The default is the path.

    Raises:
        DependencyUnavailableError: The request failed, or there was no response within `CALL_TIMEOUT_S`.
    """
    extensions = {TEMPLATE: template or path}
    timeout = httpx.Timeout(CALL_TIMEOUT_S, connect=http.timeout.connect)  # a client limits each wait for data to 5 s
    try:
        async with enforce_deadline(CALL_TIMEOUT_S):
            return await http.request(
                method, path, auth=auth, data=form, json=body, extensions=extensions, timeout=timeout
            )
    except (httpx.HTTPError, TimeoutError) as error:
        raise DependencyUnavailableError(f"{method} {http.base_url}{path}: {type(error).__name__}: {error}") from error


def problem_slug(response: httpx.Response) -> str | None:
    """Return the slug of the problem in an error response, or None if it has no problem document.

    Callers treat only known slugs as final. Other errors are retried, for example the 404 of a route that is not
    deployed yet.
    """
    if response.headers.get("Content-Type") != "application/problem+json":
        return None
    return Problem.model_validate_json(response.content).type.rpartition("/")[2]


def expect(response: httpx.Response, status: HTTPStatus) -> None:
    """Raise DependencyUnavailableError unless the response has this status."""
    if response.status_code != status:
        request = response.request
        raise DependencyUnavailableError(f"{request.method} {request.url} returned {response.status_code}")
