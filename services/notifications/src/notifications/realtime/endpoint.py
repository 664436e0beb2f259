"""The conversation with one device, from its first frame to its last."""

import asyncio
import random
from typing import Final
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from starlette.websockets import WebSocket, WebSocketDisconnect

from notifications.errors import CloseCode, SocketRefused
from notifications.realtime.frames import Hello, Join, Leave, Pong, Read, client_frame
from notifications.realtime.heartbeat import Heartbeat
from notifications.realtime.history import History
from notifications.realtime.hub import Hub, UserSessions
from notifications.realtime.membership import Membership
from notifications.realtime.publisher import Publisher, channel
from notifications.realtime.session import Session
from notifications.realtime.subscriber import Subscriber
from notifications.realtime.tickets import Tickets
from notifications.repository import FeedRepository
from notifications.service import FeedService
from notifications.settings import Settings
from shared.client_address import AddressLimit, address_of
from shared.database import Database
from shared.store_errors import STORE_ERRORS

log = structlog.get_logger(__name__)

SUBSCRIBE_PATIENCE_S: Final = 2.0
READ_PATIENCE_S: Final = 3.0
BURST_FRAMES: Final = 40
"""So many frames of one device are handled at once, before WS_FRAMES_PER_SECOND applies."""


class Endpoint:
    """Serves sockets."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        history: History,
        tickets: Tickets,
        publisher: Publisher,
        hub: Hub,
        subscriber: Subscriber,
        heartbeat: Heartbeat,
        membership: Membership,
    ) -> None:
        self._settings = settings
        self._database = database
        self._history = history
        self._tickets = tickets
        self._publisher = publisher
        self._hub = hub
        self._subscriber = subscriber
        self._heartbeat = heartbeat
        self._membership = membership
        self._silent = AddressLimit(
            total=settings.ws_silent_connections, per_address=settings.ws_silent_connections_per_address
        )

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket until it closes. Makes no span of its own: it would stay open for hours."""
        with suppress_instrumentation():
            await websocket.accept()
            try:
                user_id, cursor = await self._hello(websocket)
                await self._attend(websocket, user_id, cursor)
            except WebSocketDisconnect:
                return
            except SocketRefused as refusal:
                await _refuse(websocket, refusal.code, str(refusal))
            except STORE_ERRORS as error:
                await _refuse(websocket, CloseCode.TRY_LATER, repr(error))

    async def _hello(self, websocket: WebSocket) -> tuple[UUID, int]:
        """Whose device this is and the last seq it has seen; raises SocketRefused without a good hello in time.

        The user of a socket is unknown until then, so these sockets are limited in total and by client address.
        """
        address = address_of(websocket.scope)
        if self._silent.reached(address):
            raise SocketRefused(CloseCode.TRY_LATER, "too many have not said hello")
        with self._silent.hold(address):
            try:
                async with asyncio.timeout(self._settings.ws_hello_seconds):
                    hello = client_frame(await _receive(websocket))
            except TimeoutError as error:
                raise SocketRefused(CloseCode.UNAUTHORIZED, "no hello in time") from error
        if not isinstance(hello, Hello):
            raise SocketRefused(CloseCode.UNAUTHORIZED, "the first frame is no hello")
        return await self._tickets.redeem(hello.ticket), hello.cursor

    async def _attend(self, websocket: WebSocket, user_id: UUID, cursor: int) -> None:
        session = Session(
            user_id=user_id,
            websocket=websocket,
            history=self._history,
            settings=self._settings,
            recheck=self._heartbeat.recheck,
        )
        user = self._hub.join(session)
        try:
            await self._subscribed(user, user_id)
            await self._welcome(session, cursor)
            await self._converse(websocket, session)
        finally:
            session.disconnected()
            rooms = self._membership.leave_all(session)
            if self._hub.leave(session):
                await self._subscriber.unsubscribe(channel(user_id))
            await self._membership.release(rooms)

    async def _subscribed(self, user: UserSessions, user_id: UUID) -> None:
        """Wait for the acknowledgement: what is published after it arrives, what was committed before it is read.

        Redis being away delays the device, and does not refuse it: the heartbeat finds what is not published.
        """
        if not user.subscribed:
            await self._subscriber.subscribe(channel(user_id))
            if not await user.becomes_subscribed(within_s=SUBSCRIBE_PATIENCE_S):
                log.warning("socket_not_subscribed", user_id=user_id)

    async def _welcome(self, session: Session, cursor: int) -> None:
        """Greet; the first ping comes at a random moment, so that devices that came together are not due together."""
        state = (await self._history.states([session.user_id]))[session.user_id]
        ping_s = self._settings.ws_ping_seconds
        first = asyncio.get_running_loop().time() + ping_s * random.uniform(0.5, 1)  # noqa: S311
        log.info("socket_welcomed", user_id=session.user_id, cursor=cursor, head=state.head)
        session.welcome(state, cursor=cursor, ping_s=ping_s, ping_at=first)

    async def _converse(self, websocket: WebSocket, session: Session) -> None:
        """Handle what the device sends until it goes; raises SocketRefused for an invalid frame or another hello.

        A device that sends too fast is read more slowly. Frames are handled one after another, so unread ones wait in
        the network's buffers and then at the sender.
        """
        clock = asyncio.get_running_loop().time
        interval_s = 1 / self._settings.ws_frames_per_second
        next_due = 0.0
        while True:
            next_due = max(next_due, clock() - interval_s * BURST_FRAMES) + interval_s
            if (wait_s := next_due - clock()) > 0:
                await asyncio.sleep(wait_s)
            match client_frame(await _receive(websocket)):
                case Pong():
                    session.pong()
                case Read(up_to=up_to):
                    await self._mark_read(session.user_id, up_to)
                case Join(room=room):
                    await self._membership.join(session, room)
                case Leave(room=room):
                    await self._membership.leave(session, room)
                case Hello():
                    raise SocketRefused(CloseCode.UNAUTHORIZED, "hello was said before")

    async def _mark_read(self, user_id: UUID, up_to: int) -> None:
        """Mark and tell all devices. Where Postgres is away nothing is marked, and the next ping shows it."""
        try:
            async with asyncio.timeout(READ_PATIENCE_S), self._database.transaction() as session:
                mark = await FeedService(repository=FeedRepository(session)).mark_read(user_id, up_to=up_to)
        except STORE_ERRORS as error:
            log.warning("read_not_marked", user_id=user_id, up_to=up_to, error=repr(error))
            return
        if mark.moved:
            await self._publisher.read(user_id, mark.state.read_seq)


async def _receive(websocket: WebSocket) -> str | None:
    """The next message's text, None for a binary one; raises WebSocketDisconnect at the end."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    return text


async def _refuse(websocket: WebSocket, code: CloseCode, why: str) -> None:
    log.info("socket_refused", code=int(code), why=why)
    try:
        await websocket.close(code, code.reason)
    except (WebSocketDisconnect, RuntimeError):  # it has gone, or was closed meanwhile
        return
