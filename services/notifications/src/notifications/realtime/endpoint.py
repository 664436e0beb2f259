"""The protocol of one WebSocket: hello, welcome, and the client's frames."""

import asyncio
import random
from typing import Final
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from starlette.websockets import WebSocket, WebSocketDisconnect

from notifications.errors import CloseCode, WebSocketRejectedError
from notifications.realtime import metrics
from notifications.realtime.connections import Connections
from notifications.realtime.frames import Hello, Join, Leave, Pong, Read, parse_client_frame
from notifications.realtime.heartbeat import Heartbeat
from notifications.realtime.history import History
from notifications.realtime.membership import Membership
from notifications.realtime.read_marks import ReadMarks
from notifications.realtime.session import Session
from notifications.realtime.tickets import TicketStore
from notifications.settings import Settings
from shared.errors.stores import STORE_ERRORS, is_store_bug
from shared.web.client_address import AddressLimit, get_client_address

log = structlog.get_logger(__name__)

BURST_FRAMES: Final = 40
"""Frames of one socket that are read without a pause before WS_FRAMES_PER_SECOND applies."""


class WebSocketEndpoint:
    """Serves the WebSockets of this process."""

    def __init__(
        self,
        *,
        settings: Settings,
        history: History,
        tickets: TicketStore,
        read_marks: ReadMarks,
        heartbeat: Heartbeat,
        connections: Connections,
        membership: Membership,
    ) -> None:
        self._settings = settings
        self._history = history
        self._tickets = tickets
        self._read_marks = read_marks
        self._heartbeat = heartbeat
        self._connections = connections
        self._membership = membership
        self._pending_hellos = AddressLimit(
            total=settings.ws_silent_connections, per_address=settings.ws_silent_connections_per_address
        )

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket until it closes. It has no span, which would stay open for hours."""
        with suppress_instrumentation():
            await websocket.accept()
            try:
                user_id, cursor = await self._receive_hello(websocket)
                await self._run_session(websocket, user_id, cursor)
            except WebSocketDisconnect:
                return
            except WebSocketRejectedError as rejection:
                await _reject(websocket, rejection.code, str(rejection))
            except STORE_ERRORS as error:
                await _reject(websocket, CloseCode.TRY_LATER, repr(error), is_bug=is_store_bug(error))

    async def _receive_hello(self, websocket: WebSocket) -> tuple[UUID, int]:
        """Return the user of the socket and the last seq that the device received.

        The user is unknown until the hello, so sockets without a hello are limited in total and by client address.

        Raises:
            WebSocketRejectedError: The hello is late or invalid, or too many sockets have not sent a hello.
        """
        address = get_client_address(websocket.scope)
        if self._pending_hellos.find_reached_limit(address):
            raise WebSocketRejectedError(CloseCode.TRY_LATER, "too many sockets have not sent a hello")
        with self._pending_hellos.hold(address):
            try:
                async with asyncio.timeout(self._settings.ws_hello_seconds):
                    hello = parse_client_frame(await _receive_text(websocket))
            except TimeoutError as error:
                raise WebSocketRejectedError(CloseCode.UNAUTHORIZED, "no hello in time") from error
        if not isinstance(hello, Hello):
            raise WebSocketRejectedError(CloseCode.UNAUTHORIZED, "the first frame is not a hello")
        return await self._tickets.redeem(hello.ticket), hello.cursor

    async def _run_session(self, websocket: WebSocket, user_id: UUID, cursor: int) -> None:
        session = Session(
            user_id=user_id,
            websocket=websocket,
            history=self._history,
            settings=self._settings,
            recheck=self._heartbeat.recheck,
        )
        user = self._connections.add(session)
        try:
            await self._connections.subscribe(session, user)
            await self._send_welcome(session, cursor)
            await self._receive_frames(websocket, session)
        finally:
            session.stop()
            rooms = self._membership.leave_all(session)
            await self._connections.remove(session)
            await self._membership.release(rooms)

    async def _send_welcome(self, session: Session, cursor: int) -> None:
        """Send the welcome. The first ping has a random time, which spreads the pings of sockets opened together."""
        state = (await self._history.get_states([session.user_id]))[session.user_id]
        ping_s = self._settings.ws_ping_seconds
        first = asyncio.get_running_loop().time() + ping_s * random.uniform(0.5, 1)  # noqa: S311
        session.welcome(state, cursor=cursor, ping_s=ping_s, ping_at=first)
        if session.open:
            log.info("socket_welcomed", user_id=session.user_id, cursor=cursor, head=state.head)

    async def _receive_frames(self, websocket: WebSocket, session: Session) -> None:
        """Handle the client's frames one after another until the socket closes.

        Frames above WS_FRAMES_PER_SECOND are read later. Until then they wait in the network buffers and at the sender.

        Raises:
            WebSocketRejectedError: A frame is invalid, or the hello is repeated.
        """
        clock = asyncio.get_running_loop().time
        interval_s = 1 / self._settings.ws_frames_per_second
        next_due = 0.0
        while True:
            # At most BURST_FRAMES intervals behind the clock, which is the burst after a pause (GCRA).
            next_due = max(next_due, clock() - interval_s * BURST_FRAMES) + interval_s
            if (wait_s := next_due - clock()) > 0:
                await asyncio.sleep(wait_s)
            match parse_client_frame(await _receive_text(websocket)):
                case Pong():
                    session.record_pong()
                case Read(up_to=up_to):
                    await self._read_marks.mark_read(session.user_id, up_to=up_to)
                case Join(room=room):
                    await self._membership.join(session, room)
                case Leave(room=room):
                    await self._membership.leave(session, room)
                case Hello():
                    raise WebSocketRejectedError(CloseCode.UNAUTHORIZED, "the hello is repeated")


async def _receive_text(websocket: WebSocket) -> str | None:
    """Return the next message's text, or None for a binary message. Raises WebSocketDisconnect at the end."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    return text


async def _reject(websocket: WebSocket, code: CloseCode, reason: str, *, is_bug: bool = False) -> None:
    """Log the reason, a bug as an error with its stack trace, and close the socket."""
    metrics.closed_sockets.add(1, {"hopline.websocket.close_code": int(code)})
    write = log.error if is_bug else log.info
    write("socket_rejected", code=int(code), reason=reason, exc_info=is_bug)
    try:
        await websocket.close(code, code.reason)
    except (WebSocketDisconnect, RuntimeError):  # closed already
        return
