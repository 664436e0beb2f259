"""Routes of feeds and tickets, and the WebSocket route."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, WebSocket

from notifications.dependencies import FeedDep, PublisherDep, SettingsDep, TicketsDep
from notifications.realtime.tickets import LIFETIME_S
from notifications.schemas import (
    MAX_SEQ,
    FeedState,
    Notification,
    NotificationDigest,
    NotificationPage,
    ReadMark,
    Ticket,
)
from shared.auth import CurrentIdentity
from shared.validation.numbers import DIGITS
from shared.web.pagination import Limit

notifications_router = APIRouter()

AfterSeq = Annotated[int, Query(ge=0, le=MAX_SEQ, description="The last seq that you have"), DIGITS]


@notifications_router.get(
    "/notifications", tags=["notifications"], summary="List your notifications after a position, oldest first"
)
async def list_notifications(
    identity: CurrentIdentity, feed: FeedDep, after_seq: AfterSeq = 0, limit: Limit = 50
) -> NotificationPage:
    """List the caller's notifications after `after_seq`, oldest first. Continue from the last item up to `head`."""
    return await feed.list_after(identity.user_id, seq=after_seq, limit=limit)


@notifications_router.get("/notifications/summary", tags=["notifications"])
async def summarize_notifications(identity: CurrentIdentity, feed: FeedDep, latest: Limit = 5) -> NotificationDigest:
    """Return the number of unread notifications and the `latest` newest, for the gateway's dashboard."""
    page = await feed.list_latest(identity.user_id, limit=latest)
    return NotificationDigest(unread=page.head - page.read_seq, latest=page.items)


@notifications_router.get("/notifications/for-subject/{subject}", tags=["notifications"])
async def list_notifications_for_subject(
    subject: UUID, identity: CurrentIdentity, feed: FeedDep, limit: Limit = 50
) -> list[Notification]:
    """List the caller's notifications about a subject such as an order, oldest first, for the gateway."""
    page = await feed.list_about_subject(identity.user_id, subject=str(subject), limit=limit)
    return page.items


@notifications_router.post(
    "/notifications/read", tags=["notifications"], summary="Mark as read up to a position, on all your devices"
)
async def mark_read(
    body: ReadMark, identity: CurrentIdentity, feed: FeedDep, publisher: PublisherDep, after_commit: BackgroundTasks
) -> FeedState:
    """Mark notifications as read up to `up_to`, at most to `head`, on all devices of the caller."""
    result = await feed.mark_read(identity.user_id, up_to=body.up_to)
    if result.changed:
        after_commit.add_task(publisher.publish_read, identity.user_id, result.state.read_seq)
    return result.state


@notifications_router.post("/ws-tickets", tags=["websocket"], summary="Create a ticket for one WebSocket")
async def issue_ticket(identity: CurrentIdentity, tickets: TicketsDep, settings: SettingsDep) -> Ticket:
    """Create a ticket for one WebSocket of the caller. The client sends it in its first frame."""
    ticket = await tickets.issue(identity.user_id)
    return Ticket(ticket=ticket, expires_in=LIFETIME_S, url=str(settings.public_ws_url))


async def serve_websocket(websocket: WebSocket) -> None:
    """Serve one device. The frames are in `realtime.frames`."""
    await websocket.app.state.realtime.endpoint.serve(websocket)


notifications_router.add_websocket_route(
    "/ws", serve_websocket
)  # a plain route: dependency injection would cost memory per socket
