"""The process's one pub/sub connection: a channel per connected user, however many devices the user has.

It may fail at any moment and comes back by itself. What was published meanwhile is gone, and nobody says so; hence
every acknowledged subscription, the first and each later one, means "look at the feed's head".
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import RedisDsn, ValidationError
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from notifications.realtime.frames import published_frame
from notifications.realtime.hub import Hub
from notifications.realtime.publisher import channel, user_of
from shared.background import Background
from shared.redis import redis_client
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

CONNECT_PATIENCE_S = 5.0
SILENCE_S = 5.0
"""A connection that says nothing for so long is asked for a sign, and given up after as long again."""

_CONTROL = b"notifications:control"
"""Subscribed to always, so that the connection is one of subscriptions also while nobody is here."""


class Subscriber(Background):
    """Hands what is published to the hub, and the ids of resubscribed users to `recheck`."""

    def __init__(self, *, url: RedisDsn, hub: Hub, recheck: Callable[[UUID], None]) -> None:
        super().__init__()
        self._url = url
        self._hub = hub
        self._recheck = recheck
        self._pubsub: PubSub | None = None

    def __str__(self) -> str:
        return "subscriber"

    async def add(self, user_id: UUID) -> None:
        """Subscribe to a user who has come; the acknowledgement sets the room's `subscribed`.

        Without a connection this does nothing: the next one subscribes to everybody who is here.
        """
        if (pubsub := self._live()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.subscribe(channel(user_id))

    async def remove(self, user_id: UUID) -> None:
        """Unsubscribe from a user who has gone."""
        if (pubsub := self._live()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.unsubscribe(channel(user_id))

    async def _run(self) -> None:
        with suppress_instrumentation():
            async with redis_client(self._url, answer_timeout_s=None, retries=0) as client, client.pubsub() as pubsub:
                try:
                    async with asyncio.timeout(CONNECT_PATIENCE_S):
                        await pubsub.subscribe(_CONTROL)
                        self._pubsub = pubsub  # from here on newcomers subscribe themselves
                        if present := [channel(user_id) for user_id in self._hub.rooms]:
                            await pubsub.subscribe(*present)
                    await self._listen(pubsub)
                finally:
                    self._pubsub = None
                    for room in self._hub.rooms.values():
                        room.subscribed = False

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is not None:
                asked = False
                self._handle(message)
            elif asked:
                raise RedisConnectionError("the subscribed connection is silent")
            else:
                asked = True
                await pubsub.ping()

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] not in {"message", "subscribe"} or message["channel"] == _CONTROL:
            return
        user_id = user_of(message["channel"])
        if message["type"] == "subscribe":
            if (room := self._hub.rooms.get(user_id)) is not None:
                room.subscribed = True
                self._recheck(user_id)
            return
        try:
            frame = published_frame(message["data"])
        except ValidationError as error:
            log.warning("published_frame_unreadable", user_id=user_id, error=str(error))
            return
        self._hub.deliver(user_id, frame, size=len(message["data"]))

    def _live(self) -> PubSub | None:
        """The connection where it stands: asking it to send while it is broken would have it reconnect by itself."""
        pubsub = self._pubsub
        return pubsub if pubsub and pubsub.connection and pubsub.connection.is_connected else None
