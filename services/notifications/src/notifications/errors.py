"""Everything that can go wrong with a WebSocket. Over HTTP nothing can beyond what `shared.errors` names."""

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the server closed a WebSocket; the name in lower case is the reason sent along.

    A client comes back after RESTARTING and TRY_LATER (RFC 6455's registry) at the time it was told or with a random
    delay, after SLOW_READER and NO_PONG at once, after UNAUTHORIZED with a new ticket, after TOO_MANY_CONNECTIONS not.
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


class SocketRefused(Exception):
    """A socket cannot be served; it is closed with `code`."""

    def __init__(self, code: CloseCode, why: str) -> None:
        super().__init__(why)
        self.code = code
