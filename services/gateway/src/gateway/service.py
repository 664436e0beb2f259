"""Answers made of several services' answers, whose JSON is spliced as bytes: never parsed, never encoded again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn
from uuid import UUID

import orjson
import structlog

from gateway.answers import Refused
from gateway.clients import Upstream
from gateway.errors import SummaryIsForOwners
from shared.errors import Problem
from shared.tokens import Identity, Role

log = structlog.get_logger(__name__)

RECENT_ORDERS = 5
LATEST_NOTIFICATIONS = 5

_UNAUTHORIZED = 401
_NOT_FOUND = 404
_SERVER_ERROR = 500


class Compositions:
    """The questions that one service alone can not answer. `headers` are the caller's, token included."""

    def __init__(
        self,
        *,
        users: Upstream,
        orders: Upstream,
        notifications: Upstream,
        dashboard_timeout_s: float,
        lookups_at_once: int,
    ) -> None:
        self._users = users
        self._orders = orders
        self._notifications = notifications
        self._dashboard_timeout_s = dashboard_timeout_s
        self._lookups_at_once = lookups_at_once

    async def dashboard(self, headers: Mapping[str, str]) -> bytes:
        """A `schemas.Dashboard`: three services at once, each with its own time; a hole where one fails.

        `gather`, because a part is worth having without the others. A token that a service refuses is no hole but the
        caller's to mend: raises Refused with its 401.
        """
        patience = self._dashboard_timeout_s
        parts = await asyncio.gather(
            self._users.get("/users/me", headers=headers, timeout_s=patience),
            self._orders.get("/orders/recent", query=f"limit={RECENT_ORDERS}", headers=headers, timeout_s=patience),
            self._notifications.get(
                "/notifications/summary", query=f"latest={LATEST_NOTIFICATIONS}", headers=headers, timeout_s=patience
            ),
            return_exceptions=True,
        )
        asked = (self._users, self._orders, self._notifications)
        degraded = [service.name for service, part in zip(asked, parts, strict=True) if _is_hole(part, service.name)]
        user, orders, notifications = (part if isinstance(part, bytes) else b"null" for part in parts)
        return b'{"user":%b,"recent_orders":%b,"notifications":%b,"degraded":%b}' % (
            user,
            orders,
            notifications,
            orjson.dumps(degraded),
        )

    async def order_summary(self, order_id: UUID, caller: Identity, headers: Mapping[str, str]) -> bytes:
        """A `schemas.OrderSummary`: three services at once, all or nothing.

        `TaskGroup`, because half an answer is none: the first failure cancels the other calls. The order's user is the
        caller, who need not wait for the order to be asked for. Raises Refused (404 where there is no such order),
        SummaryIsForOwners, or what `Upstream.get` raises.
        """
        try:
            async with asyncio.TaskGroup() as calls:
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
            _raise_most_telling(failures)
        if caller.role is Role.ADMIN and orjson.loads(order.result())["user_id"] != str(caller.user_id):
            raise SummaryIsForOwners("Admins can see this order, and its owner by users/lookup")
        return b'{"order":%b,"user":%b,"notifications":%b}' % (order.result(), user.result(), notifications.result())

    async def look_up_users(self, ids: Sequence[UUID], headers: Mapping[str, str]) -> bytes:
        """A `schemas.UsersFound`: one call per id, some at once; any failure but "no such user" fails the whole."""
        slots = asyncio.Semaphore(self._lookups_at_once)
        wanted = list(dict.fromkeys(ids))
        try:
            async with asyncio.TaskGroup() as calls:
                tasks = [calls.create_task(self._look_up_user(user_id, headers, slots)) for user_id in wanted]
        except ExceptionGroup as failures:
            _raise_most_telling(failures)
        found = [task.result() for task in tasks]
        missing = [user_id for user_id, user in zip(wanted, found, strict=True) if user is None]
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
            except Refused as refusal:
                if refusal.answer.status == _NOT_FOUND:
                    return None
                raise


def _is_hole(part: bytes | BaseException, name: str) -> bool:
    """Whether this part failed in a way the dashboard bears; raises what it does not bear."""
    if isinstance(part, bytes):
        return False
    if not isinstance(part, Refused | Problem) or (isinstance(part, Refused) and part.answer.status == _UNAUTHORIZED):
        raise part
    log.warning("dashboard_degraded", upstream=name, reason=str(part))
    return True


def _raise_most_telling(failures: ExceptionGroup[Exception]) -> NoReturn:
    """Raise the failure that tells the caller most: what they can mend, before what we have to; the first of those."""
    raise min(failures.exceptions, key=_status) from None


def _status(failure: Exception) -> int:
    if isinstance(failure, Refused):
        return failure.answer.status // 100
    return failure.status // 100 if isinstance(failure, Problem) else _SERVER_ERROR
