"""How often anybody may ask, through the gateway and over a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis
from services.gateway.tests.conftest import OpenGateway, Services

import shared.gunicorn
from gateway.limits.rules import rules
from gateway.main import create_app
from gateway.settings import Settings
from testkit.apps import free_port, http_client, serve
from testkit.metrics import Metrics
from testkit.servers import StartValkey
from testkit.tokens import TokenIssuer

OTHER = "0198b7f0-0000-7000-8000-000000000002"
FORM_TYPE = "application/x-www-form-urlencoded"
JSON = {"Content-Type": "application/json"}
FORM = {"grant_type": "password", "password": "wrong"}


@pytest.fixture
def well(services: Services) -> Services:
    services.orders.answers("GET", "/orders", {})
    services.orders.answers("GET", "/products", {})
    services.users.answers("POST", "/tokens", {})
    services.users.answers("POST", "/users", {}, status=201)
    return services


def from_address(address: str) -> dict[str, str]:
    """As a proxy on this machine says it, whom the tests' server believes."""
    return {"X-Forwarded-For": address}


class TestByUser:
    async def test_counts_a_user_wherever_they_ask(
        self,
        open_gateway: OpenGateway,
        well: Services,
        token: dict[str, str],
        token_issuer: TokenIssuer,
        counted: Metrics,
    ) -> None:
        async with open_gateway(rate_limit_user=3) as one, open_gateway(rate_limit_user=3) as another:
            for gateway, remaining in ((one, 2), (another, 1), (one, 0)):
                response = await gateway.get("/v2/orders", headers=token | from_address(f"203.0.113.{remaining}"))
                assert response.status_code == 200
                assert response.headers["ratelimit-limit"] == "3"
                assert response.headers["ratelimit-remaining"] == str(remaining)
                assert 20 * (2 - remaining) < int(response.headers["ratelimit-reset"]) <= 20 * (3 - remaining)
                assert response.headers["ratelimit-policy"] == "3;w=60"
                assert "retry-after" not in response.headers
            for gateway in (another, one):
                refused = await gateway.get("/v2/orders", headers=token)
                assert refused.status_code == 429
                assert refused.headers["content-type"] == "application/problem+json"
                assert 1 <= int(refused.headers["retry-after"]) <= 20
                assert refused.headers["ratelimit-remaining"] == "0"
                assert refused.json()["type"].endswith("/too-many-requests")
                assert refused.json()["instance"] == "/v2/orders"
            assert len(well.orders.seen) == 3
            assert counted.value("hopline.gateway.rate_limited", {"hopline.quota": "user"}) == 2
            assert (await one.get("/v2/orders", headers=token_issuer.headers(OTHER))).status_code == 200
            assert (await one.get("/v2/products")).headers["ratelimit-limit"] == "300000"

    async def test_takes_one_round_trip_for_all_of_a_requests_limits(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str], start_valkey: StartValkey
    ) -> None:
        """On a server of its own: it counts for all of its databases together."""
        own = start_valkey().url
        async with open_gateway(redis_url=own) as gateway, Redis.from_url(own) as redis:
            await gateway.get("/v2/orders", headers=token)
            await redis.config_resetstat()
            assert (await gateway.get("/v2/orders", headers=token)).status_code == 200
            asked = await redis.info("commandstats")
        assert asked["cmdstat_evalsha"]["calls"] == 1
        assert not {"cmdstat_eval", "cmdstat_hello", "cmdstat_client|setinfo"} & set(asked)

    async def test_goes_on_after_redis_has_forgotten_everything(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str], redis_url: str
    ) -> None:
        await gateway.get("/v2/orders", headers=token)
        async with Redis.from_url(redis_url) as redis:
            await redis.script_flush()
            await redis.flushdb()
        response = await gateway.get("/v2/orders", headers=token)
        assert response.headers["ratelimit-remaining"] == "59999"


