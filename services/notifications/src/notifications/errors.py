"""Close codes and errors of WebSockets. The problems of the REST interface are those of `shared.errors.problems`."""

from enum import IntEnum


class CloseCode(IntEnum):
    """The reason why the server closed a WebSocket. The name in lower case is the reason text.

    A client reconnects with a new ticket, after the delay of the drain frame or else after a random delay. After
    UNAUTHORIZED, one attempt may be immediate. After TOO_MANY_CONNECTIONS it waits at least 30 s, because another
    socket has to close first.
    """

    SERVER_ERROR = 1011
    RESTARTING = 1012
    TRY_LATER = 1013
    SLOW_READER = 4008
    UNAUTHORIZED = 4401
    NO_PONG = 4408
    TOO_MANY_CONNECTIONS = 4429

    @property
    def reason(self) -> str:
        """The reason text of the close frame."""
        return self.name.lower().replace("_", " ")


class WebSocketRejectedError(Exception):
    """The WebSocket cannot be served and is closed with `code`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
