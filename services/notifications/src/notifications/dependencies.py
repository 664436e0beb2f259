"""Services and clients of a request."""

from typing import Annotated

from fastapi import Depends, Request

from notifications.realtime.publisher import Publisher
from notifications.realtime.runtime import Realtime
from notifications.realtime.tickets import TicketStore
from notifications.repository import FeedRepository
from notifications.service import FeedService
from notifications.settings import Settings, get_settings
from shared.db.session import SessionDep

SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_feed_service(session: SessionDep) -> FeedService:
    """Return the feed service in the request's transaction."""
    return FeedService(repository=FeedRepository(session=session))


async def get_realtime(request: Request) -> Realtime:
    """Return the realtime components of the process."""
    realtime: Realtime = request.app.state.realtime
    return realtime


async def get_publisher(realtime: Annotated[Realtime, Depends(get_realtime)]) -> Publisher:
    """Return the publisher of the process."""
    return realtime.publisher


async def get_ticket_store(realtime: Annotated[Realtime, Depends(get_realtime)]) -> TicketStore:
    """Return the ticket store of the process."""
    return realtime.tickets


FeedDep = Annotated[FeedService, Depends(get_feed_service)]
PublisherDep = Annotated[Publisher, Depends(get_publisher)]
TicketsDep = Annotated[TicketStore, Depends(get_ticket_store)]
