"""Files pass through as they come: never held whole, and no longer than somebody reads."""

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

REPORT = "0198b7f0-0000-7000-8000-00000000000b"
PATH = f"/reports/{REPORT}/download"
HEADERS = {"content-disposition": 'attachment; filename="orders.csv"', "x-internal-shard": "3"}


class TestDownload:
    async def test_is_the_file_with_its_type_length_and_name(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.answers("GET", PATH, content, headers=HEADERS, media_type="text/csv; charset=utf-8")
        file = await gateway.get(f"/v2{PATH}", headers=token)
        assert file.status_code == 200
        assert file.content == content
        assert file.headers["Content-Length"] == str(len(content))
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.headers["Content-Disposition"] == HEADERS["content-disposition"]
        assert "x-internal-shard" not in file.headers
        assert len(file.headers["X-Request-ID"]) == 32

    async def test_begins_before_the_service_has_ended(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        rest = asyncio.Event()
        services.orders.streams("GET", PATH, b"first", b"rest", between=rest)
        async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
            chunks = file.aiter_raw()
            assert await anext(chunks) == b"first"
            rest.set()
            assert b"".join([chunk async for chunk in chunks]) == b"rest"

    async def test_that_nobody_reads_any_more_is_given_up(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.streams("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
            assert await anext(file.aiter_raw()) == b"first"
        await eventually(lambda: services.orders.abandoned == [PATH])

    async def test_that_stops_half_way_is_broken_off_and_not_ended(
        self,
        open_gateway: OpenGateway,
        services: Services,
        token: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        services.orders.streams("GET", PATH, b"first", b"rest", between=asyncio.Event())
        async with open_gateway(upstream_seconds=0.5) as gateway:
            with pytest.raises(httpx.RemoteProtocolError):
                await gateway.get(f"/v2{PATH}", headers=token)
        said = capsys.readouterr().out
        assert said.count('"download_broken_off"') == 1
        assert "UpstreamTimeout: orders did not answer in time" in said
        assert "exception" not in said

    @pytest.mark.parametrize(("status", "slug"), [(409, "report-not-ready"), (404, "report-not-found")])
    async def test_a_refusal_is_passed_on_as_any_other(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], status: int, slug: str
    ) -> None:
        services.orders.refuses("GET", PATH, status=status, slug=slug)
        refused = await gateway.get(f"/v2{PATH}", headers=token)
        assert refused.status_code == status
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["instance"] == f"/v2{PATH}"

    async def test_needs_a_token_and_an_id(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2{PATH}")).status_code == 401
        assert (await gateway.get("/v2/reports/..%2Fprune/download", headers=token)).status_code in {404, 422}
        assert services.orders.seen == []

    async def test_a_slow_reader_slows_the_service_down(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        """Of 64 MiB nobody has read more than what buffers of sockets hold."""
        sent = services.orders.pours("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        address = urlsplit(str(gateway.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=65536)
        request = f"GET /v2{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\n\r\n"
        writer.write(request.encode())
        await reader.readline()
        before = -1

        async def stalled() -> bool:
            nonlocal before
            seen, before = before, len(sent)
            await asyncio.sleep(0.2)
            return 0 < seen == len(sent)

        await eventually(stalled)
        assert len(sent) < 1024 // 2
        writer.close()

    async def test_a_reader_who_takes_nothing_gives_its_place_up(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.answers.STALLED_S", 0.5)
        services.orders.pours("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        async with open_gateway(upstream_files_at_once=1) as gateway:
            async with gateway.stream("GET", f"/v2{PATH}", headers=token) as file:
                assert file.status_code == 200
                await eventually(lambda: services.orders.at_once == 0)
            services.orders.answers("GET", PATH, b"a", media_type="text/csv")
            assert (await gateway.get(f"/v2{PATH}", headers=token)).content == b"a"


class TestPlaces:
    async def test_files_being_read_are_bounded_and_leave_the_calls_theirs(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        rest = asyncio.Event()
        services.orders.streams("GET", PATH, b"first", b"rest", between=rest)
        services.orders.answers("GET", "/orders", {})
        async with open_gateway(upstream_calls_at_once=1, upstream_files_at_once=1) as gateway:
            asked = [asyncio.create_task(gateway.get(f"/v2{PATH}", headers=token)) for _ in range(3)]
            [refused], others = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert refused.result().status_code == 503
            assert refused.result().json()["type"].endswith("/upstream-busy")
            assert (await gateway.get("/v2/orders", headers=token)).status_code == 200
            rest.set()
            assert [(await other).content for other in others] == [b"firstrest"] * 2

    async def test_one_user_has_a_few_however_slowly_they_read(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], token_issuer: TokenIssuer
    ) -> None:
        services.orders.pours("GET", PATH, chunks=1024, chunk=b"x" * 65536)
        async with (
            open_gateway(upstream_files_at_once=4, upstream_files_per_user=3) as gateway,
            AsyncExitStack() as read,
        ):
            for _ in range(3):
                slow = AsyncExitStack()
                file = await slow.enter_async_context(gateway.stream("GET", f"/v2{PATH}", headers=token))
                read.push_async_callback(slow.aclose)
                assert file.status_code == 200
            refused = await gateway.get(f"/v2{PATH}", headers=token)
            assert refused.status_code == 429
            assert refused.json()["type"].endswith("/too-many-requests")
            assert "Retry-After" in refused.headers
            another = token_issuer.headers("0198b7f0-0000-7000-8000-000000000002")
            async with gateway.stream("GET", f"/v2{PATH}", headers=another) as file:
                assert file.status_code == 200
            await slow.aclose()
            services.orders.answers("GET", PATH, b"a", media_type="text/csv")

            async def has_a_place_again() -> bool:
                return (await gateway.get(f"/v2{PATH}", headers=token)).status_code == 200

            await eventually(has_a_place_again)

    async def test_a_file_is_never_asked_for_twice_at_once(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        """Another read, asked for later, shows when a hedge would have been made."""
        late = asyncio.Event()
        services.orders.answers("GET", PATH, b"a", media_type="text/csv", until=late)
        services.orders.answers("GET", "/orders", {}, until=late)
        async with open_gateway(hedge_after_seconds=0.05, retry_budget=1) as gateway:
            file = asyncio.create_task(gateway.get(f"/v2{PATH}", headers=token))
            await eventually(lambda: services.orders.asked("GET", PATH))
            page = asyncio.create_task(gateway.get("/v2/orders", headers=token))
            await eventually(lambda: len(services.orders.asked("GET", "/orders")) == 2)
            assert len(services.orders.asked("GET", PATH)) == 1
            late.set()
            assert [(await answer).status_code for answer in (file, page)] == [200, 200]


class TestHead:
    async def test_has_the_headers_of_the_file_and_leaves_the_connection_usable(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        content = bytes(range(256)) * 4000
        services.orders.answers("GET", PATH, content, headers=HEADERS, media_type="text/csv; charset=utf-8")
        head = await gateway.head(f"/v2{PATH}", headers=token)
        file = await gateway.get(f"/v2{PATH}", headers=token)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Length", "Content-Type", "Content-Disposition"):
            assert head.headers[name] == file.headers[name]
        assert file.content == content
