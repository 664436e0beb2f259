"""What is no longer needed here."""

from collections.abc import Mapping
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.housekeeping import Bounds, Chore, outbox_chore
from shared.settings import OutboxSettings
from users.events import CONSUMERS, STREAM
from users.repository import RefreshTokenRepository


def chores(*, settings: OutboxSettings, redis: Redis) -> Mapping[str, Chore]:
    """Refresh tokens whose family has ended, and events that everybody has. What needs Redis comes last."""
    kept = timedelta(days=settings.outbox_kept_days)
    return {
        "refresh_token_families": _remove_ended_families,
        "outbox": outbox_chore(redis=redis, stream=STREAM, groups=CONSUMERS, kept=kept),
    }


async def _remove_ended_families(session: AsyncSession, bounds: Bounds) -> int:
    return await RefreshTokenRepository(session=session).remove_ended(limit=bounds.limit)
