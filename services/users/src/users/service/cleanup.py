"""The cleanup tasks of this service."""

from collections.abc import Mapping
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.cleanup import CleanupLimits, CleanupTask, outbox_cleanup
from shared.config import OutboxSettings
from users.events import CONSUMERS, STREAM
from users.repository import RefreshTokenRepository


def create_cleanup_tasks(*, settings: OutboxSettings, redis: Redis) -> Mapping[str, CleanupTask]:
    """Return the tasks by name.

    The tokens of a family are deleted before it, because a family can have thousands. The outbox task is the last, so
    that the others run even if Redis is unavailable.
    """
    retention = timedelta(days=settings.outbox_retention_days)
    return {
        "refresh_tokens": _delete_ended_tokens,
        "refresh_token_families": _delete_ended_families,
        "outbox": outbox_cleanup(redis=redis, stream=STREAM, groups=CONSUMERS, retention=retention),
    }


async def _delete_ended_tokens(session: AsyncSession, limits: CleanupLimits) -> int:
    return await RefreshTokenRepository(session=session).delete_ended_tokens(limit=limits.limit)


async def _delete_ended_families(session: AsyncSession, limits: CleanupLimits) -> int:
    return await RefreshTokenRepository(session=session).delete_ended_families(limit=limits.limit)
