import asyncio
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256

import httpx
import jwt
import pytest
from pydantic import SecretStr

from testkit.apps import http_client, serve
from users.service.tokens import WORKERS_ID
from users.settings import get_settings

from .conftest import WORKERS_SECRET, ExecuteSql, MakeApp
from .factories import bearer, create_user, create_user_and_log_in, log_in, refresh

ACCESS_TOKEN_LIFETIME_S = 15 * 60
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}


class TestLogIn:
    async def test_login_returns_a_pair_of_tokens_that_must_not_be_cached(self, users: httpx.AsyncClient) -> None:
        user = await create_user(users)
        response = await log_in(users, user["email"])
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        tokens = response.json()
        assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", ACCESS_TOKEN_LIFETIME_S)

    async def test_login_ignores_the_case_of_the_address(self, users: httpx.AsyncClient) -> None:
        user = await create_user(users)
        assert (await log_in(users, user["email"].upper())).status_code == 200

    async def test_login_returns_the_same_problem_when_the_password_is_wrong_or_the_address_is_unknown(
        self, users: httpx.AsyncClient
    ) -> None:
        user = await create_user(users)
        responses = [
            await log_in(users, user["email"], "wrong horse battery staple"),
            await log_in(users, "nobody@hopline.example"),
            await log_in(users, "no-at-sign"),
            await log_in(users, "nul\x00@hopline.example"),
        ]
        assert {response.status_code for response in responses} == {401}
        problems = [{key: response.json()[key] for key in ("type", "title", "detail")} for response in responses]
        assert all(problem == problems[0] for problem in problems)

    @pytest.mark.parametrize(
        ("form", "missing"),
        [
            ({"grant_type": "password"}, ["username", "password"]),
            ({"grant_type": "password", "username": "ann@hopline.example"}, ["password"]),
            ({"grant_type": "password", "username": "", "password": "x"}, ["username"]),
            ({"grant_type": "refresh_token"}, ["refresh_token"]),
        ],
    )
    async def test_grant_names_the_parameters_when_they_are_missing(
        self, users: httpx.AsyncClient, form: dict[str, str], missing: list[str]
    ) -> None:
        response = await users.post("/tokens", data=form)
        assert response.status_code == 400
        assert [error["field"] for error in response.json()["errors"]] == missing

    @pytest.mark.parametrize("grant_type", ["", "client_credentials", "implicit", "\x00"])
    async def test_grant_is_rejected_when_its_type_is_unsupported(
        self, users: httpx.AsyncClient, grant_type: str
    ) -> None:
        response = await users.post("/tokens", data={"grant_type": grant_type, "username": "a", "password": "b"})
        assert response.status_code == 400
        assert response.json()["type"].endswith("/unsupported-grant-type")

    async def test_login_is_rejected_when_the_body_is_not_a_form(self, users: httpx.AsyncClient) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await users.post("/tokens", content=b'{"grant_type": "pass', headers=headers)
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "media_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=x"]
    )
    async def test_login_is_rejected_when_the_media_type_is_unsupported(
        self, users: httpx.AsyncClient, media_type: str
    ) -> None:
        response = await users.post("/tokens", content=b'{"grant_type": "pass', headers={"Content-Type": media_type})
        assert response.status_code == 415
        assert response.headers["Accept"] == "application/x-www-form-urlencoded"


class TestRefresh:
    async def test_refresh_returns_a_new_pair(self, users: httpx.AsyncClient) -> None:
        user, tokens = await create_user_and_log_in(users)
        response = await refresh(users, tokens["refresh_token"])
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        successor = response.json()
        assert successor["refresh_token"] != tokens["refresh_token"]
        me = await users.get("/users/me", headers=bearer(successor["access_token"]))
        assert me.json()["id"] == user["id"]

    async def test_refresh_can_be_repeated_with_each_new_token(self, users: httpx.AsyncClient) -> None:
        _, tokens = await create_user_and_log_in(users)
        for _ in range(3):
            tokens = (await refresh(users, tokens["refresh_token"])).json()
        assert (await refresh(users, tokens["refresh_token"])).status_code == 200

    @pytest.mark.parametrize(
        "token",
        [
            "unknown",
            pytest.param("x" * 10_000, id="long"),
            pytest.param("\ud800".encode("utf-8", "surrogatepass"), id="not UTF-8"),
            "\x00",
        ],
    )
    async def test_refresh_is_rejected_when_the_token_is_unknown_or_malformed(
        self, users: httpx.AsyncClient, token: str
    ) -> None:
        assert (await refresh(users, token)).status_code == 401

    async def test_refresh_is_rejected_when_the_token_is_an_access_token(self, users: httpx.AsyncClient) -> None:
        _, tokens = await create_user_and_log_in(users)
        assert (await refresh(users, tokens["access_token"])).status_code == 401

    async def test_refresh_does_not_extend_the_family_beyond_30_days(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql
    ) -> None:
        _, tokens = await create_user_and_log_in(users)
        await refresh(users, tokens["refresh_token"])
        (family,) = await execute_sql("SELECT expires_at - started_at AS lifetime FROM token_family")
        assert family["lifetime"] == timedelta(days=30)

    async def test_refresh_is_rejected_when_the_family_has_ended(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql
    ) -> None:
        _, tokens = await create_user_and_log_in(users)
        await execute_sql("UPDATE token_family SET expires_at = now()")
        assert (await refresh(users, tokens["refresh_token"])).status_code == 401

    async def test_refresh_tokens_are_stored_as_hashes(self, users: httpx.AsyncClient, execute_sql: ExecuteSql) -> None:
        _, tokens = await create_user_and_log_in(users)
        (row,) = await execute_sql("SELECT refresh_token::text AS all_columns, token_hash FROM refresh_token")
        assert tokens["refresh_token"] not in row["all_columns"]
        assert row["token_hash"] == sha256(tokens["refresh_token"].encode()).digest()


