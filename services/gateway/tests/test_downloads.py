"""Downloads are streamed, and cancelled if the client stops reading."""

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from gateway.clients import Upstream, UpstreamRequest
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.responses import UpstreamDownload
from gateway.settings import ResilienceSettings
from shared.context import set_deadline
from testkit.connections import close_connection
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

REPORT = "0198b7f0-0000-7000-8000-00000000000b"
PATH = f"/reports/{REPORT}/download"
HEADERS = {"content-disposition": 'attachment; filename="orders.csv"', "x-internal-shard": "3"}


class TestDownload:
    async def test_download_has_the_type_length_and_name_of_the_file(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.respond("GET", PATH, content, headers=HEADERS, media_type="text/csv; charset=utf-8")
        file = await gateway.get(f"/v2{PATH}", headers=token)
        assert file.status_code == 200
        assert file.content == content
        assert file.headers["Content-Length"] == str(len(content))
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.headers["Content-Disposition"] == HEADERS["content-disposition"]
        assert "x-internal-shard" not in file.headers
        assert len(file.headers["X-Request-ID"]) == 32

    async def test_download_begins_before_the_service_has_sent_all(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        rest = asyncio.Event()
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=rest)
        async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
            chunks = file.aiter_raw()
            assert await anext(chunks) == b"first"
            rest.set()
            assert b"".join([chunk async for chunk in chunks]) == b"rest"

    async def test_download_is_cancelled_when_the_client_disconnects(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
            assert await anext(file.aiter_raw()) == b"first"
        await eventually(lambda: services.orders.disconnected == [PATH])

    async def test_download_is_cut_off_when_the_service_stops_midway(
        self,
        open_gateway: OpenGateway,
        services: Services,
        token: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with open_gateway(upstream_seconds=0.5) as gateway:
            with pytest.raises(httpx.RemoteProtocolError):
                await gateway.get(f"/v2{PATH}", headers=token)
        logs = capsys.readouterr().out
        assert logs.count('"download_broken_off"') == 1
        assert "UpstreamTimeoutError: orders did not respond in time" in logs
        assert "exception" not in logs

    async def test_reads_have_the_whole_timeout_when_little_time_is_left(self) -> None:
        """A download that waited for a slot may begin shortly before the deadline of its request."""
        timeouts: list[dict[str, float]] = []

        async def respond(request: httpx.Request) -> httpx.Response:
            timeouts.append(request.extensions["timeout"])
            return httpx.Response(200, content=b"a,b")

        upstream = Upstream(
            name="orders",
            url="http://orders",
            transport=httpx.MockTransport(respond),
            timeout_s=20,
            pipeline=ResiliencePipeline(name="orders", settings=ResilienceSettings()),
            endpoint_pipelines={},
        )
        with set_deadline(5):
            file = await upstream.download(
                UpstreamRequest(method="GET", path=PATH, template=PATH, headers={}), user_id=UUID(CALLER)
            )
        assert isinstance(file, UpstreamDownload)
        await file.close()
        [timeout] = timeouts
        assert timeout["read"] == 20
        assert timeout["pool"] <= 5

    @pytest.mark.parametrize(("status", "slug"), [(409, "report-not-ready"), (404, "report-not-found")])
    async def test_error_response_is_forwarded_like_any_other(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], status: int, slug: str
    ) -> None:
        services.orders.respond_problem("GET", PATH, status=status, slug=slug)
        rejected = await gateway.get(f"/v2{PATH}", headers=token)
        assert rejected.status_code == status
        assert rejected.headers["Content-Type"] == "application/problem+json"
        assert rejected.json()["instance"] == f"/v2{PATH}"

    async def test_download_needs_a_token_and_an_id(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2{PATH}")).status_code == 401
        assert (await gateway.get("/v2/reports/..%2Fprune/download", headers=token)).status_code in {404, 422}
        assert services.orders.requests == []

    async def test_service_is_slowed_down_when_the_client_reads_slowly(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        """Of 64 MiB, the service can send only what fits into the buffers of two connections."""
        sent = services.orders.stream_chunks("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        address = urlsplit(str(gateway.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=65536)
        request = f"GET /v2{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\n\r\n"
        writer.write(request.encode())
        await reader.readline()
        before = -1

        async def stalled() -> bool:
            nonlocal before
            previous, before = before, len(sent)
            await asyncio.sleep(0.2)
            return 0 < previous == len(sent)

        await eventually(stalled)
        assert len(sent) < 100, "the gateway buffers the download"
        await close_connection(writer)

    async def test_slot_is_released_when_the_client_reads_nothing(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.responses.CLIENT_READ_TIMEOUT_S", 0.5)
        services.orders.stream_chunks("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        async with open_gateway(max_concurrent_downloads=1) as gateway:
            async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
                assert file.status_code == 200
                await eventually(lambda: services.orders.in_flight == 0)
            services.orders.respond("GET", PATH, b"a", media_type="text/csv")
            assert (await gateway.get(f"/v2{PATH}", headers=token)).content == b"a"


class TestDownloadLimits:
    async def test_downloads_are_limited_separately_from_calls(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        rest = asyncio.Event()
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=rest)
        services.orders.respond("GET", "/orders", {})
        async with open_gateway(max_concurrent_calls=1, max_concurrent_downloads=1) as gateway:
            downloads = [asyncio.create_task(gateway.get(f"/v2{PATH}", headers=token)) for _ in range(3)]
            [rejected], others = await asyncio.wait(downloads, return_when=asyncio.FIRST_COMPLETED)
            assert rejected.result().status_code == 503
            assert rejected.result().json()["type"].endswith("/upstream-busy")
            assert (await gateway.get("/v2/orders", headers=token)).status_code == 200
            rest.set()
            assert [(await other).content for other in others] == [b"firstrest"] * 2

    async def test_downloads_are_limited_per_user(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], token_issuer: TokenIssuer
    ) -> None:
        services.orders.stream_chunks("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        async with (
            open_gateway(max_concurrent_downloads=4, max_concurrent_downloads_per_user=3) as gateway,
            AsyncExitStack() as read,
        ):
            for _ in range(3):
                slow = AsyncExitStack()
                file = await slow.enter_async_context(gateway.stream("GET", f"/v2{PATH}", headers=token))
                read.push_async_callback(slow.aclose)
                assert file.status_code == 200
            rejected = await gateway.get(f"/v2{PATH}", headers=token)
            assert rejected.status_code == 429
            assert rejected.json()["type"].endswith("/too-many-requests")
            assert "Retry-After" in rejected.headers
            another = token_issuer.headers("0198b7f0-0000-7000-8000-000000000002")
            async with gateway.stream("GET", f"/v2{PATH}", headers=another) as file:
                assert file.status_code == 200
            await slow.aclose()
            services.orders.respond("GET", PATH, b"a", media_type="text/csv")

            async def is_admitted() -> bool:
                return (await gateway.get(f"/v2{PATH}", headers=token)).status_code == 200

            await eventually(is_admitted)

    async def test_download_is_never_hedged(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        """A read that starts later is hedged, so a hedge of the download would have been sent by then."""
        late = asyncio.Event()
        services.orders.respond("GET", PATH, b"a", media_type="text/csv", until=late)
        services.orders.respond("GET", "/orders", {}, until=late)
        async with open_gateway(hedge_after_seconds=0.05, retry_budget=1) as gateway:
            file = asyncio.create_task(gateway.get(f"/v2{PATH}", headers=token))
            await eventually(lambda: services.orders.requests_for("GET", PATH))
            page = asyncio.create_task(gateway.get("/v2/orders", headers=token))
            await eventually(lambda: len(services.orders.requests_for("GET", "/orders")) == 2)
            assert len(services.orders.requests_for("GET", PATH)) == 1
            late.set()
            assert [(await response).status_code for response in (file, page)] == [200, 200]


class TestHead:
    async def test_head_has_the_headers_of_the_file_and_keeps_the_connection_usable(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.respond("GET", PATH, content, headers=HEADERS, media_type="text/csv; charset=utf-8")
        head = await gateway.head(f"/v2{PATH}", headers=token)
        file = await gateway.get(f"/v2{PATH}", headers=token)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Length", "Content-Type", "Content-Disposition"):
            assert head.headers[name] == file.headers[name]
        assert file.content == content
