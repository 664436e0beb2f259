"""The page at `/` and its files: caching, compression and the content security policy."""

import gzip
import re
from importlib.resources import files

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self' {websocket}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
HASHED_NAME = re.compile(r".+-[\w-]{8}\.\w+")
ASSETS = files("gateway").joinpath("assets", "assets")
NAMES = sorted(file.name for file in ASSETS.iterdir())


class TestPage:
    async def test_page_is_revalidated_by_its_etag(self, gateway: httpx.AsyncClient) -> None:
        page = await gateway.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        assert page.text.lower().startswith("<!doctype html>")
        weak, strong = page.headers["etag"], page.headers["etag"].removeprefix("W/")
        for matching in (weak, strong, f'"other", {weak}', f'W/"other",{strong}', "*"):
            revalidated = await gateway.get("/", headers={"If-None-Match": matching})
            assert (revalidated.status_code, revalidated.content) == (304, b"")
            assert revalidated.headers["etag"] == page.headers["etag"]
        assert (await gateway.get("/", headers={"If-None-Match": '"other"'})).status_code == 200

    async def test_page_runs_nothing_inline_and_requests_no_other_host(self, gateway: httpx.AsyncClient) -> None:
        page = (await gateway.get("/")).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", page, re.IGNORECASE)
        loaded = re.findall(r"""<(?:script|link|img)[^>]+?(?:src|href)=["']([^"']+)""", page)
        assert loaded
        assert all(re.match(r"/assets/|data:", path) for path in loaded)

    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("ws://localhost:8003/ws", "ws://localhost:8003"),
            ("wss://shop.hopline.example/ws", "wss://shop.hopline.example"),
            ("wss://shop.hopline.example:8443/ws?a=b", "wss://shop.hopline.example:8443"),
        ],
    )
    async def test_policy_allows_the_own_origin_and_that_of_the_websocket(
        self, open_gateway: OpenGateway, url: str, origin: str
    ) -> None:
        async with open_gateway(public_ws_url=url) as gateway:
            page = await gateway.get("/")
        assert page.headers.get_list("content-security-policy") == [POLICY.format(websocket=origin)]


class TestAssets:
    def test_file_names_contain_a_hash(self) -> None:
        assert NAMES
        assert all(HASHED_NAME.fullmatch(name) for name in NAMES)

    @pytest.mark.parametrize("name", NAMES)
    async def test_file_is_immutable_and_compressed_only_when_gzip_is_accepted(
        self, gateway: httpx.AsyncClient, name: str
    ) -> None:
        content = ASSETS.joinpath(name).read_bytes()
        plain = await gateway.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "content-encoding" not in plain.headers
        assert plain.content == content
        async with gateway.stream("GET", f"/assets/{name}") as compressed:
            assert compressed.headers["content-encoding"] == "gzip"
            assert compressed.headers["vary"] == "Accept-Encoding"
            assert gzip.decompress(b"".join([chunk async for chunk in compressed.aiter_raw()])) == content

    @pytest.mark.parametrize(
        ("accepted", "is_compressed"),
        [
            ("gzip", True),
            ("br, GZIP;q=0.5", True),
            ("gzip;q=0.001", True),
            ("gzip;q=0", False),
            ("gzip ; Q=0.000, identity", False),
            ("gzip;q=0, gzipped, x-gzip", False),
        ],
    )
    async def test_page_is_compressed_only_when_gzip_is_acceptable(
        self, gateway: httpx.AsyncClient, accepted: str, *, is_compressed: bool
    ) -> None:
        async with gateway.stream("GET", "/", headers={"Accept-Encoding": accepted}) as page:
            assert (page.headers.get("content-encoding") == "gzip") is is_compressed

    async def test_files_of_the_documentation_are_not_immutable(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.get("/assets/swagger-ui.css")
        assert response.status_code == 200
        assert "immutable" not in response.headers.get("cache-control", "")

    async def test_response_is_405_when_the_method_is_post(self, gateway: httpx.AsyncClient) -> None:
        assert (await gateway.post(f"/assets/{NAMES[0]}")).status_code == 405

    @pytest.mark.parametrize(
        "path",
        [
            "/assets/../index.html",
            "/assets/%2e%2e/index.html",
            "/assets/..%2findex.html",
            "/assets/..%2f..%2fsettings.py",
            "/assets/..%5cindex.html",
            f"/assets/assets/{NAMES[0]}",
            "/assets/",
            "/assets/missing-01234567.js",
        ],
    )
    async def test_response_is_404_when_the_path_is_not_that_of_a_file(
        self, gateway: httpx.AsyncClient, path: str
    ) -> None:
        """The target is set by the extension of httpcore, because httpx normalises paths."""
        response = await gateway.send(gateway.build_request("GET", "/", extensions={"target": path.encode()}))
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
