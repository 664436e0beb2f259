"""Orders, their items, and the keys they were placed under."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from orders.errors import KeyInFlight
from orders.models import IdempotencyKey, Order
from orders.schemas import OrderOut
from orders.states import OrderStatus
from shared.driver import DriverStatement

CLAIM: Final = DriverStatement(
    text("""
    SELECT pg_try_advisory_xact_lock(:lock) AS won, earlier.fingerprint, earlier.order_id, earlier.response
    FROM (VALUES (1)) AS always LEFT JOIN idempotency_key AS earlier
        ON earlier.user_id = :user_id AND earlier.key = :key
    """)
)

RECORD: Final = DriverStatement(
    text("""
    WITH placed AS (
        INSERT INTO customer_order (id, user_id, status, total_cents, currency, created_at)
        VALUES (:id, :user_id, :status, :total_cents, :currency, :created_at)
    ), lines AS (
        INSERT INTO order_item (order_id, sku, name, quantity, unit_price_cents, position)
        SELECT :id, line.*
        FROM unnest(
            CAST(:skus AS text[]), CAST(:names AS text[]), CAST(:quantities AS integer[]), CAST(:prices AS integer[])
        ) WITH ORDINALITY AS line
    )
    INSERT INTO idempotency_key (user_id, key, fingerprint, order_id, response, created_at)
    VALUES (:user_id, :key, :fingerprint, :id, :response, :created_at)
    ON CONFLICT (user_id, key) DO NOTHING
    RETURNING key
    """)
)
"""The order, its items and its key in one round trip."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The order that was placed under a key, and the answer its client got."""

    fingerprint: bytes
    order_id: UUID
    response: bytes


class OrderRepository:
    """Reads and writes orders in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, *, user_id: UUID, key: str) -> Answered | None:
        """Take the key until the transaction ends, or return what was answered under it.

        Raises KeyInFlight where another transaction has it. The lock is advisory: its 64 bits are a hash, and two
        keys that share one (never, in practice) would only get a 409 that a retry heals.
        """
        lock = int.from_bytes(blake2b(user_id.bytes + key.encode(), digest_size=8).digest(), signed=True)
        [(won, fingerprint, order_id, response)] = await CLAIM.fetch(self._session, lock=lock, user_id=user_id, key=key)
        if order_id is not None:
            return Answered(fingerprint=fingerprint, order_id=order_id, response=response)
        if not won:
            raise KeyInFlight
        return None

    async def record(self, order: OrderOut, *, key: str, fingerprint: bytes, response: bytes) -> None:
        """Write a new order with its items and its key.

        Raises KeyInFlight where the key's other transaction ended between the look and the lock of `claim`, which are
        one statement: the primary key makes the promise of one order per key, the lock only spares the work.
        """
        recorded = await RECORD.fetch(
            self._session,
            id=order.id,
            user_id=order.user_id,
            status=order.status,
            total_cents=order.total_cents,
            currency=order.currency,
            created_at=order.created_at,
            skus=[item.sku for item in order.items],
            names=[item.name for item in order.items],
            quantities=[item.quantity for item in order.items],
            prices=[item.unit_price_cents for item in order.items],
            key=key,
            fingerprint=fingerprint,
            response=response,
        )
        if not recorded:
            raise KeyInFlight

    async def forget_keys(self, *, kept: timedelta, limit: int) -> int:
        """Forget at most `limit` keys that were used longer ago than `kept`; how many. May scan the table."""
        key = tuple_(IdempotencyKey.user_id, IdempotencyKey.key)
        old = select(IdempotencyKey.user_id, IdempotencyKey.key).where(IdempotencyKey.created_at < func.now() - kept)
        forgotten = await self._session.scalars(
            delete(IdempotencyKey).where(key.in_(old.limit(limit))).returning(IdempotencyKey.key)
        )
        return len(forgotten.all())

    async def page(
        self,
        *,
        user_id: UUID,
        status: OrderStatus | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
        offset: int = 0,
    ) -> Sequence[Order]:
        """Return at most `limit` orders of the user, newest first, those older than `before`; two statements.

        Skips `offset` of them by reading them.
        """
        query = (
            select(Order)
            .where(Order.user_id == user_id)
            .order_by(Order.created_at.desc(), Order.id.desc())
            .limit(limit)
            .offset(offset or None)
            .options(selectinload(Order.items))
        )
        if status is not None:
            query = query.where(Order.status == status)
        if before is not None:
            query = query.where(tuple_(Order.created_at, Order.id) < before)
        return (await self._session.scalars(query)).all()

    async def find(self, order_id: UUID, *, owner: UUID | None, lock: bool = False) -> Order | None:
        """Return the order, if it is `owner`'s (None: anybody's); with `lock`, nobody else changes it meanwhile."""
        query = select(Order).where(Order.id == order_id).options(selectinload(Order.items))
        if owner is not None:
            query = query.where(Order.user_id == owner)
        if lock:
            query = query.with_for_update()
        return await self._session.scalar(query)

    async def set_status(self, order: Order, status: OrderStatus) -> None:
        """Write the new state of an order that `find` has locked."""
        order.status = status
        await self._session.flush()
