"""HTTP in, HTTP out; and where WebSockets come in."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, WebSocket

from notifications.dependencies import FeedDep, PublisherDep, SettingsDep, TicketsDep
from notifications.realtime.tickets import LIFETIME_S
from notifications.schemas import (
    LARGEST_SEQ,
    FeedState,
    NotificationDigest,
    NotificationOut,
    NotificationPage,
    ReadMark,
    TicketOut,
)
from shared.numbers import DIGITS
from shared.pages import Limit
from shared.tokens import CurrentIdentity

router = APIRouter()

AfterSeq = Annotated[int, Query(ge=0, le=LARGEST_SEQ, description="The last seq you have"), DIGITS]


@router.get("/notifications", tags=["notifications"], summary="Your notifications after a position, oldest first")
async def list_notifications(
    identity: CurrentIdentity, feed: FeedDep, after_seq: AfterSeq = 0, limit: Limit = 50
) -> NotificationPage:
    """The caller's notifications after `after_seq`, oldest first; go on from the last item until you are at `head`."""
    return await feed.after(identity.user_id, seq=after_seq, limit=limit)


@router.get("/notifications/summary", tags=["notifications"])
async def summarize_notifications(identity: CurrentIdentity, feed: FeedDep, latest: Limit = 5) -> NotificationDigest:
    """How many are unread and the `latest` newest, in the shape the gateway splices into its dashboard unparsed."""
    page = await feed.latest(identity.user_id, limit=latest)
    return NotificationDigest(unread=page.head - page.read_seq, latest=page.items)


@router.get("/notifications/for-subject/{subject}", tags=["notifications"])
async def notifications_for_subject(
    subject: UUID, identity: CurrentIdentity, feed: FeedDep, limit: Limit = 50
) -> list[NotificationOut]:
    """The caller's notifications about one thing, an order for example, oldest first; a bare list, for the gateway."""
    page = await feed.about(identity.user_id, subject=str(subject), limit=limit)
    return page.items


@router.post(
    "/notifications/read", tags=["notifications"], summary="Mark as read up to a position, on all your devices"
)
async def mark_read(
    body: ReadMark, identity: CurrentIdentity, feed: FeedDep, publisher: PublisherDep, after_commit: BackgroundTasks
) -> FeedState:
    """Mark as read up to `up_to`: never back, never beyond `head`. All the caller's devices are told."""
    mark = await feed.mark_read(identity.user_id, up_to=body.up_to)
    if mark.moved:
        after_commit.add_task(publisher.read, identity.user_id, mark.state.read_seq)
    return mark.state


@router.post("/ws-tickets", tags=["websocket"], summary="A ticket for one WebSocket")
async def issue_ticket(identity: CurrentIdentity, tickets: TicketsDep, settings: SettingsDep) -> TicketOut:
    """A ticket for one WebSocket of the caller's, to be sent in its first frame."""
    ticket = await tickets.issue(identity.user_id)
    return TicketOut(ticket=ticket, expires_in=LIFETIME_S, url=str(settings.public_ws_url))


async def serve_websocket(websocket: WebSocket) -> None:
    """Serve one device; the protocol is in `realtime.frames`."""
    await websocket.app.state.realtime.endpoint.serve(websocket)


router.add_websocket_route("/ws", serve_websocket)  # a plain route: dependency injection would cost memory per socket
