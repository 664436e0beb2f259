"""How a service is told to keep house: routes that only another service of ours may call."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from shared.events import events_since
from shared.housekeeping import EventsSince, Housekeeping, Tidied, Tidying
from shared.session import SessionDep
from shared.tokens import ServiceIdentity


async def _housekeeping(request: Request) -> Housekeeping:
    found: Housekeeping = request.app.state.housekeeping
    return found


HousekeepingDep = Annotated[Housekeeping, Depends(_housekeeping)]

router = APIRouter(prefix="/internal/housekeeping", tags=["internal"])
"""For every service with chores; it has them on `app.state.housekeeping`."""

publishing = APIRouter(prefix="/internal/housekeeping", tags=["internal"])
"""Beside `router`, for a service with an outbox."""


@router.post("")
async def tidy(known: Tidying, _identity: ServiceIdentity, housekeeping: HousekeepingDep) -> Tidied:
    """Remove one batch of everything that is no longer needed here."""
    return await housekeeping.tidy(events_since=known.events_since)


@publishing.get("")
async def read_events_since(_identity: ServiceIdentity, session: SessionDep) -> EventsSince:
    """Since when events are kept that could be shipped again: older ones may be forgotten by whoever applied them."""
    return EventsSince(events_since=await events_since(session))
