"""What is no longer needed here."""

from collections.abc import Mapping
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from orders.events import CONSUMERS, STREAM
from orders.repository.orders import OrderRepository
from orders.settings import Settings
from shared.housekeeping import Bounds, Chore, outbox_chore


def chores(*, settings: Settings, redis: Redis) -> Mapping[str, Chore]:
    """Idempotency keys that nobody retries any more, and events that everybody has. What needs Redis comes last."""
    return {
        "idempotency_keys": _forget_keys(timedelta(days=settings.idempotency_keys_kept_days)),
        "outbox": outbox_chore(
            redis=redis, stream=STREAM, groups=CONSUMERS, kept=timedelta(days=settings.outbox_kept_days)
        ),
    }


def _forget_keys(kept: timedelta) -> Chore:
    async def forget(session: AsyncSession, bounds: Bounds) -> int:
        return await OrderRepository(session=session).forget_keys(kept=kept, limit=bounds.limit)

    return forget
