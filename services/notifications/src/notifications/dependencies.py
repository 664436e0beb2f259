"""Who gets built for a request."""

from typing import Annotated

from fastapi import Depends, Request

from notifications.realtime.publisher import Publisher
from notifications.realtime.runtime import Realtime
from notifications.realtime.tickets import Tickets
from notifications.repository import FeedRepository
from notifications.service import FeedService
from notifications.settings import Settings, get_settings
from shared.session import SessionDep


async def _feed(session: SessionDep) -> FeedService:
    return FeedService(repository=FeedRepository(session))


async def _realtime(request: Request) -> Realtime:
    realtime: Realtime = request.app.state.realtime
    return realtime


async def _publisher(realtime: Annotated[Realtime, Depends(_realtime)]) -> Publisher:
    return realtime.publisher


async def _tickets(realtime: Annotated[Realtime, Depends(_realtime)]) -> Tickets:
    return realtime.tickets


FeedDep = Annotated[FeedService, Depends(_feed)]
PublisherDep = Annotated[Publisher, Depends(_publisher)]
TicketsDep = Annotated[Tickets, Depends(_tickets)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
