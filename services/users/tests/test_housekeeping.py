import httpx

from testkit.tokens import TokenIssuer

from .conftest import Rows
from .factories import logged_in, registered


class TestHousekeeping:
    async def test_removes_families_that_have_ended_with_their_tokens(
        self, users: httpx.AsyncClient, rows: Rows, issuer: TokenIssuer
    ) -> None:
        await logged_in(users)
        await rows("UPDATE token_family SET expires_at = now()")
        _, tokens = await logged_in(users)
        removed = await tidy(users, issuer)
        assert removed["removed"] == {"refresh_token_families": 1, "outbox": 0}
        assert len(await rows("SELECT 1 FROM refresh_token")) == 1
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await users.post("/tokens", data=form)).status_code == 200

    async def test_is_for_services_only(self, users: httpx.AsyncClient, issuer: TokenIssuer) -> None:
        headers = issuer.headers("00000000-0000-4000-8000-000000000000", role="admin")
        assert (await users.post("/internal/housekeeping", json={}, headers=headers)).status_code == 403
        assert (await users.post("/internal/housekeeping", json={})).status_code == 401


class TestAdmins:
    async def test_are_listed_for_services(self, users: httpx.AsyncClient, rows: Rows, issuer: TokenIssuer) -> None:
        admin = await registered(users)
        await registered(users)
        await rows("UPDATE account SET role = 'admin' WHERE email = $1", admin["email"])
        answer = await users.get("/internal/admins", headers=as_service(issuer))
        assert [found["email"] for found in answer.json()] == [admin["email"]]

    async def test_are_no_customers_business(self, users: httpx.AsyncClient, issuer: TokenIssuer) -> None:
        headers = issuer.headers("00000000-0000-4000-8000-000000000000")
        assert (await users.get("/internal/admins", headers=headers)).status_code == 403


def as_service(issuer: TokenIssuer) -> dict[str, str]:
    return issuer.headers("00000000-0000-4000-8000-000000000000", role="service")


async def tidy(users: httpx.AsyncClient, issuer: TokenIssuer) -> dict[str, dict[str, int]]:
    answer = await users.post("/internal/housekeeping", json={}, headers=as_service(issuer))
    assert answer.status_code == 200, answer.text
    tidied: dict[str, dict[str, int]] = answer.json()
    return tidied
