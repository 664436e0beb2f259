"""Accepted and rejected request bodies, sent as raw bytes."""

import asyncio
import json
from contextlib import suppress

import pytest

from .protocol_server import CHUNKED, HEAD, ProtocolServer, parse_problem


class TestBody:
    async def test_trailers_are_not_treated_as_headers(self, server: ProtocolServer) -> None:
        trailers = b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nIdempotency-Key: y\r\n\r\n"
        response = await server.exchange(CHUNKED + trailers + HEAD + b"Connection: close\r\n\r\n")
        first, second = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in response.split(b"HTTP/1.1 200 OK")[1:]]
        assert first == {"headers": ["host", "transfer-encoding"], "body": "x"}
        assert second == {"headers": ["connection", "host"], "body": ""}

    @pytest.mark.parametrize(
        "framing",
        [
            pytest.param(b"0\r\nX: " + b"a" * 1_000_000, id="endless trailer"),
            pytest.param(b"0\r\n" + b"X: y\r\n" * 200_000, id="endless trailers"),
            pytest.param(b"1;a=" + b"a" * 1_000_000, id="endless chunk extension"),
        ],
    )
    async def test_response_is_400_when_framing_exceeds_64_kib(self, server: ProtocolServer, framing: bytes) -> None:
        assert parse_problem(await server.exchange(CHUNKED + framing))["status"] == 400

    async def test_response_is_a_problem_when_framing_is_invalid(self, server: ProtocolServer) -> None:
        assert parse_problem(await server.exchange(CHUNKED + b"not hexadecimal\r\n"))["status"] == 400

    async def test_response_is_408_when_the_body_is_late(self, quick_server: ProtocolServer) -> None:
        assert parse_problem(await quick_server.exchange(CHUNKED + b"1\r\nx\r\n"))["status"] == 408

    async def test_connection_is_closed_when_the_body_arrives_slowly_after_the_response(
        self, quick_server: ProtocolServer
    ) -> None:
        reader, writer = await quick_server.connect()
        writer.write(b"POST /respond_early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        received = bytearray()

        async def read_until_closed() -> None:
            with suppress(ConnectionResetError):  # the server closes the connection while the client sends
                while data := await reader.read(65_536):
                    received.extend(data)

        closed = asyncio.create_task(read_until_closed())
        while not closed.done():
            writer.write(b"a")
            await asyncio.wait([closed], timeout=0.02)
        await closed
        assert received.startswith(b"HTTP/1.1 204 ")
        assert b"408" not in received
        writer.close()
