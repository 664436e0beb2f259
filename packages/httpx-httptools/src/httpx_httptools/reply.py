"""What is read: one answer."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.connections.connection import Connection

OK = 200


@dataclass(kw_only=True, slots=True, eq=False)
class Reply:
    """One answer as it comes in. `arrived` is done once it is whole, or has its head where its body is a `stream`.

    `headers` have their names in lower case; interim answers (1xx) and trailers are none of them. An answer ends with
    its length or its last chunk: one that ended with its connection could as well be half of one.
    """

    connection: "Connection"
    arrived: asyncio.Future[None]
    stream: asyncio.StreamReader | None = None
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    came: int = 0
    ended: bool = False
    reusable: bool = False

    @property
    def body(self) -> bytes:
        """The whole body, where it is no stream."""
        return b"".join(self.pieces)

    @property
    def has_arrived(self) -> bool:
        """Whether there is enough of it to work with."""
        return self.ended or (self.stream is not None and self.status == OK)

    @property
    def read(self) -> bool:
        """Whether all of it has come, and has been taken where it is a stream."""
        return self.ended if self.stream is None else self.stream.at_eof()

    def give_up(self) -> None:
        """Raise TimeoutError where it has not arrived."""
        if not self.arrived.done():
            self.fail(TimeoutError())

    def fail(self, failure: Exception) -> None:
        """Raise this where it is waited for or read."""
        if self.stream is not None:
            self.stream.set_exception(failure)
        if not self.arrived.done():
            self.arrived.set_exception(failure)
