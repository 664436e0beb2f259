"""Calls to other services, with a service token of the worker's own."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from datetime import date
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import httpx
from pydantic import SecretStr, TypeAdapter

from shared.calls import TEMPLATE
from shared.deadline import within
from shared.tracing import trace_of_its_own
from workers.errors import DependencyAway, JobImpossible
from workers.schemas import AccessToken, DaySales, Refusal, User

CLIENT_ID = "workers"
SALES = "/internal/sales"
CALL_S = 10.0
"""How long one call may take in all; the service is told, and stops its work by then."""

EXPIRY_MARGIN_S = 30.0
"""A token is replaced this long before it expires (or at half its life, where that is shorter)."""

RETRY_S = 5.0
"""Pause after a replacement failed, while the token is still valid."""

_USERS = TypeAdapter(list[User])


class ServiceToken(httpx.Auth):
    """The worker's access token, by client credentials (RFC 6749 §4.4): kept until shortly before it expires.

    A 401 means that users has changed its keys: the token is fetched again, once, and the request repeated. `clock`
    gives seconds.
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
        """Send the request with the token; raises DependencyAway where none is to be had."""
        token = await self._current()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {await self._current(refused=token)}"
            yield request

    async def _current(self, *, refused: str = "") -> str:
        async with self._lock:  # of many jobs that find it stale, one fetches
            if self._token == refused:
                await self._fetch()
            elif self._clock() >= self._fresh_until:
                await self._replace()
            return self._token

    async def _replace(self) -> None:
        """Fetch a new token; if users is away, keep the old one while it is valid."""
        try:
            await self._fetch()
        except DependencyAway:
            now = self._clock()
            if now >= self._expires_at:
                raise
            self._fresh_until = now + RETRY_S

    async def _fetch(self) -> None:
        form = {"grant_type": "client_credentials"}
        with trace_of_its_own():
            response = await call(self._users, "POST", "/internal/tokens", auth=self._credentials, form=form)
        expect(response, HTTPStatus.OK)
        granted = AccessToken.model_validate_json(response.content)
        self._token = granted.access_token
        self._expires_at = self._clock() + granted.expires_in
        self._fresh_until = self._expires_at - min(EXPIRY_MARGIN_S, granted.expires_in / 2)


class UsersClient:
    """What the worker asks users."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def get(self, user_id: UUID) -> User:
        """The user; raises JobImpossible where there is none, DependencyAway where users cannot say."""
        response = await call(
            self._http, "GET", f"/internal/users/{user_id}", template="/internal/users/{user_id}", auth=self._token
        )
        if problem(response) == "user-not-found":
            raise JobImpossible(f"there is no user {user_id}")
        expect(response, HTTPStatus.OK)
        return User.model_validate_json(response.content)

    async def admins(self) -> list[User]:
        """Who runs the shop; raises DependencyAway."""
        response = await call(self._http, "GET", "/internal/admins", auth=self._token)
        expect(response, HTTPStatus.OK)
        return _USERS.validate_json(response.content)


class OrdersClient:
    """What the worker tells and asks orders."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def advance(self, order_id: UUID, step: Literal["pack", "ship"]) -> bool:
        """Take the order a step further; False where it is cancelled or gone. Repeating it changes nothing."""
        response = await call(
            self._http,
            "POST",
            f"/internal/orders/{order_id}/{step}",
            template=f"/internal/orders/{{order_id}}/{step}",
            auth=self._token,
        )
        if problem(response) in {"order-not-found", "order-state"}:
            return False
        expect(response, HTTPStatus.OK)
        return True

    async def sales(self, day: date) -> DaySales:
        """What was sold on a day in UTC; raises DependencyAway."""
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
    """Make one call; raises DependencyAway where no answer comes within CALL_S.

    `template` is the path with its parameters' names, where it has any.
    """
    extensions = {TEMPLATE: template or path}
    try:
        async with within(CALL_S):
            return await http.request(method, path, auth=auth, data=form, json=body, extensions=extensions)
    except (httpx.HTTPError, TimeoutError) as error:
        raise DependencyAway(f"{method} {http.base_url}{path}: {type(error).__name__}: {error}") from error


def problem(response: httpx.Response) -> str | None:
    """The slug of the problem that the service names; None where it names none.

    Only a named refusal is final. The bare 404 of a route that is not deployed yet must not end a job for good.
    """
    if response.headers.get("Content-Type") != "application/problem+json":
        return None
    return Refusal.model_validate_json(response.content).type.rpartition("/")[2]


def expect(response: httpx.Response, status: HTTPStatus) -> None:
    """Raise DependencyAway on any other status: overloaded, deployed, or refusing us until somebody acts."""
    if response.status_code != status:
        request = response.request
        raise DependencyAway(f"{request.method} {request.url} answered {response.status_code}")
