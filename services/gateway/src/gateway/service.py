"""Aggregates: responses that are built from the responses of several services.

Their JSON is concatenated as bytes and not encoded again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NoReturn
from uuid import UUID

import orjson
import structlog

from gateway.clients import Upstream
from gateway.errors import SummaryForbiddenError
from gateway.responses import UpstreamResponseError
from shared.auth import Identity, Role
from shared.errors.problems import ProblemError

log = structlog.get_logger(__name__)

RECENT_ORDERS = 5
LATEST_NOTIFICATIONS = 5


class AggregateService:
    """Aggregates responses. Each method sends the caller's `headers`, with the access token, to the services."""

    def __init__(
        self,
        *,
        users: Upstream,
        orders: Upstream,
        notifications: Upstream,
        dashboard_timeout_s: float,
        max_concurrent_lookups: int,
    ) -> None:
        self._users = users
        self._orders = orders
        self._notifications = notifications
        self._dashboard_timeout_s = dashboard_timeout_s
        self._max_concurrent_lookups = max_concurrent_lookups

    async def get_dashboard(self, headers: Mapping[str, str]) -> bytes:
        """Return a `schemas.Dashboard`. Three services are called concurrently; a part that fails is null.

        Raises:
            UpstreamResponseError: A service rejected the access token with 401.
        """
        timeout_s = self._dashboard_timeout_s
        parts = await asyncio.gather(  # a part is useful without the others
            self._users.get("/users/me", headers=headers, timeout_s=timeout_s),
            self._orders.get("/orders/recent", query=f"limit={RECENT_ORDERS}", headers=headers, timeout_s=timeout_s),
            self._notifications.get(
                "/notifications/summary", query=f"latest={LATEST_NOTIFICATIONS}", headers=headers, timeout_s=timeout_s
            ),
            return_exceptions=True,
        )
        upstreams = (self._users, self._orders, self._notifications)
        degraded = [
            upstream.name for upstream, part in zip(upstreams, parts, strict=True) if _has_failed(part, upstream.name)
        ]
        user, orders, notifications = (part if isinstance(part, bytes) else b"null" for part in parts)
        return b'{"user":%b,"recent_orders":%b,"notifications":%b,"degraded":%b}' % (
            user,
            orders,
            notifications,
            orjson.dumps(degraded),
        )

    async def get_order_summary(self, order_id: UUID, caller: Identity, headers: Mapping[str, str]) -> bytes:
        """Return a `schemas.OrderSummary`. Three services are called concurrently, and all must succeed.

        Only the owner of an order may read its summary, so the user is requested without waiting for the order.

        Raises:
            UpstreamResponseError: A service responded with a problem; 404 if there is no such order.
            SummaryForbiddenError: The caller is an admin and does not own the order. Other callers get 404 from orders.
            ProblemError: A call failed (`Upstream.get`).
        """
        try:
            async with asyncio.TaskGroup() as calls:  # the first failure cancels the other calls
                order = calls.create_task(
                    self._orders.get(f"/orders/{order_id}", template="/orders/{order_id}", headers=headers)
                )
                user = calls.create_task(self._users.get("/users/me", headers=headers))
                notifications = calls.create_task(
                    self._notifications.get(
                        f"/notifications/for-subject/{order_id}",
                        template="/notifications/for-subject/{subject}",
                        headers=headers,
                    )
                )
        except ExceptionGroup as failures:
            _raise_most_relevant(failures)
        if caller.role is Role.ADMIN and orjson.loads(order.result())["user_id"] != str(caller.user_id):
            raise SummaryForbiddenError(
                "Only the owner of an order can read its summary. Admins can read the order by GET /orders/{order_id}, "
                "and its owner by POST /users/lookup"
            )
        return b'{"order":%b,"user":%b,"notifications":%b}' % (order.result(), user.result(), notifications.result())

    async def look_up_users(self, ids: Sequence[UUID], headers: Mapping[str, str]) -> bytes:
        """Return a `schemas.UsersFound`. Each id takes one call, and a limited number of calls is made at a time.

        Raises:
            UpstreamResponseError: The response to a call is a problem other than 404.
            ProblemError: A call failed (`Upstream.get`).
        """
        slots = asyncio.Semaphore(self._max_concurrent_lookups)
        unique_ids = list(dict.fromkeys(ids))
        try:
            async with asyncio.TaskGroup() as calls:
                tasks = [calls.create_task(self._look_up_user(user_id, headers, slots)) for user_id in unique_ids]
        except ExceptionGroup as failures:
            _raise_most_relevant(failures)
        found = [task.result() for task in tasks]
        missing = [user_id for user_id, user in zip(unique_ids, found, strict=True) if user is None]
        return b'{"items":[%b],"missing":%b}' % (
            b",".join(user for user in found if user is not None),
            orjson.dumps(missing),
        )

    async def _look_up_user(self, user_id: UUID, headers: Mapping[str, str], slots: asyncio.Semaphore) -> bytes | None:
        async with slots:
            try:
                return await self._users.get(
                    f"/internal/users/{user_id}", template="/internal/users/{user_id}", headers=headers
                )
            except UpstreamResponseError as error:
                if error.response.status == HTTPStatus.NOT_FOUND:
                    return None
                raise


def _has_failed(part: bytes | BaseException, name: str) -> bool:
    """Return whether a part failed, and log its failure. Raise an error that fails the whole dashboard."""
    if isinstance(part, bytes):
        return False
    if not isinstance(part, UpstreamResponseError | ProblemError) or (
        isinstance(part, UpstreamResponseError) and part.response.status == HTTPStatus.UNAUTHORIZED
    ):
        raise part
    log.warning("dashboard_degraded", upstream=name, reason=str(part))
    return True


def _raise_most_relevant(failures: ExceptionGroup[Exception]) -> NoReturn:
    """Raise an unexpected exception, else the first client error, which callers can correct, else the first error."""
    raise min(failures.exceptions, key=_rank) from None


def _rank(failure: Exception) -> int:
    """Return 0 for an unexpected exception, 1 for a client error, and 2 for another error."""
    if isinstance(failure, UpstreamResponseError):
        status = failure.response.status
    elif isinstance(failure, ProblemError):
        status = failure.status
    else:
        return 0
    return 1 if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR else 2
