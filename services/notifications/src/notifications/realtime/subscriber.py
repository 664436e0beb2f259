"""A pub/sub connection of the process, with one subscription per channel for all of its sessions.

The connection can fail at any time and is opened again. Messages that are published in between are lost. So every
acknowledged subscription is reported, and its owner reads the messages that it may have missed.
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

from shared.background import BackgroundLoop
from shared.db.redis import create_redis
from shared.errors.stores import REDIS_ERRORS

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 5.0
"""A connection that is silent for this time is pinged, and closed if it stays silent for the same time again."""


class Channels(Protocol):
    """The channels of a subscriber and the handlers of their messages. The methods do not wait."""

    def list_channels(self) -> Iterable[str]:
        """Return the channels that this process needs."""

    def on_subscribed(self, name: str) -> None:
        """Handle the acknowledgement of a subscription. Messages published from now on arrive."""

    def on_unsubscribed(self, name: str | None) -> None:
        """Handle the end of a subscription, or with None the loss of the connection."""

    def on_message(self, name: str, body: bytes) -> None:
        """Deliver a message. Raises ValueError, for example pydantic's, if it is invalid."""


class Subscriber(BackgroundLoop):
    """Subscribes to `channels`. `name` distinguishes the connections of the process in logs."""

    def __init__(self, *, name: str, url: RedisDsn, channels: Channels) -> None:
        super().__init__()
        self._name = name
        self._url = url
        self._channels = channels
        self._pubsub: PubSub | None = None
        self._control = f"notifications:control:{name}"
        """Always subscribed, so that the connection is in subscriber mode also without other channels."""

    def __str__(self) -> str:
        return f"subscriber of {self._name}"

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to new channels. A new connection subscribes to all channels that are needed."""
        if channels and (pubsub := self._get_connection()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.subscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        """Unsubscribe from channels."""
        if channels and (pubsub := self._get_connection()) is not None:
            with contextlib.suppress(*REDIS_ERRORS):
                await pubsub.unsubscribe(*channels)

    async def _run(self) -> None:
        with suppress_instrumentation():
            async with create_redis(self._url, response_timeout_s=None, retries=0) as client, client.pubsub() as pubsub:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        await pubsub.subscribe(self._control)
                        self._pubsub = pubsub  # from here on `subscribe` uses the connection
                        if needed := list(self._channels.list_channels()):
                            await pubsub.subscribe(*needed)
                    await self._listen(pubsub)
                finally:
                    self._pubsub = None
                    self._channels.on_unsubscribed(None)

    async def _listen(self, pubsub: PubSub) -> None:
        pinged = False
        while True:
            message = await pubsub.get_message(timeout=IDLE_TIMEOUT_S)
            if message is not None:
                pinged = False
                self._handle(message)
            elif pinged:
                raise RedisConnectionError("the subscribed connection is silent")
            else:
                pinged = True
                await pubsub.ping()

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] not in {"message", "subscribe", "unsubscribe"}:
            return
        name = message["channel"].decode()
        if name == self._control:
            return
        if message["type"] == "subscribe":
            self._channels.on_subscribed(name)
        elif message["type"] == "unsubscribe":
            self._channels.on_unsubscribed(name)
        else:
            try:
                self._channels.on_message(name, message["data"])
            except ValueError as error:
                log.warning("published_frame_unreadable", channel=name, error=str(error))

    def _get_connection(self) -> PubSub | None:
        """Return the connection if it is established. Otherwise redis-py would open a new one to send a command."""
        pubsub = self._pubsub
        return pubsub if pubsub and pubsub.connection and pubsub.connection.is_connected else None
