"""Close codes and errors of WebSockets. The problems of the REST interface are those of `shared.errors.problems`."""

from enum import IntEnum


class CloseCode(IntEnum):
    """The reason why the server closed a WebSocket. The name in lower case is the reason text.

    A client reconnects after the delay of the drain frame, or after a random delay if the code is below 4000
    (RFC 6455's registry) and no drain frame has arrived. After SLOW_READER and NO_PONG it reconnects immediately, and
    after UNAUTHORIZED with a new ticket. After TOO_MANY_CONNECTIONS it waits at least 30 s, because another socket has
    to close first.
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
