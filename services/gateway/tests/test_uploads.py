"""Bodies that arrive late or in pieces, and clients that do not read their responses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from services.gateway.tests.clients import Connection, open_connection
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.connections import close_connection
from testkit.waiting import TIMEOUT_S, eventually

BODY = b'{"items":[]}'
FIRST_HALF, SECOND_HALF = BODY[:6], BODY[6:]


@asynccontextmanager
async def open_uploads(
    gateway: httpx.AsyncClient,
    customer_headers: dict[str, str],
    number: int,
    *,
    address: str = "127.0.0.1",
    body: bytes = FIRST_HALF,
) -> AsyncIterator[list[Connection]]:
    """Open `number` connections from `address`. On each, send the head of `POST /v2/orders` and `body` in one write.

    `Content-Length` is that of the whole body.
    """
    head = (
        "POST /v2/orders HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {customer_headers['Authorization']}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    connections: list[Connection] = []
    try:
        for _ in range(number):
            reader, writer = await open_connection(gateway, local_host=address)
            writer.write(head.encode() + body)
            connections.append((reader, writer))
        yield list(connections)  # a copy, because `pop_rejected` removes connections
    finally:
        for _, writer in connections:
            await close_connection(writer)


async def complete_upload(gateway: httpx.AsyncClient, connection: Connection) -> int:
    """Send the second half of a body after the gateway has read the first half, and return the status of the response.

    A body that arrives together with its head does not count as an upload. The gateway reads earlier data of all
    connections before it responds to a later request, so after the response to `/health/live` it has read the first
    half.
    """
    _, writer = connection
    await gateway.get("/health/live")
    writer.write(SECOND_HALF)
    return await read_status(connection)


async def read_status(connection: Connection) -> int:
    reader, _ = connection
    status_line = await asyncio.wait_for(reader.readline(), TIMEOUT_S)
    return int(status_line.split()[1])


async def pop_rejected(connections: list[Connection]) -> dict[str, str]:
    """Wait for the first response, which rejects an upload, and remove its connection from `connections`.

    Return the headers of the response, with its status and body as the items `status` and `body`.
    """
    reads = {asyncio.create_task(_read_response(reader)): (reader, writer) for reader, writer in connections}
    done, pending = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT_S)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    [read] = done
    connections.remove(reads[read])
    return read.result()


async def _read_response(reader: asyncio.StreamReader) -> dict[str, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return {**headers, "status": status.split()[1], "body": body.decode()}


class TestIdleUploads:
    async def test_idle_uploads_do_not_take_slots_of_requests(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.respond("POST", "/orders", {}, status=201)
        limit = 20
        async with (
            open_gateway(max_concurrent_requests=1, max_concurrent_uploads_per_address=limit) as gateway,
            open_uploads(gateway, customer_headers, limit + 1) as uploads,
        ):
            await pop_rejected(uploads)  # one upload is rejected because the others wait for the rest of their bodies
            assert (await gateway.get("/v2/products")).status_code == 200
            async with open_uploads(gateway, customer_headers, 1, body=BODY) as [whole]:
                assert await read_status(whole) == 201
            assert await complete_upload(gateway, uploads[0]) == 201
        assert services.orders.requests_for("POST", "/orders")[-1].body == BODY

    async def test_idle_uploads_are_limited_by_address(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        async with (
            open_gateway(max_concurrent_uploads_per_address=2) as gateway,
            open_uploads(gateway, customer_headers, 3) as uploads,
            open_uploads(gateway, customer_headers, 1, address="127.0.0.2") as [other],
        ):
            response = await pop_rejected(uploads)
            assert response["status"] == "429"
            assert 1 <= int(response["retry-after"]) <= 3
            assert "/too-many-requests" in response["body"]
            assert await complete_upload(gateway, other) == 201, "another address is not affected"
            async with open_uploads(gateway, customer_headers, 1, body=BODY) as [whole]:
                assert await read_status(whole) == 201, "a body that comes with its head is not counted"
            uploads[0][1].close()

            async def is_admitted() -> bool:
                async with open_uploads(gateway, customer_headers, 1) as [later]:
                    return await complete_upload(gateway, later) == 201

            await eventually(is_admitted, what="the slot of a client that disconnected")

    async def test_idle_uploads_are_limited_in_total(
        self, open_gateway: OpenGateway, customer_headers: dict[str, str]
    ) -> None:
        async with (
            open_gateway(max_concurrent_uploads=3, max_concurrent_uploads_per_address=2) as gateway,
            open_uploads(gateway, customer_headers, 2) as two,
            open_uploads(gateway, customer_headers, 2, address="127.0.0.2") as two_more,
        ):
            response = await pop_rejected([*two, *two_more])
        assert response["status"] == "503"
        assert 1 <= int(response["retry-after"]) <= 3
        assert "/overloaded" in response["body"]


async def test_body_is_forwarded_whole_when_it_arrives_in_pieces(
    gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
) -> None:
    services.orders.respond("POST", "/orders", {}, status=201)
    pieces = [bytes([number]) * 3_000 for number in range(20)]

    async def yield_pieces() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    response = await gateway.post("/v2/orders", headers=customer_headers, content=yield_pieces())
    assert response.status_code == 201
    assert services.orders.requests_for("POST", "/orders")[0].body == b"".join(pieces)


async def test_slot_is_released_when_the_client_does_not_read_the_response(
    open_gateway: OpenGateway, services: Services
) -> None:
    services.orders.respond("GET", "/products", b"x" * 10_000_000, media_type="text/plain")
    services.orders.respond("GET", "/products/mug", {})
    async with open_gateway(max_concurrent_requests=1) as gateway:
        _, writer = await open_connection(gateway, limit=1024)
        request = b"GET /v2/products HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request)
        await eventually(lambda: len(services.orders.requests_for("GET", "/products")) == 1)
        writer.write(request)  # the second response waits until the client has read the first one
        await eventually(lambda: len(services.orders.requests_for("GET", "/products")) == 2)
        await eventually(lambda: services.orders.in_flight == 0)

        async def is_served() -> bool:
            return (await gateway.get("/v2/products/mug")).status_code == 200

        assert await eventually(is_served)
        await close_connection(writer)
