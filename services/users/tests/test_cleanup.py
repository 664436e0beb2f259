from typing import Any
from uuid import uuid4

import httpx

from shared.cleanup.service import BATCH
from testkit.tokens import TokenIssuer

from .conftest import ExecuteSql
from .factories import create_user_and_log_in, refresh

ADD_TOKENS = """
    INSERT INTO refresh_token (token_hash, family_id)
    SELECT sha256(n::text::bytea), id FROM token_family, generate_series(1, $1::int) AS n
"""


class TestCleanup:
    async def test_cleanup_removes_ended_families_with_their_tokens(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql, issuer: TokenIssuer
    ) -> None:
        await create_user_and_log_in(users)
        await execute_sql("UPDATE token_family SET expires_at = now()")
        _, tokens = await create_user_and_log_in(users)
        response = await run_cleanup(users, issuer)
        assert response["removed"] == {"refresh_tokens": 1, "refresh_token_families": 1, "outbox": 0}
        assert len(await execute_sql("SELECT 1 FROM refresh_token")) == 1
        assert (await refresh(users, tokens["refresh_token"])).status_code == 200

    async def test_cleanup_removes_one_batch_of_tokens_when_a_family_has_more(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql, issuer: TokenIssuer
    ) -> None:
        await create_user_and_log_in(users)
        await execute_sql(ADD_TOKENS, BATCH)
        await execute_sql("UPDATE token_family SET expires_at = now()")
        removed = {"refresh_tokens": BATCH, "refresh_token_families": 0, "outbox": 0}
        assert await run_cleanup(users, issuer) == {"removed": removed, "more": True}
        removed = {"refresh_tokens": 1, "refresh_token_families": 1, "outbox": 0}
        assert await run_cleanup(users, issuer) == {"removed": removed, "more": False}

    async def test_cleanup_is_forbidden_when_the_caller_is_not_a_service(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        headers = issuer.headers(uuid4(), role="admin")
        assert (await users.post("/internal/housekeeping", json={}, headers=headers)).status_code == 403
        assert (await users.post("/internal/housekeeping", json={})).status_code == 401


async def run_cleanup(users: httpx.AsyncClient, issuer: TokenIssuer) -> dict[str, Any]:
    """Run one batch of each cleanup task, and return the body of the response."""
    response = await users.post("/internal/housekeeping", json={}, headers=issuer.headers(uuid4(), role="service"))
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result
