"""Bodies read as they come."""

from collections.abc import AsyncIterator

import pytest
from services.gateway.tests.connections.peer import OK, Peer

from gateway.connections import Connections, Reply
from gateway.errors import UpstreamBroken
from testkit.waiting import eventually

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


@pytest.fixture
async def reply(connections: Connections, peer: Peer) -> AsyncIterator[Reply]:
    """The beginning of a streamed answer."""
    peer.says(b"HTTP/1.1 103 Early Hints\r\n\r\n" + BEGUN)
    begun = await connections.request("GET", "/", {}, streamed=True)
    yield begun
    connections.release(begun)


async def read(reply: Reply) -> bytes:
    """The next piece."""
    assert reply.stream
    return await reply.stream.read(100)


class TestStream:
    async def test_begins_before_it_ends_and_gives_its_connection_back(
        self, connections: Connections, peer: Peer, reply: Reply
    ) -> None:
        assert (reply.status, await read(reply)) == (200, b"half")
        peer.adds(b"done")
        assert (await read(reply), await read(reply)) == (b"done", b"")
        connections.release(reply)
        connections.release(reply)
        assert connections._idle == [reply.connection]
        peer.says(OK)
        assert (await connections.request("GET", "/", {})).body == b"ok"
        assert peer.made == 1

    async def test_that_is_not_read_to_its_end_ends_its_connection(
        self, connections: Connections, peer: Peer, reply: Reply
    ) -> None:
        connections.release(reply)
        await eventually(lambda: peer.lost == 1)

    async def test_of_which_a_part_lies_unread_ends_its_connection(
        self, connections: Connections, peer: Peer, reply: Reply
    ) -> None:
        peer.adds(b"done")
        await eventually(lambda: reply.ended)
        connections.release(reply)
        await eventually(lambda: peer.lost == 1)

    async def test_that_breaks_off_says_so(self, connections: Connections, peer: Peer) -> None:
        peer.hangs_up(after=BEGUN)
        reply = await connections.request("GET", "/", {}, streamed=True)
        await reply.connection.closed()
        with pytest.raises(UpstreamBroken):
            await read(reply)
        connections.release(reply)
        assert connections._open == set()

    async def test_that_goes_on_after_its_end_breaks_off(
        self, connections: Connections, peer: Peer, reply: Reply
    ) -> None:
        peer.adds(b"done" + OK)
        await reply.connection.closed()
        with pytest.raises(UpstreamBroken):
            await read(reply)

    async def test_a_refusal_is_none(self, connections: Connections, peer: Peer) -> None:
        peer.says(OK.replace(b"200 OK", b"404 Not Found"), OK)
        reply = await connections.request("GET", "/", {}, streamed=True)
        assert (reply.status, reply.stream, reply.body) == (404, None, b"ok")
        assert (await connections.request("GET", "/", {})).body == b"ok"
        assert peer.made == 1
