"""Creates the realtime components and runs them with the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from notifications.realtime.cache import FeedCache
from notifications.realtime.connections import Connections
from notifications.realtime.drain import drain
from notifications.realtime.endpoint import WebSocketEndpoint
from notifications.realtime.heartbeat import Heartbeat
from notifications.realtime.history import History
from notifications.realtime.hub import FeedChannels, Hub
from notifications.realtime.membership import Membership
from notifications.realtime.presence import Presence
from notifications.realtime.publisher import Publisher
from notifications.realtime.read_marks import ReadMarks
from notifications.realtime.rooms import Rooms
from notifications.realtime.subscriber import Subscriber
from notifications.realtime.tickets import TicketStore
from notifications.settings import Settings
from shared.db.database import Database


@dataclass(frozen=True, kw_only=True)
class Realtime:
    """The components that the rest of the service uses."""

    settings: Settings
    hub: Hub
    rooms: Rooms
    tickets: TicketStore
    publisher: Publisher
    endpoint: WebSocketEndpoint

    async def drain(self) -> None:
        """Close every socket, spread over `ws_drain_seconds`."""
        await drain(self.hub, seconds=self.settings.ws_drain_seconds, retry_ms=self.settings.ws_retry_ms)


@asynccontextmanager
async def open_realtime(*, settings: Settings, database: Database, redis: Redis) -> AsyncIterator[Realtime]:
    """Run the subscribers, the heartbeat and the presence reports until the block ends.

    The stores may be unavailable at the start.
    """
    cache = FeedCache(redis=redis)
    history = History(database=database, cache=cache)
    tickets = TicketStore(redis=redis)
    publisher = Publisher(redis=redis, cache=cache)
    hub = Hub(per_user=settings.ws_connections_per_user, per_process=settings.ws_connections)
    rooms = Rooms(
        per_connection=settings.ws_rooms_per_connection,
        per_process=settings.ws_rooms,
        members=settings.ws_room_members,
    )
    async with (
        Heartbeat(hub=hub, history=history, ping_s=settings.ws_ping_seconds) as heartbeat,
        Subscriber(
            name="feeds", url=settings.redis_url, channels=FeedChannels(hub=hub, recheck=heartbeat.recheck)
        ) as subscriber,
        Subscriber(name="rooms", url=settings.redis_url, channels=rooms) as room_subscriber,
        Presence(redis=redis, rooms=rooms, heartbeat_s=settings.ws_room_beat_seconds),
    ):
        endpoint = WebSocketEndpoint(
            settings=settings,
            history=history,
            tickets=tickets,
            read_marks=ReadMarks(database=database, publisher=publisher),
            heartbeat=heartbeat,
            connections=Connections(hub=hub, subscriber=subscriber),
            membership=Membership(rooms=rooms, subscriber=room_subscriber),
        )
        yield Realtime(settings=settings, hub=hub, rooms=rooms, tickets=tickets, publisher=publisher, endpoint=endpoint)
