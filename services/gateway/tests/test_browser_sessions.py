"""Sessions of the page: the cookie of the refresh token, and the rejection of requests of other sites."""

from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from gateway.browser.schemas import MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH

SESSION = "/browser/session"
CSRF = {"X-Hopline-CSRF": "1"}
LOGIN = {"email": "ann@hopline.example", "password": "correct & horse=battery"}
FIRST_TOKEN, SECOND_TOKEN = "first-refresh-token-of-32-bytes_0123456789", "second-refresh-token-of-32-bytes-012345678"
COOKIE_SECONDS = 30 * 24 * 60 * 60


def granted_tokens(refresh_token: str) -> dict[str, Any]:
    """Return the response of the users service to a grant."""
    return {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900, "refresh_token": refresh_token}


def cookie_of(response: httpx.Response) -> Morsel[str]:
    [header] = response.headers.get_list("set-cookie")
    [cookie] = SimpleCookie(header).values()
    assert cookie.key == "hopline_refresh"
    return cookie


def headers_with_cookie(token: str) -> dict[str, str]:
    """Return the headers of a request of the page in the session of this refresh token."""
    return {**CSRF, "Cookie": f"hopline_refresh={token}"}


@pytest.fixture
def upstreams(services: Services) -> Services:
    """Return fake services, of which users grants tokens."""
    services.users.respond("POST", "/tokens", granted_tokens(FIRST_TOKEN))
    services.users.respond("POST", "/tokens/revocation", b"", status=204)
    return services


def is_removed(cookie: Morsel[str]) -> bool:
    return cookie.value == "" and cookie["max-age"] == "0" and cookie["path"] == SESSION


