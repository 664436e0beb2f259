"""Bodies that arrive late or in pieces, and clients that do not read their responses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.connections import close_connection
from testkit.waiting import TIMEOUT_S, eventually

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def open_uploads(
    gateway: httpx.AsyncClient,
    token: dict[str, str],
    number: int,
    *,
    address: str = "127.0.0.1",
    body: bytes = b'{"item',
) -> AsyncIterator[list[Connection]]:
    """Open `number` connections from `address`. Each sends one write.

    It consists of the header section of `POST /v2/orders` and `body`. `Content-Length` is 12, so the default `body` is
    the first half.
    """
    target = urlsplit(str(gateway.base_url))
    head = (
        f"POST /v2/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\nContent-Length: 12\r\n\r\n"
    )
    connections: list[Connection] = []
    try:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(target.hostname, target.port, local_addr=(address, 0))
            writer.write(head.encode() + body)
            connections.append((reader, writer))
        yield list(connections)
    finally:
        for _, writer in connections:
            await close_connection(writer)


async def complete(gateway: httpx.AsyncClient, connection: Connection) -> int:
    """Send the second half of a body after the first half has arrived, and return the status of the response.

    A body that arrives in one read does not count as an upload. The gateway reads earlier data of all connections
    before it responds to a later request, so after the response to `/health/live` it has read the first half.
    """
    await gateway.get("/health/live")
    connection[1].write(b's":[]}')
    return await read_status(connection)


async def read_status(connection: Connection) -> int:
    line = await asyncio.wait_for(connection[0].readline(), TIMEOUT_S)
    return int(line.split()[1])


async def pop_rejected(connections: list[Connection]) -> dict[str, str]:
    """Wait for the first response, which rejects an upload.

    Remove its connection from `connections`, and return the headers, status and body of the response.
    """
    reads = {asyncio.create_task(_read_response(reader)): (reader, writer) for reader, writer in connections}
    done, pending = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT_S)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    [rejected] = done
    connections.remove(reads[rejected])
    return rejected.result()


async def _read_response(reader: asyncio.StreamReader) -> dict[str, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return {**headers, "status": status.split()[1], "body": body.decode()}


class TestIdleUploads:
    async def test_idle_uploads_take_no_slot(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.respond("POST", "/orders", {}, status=201)
        async with (
            open_gateway(max_concurrent_requests=1, max_concurrent_uploads_per_address=20) as gateway,
            open_uploads(gateway, token, 21) as uploads,
        ):
            await pop_rejected(uploads)  # the others have arrived and wait
            assert (await gateway.get("/v2/products")).status_code == 200
            async with open_uploads(gateway, token, 1, body=b'{"items":[]}') as [whole]:
                assert await read_status(whole) == 201
            assert await complete(gateway, uploads[0]) == 201
        assert services.orders.requests_for("POST", "/orders")[-1].body == b'{"items":[]}'

    async def test_idle_uploads_are_limited_by_address(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        async with (
            open_gateway(max_concurrent_uploads_per_address=2) as gateway,
            open_uploads(gateway, token, 3) as uploads,
            open_uploads(gateway, token, 1, address="127.0.0.2") as [other],
        ):
            response = await pop_rejected(uploads)
            assert response["status"] == "429"
            assert 1 <= int(response["retry-after"]) <= 3
            assert "/too-many-requests" in response["body"]
            assert await complete(gateway, other) == 201, "another address is not affected"
            async with open_uploads(gateway, token, 1, body=b'{"items":[]}') as [whole]:
                assert await read_status(whole) == 201, "a body that comes with its head is not counted"
            uploads[0][1].close()

            async def is_admitted() -> bool:
                async with open_uploads(gateway, token, 1) as [later]:
                    return await complete(gateway, later) == 201

            await eventually(is_admitted, what="the slot of a client that disconnected")

    async def test_idle_uploads_are_limited_in_total(self, open_gateway: OpenGateway, token: dict[str, str]) -> None:
        async with (
            open_gateway(max_concurrent_uploads=3, max_concurrent_uploads_per_address=2) as gateway,
            open_uploads(gateway, token, 2) as two,
            open_uploads(gateway, token, 2, address="127.0.0.2") as two_more,
        ):
            response = await pop_rejected([*two, *two_more])
        assert response["status"] == "503"
        assert 1 <= int(response["retry-after"]) <= 3
        assert "/overloaded" in response["body"]


async def test_body_is_forwarded_whole_when_it_arrives_in_pieces(
    gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
) -> None:
    services.orders.respond("POST", "/orders", {}, status=201)
    pieces = [bytes([65 + number]) * 3_000 for number in range(20)]

    async def yield_pieces() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    response = await gateway.post("/v2/orders", headers=token, content=yield_pieces())
    assert response.status_code == 201
    assert services.orders.requests_for("POST", "/orders")[0].body == b"".join(pieces)


async def test_client_holds_no_slot_when_it_does_not_read(open_gateway: OpenGateway, services: Services) -> None:
    services.orders.respond("GET", "/products", b"x" * 10_000_000, media_type="text/plain")
    services.orders.respond("GET", "/products/mug", {})
    async with open_gateway(max_concurrent_requests=1) as gateway:
        target = urlsplit(str(gateway.base_url))
        _, writer = await asyncio.open_connection(target.hostname, target.port, limit=1024)
        request = b"GET /v2/products HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request)
        await eventually(lambda: len(services.orders.requests_for("GET", "/products")) == 1)
        writer.write(request)  # its response waits until the first one is read
        await eventually(lambda: len(services.orders.requests_for("GET", "/products")) == 2)
        await eventually(lambda: services.orders.in_flight == 0)

        async def is_served() -> bool:
            return (await gateway.get("/v2/products/mug")).status_code == 200

        assert await eventually(is_served)
        await close_connection(writer)
