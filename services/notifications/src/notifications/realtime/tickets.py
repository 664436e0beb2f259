"""Tickets: a browser cannot send an Authorization header with a WebSocket, so it trades its token for one.

A ticket lives in Redis for 30 s and works once (GETDEL is atomic): seen in a log or a proxy, it is worth nothing.
"""

import asyncio
import secrets
from uuid import UUID

from redis.asyncio import Redis

from notifications.errors import CloseCode, SocketRefused

LIFETIME_S = 30
TIMEOUT_S = 3.0
"""Limit of a call to Redis with its retries, below the gateway's timeout of a call."""

_KEY = "notifications:ticket:"


class Tickets:
    """Issues and redeems tickets. Redis being away raises redis-py's errors or TimeoutError: 503 over HTTP."""

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis

    async def issue(self, user_id: UUID) -> str:
        """A fresh ticket for this user, good for `LIFETIME_S` seconds."""
        ticket = secrets.token_urlsafe(24)
        async with asyncio.timeout(TIMEOUT_S):
            await self._redis.set(_KEY + ticket, user_id.bytes, ex=LIFETIME_S)
        return ticket

    async def redeem(self, ticket: str) -> UUID:
        """Whose ticket this is, which it is no longer; raises SocketRefused for a used, expired or invented one."""
        async with asyncio.timeout(TIMEOUT_S):
            user_id = await self._redis.getdel(_KEY + ticket)
        if user_id is None:
            raise SocketRefused(CloseCode.UNAUTHORIZED, "the ticket is used, expired or none of ours")
        return UUID(bytes=user_id)
