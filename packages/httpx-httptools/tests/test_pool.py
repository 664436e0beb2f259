"""The connection pool: the choice of a connection for a request, and the closing of connections."""

import asyncio
from contextlib import suppress

import httpx
import pytest

from httpx_httptools import HttptoolsTransport
from testkit.apps import free_port
from testkit.raw_server import RawServer, raw_server
from testkit.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def open_connections(client: httpx.AsyncClient, server: RawServer, number: int) -> None:
    """Open `number` connections, which are idle afterwards."""
    server.respond(*[OK] * number)
    await asyncio.gather(*(client.get("/") for _ in range(number)))
    assert server.connections == number


class TestKeptConnections:
    async def test_surplus_connections_expire_when_one_is_in_use(self, server: RawServer) -> None:
        limits = httpx.Limits(max_connections=3, keepalive_expiry=0.5)
        async with httpx.AsyncClient(transport=HttptoolsTransport(limits=limits), base_url=server.url) as client:
            await open_connections(client, server, 3)

            async def keep_one_in_use() -> bool:
                server.respond(OK)
                await client.get("/")
                return server.disconnects == 2

            await eventually(keep_one_in_use)
            assert server.connections == 3
            await eventually(lambda: server.disconnects == 3)

    async def test_connection_is_not_used_when_the_server_closed_it(self, server: RawServer) -> None:
        transport = HttptoolsTransport()
        async with httpx.AsyncClient(transport=transport, base_url=server.url) as client:
            server.disconnect(after=OK)
            await client.post("/")
            await eventually(lambda: not transport._pool._idle[0].usable)
            server.respond(OK)
            assert (await client.post("/")).content == b"ok"
            assert server.connections == 2

    async def test_connections_are_kept_per_origin(self, client: httpx.AsyncClient, server: RawServer) -> None:
        async with raw_server() as another:
            for origin in (server, another, server, another):
                origin.respond(OK)
                assert (await client.get(f"{origin.url}/")).content == b"ok"
            assert (server.connections, another.connections) == (1, 1)

    async def test_idle_connection_of_another_origin_is_closed_when_the_pool_is_full(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        await open_connections(client, server, 3)
        async with raw_server() as another:
            another.respond(OK)
            assert (await client.get(f"{another.url}/")).content == b"ok"
            await eventually(lambda: server.disconnects == 1)


class TestResend:
    async def test_idempotent_request_is_resent_when_the_kept_connection_was_closed(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        await open_connections(client, server, 2)
        server.disconnect()
        server.respond(OK)
        resent: list[bool] = []
        extensions = {"on_resend": lambda: resent.append(True)}
        assert (await client.put("/", content=b"body", extensions=extensions)).content == b"ok"
        assert server.connections == 3, "the second attempt uses a new connection"
        assert server.requests[-2:] == [server.requests[-1]] * 2
        assert resent == [True]

    async def test_post_is_not_resent_when_the_kept_connection_was_closed(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        await open_connections(client, server, 1)
        server.disconnect()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/", content=b"order")
        assert len(server.requests) == 2

    async def test_request_is_not_resent_when_a_byte_of_a_response_has_arrived(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        await open_connections(client, server, 1)
        server.disconnect(after=b"HTTP/1.1 2")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")
        assert len(server.requests) == 2

    async def test_request_is_not_resent_a_second_time(self, client: httpx.AsyncClient, server: RawServer) -> None:
        await open_connections(client, server, 2)
        server.disconnect()
        server.disconnect()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")
        assert len(server.requests) == 4


class TestConnecting:
    async def test_connect_error_is_raised_when_no_server_listens(self, client: httpx.AsyncClient) -> None:
        port = free_port()
        for _ in range(4):
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://127.0.0.1:{port}/")

    async def test_host_name_is_resolved(self, client: httpx.AsyncClient, server: RawServer) -> None:
        server.respond(OK)
        assert (await client.get(f"http://localhost:{server.port}/")).content == b"ok"
        assert f"Host: localhost:{server.port}".encode() in server.requests[0]

    async def test_connect_timeout_includes_the_tls_handshake(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        """A server without TLS waits for a request while the client waits for its certificate."""
        client.timeout = httpx.Timeout(20, connect=0.05)
        for _ in range(4):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"https://127.0.0.1:{server.port}/")

    async def test_request_waits_for_a_connection_when_all_are_in_use(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        pending = [asyncio.create_task(client.get("/")) for _ in range(3)]
        await eventually(lambda: len(server.requests) == 3)
        with pytest.raises(httpx.PoolTimeout):
            await client.get("/", timeout=httpx.Timeout(20, pool=0.05))
        queued = asyncio.create_task(client.get("/"))
        pending[0].cancel()
        server.respond(OK)
        assert (await queued).content == b"ok"
        for request in pending:
            request.cancel()


class TestCancellation:
    async def test_connection_is_closed_when_the_response_is_late(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(20, read=0.05))
        await eventually(lambda: server.disconnects == 1)

    async def test_connection_is_closed_when_the_request_is_cancelled(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        waiting = asyncio.create_task(client.get("/"))
        await eventually(lambda: server.requests)
        waiting.cancel()
        await eventually(lambda: server.disconnects == 1)

    async def test_other_requests_succeed_when_a_request_is_cancelled_after_its_response_arrived(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        """Cancel many requests, each at a different step of the event loop, while others use the same connections."""
        server.respond(*[OK] * 400)
        for steps in range(40):
            cancelled = asyncio.create_task(client.get("/"))
            for _ in range(steps):
                await asyncio.sleep(0)
            others = [asyncio.create_task(client.get("/")) for _ in range(2)]
            cancelled.cancel()
            assert [(await other).content for other in others] == [b"ok"] * 2
            await asyncio.wait([cancelled])


class TestClose:
    async def test_close_ends_all_connections_and_requests_in_flight_fail(self, server: RawServer) -> None:
        transport = HttptoolsTransport()
        async with httpx.AsyncClient(transport=transport, base_url=server.url, timeout=20) as client:
            await open_connections(client, server, 2)
            waiting = asyncio.create_task(client.get("/"))
            await eventually(lambda: len(server.requests) == 3)
            await transport.aclose()
            with pytest.raises(httpx.RemoteProtocolError):
                await waiting
        await eventually(lambda: server.disconnects == 2)
        assert server.connections == 2

    async def test_connection_does_not_stay_open_when_it_is_opened_during_the_close(self, server: RawServer) -> None:
        """Close a transport at each step of the event loop at which a request can be."""
        server.respond(*[OK] * 40)
        for steps in range(40):
            transport = HttptoolsTransport(limits=httpx.Limits(keepalive_expiry=None))
            request = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", server.url)))
            for _ in range(steps):
                await asyncio.sleep(0)
            await transport.aclose()
            with suppress(httpx.TransportError):
                await (await request).aread()
        await eventually(lambda: server.open_connections == 0)
        assert server.connections > 20, "most of the transports must have connected before their close"
