"""Rate limits of users, addresses and credentials, through the gateway with a real Redis."""

import httpx
import pytest
from redis.asyncio import Redis
from services.gateway.tests.conftest import OTHER_USER, OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

import shared.server.gunicorn
from gateway.limits.rules import RateLimitRules, create_rules
from gateway.main import create_app
from gateway.settings import Settings
from testkit.apps import http_client, serve
from testkit.metrics import RecordedMetrics
from testkit.servers import StartValkey
from testkit.tokens import TokenIssuer

FORM_TYPE = "application/x-www-form-urlencoded"
JSON = {"Content-Type": "application/json"}
LOGIN = {"grant_type": "password", "password": "wrong"}

DEFAULT_USER_LIMIT, DEFAULT_ADDRESS_LIMIT, DEFAULT_CREDENTIALS_LIMIT = 60_000, 300_000, 6_000
"""Requests per minute outside of production."""


@pytest.fixture
def upstreams(services: Services) -> Services:
    services.orders.respond("GET", "/orders", {})
    services.orders.respond("GET", "/products", {})
    services.users.respond("POST", "/tokens", {})
    services.users.respond("POST", "/users", {}, status=201)
    return services


def from_address(address: str) -> dict[str, str]:
    """Return the header of a proxy on this machine, which the server of the tests trusts."""
    return {"X-Forwarded-For": address}


