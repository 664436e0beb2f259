"""Accepted and rejected heads of requests (the request line and the headers), sent as raw bytes."""

import asyncio

import pytest

from shared.server.protocols.http import MAX_HEAD_BYTES
from testkit.waiting import TIMEOUT_S

from .protocol_server import HEAD, ProtocolServer, find_events, parse_problem, run_server


class TestHead:
    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"GET /" + b"a" * 10_000_000, id="endless request line"),
            pytest.param(HEAD + b"X: " + b"a" * 10_000_000, id="endless header"),
            pytest.param(HEAD + b"X" * 10_000_000, id="endless header name"),
            pytest.param(HEAD + b"X: 1234567890\r\n" * 500_000, id="endless headers"),
            pytest.param(HEAD + b"a:\r\n" * 3_000, id="many small headers"),
            pytest.param(HEAD + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", id="complete header"),
            pytest.param(
                b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="complete request line"
            ),
        ],
    )
    async def test_response_is_431_when_the_head_exceeds_64_kib(
        self, server: ProtocolServer, head: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rejected = parse_problem(await server.exchange(head))
        assert rejected["type"].endswith("/head-too-large")
        assert rejected["status"] == 431
        output = capsys.readouterr().out
        [record] = find_events(output, "request_rejected")
        assert (record["level"], record["status"], record["trace_id"]) == ("info", 431, rejected["trace_id"])
        assert "warning" not in output
        assert server.requests == 0

    async def test_request_is_served_when_the_head_is_smaller_than_64_kib(self, server: ProtocolServer) -> None:
        head = HEAD + b"X: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\nConnection: close\r\n\r\n"
        assert b" 200 OK" in await server.exchange(head)

    async def test_response_is_408_when_the_head_is_late(self, quick_server: ProtocolServer) -> None:
        rejected = parse_problem(await quick_server.exchange(HEAD))
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (408, "request-timeout")
        assert rejected["instance"] == "/echo"

    async def test_response_is_408_when_the_head_arrives_slowly(self, quick_server: ProtocolServer) -> None:
        reader, writer = await quick_server.connect()
        writer.write(HEAD + b"X: ")
        response = asyncio.create_task(reader.read())
        while not response.done():
            writer.write(b"a")
            await asyncio.wait([response], timeout=0.02)
        assert parse_problem(response.result())["status"] == 408
        writer.close()

    @pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
    async def test_connection_is_closed_when_no_request_arrives(
        self, quick_server: ProtocolServer, sent: bytes
    ) -> None:
        assert await quick_server.exchange(sent) == b""

    async def test_connection_is_closed_when_it_is_idle_after_a_response(self) -> None:
        async with run_server(timeout_keep_alive=0.2) as server:
            assert b" 200 OK" in await server.exchange(HEAD + b"\r\n")
            respond_early = b"POST /respond_early HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
            reader, writer = await server.connect()
            writer.write(respond_early)
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"x")  # here the body ends, after the response
            assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
            writer.close()

    @pytest.mark.parametrize(
        "hosts",
        [
            b"",
            b"Host: a\r\nHost: a\r\n",
            b"Host: a b\r\n",
            b"Host: \r\n",
            b"Host: a/b\r\n",
            b"Host: a:b\r\n",
            b"Host: [::1\r\n",
        ],
    )
    async def test_response_is_400_when_the_host_is_missing_repeated_or_invalid(
        self, server: ProtocolServer, hosts: bytes
    ) -> None:
        rejected = parse_problem(
            await server.exchange(b"GET /echo HTTP/1.1\r\n" + hosts + b"X-Request-ID: mine\r\n\r\n")
        )
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (400, "bad-request")
        assert server.requests == 0

    @pytest.mark.parametrize("host", [b"a", b"a:80", b"a:", b"127.0.0.1:8000", b"[::1]:8000", b"xn--p1ai.example"])
    async def test_request_is_served_when_the_host_is_valid(self, server: ProtocolServer, host: bytes) -> None:
        request = b"GET /echo HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        assert b" 200 OK" in await server.exchange(request)

    async def test_request_is_served_without_a_host_in_http_1_0(self, server: ProtocolServer) -> None:
        assert b" 200 OK" in await server.exchange(b"GET /echo HTTP/1.0\r\n\r\n")

    @pytest.mark.parametrize(
        "invalid",
        [
            b"GARBAGE\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02",
            HEAD + b"a b: c\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    async def test_response_is_400_and_logged_once_when_the_head_is_invalid(
        self, server: ProtocolServer, invalid: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rejected = parse_problem(await server.exchange(invalid))
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (400, "bad-request")
        assert len(find_events(capsys.readouterr().out, "request_rejected")) == 1

    async def test_request_id_of_the_client_is_kept(self, server: ProtocolServer) -> None:
        response = await server.exchange(b"GET / HTTP/1.1\r\nX-Request-ID: order-42\r\n\r\n")
        assert b"\r\nx-request-id: order-42\r\n" in response

    async def test_connection_is_closed_after_the_response_when_the_upgrade_is_unsupported(
        self, server: ProtocolServer
    ) -> None:
        upgrade = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 99\r\n\r\n"
        response = await server.exchange(upgrade + HEAD + b"\r\n")
        assert response.count(b"HTTP/1.1 200") == 1
        assert b"\r\nconnection: close\r\n" in response
        assert server.requests == 1
