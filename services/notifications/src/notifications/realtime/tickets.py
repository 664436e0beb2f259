"""Tickets of WebSockets. A browser cannot send an Authorization header with a WebSocket, so it gets a ticket first.

A ticket is stored in Redis for 30 s and can be used once, because GETDEL is atomic. So a ticket in a log is soon
useless.
"""

import asyncio
import secrets
from uuid import UUID

from redis.asyncio import Redis

from notifications.errors import CloseCode, WebSocketRejectedError

LIFETIME_S = 30
TIMEOUT_S = 3.0
"""Timeout of a Redis command with its retries, below the gateway's timeout of a call."""

_KEY_PREFIX = "notifications:ticket:"


class TicketStore:
    """Issues and redeems tickets. redis-py errors and TimeoutError propagate; over HTTP they are a 503."""

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis

    async def issue(self, user_id: UUID) -> str:
        """Create a ticket for this user that is valid for `LIFETIME_S` seconds."""
        ticket = secrets.token_urlsafe(24)
        async with asyncio.timeout(TIMEOUT_S):
            await self._redis.set(_KEY_PREFIX + ticket, user_id.bytes, ex=LIFETIME_S)
        return ticket

    async def redeem(self, ticket: str) -> UUID:
        """Consume a ticket and return its user. Raises WebSocketRejectedError for a used, expired or unknown ticket."""
        async with asyncio.timeout(TIMEOUT_S):
            user_id = await self._redis.getdel(_KEY_PREFIX + ticket)
        if user_id is None:
            raise WebSocketRejectedError(CloseCode.UNAUTHORIZED, "the ticket is used, expired or unknown")
        return UUID(bytes=user_id)
