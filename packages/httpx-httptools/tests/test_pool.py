"""Which connection a request goes on, and when connections end."""

import asyncio
from contextlib import aclosing

import pytest
from services.gateway.tests.connections.peer import OK, Peer

from gateway.connections import Connections
from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamUnreachable
from testkit.apps import free_port
from testkit.waiting import eventually


async def use_at_once(connections: Connections, peer: Peer, number: int) -> None:
    """Have so many connections, all of them idle."""
    peer.says(*[OK] * number)
    await asyncio.gather(*(connections.request("GET", "/", {}) for _ in range(number)))
    assert peer.made == number


class TestKeptConnections:
    async def test_the_one_used_last_is_used_next(self, connections: Connections, peer: Peer) -> None:
        await use_at_once(connections, peer, 3)
        last = connections._idle[-1]
        peer.says(OK)
        reply = await connections.request("GET", "/", {})
        assert reply.connection is last
        assert peer.made == 3

    async def test_what_a_quieter_hour_does_not_need_is_closed(self, peer: Peer) -> None:
        url = f"http://127.0.0.1:{peer.port}"
        async with aclosing(Connections(name="orders", url=url, at_most=3, keepalive_s=0.3)) as connections:
            await use_at_once(connections, peer, 2)
            older, newer = connections._idle
            loop = asyncio.get_running_loop()
            await eventually(lambda: loop.time() > older.idle_since + 0.1)
            peer.says(OK)
            await connections.request("GET", "/", {})
            await older.closed()
            await newer.closed()
            assert loop.time() >= newer.idle_since + 0.3
            await eventually(lambda: peer.lost == peer.made)

    async def test_one_that_the_service_closed_is_not_used(self, connections: Connections, peer: Peer) -> None:
        peer.hangs_up(after=OK)
        await connections.request("POST", "/", {})
        await eventually(lambda: not connections._idle[0].usable)
        peer.says(OK)
        assert (await connections.request("POST", "/", {})).body == b"ok"

    async def test_what_can_be_repeated_is_where_a_kept_connection_ended_unheard(
        self, connections: Connections, peer: Peer
    ) -> None:
        await use_at_once(connections, peer, 2)
        peer.hangs_up()
        peer.says(OK)
        assert (await connections.request("PUT", "/", {}, b"body")).body == b"ok"
        assert peer.made == 3, "the second attempt is on a fresh connection"
        assert peer.heard[-2:] == [peer.heard[-1]] * 2

    async def test_an_order_is_not(self, connections: Connections, peer: Peer) -> None:
        await use_at_once(connections, peer, 1)
        peer.hangs_up()
        with pytest.raises(UpstreamBroken):
            await connections.request("POST", "/", {}, b"order")
        assert len(peer.heard) == 2

    async def test_nor_what_has_been_answered_in_part(self, connections: Connections, peer: Peer) -> None:
        await use_at_once(connections, peer, 1)
        peer.hangs_up(after=b"HTTP/1.1 2")
        with pytest.raises(UpstreamBroken):
            await connections.request("GET", "/", {})
        assert len(peer.heard) == 2

    async def test_nor_a_second_time(self, connections: Connections, peer: Peer) -> None:
        await use_at_once(connections, peer, 2)
        peer.hangs_up()
        peer.hangs_up()
        with pytest.raises(UpstreamBroken):
            await connections.request("GET", "/", {})
        assert len(peer.heard) == 4


class TestConnecting:
    async def test_where_nobody_listens_the_service_is_away(self) -> None:
        connections = Connections(name="orders", url=f"http://127.0.0.1:{free_port()}", at_most=1)
        for _ in range(2):
            with pytest.raises(UpstreamUnreachable, match="orders can not be reached"):
                await connections.request("GET", "/", {})

    async def test_names_are_resolved(self, peer: Peer) -> None:
        peer.says(OK)
        url = f"http://localhost:{peer.port}"
        async with aclosing(Connections(name="orders", url=url, at_most=1)) as connections:
            assert (await connections.request("GET", "/", {})).body == b"ok"
        assert f"host: localhost:{peer.port}".encode() in peer.heard[0]

    async def test_who_does_not_finish_connecting_is_late(self, peer: Peer) -> None:
        """A peer that speaks no TLS waits for a request while we wait for its certificate."""
        url = f"https://127.0.0.1:{peer.port}"
        connections = Connections(name="orders", url=url, at_most=1, connect_timeout_s=0.05)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await connections.request("GET", "/", {})

    async def test_there_are_so_many_and_no_more(self, connections: Connections, peer: Peer) -> None:
        waiting = [asyncio.create_task(connections.request("GET", "/", {})) for _ in range(3)]
        await eventually(lambda: len(peer.heard) == 3)
        with pytest.raises(UpstreamBusy):
            await connections.request("GET", "/", {})
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        peer.says(OK)
        assert (await connections.request("GET", "/", {})).body == b"ok"


class TestGivingUp:
    async def test_what_has_not_come_until_then_is_late(self, connections: Connections, peer: Peer) -> None:
        soon = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(TimeoutError):
            await connections.request("GET", "/", {}, until=soon)
        await eventually(lambda: peer.lost == 1)

    async def test_one_who_would_wait_for_longer_does_not(self, connections: Connections, peer: Peer) -> None:
        peer.says(OK)
        later = asyncio.get_running_loop().time() + 60
        assert (await connections.request("GET", "/", {}, until=later)).body == b"ok"

    async def test_the_service_sees_it(self, connections: Connections, peer: Peer) -> None:
        waiting = asyncio.create_task(connections.request("GET", "/", {}))
        await eventually(lambda: peer.heard)
        waiting.cancel()
        await eventually(lambda: peer.lost == 1)

    async def test_with_the_answer_at_hand_ends_nobody_elses_call(self, connections: Connections, peer: Peer) -> None:
        """The answer is here, the next call begins, and who waited for the answer is cancelled before they see it."""
        waiting = asyncio.create_task(connections.request("GET", "/", {}))
        await eventually(lambda: peer.heard)
        [connection] = connections._open
        peer.says(OK)
        another = asyncio.create_task(connections.request("POST", "/", {}))
        connection.data_received(OK)
        waiting.cancel()
        assert (await another).body == b"ok"
        assert waiting.cancelled()
        assert peer.made == 2


class TestEnd:
    async def test_all_are_closed_idle_or_not(self, peer: Peer) -> None:
        connections = Connections(name="orders", url=f"http://127.0.0.1:{peer.port}", at_most=3)
        await use_at_once(connections, peer, 2)
        waiting = asyncio.create_task(connections.request("GET", "/", {}))
        await eventually(lambda: len(peer.heard) == 3)
        await connections.aclose()
        with pytest.raises(UpstreamBusy):
            await waiting
        await eventually(lambda: peer.lost == 2)
        assert connections._open == set()