class TestByAddress:
    async def test_counts_who_has_no_valid_token_and_says_so_on_refusals(
        self, open_gateway: OpenGateway, well: Services
    ) -> None:
        async with open_gateway(rate_limit_address=2) as gateway:
            forged = {**from_address("203.0.113.1"), "Authorization": "Bearer forged"}
            for remaining in ("1", "0"):
                unauthorized = await gateway.get("/v2/orders", headers=forged)
                assert unauthorized.status_code == 401
                assert unauthorized.headers["ratelimit-remaining"] == remaining
            assert (await gateway.get("/v2/orders", headers=forged)).status_code == 429
            assert (await gateway.get("/v1/nothing", headers=forged)).status_code == 429
            assert (await gateway.get("/v2/products", headers=from_address("203.0.113.2"))).status_code == 200
            assert (await gateway.get("/health/live", headers=forged)).status_code == 200

    async def test_takes_an_ipv6_network_for_one(self, open_gateway: OpenGateway, well: Services) -> None:
        async with open_gateway(rate_limit_address=1) as gateway:
            for address, status in (("2001:db8:0:1::1", 200), ("2001:db8:0:1:9::2", 429), ("2001:db8:0:2::1", 200)):
                assert (await gateway.get("/v2/products", headers=from_address(address))).status_code == status

    async def test_believes_no_proxy_that_nobody_named(
        self, well: Services, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = Settings.model_validate(
            {**well.urls, "jwks_url": f"{well.urls['users_url']}/jwks", "redis_url": redis_url, "environment": "test"}
            | {"rate_limit_address": 1, "rate_limit_patience_seconds": 10}
        )
        trusted = shared.gunicorn.forwarded_allow_ips
        async with serve(create_app(settings), forwarded_allow_ips=trusted) as url, http_client(url) as gateway:
            assert (await gateway.get("/v2/products", headers=from_address("203.0.113.1"))).status_code == 200
            assert (await gateway.get("/v2/products", headers=from_address("203.0.113.2"))).status_code == 429


class TestCredentials:
    async def test_a_name_is_guessed_at_slowly_from_anywhere_and_in_any_spelling(
        self, open_gateway: OpenGateway, well: Services, redis_url: str
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=2) as gateway:
            spellings = ("ann@hopline.example", "Ann@Hopline.example", " ann@hopline.EXAMPLE")
            for count, username in enumerate(spellings):
                response = await gateway.post(
                    "/v2/tokens", data={**FORM, "username": username}, headers=from_address(f"203.0.113.{count}")
                )
                assert response.status_code == (429 if count == 2 else 200)
                assert response.headers["ratelimit-limit"] == "2"
            registration = await gateway.post("/v1/users", json={"email": "ann@hopline.example"})
            assert registration.status_code == 429
            assert "sunset" in registration.headers
            assert len(well.users.asked("POST", "/tokens")) == 2
            assert not well.users.asked("POST", "/users")
            other = await gateway.post("/v2/tokens", data={**FORM, "username": "bob@hopline.example"})
            assert other.status_code == 200
        async with Redis.from_url(redis_url) as redis:
            assert not [key for key in await redis.keys("*") if b"ann" in key or b"hopline.example" in key]

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("Application/X-WWW-Form-Urlencoded", "username=ann@hopline.example"),
            (FORM_TYPE, "username=bob@hopline.example&username=ann@hopline.example"),
            (FORM_TYPE, "username=ann@%EF%BD%88opline.example"),  # a full-width h, which IDNA takes for one
        ],
    )
    async def test_a_name_is_what_the_service_will_read(
        self, open_gateway: OpenGateway, well: Services, content_type: str, body: str | bytes
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=1) as gateway:
            assert (await gateway.post("/v2/tokens", data={"username": "ann@hopline.example"})).status_code == 200
            disguised = await gateway.post("/v2/tokens", content=body, headers={"Content-Type": content_type})
            assert disguised.status_code == 429
            assert len(well.users.seen) == 1

    @pytest.mark.parametrize("parameters", ["", "; boundary=x", "; boundary=x; charset=undefined"])
    async def test_a_body_that_is_no_form_is_left_to_the_service(
        self, gateway: httpx.AsyncClient, well: Services, parameters: str
    ) -> None:
        """It refuses the media type, and parses no account's name from the body."""
        headers = {"Content-Type": f"multipart/form-data{parameters}"}
        response = await gateway.post("/v2/tokens", content=b"--y", headers=headers)
        assert response.status_code == 200
        assert well.users.seen[0].headers["content-type"] == headers["Content-Type"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    async def test_a_registration_is_read_as_the_service_will(
        self, open_gateway: OpenGateway, well: Services, encoding: str
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=1) as gateway:
            statuses = [
                (await gateway.post("/v2/users", content=body.encode(encoding), headers=JSON)).status_code
                for body in ('{"email":"ann@hopline.example"}', '{"email":"ann@hopline.example","name":NaN}')
            ]
            assert statuses == [201, 429]

    async def test_an_address_tries_names_slowly(self, open_gateway: OpenGateway, well: Services) -> None:
        async with open_gateway(rate_limit_credentials_address=2) as gateway:
            statuses = [
                (await gateway.post("/v2/tokens", data={**FORM, "username": f"{count}@hopline.example"})).status_code
                for count in range(3)
            ]
            assert statuses == [200, 200, 429]
            assert (await gateway.get("/v2/products")).status_code == 200

    async def test_what_names_nobody_counts_for_the_address(self, gateway: httpx.AsyncClient, well: Services) -> None:
        for body in (b"", b"not json", b"[]", b'{"email":7}', b"\xff\xfe"):
            response = await gateway.post("/v2/users", content=body)
            assert response.status_code == 201
            assert response.headers["ratelimit-limit"] == "6000"


class TestWithoutRedis:
    async def test_a_process_counts_for_itself(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        nowhere = f"redis://127.0.0.1:{free_port()}"
        async with open_gateway(redis_url=nowhere, rate_limit_user=2) as gateway:
            statuses = [(await gateway.get("/v2/orders", headers=token)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert "rate_limits_are_local" in capsys.readouterr().out

    async def test_one_that_hangs_is_left_alone_for_a_while(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.limits.limiter.PAUSE_S", 600)
        async with silent_server() as (address, connections):
            settings = {"redis_url": f"redis://{address}", "rate_limit_patience_seconds": 0.2, "rate_limit_user": 2}
            async with open_gateway(**settings) as gateway:
                statuses = [(await gateway.get("/v2/orders", headers=token)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert len(connections) == 1


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[object]]]:
    """Accepts and never answers; yields its address and who has come."""
    connections: list[object] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", connections


def test_production_has_quotas_for_people() -> None:
    nowhere = dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), "http://localhost")
    given = {**nowhere, "redis_url": "redis://localhost"}
    people = rules(Settings.model_validate({**given, "environment": "production"}))
    shoppers = rules(Settings.model_validate({**given, "environment": "development"}))
    assert (people.user.requests, people.address.requests, people.credentials_by_address.requests) == (600, 3_000, 60)
    assert shoppers.address.requests / shoppers.address.seconds == 5_000
    assert people.credentials_by_name == shoppers.credentials_by_name
    assert rules(Settings.model_validate({**given, "rate_limit_user": 7})).user.requests == 7
