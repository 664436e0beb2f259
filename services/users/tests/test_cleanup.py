from uuid import uuid4

import httpx

from testkit.tokens import TokenIssuer

from .conftest import FetchRows
from .factories import create_user_and_log_in


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
        headers = issuer.headers(uuid4(), role="admin")
        assert (await users.post("/internal/housekeeping", json={}, headers=headers)).status_code == 403
        assert (await users.post("/internal/housekeeping", json={})).status_code == 401


async def run_cleanup(users: httpx.AsyncClient, issuer: TokenIssuer) -> dict[str, dict[str, int]]:
    response = await users.post("/internal/housekeeping", json={}, headers=issuer.headers(uuid4(), role="service"))
    assert response.status_code == 200, response.text
    result: dict[str, dict[str, int]] = response.json()
    return result
