import httpx

from testkit.tokens import TokenIssuer

from .conftest import FetchRows
from .factories import create_user, create_user_and_log_in


class TestCleanup:
    async def test_cleanup_removes_ended_families_with_their_tokens(
        self, users: httpx.AsyncClient, rows: FetchRows, issuer: TokenIssuer
    ) -> None:
        await create_user_and_log_in(users)
        await rows("UPDATE token_family SET expires_at = now()")
        _, tokens = await create_user_and_log_in(users)
        removed = await run_cleanup(users, issuer)
        assert removed["removed"] == {"refresh_token_families": 1, "outbox": 0}
        assert len(await rows("SELECT 1 FROM refresh_token")) == 1
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await users.post("/tokens", data=form)).status_code == 200

    async def test_cleanup_is_forbidden_when_the_caller_is_not_a_service(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        headers = issuer.headers("00000000-0000-4000-8000-000000000000", role="admin")
        assert (await users.post("/internal/housekeeping", json={}, headers=headers)).status_code == 403
        assert (await users.post("/internal/housekeeping", json={})).status_code == 401


class TestAdmins:
    async def test_admins_are_listed_when_the_caller_is_a_service(
        self, users: httpx.AsyncClient, rows: FetchRows, issuer: TokenIssuer
    ) -> None:
        admin = await create_user(users)
        await create_user(users)
        await rows("UPDATE account SET role = 'admin' WHERE email = $1", admin["email"])
        response = await users.get("/internal/admins", headers=service_headers(issuer))
        assert [found["email"] for found in response.json()] == [admin["email"]]

    async def test_admins_are_forbidden_when_the_caller_is_a_customer(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        headers = issuer.headers("00000000-0000-4000-8000-000000000000")
        assert (await users.get("/internal/admins", headers=headers)).status_code == 403


def service_headers(issuer: TokenIssuer) -> dict[str, str]:
    return issuer.headers("00000000-0000-4000-8000-000000000000", role="service")


async def run_cleanup(users: httpx.AsyncClient, issuer: TokenIssuer) -> dict[str, dict[str, int]]:
    response = await users.post("/internal/housekeeping", json={}, headers=service_headers(issuer))
    assert response.status_code == 200, response.text
    result: dict[str, dict[str, int]] = response.json()
    return result