class TestReuse:
    async def test_family_is_revoked_when_a_token_is_reused(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql, capsys: pytest.CaptureFixture[str]
    ) -> None:
        user, first = await create_user_and_log_in(users)
        second = (await refresh(users, first["refresh_token"])).json()
        assert (await refresh(users, first["refresh_token"])).status_code == 401
        (family,) = await execute_sql("SELECT revoked_at FROM token_family")
        assert family["revoked_at"] is not None
        assert (await refresh(users, second["refresh_token"])).status_code == 401
        (record,) = [line for line in capsys.readouterr().out.splitlines() if "refresh_reuse_detected" in line]
        assert user["id"] in record
        assert first["refresh_token"] not in record

    async def test_other_logins_continue_when_a_family_is_revoked(self, users: httpx.AsyncClient) -> None:
        user, reused = await create_user_and_log_in(users)
        other_login = (await log_in(users, user["email"])).json()
        for _ in range(2):
            await refresh(users, reused["refresh_token"])
        assert (await refresh(users, other_login["refresh_token"])).status_code == 200
        assert (await log_in(users, user["email"])).status_code == 200

    async def test_one_refresh_succeeds_and_the_family_is_revoked_when_a_token_is_used_concurrently(
        self, users: httpx.AsyncClient
    ) -> None:
        _, tokens = await create_user_and_log_in(users)
        responses = await asyncio.gather(*(refresh(users, tokens["refresh_token"]) for _ in range(8)))
        succeeded = [response for response in responses if response.status_code == 200]
        assert len(succeeded) == 1
        assert {response.status_code for response in responses} == {200, 401}
        assert (await refresh(users, succeeded[0].json()["refresh_token"])).status_code == 401


class TestRevocation:
    @pytest.mark.parametrize("is_spent", [False, True])
    async def test_revocation_revokes_only_the_tokens_of_the_login(
        self, users: httpx.AsyncClient, *, is_spent: bool
    ) -> None:
        user, first = await create_user_and_log_in(users)
        other_login = (await log_in(users, user["email"])).json()
        second = (await refresh(users, first["refresh_token"])).json()
        token = (first if is_spent else second)["refresh_token"]
        response = await users.post("/tokens/revocation", data={"token": token})
        assert (response.status_code, response.content) == (204, b"")
        assert (await refresh(users, second["refresh_token"])).status_code == 401
        assert (await refresh(users, other_login["refresh_token"])).status_code == 200

    async def test_revocation_is_logged_once_when_it_is_repeated(
        self, users: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        user, tokens = await create_user_and_log_in(users)
        for _ in range(2):
            response = await users.post("/tokens/revocation", data={"token": tokens["refresh_token"]})
            assert response.status_code == 204
        (record,) = [line for line in capsys.readouterr().out.splitlines() if "tokens_revoked" in line]
        assert user["id"] in record
        assert tokens["refresh_token"] not in record

    async def test_revocation_succeeds_when_the_token_is_unknown(self, users: httpx.AsyncClient) -> None:
        assert (await users.post("/tokens/revocation", data={"token": "unknown"})).status_code == 204

    async def test_revocation_is_rejected_when_the_token_is_missing(self, users: httpx.AsyncClient) -> None:
        assert (await users.post("/tokens/revocation", data={})).status_code == 422


class TestWorkersToken:
    async def test_workers_token_has_the_role_service(self, users: httpx.AsyncClient) -> None:
        response = await users.post("/internal/tokens", data=CLIENT_CREDENTIALS, auth=("workers", WORKERS_SECRET))
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        tokens = response.json()
        assert set(tokens) == {"access_token", "token_type", "expires_in"}
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        assert (claims["role"], claims["sub"]) == ("service", str(WORKERS_ID))

    async def test_workers_secret_is_read_from_the_injected_settings(self, make_app: MakeApp) -> None:
        app = make_app()
        settings = app.state.settings.model_copy(update={"workers_client_secret": SecretStr("another-secret")})
        app.dependency_overrides[get_settings] = lambda: settings
        async with serve(app) as url, http_client(url) as users:
            for secret, status in (("another-secret", 200), (WORKERS_SECRET, 401)):
                response = await users.post("/internal/tokens", data=CLIENT_CREDENTIALS, auth=("workers", secret))
                assert response.status_code == status

    async def test_workers_token_authorizes_internal_routes(self, users: httpx.AsyncClient) -> None:
        user = await create_user(users)
        tokens = (
            await users.post("/internal/tokens", data=CLIENT_CREDENTIALS, auth=("workers", WORKERS_SECRET))
        ).json()
        response = await users.get(f"/internal/users/{user['id']}", headers=bearer(tokens["access_token"]))
        assert response.json() == user

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "Basic",
            "Basic ?",
            "Bearer x",
            pytest.param(f"Basic {b64encode(b'workers').decode()}", id="without a colon"),
            pytest.param(f"Basic {b64encode(b'workers:wrong').decode()}", id="wrong secret"),
        ],
    )
    async def test_workers_token_is_denied_when_the_credentials_are_wrong(
        self, users: httpx.AsyncClient, authorization: str
    ) -> None:
        headers = {"Authorization": authorization} if authorization else {}
        response = await users.post("/internal/tokens", data=CLIENT_CREDENTIALS, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")
        assert response.headers["Content-Type"] == "application/problem+json"

    async def test_grant_is_rejected_when_its_type_is_unsupported(self, users: httpx.AsyncClient) -> None:
        form = {"grant_type": "password"}
        response = await users.post("/internal/tokens", data=form, auth=("workers", WORKERS_SECRET))
        assert response.status_code == 400
