"""Orders, their items, and the idempotency keys under which they were placed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from orders import models
from orders.errors import IdempotencyKeyInFlightError
from orders.schemas import Order
from orders.states import OrderStatus
from shared.db.driver import DriverStatement

CLAIM_KEY: Final = DriverStatement(
    text("""
    SELECT pg_try_advisory_xact_lock(:lock) AS locked, stored.fingerprint, stored.order_id, stored.response
    FROM (VALUES (1)) AS one_row LEFT JOIN idempotency_key AS stored
        ON stored.user_id = :user_id AND stored.key = :key
    """)
)

INSERT_ORDER: Final = DriverStatement(
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
"""Insert the order, its items and its key in one round trip."""


@dataclass(frozen=True, kw_only=True)
class StoredResponse:
    """The response to the first request with a key, the id of its order, and the fingerprint of its items."""

    fingerprint: bytes
    order_id: UUID
    response: bytes


class OrderRepository:
    """Reads and writes orders in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def claim_key(self, *, user_id: UUID, key: str) -> StoredResponse | None:
        """Lock the key until the transaction ends, or return the response that was stored under it.

        The lock is an advisory lock on a hash of 64 bits. Two keys with the same hash could only cause a 409, which a
        retry resolves.

        Raises:
            IdempotencyKeyInFlightError: Another transaction holds the lock.
        """
        lock = int.from_bytes(blake2b(user_id.bytes + key.encode(), digest_size=8).digest(), signed=True)
        rows = await CLAIM_KEY.fetch(self._session, lock=lock, user_id=user_id, key=key)
        [(locked, fingerprint, order_id, response)] = rows
        if order_id is not None:
            return StoredResponse(fingerprint=fingerprint, order_id=order_id, response=response)
        if not locked:
            raise IdempotencyKeyInFlightError
        return None

    async def add_order(self, order: Order, *, key: str, fingerprint: bytes, response: bytes) -> None:
        """Insert an order with its items and its key.

        The primary key guarantees one order per key. The lock of `claim_key` is no guarantee, because its statement
        takes the snapshot before the lock, and another transaction may commit in between. It only saves the work of a
        request that cannot succeed.

        Raises:
            IdempotencyKeyInFlightError: Another transaction has inserted the key.
        """
        inserted = await INSERT_ORDER.fetch(
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
        if not inserted:
            raise IdempotencyKeyInFlightError

    async def delete_expired_keys(self, *, retention: timedelta, limit: int) -> int:
        """Delete at most `limit` keys older than `retention` and return their number.

        No index covers `created_at`, so the statement may scan the table.
        """
        primary_key = (models.IdempotencyKey.user_id, models.IdempotencyKey.key)
        expired = select(*primary_key).where(models.IdempotencyKey.created_at < func.now() - retention).limit(limit)
        deleted = await self._session.scalars(
            delete(models.IdempotencyKey).where(tuple_(*primary_key).in_(expired)).returning(models.IdempotencyKey.key)
        )
        return len(deleted.all())

    async def list_orders(
        self,
        *,
        user_id: UUID,
        status: OrderStatus | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
        offset: int = 0,
    ) -> Sequence[models.Order]:
        """Return at most `limit` orders of the user that are older than `before`, newest first, in two statements.

        The database reads the `offset` orders that it skips.
        """
        query = (
            select(models.Order)
            .where(models.Order.user_id == user_id)
            .order_by(models.Order.created_at.desc(), models.Order.id.desc())
            .limit(limit)
            .offset(offset or None)
            .options(selectinload(models.Order.items))
        )
        if status is not None:
            query = query.where(models.Order.status == status)
        if before is not None:
            query = query.where(tuple_(models.Order.created_at, models.Order.id) < before)
        return (await self._session.scalars(query)).all()

    async def find_order(self, order_id: UUID, *, owner: UUID | None, lock: bool = False) -> models.Order | None:
        """Return the order, or None if it does not exist or belongs to a user other than `owner`.

        If `owner` is None, any user may own it. `lock` locks the row until the transaction ends.
        """
        query = select(models.Order).where(models.Order.id == order_id).options(selectinload(models.Order.items))
        if owner is not None:
            query = query.where(models.Order.user_id == owner)
        if lock:
            query = query.with_for_update()
        return await self._session.scalar(query)

    async def update_status(self, order: models.Order, status: OrderStatus) -> None:
        """Store the new status of an order that `find_order` has locked."""
        order.status = status
        await self._session.flush()
