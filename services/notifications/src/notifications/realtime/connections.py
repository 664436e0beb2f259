"""Opening and closing sessions, with the subscriptions of their users."""

from typing import Final

import structlog

from notifications.realtime.hub import Hub, UserSessions
from notifications.realtime.publisher import user_channel
from notifications.realtime.session import Session
from notifications.realtime.subscriber import Subscriber

log = structlog.get_logger(__name__)

SUBSCRIBE_TIMEOUT_S: Final = 2.0


class Connections:
    """Keeps one subscription for each user with a session in this process."""

    def __init__(self, *, hub: Hub, subscriber: Subscriber) -> None:
        self._hub = hub
        self._subscriber = subscriber

    def add(self, session: Session) -> UserSessions:
        """Add a session. Raises WebSocketRejectedError if a limit is reached or the process is draining."""
        return self._hub.join(session)

    async def subscribe(self, session: Session, user: UserSessions) -> None:
        """Wait until the user's channel is subscribed, so that no notification is missed after the catch-up.

        If Redis is unavailable, the session is served after the timeout, and the heartbeat finds missed notifications.
        """
        if not user.subscribed:
            await self._subscriber.subscribe(user_channel(session.user_id))
            if not await user.wait_until_subscribed(timeout_s=SUBSCRIBE_TIMEOUT_S):
                log.warning("socket_not_subscribed", user_id=session.user_id)

    async def remove(self, session: Session) -> None:
        """Remove a session, and unsubscribe after the last one of its user."""
        if self._hub.leave(session):
            await self._subscriber.unsubscribe(user_channel(session.user_id))
