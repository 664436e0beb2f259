"""The client and a gateway that rejects requests, delays responses, and closes connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from hopline_client import api
from hopline_client.api import ProblemError
from hopline_client.backoff import NO_RETRIES, RetryPolicy
from hopline_client.rest import MAX_BODY_BYTES, Client
from testkit.apps import free_port
from testkit.fake_gateway import Gateway, ReceivedRequest, problem, tokens
from testkit.waiting import eventually

USER = {
    "id": "u-1",
    "email": "ada@example.com",
    "name": "Ada",
    "role": "customer",
    "created_at": "2026-01-01T00:00:00Z",
}
ORDER = {"id": "o-1"}
BUSY = problem(503, "overloaded", headers={"Retry-After": "0"})


async def log_in(client: Client, gateway: Gateway) -> None:
    gateway.responses.append(JSONResponse(tokens(1)))
    await client.log_in(email="ada@example.com", password="secret")


class TestCall:
    async def test_call_sends_the_token_and_the_given_headers(self, client: Client, gateway: Gateway) -> None:
        await log_in(client, gateway)
        gateway.responses.append(JSONResponse(USER))
        traced = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "baggage": "hopline.synthetic=true"}
        assert await client.call(api.get_user(), headers=traced) == USER
        login, read = gateway.requests
        assert login.body == "grant_type=password&username=ada%40example.com&password=secret"
        assert "authorization" not in login.headers
        assert traced.items() <= read.headers.items()
        assert read.headers["authorization"] == "Bearer access-1"

    async def test_call_succeeds_when_the_body_is_empty(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.append(Response(status_code=204))
        await client.call(api.remove_faults(target="orders"))
        assert gateway.requests[0].path == "/v2/faults?target=orders"


class TestRetry:
    async def test_order_is_sent_again_with_the_same_key_after_503_and_in_flight_409(
        self, client: Client, gateway: Gateway
    ) -> None:
        in_flight = problem(409, "idempotency-key-in-flight", headers={"Retry-After": "0"})
        gateway.responses.extend([BUSY, in_flight, JSONResponse(ORDER, 201)])
        assert (await client.call(api.place_order(("MUG", 1))))["id"] == ORDER["id"]
        assert len({(request.headers["idempotency-key"], request.body) for request in gateway.requests}) == 1
        assert len(gateway.requests) == 3

    async def test_only_a_repeatable_request_is_sent_again_when_the_connection_is_lost(
        self, retry_policy: RetryPolicy
    ) -> None:
        connections = 0

        async def close_first_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            if connections > 2:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            writer.close()

        async with await asyncio.start_server(close_first_two, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                client = Client(http=http, retry_policy=retry_policy)
                body: object = await client.call(api.get_dashboard())
                assert body == {}
                assert connections == 3
                connections = 0
                with pytest.raises(httpx.TransportError):
                    await client.call(api.cancel_order("o-1"))
                assert connections == 1

    @pytest.mark.parametrize("status", [500, 404, 409, 422])
    async def test_request_is_not_sent_again_when_it_cannot_succeed_later(
        self, client: Client, gateway: Gateway, status: int
    ) -> None:
        gateway.responses.append(problem(status, "wrong"))
        with pytest.raises(ProblemError, match=str(status)):
            await client.call(api.place_order(("MUG", 1)))
        assert len(gateway.requests) == 1

    async def test_cancellation_of_an_order_is_sent_again_after_429_but_not_after_503(
        self, client: Client, gateway: Gateway
    ) -> None:
        limited = problem(429, "rate-limited", headers={"Retry-After": "0"})
        gateway.responses.extend([limited, BUSY])
        assert (await client.send(api.cancel_order("o-1"))).status_code == 503
        assert len(gateway.requests) == 2

    async def test_retry_waits_for_the_time_in_retry_after(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.extend([problem(503, "overloaded", headers={"Retry-After": "1"}), JSONResponse(USER)])
        began = asyncio.get_running_loop().time()
        assert await client.call(api.get_user()) == USER
        assert asyncio.get_running_loop().time() - began >= 1

    async def test_retry_is_omitted_when_its_delay_exceeds_the_budget(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.append(problem(429, "rate-limited", headers={"Retry-After": "6"}))
        with pytest.raises(ProblemError) as raised:
            await client.call(api.get_user())
        assert raised.value.retry_after_s == 6
        assert len(gateway.requests) == 1

    async def test_error_response_is_returned_when_the_last_attempt_fails(
        self, client: Client, gateway: Gateway
    ) -> None:
        gateway.responses.extend([BUSY] * 4)
        assert (await client.send(api.get_user())).status_code == 503
        assert len(gateway.requests) == 4

    async def test_request_is_sent_once_when_retries_are_disabled(self, client: Client, gateway: Gateway) -> None:
        await log_in(client, gateway)
        gateway.responses.extend([BUSY, problem(401, "unauthorized")])
        for status in (503, 401):
            assert (await client.send(api.get_user(), retry_policy=NO_RETRIES)).status_code == status
        assert len(gateway.requests) == 3


class TestTimeout:
    async def test_attempt_ends_at_its_timeout_when_the_body_arrives_slowly(self) -> None:
        async def send_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            with suppress(ConnectionError):  # the client resets the connection if it has not read all bytes
                while not reader.at_eof():
                    writer.write(b"{")
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await reader.read(1000)
            writer.close()
            ended.set()

        ended = asyncio.Event()
        async with await asyncio.start_server(send_slowly, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                client = Client(http=http, retry_policy=NO_RETRIES, timeout_s=0.2)
                with pytest.raises(httpx.ReadTimeout, match=r"GET /v2/users/me: no complete response within 0\.2 s"):
                    await client.call(api.get_user())
            await ended.wait()

    async def test_transport_error_is_raised_when_the_gateway_does_not_run(self, retry_policy: RetryPolicy) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port()}") as http:
            with pytest.raises(httpx.ConnectError):
                await Client(http=http, retry_policy=retry_policy).call(api.get_user())


class TestRefresh:
    async def test_token_is_refreshed_once_for_concurrent_requests(self, client: Client, gateway: Gateway) -> None:
        await log_in(client, gateway)
        gateway.respond = self._accept_renewed_token
        users = await asyncio.gather(*(client.call(api.get_user()) for _ in range(5)))
        assert users == [USER] * 5
        refreshes = [request.body for request in gateway.requests if "refresh_token" in request.body]
        assert refreshes == ["grant_type=refresh_token&refresh_token=refresh-1"]
        assert client.tokens == tokens(2)

    async def test_refresh_continues_when_the_first_request_is_cancelled(
        self, client: Client, gateway: Gateway
    ) -> None:
        await log_in(client, gateway)
        proceed = asyncio.Event()

        async def respond(request: ReceivedRequest) -> Response:
            if "refresh_token" in request.body:
                await proceed.wait()
            return await self._accept_renewed_token(request)

        gateway.respond = respond
        first = asyncio.create_task(client.call(api.get_user()))
        await eventually(lambda: gateway.requests[-1].path == "/v2/tokens" and len(gateway.requests) == 3)
        second = asyncio.create_task(client.call(api.get_user()))
        first.cancel()
        await asyncio.wait([first])
        proceed.set()
        assert await second == USER
        assert sum("refresh_token" in request.body for request in gateway.requests) == 1

    async def test_all_waiting_requests_fail_when_the_refresh_is_rejected(
        self, client: Client, gateway: Gateway
    ) -> None:
        await log_in(client, gateway)

        async def reject(request: ReceivedRequest) -> Response:
            slug = "refresh-token-refused" if request.path == "/v2/tokens" else "unauthorized"
            return problem(401, slug)

        gateway.respond = reject
        failures = await asyncio.gather(*(client.call(api.get_user()) for _ in range(3)), return_exceptions=True)
        assert [getattr(failure, "slug", None) for failure in failures] == ["refresh-token-refused"] * 3

    @staticmethod
    async def _accept_renewed_token(request: ReceivedRequest) -> Response:
        if request.path == "/v2/tokens":
            return JSONResponse(tokens(2))
        return JSONResponse(USER) if request.headers["authorization"] == "Bearer access-2" else problem(401, "expired")


class TestDownload:
    REQUEST = api.download_report("/v2/reports/r-1/download")

    async def test_download_yields_the_file_in_chunks(self, client: Client, gateway: Gateway) -> None:
        await log_in(client, gateway)
        headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
        gateway.responses.append(StreamingResponse(iter([b"a" * 100_000] * 3), headers=headers))
        async with client.download(self.REQUEST) as file:
            content = [chunk async for chunk in file.chunks]
        assert (file.name, b"".join(content)) == ("orders.csv", b"a" * 300_000)
        assert gateway.requests[-1].headers["authorization"] == "Bearer access-1"

    async def test_download_fails_when_the_file_is_too_large(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.append(Response(b"a" * 1000))
        with pytest.raises(httpx.ReadError, match="larger than 999 bytes"):
            async with client.download(self.REQUEST, max_bytes=999) as file:
                [chunk async for chunk in file.chunks]

    async def test_download_fails_when_it_is_too_slow(self, client: Client, gateway: Gateway) -> None:
        async def stream_until_ended() -> AsyncIterator[bytes]:
            yield b"a"
            await ended.wait()

        ended = asyncio.Event()
        gateway.responses.append(StreamingResponse(stream_until_ended()))
        with pytest.raises(TimeoutError):
            async with client.download(self.REQUEST, timeout_s=0.2) as file:
                [chunk async for chunk in file.chunks]
        ended.set()

    async def test_download_raises_the_problem_when_the_report_is_not_ready(
        self, client: Client, gateway: Gateway
    ) -> None:
        gateway.responses.append(problem(409, "report-not-ready", detail="Wait for it"))
        with pytest.raises(ProblemError, match=r"got 409: Wait for it"):
            async with client.download(self.REQUEST):
                pass


async def test_body_is_not_read_when_it_is_too_large(client: Client, gateway: Gateway) -> None:
    gateway.responses.append(JSONResponse({"text": "a" * MAX_BODY_BYTES}))
    with pytest.raises(httpx.ReadError, match=f"larger than {MAX_BODY_BYTES} bytes"):
        await client.send(api.get_user(), retry_policy=NO_RETRIES)


async def test_body_of_a_request_is_json(client: Client, gateway: Gateway) -> None:
    account = {"email": "a@example.com", "password": "p", "name": "Ada"}
    gateway.responses.append(JSONResponse({"id": "u-1"}, 201))
    await client.call(api.register(**account))
    assert json.loads(gateway.requests[0].body) == account
