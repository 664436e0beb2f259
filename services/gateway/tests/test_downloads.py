"""Downloads are streamed, and cancelled if the client stops reading."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import httpx
import pytest
from services.gateway.tests.clients import open_connection
from services.gateway.tests.conftest import CALLER, OTHER_USER, OpenGateway, Services

from gateway.clients import CONNECT_TIMEOUT_S, Upstream, UpstreamRequest
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.responses import UpstreamDownload
from gateway.settings import ResilienceSettings
from shared.context import Deadline
from testkit.connections import close_connection
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

REPORT = "0198b7f0-0000-7000-8000-00000000000b"
PATH = f"/reports/{REPORT}/download"
FILE_HEADERS = {"content-disposition": 'attachment; filename="orders.csv"', "x-internal-shard": "3"}
CHUNKS, CHUNK = 1024, b"x" * 65_536
"""A file of this number of chunks has 64 MiB, more than the buffers of all connections hold."""


class TestDownload:
    async def test_download_has_the_type_length_and_name_of_the_file(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.respond("GET", PATH, content, headers=FILE_HEADERS, media_type="text/csv; charset=utf-8")
        file = await gateway.get(f"/v2{PATH}", headers=customer_headers)
        assert file.status_code == 200
        assert file.content == content
        assert file.headers["Content-Length"] == str(len(content))
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.headers["Content-Disposition"] == FILE_HEADERS["content-disposition"]
        assert "x-internal-shard" not in file.headers
        assert len(file.headers["X-Request-ID"]) == 32

    async def test_download_begins_before_the_service_has_sent_the_whole_file(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        rest = asyncio.Event()
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=rest)
        async with gateway.stream("GET", f"/v2{PATH}", headers=customer_headers) as file:
            chunks = file.aiter_raw()
            assert await anext(chunks) == b"first"
            rest.set()
            assert b"".join([chunk async for chunk in chunks]) == b"rest"

    async def test_download_is_cancelled_when_the_client_disconnects(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with gateway.stream("GET", f"/v2{PATH}", headers=customer_headers) as file:
            assert await anext(file.aiter_raw()) == b"first"
        await eventually(lambda: services.orders.disconnected == [PATH])

    async def test_download_is_cut_off_when_the_service_stops_midway(
        self,
        open_gateway: OpenGateway,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with open_gateway(upstream_seconds=0.5) as gateway:
            with pytest.raises(httpx.RemoteProtocolError):
                await gateway.get(f"/v2{PATH}", headers=customer_headers)
        logs = capsys.readouterr().out
        assert logs.count('"download_aborted"') == 1
        assert "UpstreamTimeoutError: orders did not respond in time" in logs
        assert "exception" not in logs

    async def test_reads_of_the_body_have_the_whole_timeout_when_little_time_is_left(self) -> None:
        """A download that waited for a slot may begin shortly before the deadline of its request."""
        upstream_timeout_s, left_s = 20, 5
        timeouts: list[dict[str, float]] = []

        async def respond(request: httpx.Request) -> httpx.Response:
            timeouts.append(request.extensions["timeout"])
            return httpx.Response(200, content=b"a,b")

        upstream = Upstream(
            name="orders",
            url="http://orders",
            transport=httpx.MockTransport(respond),
            timeout_s=upstream_timeout_s,
            pipeline=ResiliencePipeline(name="orders", settings=ResilienceSettings()),
            endpoint_pipelines={},
        )
        with Deadline(left_s):
            file = await upstream.download(
                UpstreamRequest(method="GET", path=PATH, template=PATH, headers={}), user_id=UUID(CALLER)
            )
        assert isinstance(file, UpstreamDownload)
        await file.close()
        [timeout] = timeouts
        assert timeout["read"] == upstream_timeout_s
        assert timeout["pool"] <= left_s
        assert timeout["connect"] == CONNECT_TIMEOUT_S

    @pytest.mark.parametrize(("status", "slug"), [(409, "report-not-ready"), (404, "report-not-found")])
    async def test_problem_is_forwarded_when_the_service_responds_with_an_error(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str], status: int, slug: str
    ) -> None:
        services.orders.respond_problem("GET", PATH, status=status, slug=slug)
        rejected = await gateway.get(f"/v2{PATH}", headers=customer_headers)
        assert rejected.status_code == status
        assert rejected.json()["type"].endswith(f"/{slug}")
        assert rejected.headers["Content-Type"] == "application/problem+json"
        assert rejected.json()["instance"] == f"/v2{PATH}"

    async def test_download_is_rejected_when_the_token_is_missing_or_the_id_is_invalid(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2{PATH}")).status_code == 401
        invalid = await gateway.get("/v2/reports/..%2Fprune/download", headers=customer_headers)
        assert invalid.status_code in {404, 422}
        assert services.orders.requests == []

    async def test_service_is_slowed_down_when_the_client_reads_slowly(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """While the client does not read, the service can send only what fits into the buffers of two connections."""
        sent = services.orders.stream_chunks("GET", PATH, chunks=CHUNKS, chunk=CHUNK)
        reader, writer = await open_connection(gateway)
        request = f"GET /v2{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {customer_headers['Authorization']}\r\n\r\n"
        writer.write(request.encode())
        await reader.readline()

        async def has_stalled() -> bool:
            before = len(sent)
            await asyncio.sleep(0.2)
            return 0 < before == len(sent)

        await eventually(has_stalled)
        assert len(sent) < CHUNKS / 10, "the gateway buffers the download"
        await close_connection(writer)

    async def test_slot_is_released_when_the_client_reads_nothing(
        self,
        open_gateway: OpenGateway,
        services: Services,
        customer_headers: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("gateway.responses.CLIENT_READ_TIMEOUT_S", 0.5)
        services.orders.stream_chunks("GET", PATH, chunks=CHUNKS, chunk=CHUNK)
        async with open_gateway(max_concurrent_downloads=1) as gateway:
            async with gateway.stream("GET", f"/v2{PATH}", headers=customer_headers) as file:
                assert file.status_code == 200
                await eventually(lambda: services.orders.in_flight == 0)
            services.orders.respond("GET", PATH, b"a", media_type="text/csv")
            assert (await gateway.get(f"/v2{PATH}", headers=customer_headers)).content == b"a"


class TestDownloadLimits:
    async def test_downloads_are_limited_separately_from_calls(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """One download is in flight, one waits, and one is rejected, while a call still gets a slot."""
        rest = asyncio.Event()
        services.orders.stream_csv("GET", PATH, b"first", b"rest", between=rest)
        services.orders.respond("GET", "/orders", {})
        async with open_gateway(max_concurrent_calls=1, max_concurrent_downloads=1) as gateway:
            downloads = [asyncio.create_task(gateway.get(f"/v2{PATH}", headers=customer_headers)) for _ in range(3)]
            [rejected], accepted = await asyncio.wait(downloads, return_when=asyncio.FIRST_COMPLETED)
            assert rejected.result().status_code == 503
            assert rejected.result().json()["type"].endswith("/upstream-busy")
            assert (await gateway.get("/v2/orders", headers=customer_headers)).status_code == 200
            rest.set()
            assert [(await download).content for download in accepted] == [b"firstrest"] * 2

    async def test_downloads_are_limited_per_user(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str], token_issuer: TokenIssuer
    ) -> None:
        limit = 3
        services.orders.stream_chunks("GET", PATH, chunks=CHUNKS, chunk=CHUNK)
        async with (
            open_gateway(max_concurrent_downloads=limit + 1, max_concurrent_downloads_per_user=limit) as gateway,
            AsyncExitStack() as open_downloads,
        ):

            async def open_download(headers: dict[str, str]) -> httpx.Response:
                return await open_downloads.enter_async_context(gateway.stream("GET", f"/v2{PATH}", headers=headers))

            accepted = [await open_download(customer_headers) for _ in range(limit)]
            assert {file.status_code for file in accepted} == {200}
            rejected = await gateway.get(f"/v2{PATH}", headers=customer_headers)
            assert rejected.status_code == 429
            assert rejected.json()["type"].endswith("/too-many-requests")
            assert "Retry-After" in rejected.headers
            assert (await open_download(token_issuer.headers(OTHER_USER))).status_code == 200
            await accepted[0].aclose()
            services.orders.respond("GET", PATH, b"a", media_type="text/csv")

            async def is_admitted() -> bool:
                return (await gateway.get(f"/v2{PATH}", headers=customer_headers)).status_code == 200

            await eventually(is_admitted)

    async def test_download_is_never_hedged(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """A read that starts after the download is hedged. A hedge of the download would have been sent before."""
        late = asyncio.Event()
        services.orders.respond("GET", PATH, b"a", media_type="text/csv", until=late)
        services.orders.respond("GET", "/orders", {}, until=late)
        async with open_gateway(hedge_after_seconds=0.05, retry_budget=1) as gateway:
            download = asyncio.create_task(gateway.get(f"/v2{PATH}", headers=customer_headers))
            await eventually(lambda: services.orders.requests_for("GET", PATH))
            read = asyncio.create_task(gateway.get("/v2/orders", headers=customer_headers))
            await eventually(lambda: len(services.orders.requests_for("GET", "/orders")) == 2)
            assert len(services.orders.requests_for("GET", PATH)) == 1
            late.set()
            assert [(await response).status_code for response in (download, read)] == [200, 200]


class TestHead:
    async def test_head_has_the_headers_of_the_file_and_keeps_the_connection_usable(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.respond("GET", PATH, content, headers=FILE_HEADERS, media_type="text/csv; charset=utf-8")
        head = await gateway.head(f"/v2{PATH}", headers=customer_headers)
        file = await gateway.get(f"/v2{PATH}", headers=customer_headers)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Length", "Content-Type", "Content-Disposition"):
            assert head.headers[name] == file.headers[name]
        assert file.content == content
