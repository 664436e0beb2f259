"""A pub/sub connection of the process, with one subscription per channel, however many sessions share it.

It may fail at any moment and reconnects by itself. Messages published meanwhile are lost without a sign. So each
acknowledged subscription, the first and each later one, is passed on: read again what you may have missed.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Protocol

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import RedisDsn
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.background import Background
from shared.redis import redis_client
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

CONNECT_PATIENCE_S = 5.0
SILENCE_S = 5.0
"""A connection that says nothing for so long is asked for a sign, and given up after as long again."""


class Channels(Protocol):
    """What a subscriber subscribes to, and where messages go. Every method returns at once."""

    def channels(self) -> Iterable[str]:
        """The channels that this process needs now."""

    def subscribed(self, name: str) -> None:
        """The subscription to a channel was acknowledged: messages published from now on arrive."""

    def unsubscribed(self, name: str | None) -> None:
        """The subscription to a channel has ended, or with None all of them: the connection is lost."""

    def received(self, name: str, body: bytes) -> None:
        """Deliver a message; raises ValueError, for example pydantic's, if it is invalid."""


class Subscriber(Background):
    """Subscribes to `channels` on a connection named `name`."""

    def __init__(self, *, name: str, url: RedisDsn, channels: Channels) -> None:
        super().__init__()
        self._name = name
        self._url = url
        self._channels = channels
        self._pubsub: PubSub | None = None
        self._control = f"notifications:control:{name}"
        """Subscribed to always, so that the connection is in subscriber mode also if there is no other channel."""

    def __str__(self) -> str:
        return f"subscriber of {self._name}"

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to channels that are needed from now on.

        Without a connection this does nothing: the next one subscribes to all that `channels` returns.
        """
        if channels and (pubsub := self._live()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.subscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        """Unsubscribe from channels that are not needed any more."""
        if channels and (pubsub := self._live()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.unsubscribe(*channels)

    async def _run(self) -> None:
        with suppress_instrumentation():
            async with redis_client(self._url, answer_timeout_s=None, retries=0) as client, client.pubsub() as pubsub:
                try:
                    async with asyncio.timeout(CONNECT_PATIENCE_S):
                        await pubsub.subscribe(self._control)
                        self._pubsub = pubsub  # from here on `subscribe` uses the connection
                        if needed := list(self._channels.channels()):
                            await pubsub.subscribe(*needed)
                    await self._listen(pubsub)
                finally:
                    self._pubsub = None
                    self._channels.unsubscribed(None)

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
        if message["type"] not in {"message", "subscribe", "unsubscribe"}:
            return
        name = message["channel"].decode()
        if name == self._control:
            return
        if message["type"] == "subscribe":
            self._channels.subscribed(name)
        elif message["type"] == "unsubscribe":
            self._channels.unsubscribed(name)
        else:
            try:
                self._channels.received(name, message["data"])
            except ValueError as error:
                log.warning("published_frame_unreadable", channel=name, error=str(error))

    def _live(self) -> PubSub | None:
        """The connection where it stands: asking it to send while it is broken would have it reconnect by itself."""
        pubsub = self._pubsub
        return pubsub if pubsub and pubsub.connection and pubsub.connection.is_connected else None
