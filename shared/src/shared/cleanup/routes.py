"""Internal routes that run the cleanup of a service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from shared.auth import ServiceIdentity
from shared.cleanup import CleanupRequest, CleanupResult, CleanupService, EventsSince
from shared.db.session import SessionDep
from shared.messaging import events_since


async def _cleanup_service(request: Request) -> CleanupService:
    service: CleanupService = request.app.state.cleanup
    return service


CleanupServiceDep = Annotated[CleanupService, Depends(_cleanup_service)]

router = APIRouter(prefix="/internal/housekeeping", tags=["internal"])
"""For every service with a CleanupService at `app.state.cleanup`."""

publisher_router = APIRouter(prefix="/internal/housekeeping", tags=["internal"])
"""In addition to `router`, for a service with an outbox."""


@router.post("")
async def run_cleanup(
    cleanup_request: CleanupRequest, _identity: ServiceIdentity, cleanup: CleanupServiceDep
) -> CleanupResult:
    """Delete one batch of expired rows per task."""
    return await cleanup.run(events_since=cleanup_request.events_since)


@publisher_router.get("")
async def read_events_since(_identity: ServiceIdentity, session: SessionDep) -> EventsSince:
    """Return the time of the oldest event that can be published again. Consumers may delete older inbox rows."""
    return EventsSince(events_since=await events_since(session))