class TestByUser:
    async def test_user_is_counted_across_addresses_and_gateways(
        self,
        open_gateway: OpenGateway,
        upstreams: Services,
        customer_headers: dict[str, str],
        token_issuer: TokenIssuer,
        metrics: RecordedMetrics,
    ) -> None:
        limit = 3
        interval_s = 60 // limit
        async with open_gateway(rate_limit_user=limit) as first, open_gateway(rate_limit_user=limit) as second:
            for used, gateway in enumerate((first, second, first), 1):
                headers = customer_headers | from_address(f"203.0.113.{used}")
                response = await gateway.get("/v2/orders", headers=headers)
                assert response.status_code == 200
                assert response.headers["ratelimit-limit"] == str(limit)
                assert response.headers["ratelimit-remaining"] == str(limit - used)
                assert interval_s * (used - 1) < int(response.headers["ratelimit-reset"]) <= interval_s * used
                assert response.headers["ratelimit-policy"] == f"{limit};w=60"
                assert "retry-after" not in response.headers
            for gateway in (second, first):
                rejected = await gateway.get("/v2/orders", headers=customer_headers)
                assert rejected.status_code == 429
                assert rejected.headers["content-type"] == "application/problem+json"
                assert 1 <= int(rejected.headers["retry-after"]) <= interval_s
                assert rejected.headers["ratelimit-remaining"] == "0"
                assert rejected.json()["type"].endswith("/too-many-requests")
                assert rejected.json()["instance"] == "/v2/orders"
                assert 'The quota "user" of 3 requests in 60 seconds is exceeded' in rejected.json()["detail"]
            assert len(upstreams.orders.requests) == limit
            assert metrics.value("hopline.gateway.rate_limited", {"hopline.quota": "user"}) == 2
            assert (await first.get("/v2/orders", headers=token_issuer.headers(OTHER_USER))).status_code == 200
            without_token = await first.get("/v2/products")
            assert without_token.headers["ratelimit-limit"] == str(DEFAULT_ADDRESS_LIMIT)

    async def test_limits_of_a_request_take_one_round_trip(
        self,
        open_gateway: OpenGateway,
        upstreams: Services,
        customer_headers: dict[str, str],
        start_valkey: StartValkey,
    ) -> None:
        """Uses a separate server, because command statistics cover all databases of a server."""
        url = start_valkey().url
        async with open_gateway(redis_url=url) as gateway, Redis.from_url(url) as redis:
            await gateway.get("/v2/orders", headers=customer_headers)
            await redis.config_resetstat()
            assert (await gateway.get("/v2/orders", headers=customer_headers)).status_code == 200
            statistics = await redis.info("commandstats")
        assert statistics["cmdstat_evalsha"]["calls"] == 1
        sent_once = {"cmdstat_script|load", "cmdstat_client|setinfo"}  # for the script and the connection
        assert not sent_once & set(statistics)

    async def test_counting_starts_again_when_redis_lost_its_data_and_scripts(
        self,
        open_gateway: OpenGateway,
        upstreams: Services,
        customer_headers: dict[str, str],
        redis_url: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with open_gateway(rate_limit_user=2) as gateway:
            await gateway.get("/v2/orders", headers=customer_headers)
            await gateway.get("/v2/orders", headers=customer_headers)
            async with Redis.from_url(redis_url) as redis:
                await redis.script_flush()
                await redis.flushdb()
            response = await gateway.get("/v2/orders", headers=customer_headers)
        assert response.status_code == 200
        assert response.headers["ratelimit-remaining"] == "1"
        assert "rate_limits_are_local" not in capsys.readouterr().out


class TestByAddress:
    async def test_requests_without_a_valid_token_are_counted_by_address(
        self, open_gateway: OpenGateway, upstreams: Services
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

    async def test_addresses_of_an_ipv6_network_are_counted_together(
        self, open_gateway: OpenGateway, upstreams: Services
    ) -> None:
        async with open_gateway(rate_limit_address=1) as gateway:
            for address, status in (("2001:db8:0:1::1", 200), ("2001:db8:0:1:9::2", 429), ("2001:db8:0:2::1", 200)):
                assert (await gateway.get("/v2/products", headers=from_address(address))).status_code == status

    async def test_forwarded_address_is_ignored_when_the_proxy_is_not_trusted(
        self, upstreams: Services, redis_url: str
    ) -> None:
        settings = Settings.model_validate(
            {
                **upstreams.urls,
                "redis_url": redis_url,
                "environment": "test",
                "rate_limit_address": 1,
                "rate_limit_timeout_seconds": 10,
            }
        )
        trusted = shared.server.gunicorn.forwarded_allow_ips
        async with serve(create_app(settings), forwarded_allow_ips=trusted) as url, http_client(url) as gateway:
            assert (await gateway.get("/v2/products", headers=from_address("203.0.113.1"))).status_code == 200
            assert (await gateway.get("/v2/products", headers=from_address("203.0.113.2"))).status_code == 429


class TestCredentials:
    async def test_logins_are_limited_by_name_in_any_spelling(
        self, open_gateway: OpenGateway, upstreams: Services, redis_url: str
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=2) as gateway:
            spellings = ("ann@hopline.example", "Ann@Hopline.example", " ann@hopline.EXAMPLE")
            for count, username in enumerate(spellings):
                response = await gateway.post(
                    "/v2/tokens", data={**LOGIN, "username": username}, headers=from_address(f"203.0.113.{count}")
                )
                assert response.status_code == (429 if count == 2 else 200)
                assert response.headers["ratelimit-limit"] == "2"
            registration = await gateway.post("/v1/users", json={"email": "ann@hopline.example"})
            assert registration.status_code == 429
            assert "sunset" in registration.headers
            assert len(upstreams.users.requests_for("POST", "/tokens")) == 2
            assert not upstreams.users.requests_for("POST", "/users")
            other = await gateway.post("/v2/tokens", data={**LOGIN, "username": "bob@hopline.example"})
            assert other.status_code == 200
        async with Redis.from_url(redis_url) as redis:
            assert not [key for key in await redis.keys("*") if b"ann" in key or b"hopline.example" in key]

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("Application/X-WWW-Form-Urlencoded", "username=ann@hopline.example"),
            (FORM_TYPE, "username=bob@hopline.example&username=ann@hopline.example"),
            (FORM_TYPE, "username=ann@%EF%BD%88opline.example"),  # a full-width h, which IDNA maps to h
        ],
    )
    async def test_login_is_counted_for_the_name_that_the_service_reads(
        self, open_gateway: OpenGateway, upstreams: Services, content_type: str, body: str
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=1) as gateway:
            assert (await gateway.post("/v2/tokens", data={"username": "ann@hopline.example"})).status_code == 200
            same_name = await gateway.post("/v2/tokens", content=body, headers={"Content-Type": content_type})
            assert same_name.status_code == 429
            assert len(upstreams.users.requests) == 1

    @pytest.mark.parametrize("parameters", ["", "; boundary=x", "; boundary=x; charset=undefined"])
    async def test_login_is_forwarded_when_its_body_is_not_a_form(
        self, gateway: httpx.AsyncClient, upstreams: Services, parameters: str
    ) -> None:
        """The service rejects the media type, so the body has no account name to count."""
        headers = {"Content-Type": f"multipart/form-data{parameters}"}
        response = await gateway.post("/v2/tokens", content=b"--y", headers=headers)
        assert response.status_code == 200
        assert upstreams.users.requests[0].headers["content-type"] == headers["Content-Type"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    async def test_registration_is_counted_for_the_email_that_the_service_reads(
        self, open_gateway: OpenGateway, upstreams: Services, encoding: str
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=1) as gateway:
            statuses = [
                (await gateway.post("/v2/users", content=body.encode(encoding), headers=JSON)).status_code
                for body in ('{"email":"ann@hopline.example"}', '{"email":"ann@hopline.example","name":NaN}')
            ]
            assert statuses == [201, 429]

    async def test_logins_are_limited_by_address(self, open_gateway: OpenGateway, upstreams: Services) -> None:
        async with open_gateway(rate_limit_credentials_address=2) as gateway:
            statuses = [
                (await gateway.post("/v2/tokens", data={**LOGIN, "username": f"{count}@hopline.example"})).status_code
                for count in range(3)
            ]
            assert statuses == [200, 200, 429]
            assert (await gateway.get("/v2/products")).status_code == 200

    async def test_registration_is_counted_only_for_the_address_when_it_has_no_email(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        for body in (b"", b"not json", b"[]", b'{"email":7}', b"\xff\xfe"):
            response = await gateway.post("/v2/users", content=body)
            assert response.status_code == 201
            assert response.headers["ratelimit-limit"] == str(DEFAULT_CREDENTIALS_LIMIT)


class TestWithoutRedis:
    async def test_process_counts_locally_when_redis_is_down(
        self,
        open_gateway: OpenGateway,
        upstreams: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with open_gateway(redis_url=unreachable_url("redis"), rate_limit_user=2) as gateway:
            statuses = [(await gateway.get("/v2/orders", headers=customer_headers)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert "rate_limits_are_local" in capsys.readouterr().out


def create_rules_with(**settings: object) -> RateLimitRules:
    urls = dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), "http://localhost")
    return create_rules(Settings.model_validate({**urls, "redis_url": "redis://localhost", **settings}))


def test_quotas_are_lower_in_production() -> None:
    production = create_rules_with(environment="production")
    development = create_rules_with(environment="development")
    assert production.user.requests == 600
    assert production.address.requests == 3_000
    assert production.credentials_by_address.requests == 60
    assert development.user.requests == DEFAULT_USER_LIMIT
    assert development.address.requests == DEFAULT_ADDRESS_LIMIT
    assert development.credentials_by_address.requests == DEFAULT_CREDENTIALS_LIMIT
    assert production.credentials_by_name == development.credentials_by_name


def test_quota_is_that_of_the_settings_when_it_is_configured() -> None:
    assert create_rules_with(rate_limit_user=7).user.requests == 7