class TestLogin:
    async def test_access_token_is_returned_and_refresh_token_is_in_the_cookie(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        response = await gateway.post(SESSION, json=LOGIN, headers=CSRF)
        assert response.status_code == 200
        assert response.json() == {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900}
        assert response.headers["cache-control"] == "no-store"
        assert cookie_of(response).value == FIRST_TOKEN
        [request] = upstreams.users.requests
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert parse_qs(request.body.decode()) == {
            "grant_type": ["password"],
            "username": [LOGIN["email"]],
            "password": [LOGIN["password"]],
        }

    @pytest.mark.parametrize(
        ("environment", "scheme", "is_secure"),
        [("development", "http", False), ("development", "https", True), ("production", "http", True)],
    )
    async def test_cookie_is_limited_to_the_path_of_sessions_and_hidden_from_scripts(
        self, open_gateway: OpenGateway, upstreams: Services, environment: str, scheme: str, is_secure: bool
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            cookie = cookie_of(await gateway.post(SESSION, json=LOGIN, headers={**CSRF, "X-Forwarded-Proto": scheme}))
        assert cookie["httponly"] is True
        assert cookie["samesite"].lower() == "strict"
        assert cookie["path"] == SESSION
        assert cookie["domain"] == ""
        assert int(cookie["max-age"]) == COOKIE_SECONDS
        assert bool(cookie["secure"]) is is_secure

    async def test_problem_of_the_users_service_is_forwarded(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        upstreams.users.respond_problem("POST", "/tokens", status=401, slug="wrong-credentials")
        response = await gateway.post(SESSION, json=LOGIN, headers=CSRF)
        assert response.status_code == 401
        assert response.json()["type"].endswith("/wrong-credentials")
        assert "set-cookie" not in response.headers

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"email": "ann@hopline.example"},
            {**LOGIN, "email": ""},
            {**LOGIN, "email": "x" * (MAX_EMAIL_LENGTH + 1)},
            {**LOGIN, "password": "s3cret" * MAX_PASSWORD_LENGTH},
            {**LOGIN, "role": "admin"},
        ],
    )
    async def test_invalid_login_is_rejected_and_its_values_are_not_repeated(
        self, gateway: httpx.AsyncClient, upstreams: Services, body: dict[str, str]
    ) -> None:
        response = await gateway.post(SESSION, json=body, headers=CSRF)
        assert response.status_code == 422
        assert response.json()["errors"]
        assert "s3cret" not in response.text
        assert upstreams.users.requests == []

    async def test_login_is_rejected_when_it_is_a_form(self, gateway: httpx.AsyncClient, upstreams: Services) -> None:
        response = await gateway.post(SESSION, data=LOGIN, headers=CSRF)
        assert response.status_code == 415
        assert upstreams.users.requests == []

    async def test_response_is_502_when_the_users_service_grants_no_refresh_token(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        upstreams.users.respond("POST", "/tokens", {"access_token": "a.b.c"})
        response = await gateway.post(SESSION, json=LOGIN, headers=CSRF)
        assert response.status_code == 502
        assert "a.b.c" not in response.text

    async def test_logins_are_limited_by_name_and_address(self, open_gateway: OpenGateway, upstreams: Services) -> None:
        async with open_gateway(rate_limit_credentials_name=2, rate_limit_credentials_address=3) as gateway:
            spellings = ("ann@hopline.example", "Ann@Hopline.example", "ann@hopline.example")
            logins = [
                await gateway.post(SESSION, json={**LOGIN, "email": spelling}, headers=CSRF) for spelling in spellings
            ]
            assert [login.status_code for login in logins] == [200, 200, 429]
            refreshes = [
                await gateway.post(f"{SESSION}/refresh", headers=headers_with_cookie(FIRST_TOKEN)) for _ in range(2)
            ]
            assert [refresh.status_code for refresh in refreshes] == [200, 429], "a rejected login does not count"

    async def test_api_version_header_is_ignored(self, gateway: httpx.AsyncClient, upstreams: Services) -> None:
        response = await gateway.post(SESSION, json=LOGIN, headers={**CSRF, "API-Version": "1"})
        assert response.status_code == 200


class TestRefresh:
    async def test_cookie_is_rotated(self, gateway: httpx.AsyncClient, upstreams: Services) -> None:
        upstreams.users.respond("POST", "/tokens", granted_tokens(SECOND_TOKEN))
        response = await gateway.post(f"{SESSION}/refresh", headers=headers_with_cookie(FIRST_TOKEN))
        assert response.status_code == 200
        assert response.json() == {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900}
        assert response.headers["cache-control"] == "no-store"
        cookie = cookie_of(response)
        assert (cookie.value, cookie["httponly"], cookie["path"]) == (SECOND_TOKEN, True, SESSION)
        [request] = upstreams.users.requests
        assert parse_qs(request.body.decode()) == {"grant_type": ["refresh_token"], "refresh_token": [FIRST_TOKEN]}

    @pytest.mark.parametrize(
        "cookie", ["", "hopline_refresh=", "other=1", "hopline_refresh=short", f"hopline_refresh={'x' * 300}"]
    )
    async def test_response_is_401_when_the_cookie_is_invalid(
        self, gateway: httpx.AsyncClient, upstreams: Services, cookie: str
    ) -> None:
        response = await gateway.post(f"{SESSION}/refresh", headers={**CSRF, **({"Cookie": cookie} if cookie else {})})
        assert response.status_code == 401
        assert response.json()["type"].endswith("/no-session")
        assert is_removed(cookie_of(response))
        assert upstreams.users.requests == []

    async def test_cookie_is_removed_when_its_token_is_rejected(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        upstreams.users.respond_problem("POST", "/tokens", status=401, slug="refresh-token-refused")
        response = await gateway.post(f"{SESSION}/refresh", headers=headers_with_cookie(FIRST_TOKEN))
        assert response.status_code == 401
        assert response.json()["type"].endswith("/no-session")
        assert is_removed(cookie_of(response))

    async def test_cookie_is_kept_when_the_users_service_fails(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        upstreams.users.respond_problem("POST", "/tokens", status=503, slug="unavailable")
        response = await gateway.post(f"{SESSION}/refresh", headers=headers_with_cookie(FIRST_TOKEN))
        assert response.status_code == 503
        assert "set-cookie" not in response.headers

    async def test_refresh_is_not_retried_when_the_users_service_fails(
        self, gateway: httpx.AsyncClient, upstreams: Services
    ) -> None:
        """The second use of a token would end the session."""
        upstreams.users.fail_first("POST", "/tokens", times=1)
        assert (await gateway.post(f"{SESSION}/refresh", headers=headers_with_cookie(FIRST_TOKEN))).status_code == 503
        assert len(upstreams.users.requests) == 1


class TestLogout:
    async def test_tokens_are_revoked_and_cookie_is_removed(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.users.respond("POST", "/tokens/revocation", b"", status=204)
        response = await gateway.delete(SESSION, headers=headers_with_cookie(FIRST_TOKEN))
        assert (response.status_code, response.content) == (204, b"")
        cookie = cookie_of(response)
        assert is_removed(cookie)
        assert cookie["httponly"] is True
        [request] = services.users.requests
        assert (request.path, parse_qs(request.body.decode())) == ("/tokens/revocation", {"token": [FIRST_TOKEN]})

    async def test_cookie_is_removed_when_the_tokens_cannot_be_revoked(
        self, open_gateway: OpenGateway, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        services.users.respond_problem("POST", "/tokens/revocation", status=503, slug="unavailable")
        async with open_gateway() as gateway:
            responses = [await gateway.delete(SESSION, headers=headers_with_cookie(FIRST_TOKEN))]
        async with open_gateway(users_url=unreachable_url()) as gateway:
            responses.append(await gateway.delete(SESSION, headers=headers_with_cookie(FIRST_TOKEN)))
        for response in responses:
            assert response.status_code == 204
            assert is_removed(cookie_of(response))
        assert capsys.readouterr().out.count("session_not_revoked") == 2

    async def test_nothing_is_revoked_when_the_request_has_no_cookie(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        response = await gateway.delete(SESSION, headers=CSRF)
        assert response.status_code == 204
        assert is_removed(cookie_of(response))
        assert services.users.requests == []


SESSION_ROUTES = [("POST", SESSION), ("POST", f"{SESSION}/refresh"), ("DELETE", SESSION)]


class TestCrossSiteRequests:
    @pytest.mark.parametrize(("method", "path"), SESSION_ROUTES)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-Hopline-CSRF": "0"},
            {**CSRF, "Sec-Fetch-Site": "cross-site"},
            {**CSRF, "Sec-Fetch-Site": "same-site"},
            {**CSRF, "Sec-Fetch-Site": "none"},
            {**CSRF, "Origin": "https://evil.example"},
            {**CSRF, "Origin": "http://evil.shop.example:8000"},
            {**CSRF, "Origin": "http://shop.example:8001"},
            {**CSRF, "Origin": "null"},
            {**CSRF, "Origin": "http://["},
            {**CSRF, "Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        ],
        ids=str,
    )
    async def test_request_of_another_site_is_rejected(
        self, gateway: httpx.AsyncClient, upstreams: Services, method: str, path: str, headers: dict[str, str]
    ) -> None:
        sent = {"Host": "shop.example:8000", "Cookie": f"hopline_refresh={FIRST_TOKEN}", **headers}
        response = await gateway.request(method, path, headers=sent, json=LOGIN if path == SESSION else None)
        assert response.status_code == 403
        assert response.json()["type"].endswith("/cross-site-request")
        assert "set-cookie" not in response.headers
        assert upstreams.users.requests == []

    @pytest.mark.parametrize(("method", "path"), SESSION_ROUTES)
    @pytest.mark.parametrize("origin", ["http://shop.example:8000", "https://SHOP.example:8000"])
    async def test_request_of_the_shop_page_is_accepted(
        self, gateway: httpx.AsyncClient, upstreams: Services, method: str, path: str, origin: str
    ) -> None:
        sent = {
            **headers_with_cookie(FIRST_TOKEN),
            "Host": "shop.example:8000",
            "Sec-Fetch-Site": "same-origin",
            "Origin": origin,
        }
        response = await gateway.request(method, path, headers=sent, json=LOGIN if path == SESSION else None)
        assert response.is_success

    async def test_rejected_request_does_not_count_as_a_login(
        self, open_gateway: OpenGateway, upstreams: Services
    ) -> None:
        async with open_gateway(rate_limit_credentials_name=1) as gateway:
            for _ in range(3):
                assert (await gateway.post(SESSION, json=LOGIN)).status_code == 403
            assert (await gateway.post(SESSION, json=LOGIN, headers=CSRF)).status_code == 200
